// What a comparison knows: which tables, how far each has come, what was found. Kept in state_dir/compare-NAME.json, so
// that one that was stopped or killed goes on where it was. Values in, values out.
//
// Always true: a position is only ever stored together with all that was found up to it, so going on from it neither
// forgets a difference nor finds one twice; a file that is torn, foreign or of another version is no state at all.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/compare_sql.h"

namespace turnout::control {

enum class ComparePhase {
  none,         // never begun
  running,      //
  paused,       // a cutover is running; goes on by itself when that is over
  finished,     // every table was read
  stopped,      // by an operator
  interrupted,  // Turnout ended, the writer moved, a server was away for too long: `reason` says
};
[[nodiscard]] const char* name(ComparePhase phase);

enum class TableStage { waiting, running, done, failed };
[[nodiscard]] const char* name(TableStage stage);

struct RowDifference {
  std::string kind;                  // differs, only_on_blue, only_on_green, table
  RowKey key;                        // empty for kind table
  std::vector<std::string> columns;  // kind differs: which, as far as the row held still
  std::string text;                  // kind table: what is different
};

struct TableState {
  std::string database;
  TableName table;
  TableStage stage = TableStage::waiting;
  std::string mode;              // name(CompareMode); "" = not looked at yet
  std::vector<std::string> key;  // names of its columns
  bool is_backward = false;      // mode keys: on the second way, from the follower
  std::optional<RowKey> after;   // everything up to this key is compared
  std::uint64_t rows = 0;        // read on the writer so far
  std::uint64_t rows_back = 0;   // read on the follower, where that is a way of its own
  std::uint64_t rows_estimate = 0;
  std::uint64_t pieces = 0;
  std::vector<RowDifference> differences;
  bool is_cut_short = false;         // so many differences that it was not read to its end
  std::vector<RowKey> unsettled;     // kept changing
  std::uint64_t unsettled_more = 0;  // beyond those that are listed; of a table without a key: 1
  std::vector<std::string> notes;
  std::string error;  // of stage failed

  [[nodiscard]] double share() const;  // 0 … 1
  [[nodiscard]] std::string text() const { return table.schema + '.' + table.name; }
  [[nodiscard]] std::string full_text() const;  // with its database, where that is not the schema
  [[nodiscard]] std::uint64_t unsettled_count() const { return unsettled.size() + unsettled_more; }
};

struct CompareState {
  ComparePhase phase = ComparePhase::none;
  std::string reason;
  std::string who, started_at, ended_at;
  std::string writer;               // name of the side that is right by definition
  std::vector<std::string> wanted;  // as the operator named them; empty = all that is published
  std::uint64_t rows_per_second = 0;
  std::vector<TableState> tables;
  std::vector<std::string> not_published;  // tables of the writer that nothing carries

  [[nodiscard]] bool is_under_way() const { return phase == ComparePhase::running || phase == ComparePhase::paused; }
  // equal, different, unsettled; "" while it is not finished.
  [[nodiscard]] std::string outcome() const;
  [[nodiscard]] double percent() const;
  [[nodiscard]] std::uint64_t differences() const;
  [[nodiscard]] std::uint64_t unsettled() const;
  [[nodiscard]] std::uint64_t failed() const;
};

[[nodiscard]] std::string serialized(const CompareState& state);
[[nodiscard]] std::optional<CompareState> parse_compare_state(std::string_view text);

// May a new order go on from this state?
[[nodiscard]] bool can_resume(const CompareState& state, const std::string& writer,
                              const std::vector<std::string>& wanted);
// The tables of today in their order, each with what is known of it.
[[nodiscard]] std::vector<TableState> merged(std::vector<TableState> today, const std::vector<TableState>& known);
// table, schema.table or database.schema.table
[[nodiscard]] bool is_named(const TableState& table, const std::string& wanted);

// For the API: everything, and the few keys that `status` and a cutover's report show.
[[nodiscard]] boost::json::object to_json(const CompareState& state);
[[nodiscard]] boost::json::object summary(const CompareState& state);

}  // namespace turnout::control
