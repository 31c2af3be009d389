// Compares one table: piece after piece, each piece first as a hash, then, where it does not look alike, row by row
// until every row in question is settled or known to be still moving.
//
// Always true: what is kept of a table (`keep`) never has a position without everything found up to it; one statement
// at a time, on one connection a side; between any two of them `go_on` is asked, and its no ends the work at once.
// Owned by one thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/compare_pair.h"
#include "control/compare_rows.h"

namespace turnout::control {

// What a table's comparison needs of who runs it. The clients are the caller's.
struct CompareHands {
  const CompareSql& sql;
  CompareClient& writer;
  CompareClient& follower;
  std::uint32_t piece_rows = 5'000;
  std::uint32_t marker_ms_max = 60'000;
  std::uint32_t rounds = 5;
  std::size_t listed_max = 1'000;    // differences, and rows that are not settled, of one table
  std::function<bool()> go_on = {};  // false: give way
  // After each piece: what is known now, and how many rows it has cost. Rests as long as it must; false: give way.
  std::function<bool(const TableState&, std::uint64_t rows)> keep = {};
  std::function<void(std::string)> waits = {};  // for what; "" = no longer
};

class TableComparison {
 public:
  // `look` is the caller's.
  TableComparison(CompareHands& hands, const TableLook& look, TableState state);

  // True: done, or as far as it goes. False: it gave way, or error() says what went wrong.
  [[nodiscard]] bool run();
  // Another try at the rows that were moving.
  [[nodiscard]] bool settle_again();
  [[nodiscard]] const std::optional<CompareError>& error() const { return error_; }
  [[nodiscard]] const TableState& state() const { return state_; }

 private:
  struct Sum {
    std::uint64_t rows = 0;
    std::string hash;
    friend bool operator==(const Sum&, const Sum&) = default;
  };

  [[nodiscard]] bool run_ranges();
  [[nodiscard]] bool run_pages();
  [[nodiscard]] bool run_whole();
  [[nodiscard]] bool choose_piece(KeyRange& range, Sum& writer, Sum& follower);
  [[nodiscard]] bool compare_rows(const KeyRange& range, bool& has_grown);
  [[nodiscard]] bool look_for_null_keys();
  [[nodiscard]] bool settle(std::vector<RowKey> keys, SeenRows follower, std::uint32_t rounds);
  [[nodiscard]] bool settle_round(Settling& settling, std::vector<SettledRow>& found);
  [[nodiscard]] bool await_marker(const std::vector<RowKey>& keys, std::vector<SeenRows>& during);
  [[nodiscard]] bool add_differences(const std::vector<SettledRow>& rows);
  void add_unsettled(const std::vector<RowKey>& keys);
  void add_table_difference(std::string text);
  [[nodiscard]] bool finish();
  [[nodiscard]] bool is_full() const { return state_.differences.size() >= hands_.listed_max; }

  [[nodiscard]] std::optional<CompareRows> ask(CompareClient& client, const std::string& sql);
  [[nodiscard]] std::optional<Sum> sum(CompareClient& client, const std::string& sql);
  [[nodiscard]] std::optional<SeenRows> rows(CompareClient& client, const std::string& sql, RowKey* last = nullptr);
  [[nodiscard]] std::optional<SeenRows> lookup(CompareClient& client, const CompareSource& source,
                                               const std::vector<RowKey>& keys);
  // Of a whole table without a key, in one snapshot.
  [[nodiscard]] std::optional<Sum> multiset(CompareClient& client, const CompareSource& source, std::int64_t blocks,
                                            std::uint64_t& counter);

  CompareHands& hands_;
  const CompareSql& sql_;
  const TableLook& look_;
  const ComparePlan& plan_;
  TableState state_;
  std::optional<CompareError> error_;
};

}  // namespace turnout::control
