// What a comparison asks of a pair of servers, whichever protocol they speak: its tables, a connection a side, and what
// its statements are called there.
//
// Always true: between a marker that is made on the writer and the answer that it has arrived, the follower has applied
// everything that was committed on the writer before the marker was made. Answers are texts and own their bytes; an
// error says which server and its own words. One thread.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/compare_sql.h"
#include "control/compare_state.h"

namespace turnout::control {

struct CompareError {
  std::string text;
  bool lost = false;      // the connection is gone
  bool too_slow = false;  // the server's own deadline for a statement

  [[nodiscard]] const std::string& message() const { return text; }
};

template <typename T>
using CompareOutcome = boost::system::result<T, CompareError>;

class CompareRows {
 public:
  using Row = std::vector<std::string>;

  CompareRows() = default;
  explicit CompareRows(std::vector<Row> rows) : rows_(std::move(rows)) {}

  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  [[nodiscard]] const std::string& text(std::size_t row, std::size_t column) const { return rows_[row][column]; }

 private:
  std::vector<Row> rows_;
};

// A connection of the comparison's own. Closed when it goes.
class CompareClient {
 public:
  virtual ~CompareClient() = default;
  // One statement, with the deadline that the connection was opened with.
  [[nodiscard]] virtual CompareOutcome<CompareRows> query(const std::string& sql) = 0;
  virtual void roll_back() = 0;  // what a failed statement has left behind; harmless outside a transaction
  [[nodiscard]] virtual router::Side side() const = 0;
  [[nodiscard]] virtual std::string text() const = 0;  // "blue 127.0.0.1:3306"
};

// The statements by what they are for; compare_sql.h says what each answers.
struct CompareSql {
  std::string (*bound)(const ComparePlan&, const CompareSource&, const KeyRange&, std::uint64_t rows);
  std::string (*sum)(const ComparePlan&, const CompareSource&, const KeyRange&, std::uint64_t limit);
  std::string (*rows)(const ComparePlan&, const CompareSource&, const KeyRange&, std::uint64_t limit);
  std::string (*page)(const ComparePlan&, const CompareSource&, const std::optional<RowKey>& after, std::uint64_t rows);
  std::string (*lookup)(const ComparePlan&, const CompareSource&, const std::vector<RowKey>& keys);
  std::string (*columns)(const ComparePlan&, const CompareSource&, const std::vector<RowKey>& keys);
  std::string (*blocks)(const ComparePlan&, const CompareSource&, std::int64_t first, std::int64_t end);
  std::string (*null_keys)(const ComparePlan&, const CompareSource&);
  const char* snapshot;                               // begins one; COMMIT ends it
  std::string (*marker)(const std::string& carrier);  // for the writer: makes one, and answers with its token
  std::string (*arrived)(const std::string& carrier, const std::string& token);  // for the follower: a row, or none yet
  std::uint32_t confirmations;  // of a difference, see Settling; 1 = rows have versions
};

struct CompareLink {
  const CompareSql& sql;
  std::unique_ptr<CompareClient> writer, follower;
};

// How one table is compared, as its server's catalogs are now.
struct TableLook {
  std::string why_not;  // it cannot be, now; "" = it can
  ComparePlan plan;
  std::string carrier;  // what brings its rows to the follower, for people and for `marker`
  std::int64_t rows_estimate = 0, writer_blocks = 0, follower_blocks = 0;
};

class ComparePair {
 public:
  virtual ~ComparePair() = default;

  struct Tables {
    std::vector<TableState> all;        // in the order in which they are compared
    std::vector<std::string> left_out;  // tables of the writer that nothing carries
    std::vector<std::string> databases;
    std::string unknown;  // "no table x …" of one that is not among them
  };
  // `with_left_out`: those are looked for too.
  [[nodiscard]] virtual CompareOutcome<Tables> look_up(router::Side writer, bool with_left_out) = 0;
  // After a look_up().
  [[nodiscard]] virtual CompareOutcome<CompareLink> open(const std::string& database,
                                                         std::uint32_t statement_ms_max) = 0;
  [[nodiscard]] virtual CompareOutcome<TableLook> look(CompareLink& link, const TableState& table) = 0;
};

}  // namespace turnout::control
