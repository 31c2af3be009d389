// From pieces that do not look alike to rows that do differ, while both sides go on changing. Pure.
//
// A look at a row of the writer and one of the follower are never of the same moment, so unlike is not yet different.
// Each round looks at the writer (before), writes a marker there and waits until the follower has applied it, looking
// at the writer again meanwhile (during), then looks at the follower, then at the writer (after). With that:
// * equal: the follower shows what the writer had at one of its looks after the marker was written;
// * different: the writer's row is the very same version before and after, so the follower, which lies between, had to
//   show it; or the follower's row is the very same version as in an earlier look, and the writer had another content
//   between the two;
// * anything else is still moving, and another round may tell. A version is a row's xmin: every change makes a new one.
//
// Where rows have no versions (MySQL) theirs is "", and a difference is only a suspicion: a row that goes there and
// back between two looks looks unchanged. It counts when several rounds in a row have it, with the same row of the
// follower.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/compare_sql.h"

namespace turnout::control {

struct SeenRow {
  std::string version;
  std::uint64_t hash = 0;  // sum, where a follower without a unique key has several
  std::uint32_t count = 1;

  [[nodiscard]] bool same_content(const SeenRow& other) const { return hash == other.hash && count == other.count; }
};
using SeenRows = std::map<RowKey, SeenRow>;

void add_row(SeenRows& rows, RowKey key, const SeenRow& row);
[[nodiscard]] bool same_content(const SeenRow* a, const SeenRow* b);
[[nodiscard]] const SeenRow* find_row(const SeenRows& rows, const RowKey& key);

// Keys that are on one side alone, or with another content.
[[nodiscard]] std::vector<RowKey> unlike(const SeenRows& writer, const SeenRows& follower);

enum class RowVerdict { equal, differs, only_on_writer, only_on_follower, moving };

struct RowLooks {
  const SeenRow* before = nullptr;  // of the writer, like `after`
  std::vector<const SeenRow*> during;
  const SeenRow* after = nullptr;
  const SeenRow* follower = nullptr;
  const SeenRow* follower_earlier = nullptr;  // before `before`
};
[[nodiscard]] RowVerdict judge(const RowLooks& looks);

struct SettledRow {
  RowKey key;
  RowVerdict verdict = RowVerdict::equal;
};

// Rows in question, until each is settled or there are no more rounds.
class Settling {
 public:
  // `follower`: what it showed before; may be empty. `confirmations`: rounds that a difference takes; 1 with versions.
  Settling(std::vector<RowKey> keys, SeenRows follower, std::uint32_t confirmations = 1)
      : keys_(std::move(keys)), earlier_(std::move(follower)), confirmations_(confirmations) {}

  [[nodiscard]] const std::vector<RowKey>& keys() const { return keys_; }
  [[nodiscard]] bool is_over() const { return keys_.empty(); }
  // Rows that are found to differ; who is equal is only dropped.
  [[nodiscard]] std::vector<SettledRow> round(const SeenRows& before, const std::vector<SeenRows>& during,
                                              SeenRows follower, const SeenRows& after);

 private:
  struct Suspicion {
    std::optional<SeenRow> follower;  // nothing: it has no such row
    std::uint32_t rounds = 0;
  };
  [[nodiscard]] bool is_confirmed(const RowKey& key, const SeenRow* follower);

  std::vector<RowKey> keys_;
  SeenRows earlier_;
  const std::uint32_t confirmations_;
  std::map<RowKey, Suspicion> suspicions_;
};

// Names of the columns whose hashes differ between two texts of columns_sql().
[[nodiscard]] std::vector<std::string> differing_columns(const std::vector<std::string>& columns, std::string_view a,
                                                         std::string_view b);

// How long to rest after `rows` that took `took_ms`, so that no more than `rows_per_second` are read. 0 = no bound.
[[nodiscard]] std::uint64_t rest_ms(std::uint64_t rows, std::uint64_t took_ms, std::uint64_t rows_per_second);

}  // namespace turnout::control
