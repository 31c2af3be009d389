// The statements that `compare` asks of two PostgreSQL servers, and how a table is cut into pieces (that, and what the
// statements are for, MySQL shares: mysql_compare_sql.h). Pure: facts in, text out.
//
// Always true: a hash is of texts alone, in the order of the columns' names, under the settings of compare_session(),
// so that versions, numbers of types and the order of columns do not show in it; a range of keys is only used where
// both sides order that key alike (numbers, times, uuid, bytes, texts by byte), whatever their collations are; every
// name is quoted, every value a literal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/streams.h"

namespace turnout::control {

using RowKey = std::vector<std::string>;  // the key columns' texts, in the key's order

enum class CompareMode {
  ranges,  // both sides by the same ranges of keys
  keys,    // the sides may order this key differently: a page of one side's rows, looked up on the other; both ways
  whole,   // no key: the rows of the table as a multiset
};
[[nodiscard]] const char* name(CompareMode mode);

// quick: hashtextextended(). portable: md5, where that one does not give the same on both sides, or they store texts in
// different encodings.
enum class HashMethod { quick, portable };

struct ColumnFact {
  std::string name;
  std::string type;        // as a literal is cast to it
  std::string shown_type;  // with its length and the like, for people
  bool generated = false;  // each side computes its own
  bool not_null = false;
  int key_position = 0;  // 1, 2, …; 0 = not in the key
  bool ordered_alike = false;
  bool leads_an_index = false;
};

struct TableFacts {
  bool exists = false;
  bool is_partitioned = false;
  std::int64_t rows_estimate = 0;
  std::int64_t blocks = 0;  // of the largest of its parts
  std::vector<ColumnFact> columns;
  std::string key_index = {};  // mysql: the index that the key is of
};

// How a table of one side is read.
struct CompareSource {
  bool is_partitioned = false;
  std::string filter;                       // SQL of a publication's row filter; "" = every row
  std::string index = {};                   // mysql: the one with the key's order; "" = none has it
  std::vector<std::string> key_types = {};  // mysql: of this side's columns, in the plan's order
  std::vector<std::string> column_types = {};
};

struct KeyColumn {
  std::string name, type;
};

struct ComparePlan {
  TableName table;
  CompareMode mode = CompareMode::whole;
  HashMethod hash = HashMethod::quick;
  std::vector<KeyColumn> key;
  std::vector<std::string> columns;  // compared ones, by name
  CompareSource writer, follower;
  bool follower_key_may_be_null = false;
  bool is_readable = false;              // the table is on both sides
  std::vector<std::string> notes;        // what is not compared, and why
  std::vector<std::string> differences;  // of the table itself
};

// `published`: columns that a publication carries; empty = all. `from` names the writer in the texts.
[[nodiscard]] ComparePlan make_plan(const TableName& table, const TableFacts& writer, const TableFacts& follower,
                                    const std::vector<std::string>& published, const std::string& filter,
                                    HashMethod hash, router::Side from);

// (after, upto], either end may be open.
struct KeyRange {
  std::optional<RowKey> after, upto;
};

// What both sessions must have in common, and what keeps them from being in the way.
[[nodiscard]] std::string compare_session(std::uint32_t statement_ms_max);

// The key of row `rows` (1 = the first) of the range, or no row.
[[nodiscard]] std::string bound_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range,
                                    std::uint64_t rows);
// count, sum of the rows' hashes; of at most `limit` rows.
[[nodiscard]] std::string sum_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range,
                                  std::uint64_t limit);
// version, hash, key columns …
[[nodiscard]] std::string rows_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range,
                                   std::uint64_t limit);
// The same, ordered as that side orders its keys.
[[nodiscard]] std::string page_sql(const ComparePlan& plan, const CompareSource& source,
                                   const std::optional<RowKey>& after, std::uint64_t rows);
// The same, of these keys.
[[nodiscard]] std::string lookup_sql(const ComparePlan& plan, const CompareSource& source,
                                     const std::vector<RowKey>& keys);
// key columns …, then one text with a hash a column, in the order of plan.columns.
[[nodiscard]] std::string columns_sql(const ComparePlan& plan, const CompareSource& source,
                                      const std::vector<RowKey>& keys);
// count, sum of hashes of the rows in these blocks.
[[nodiscard]] std::string blocks_sql(const ComparePlan& plan, const CompareSource& source, std::int64_t first,
                                     std::int64_t end);
// How many rows have no key at all.
[[nodiscard]] std::string null_keys_sql(const ComparePlan& plan, const CompareSource& source);

}  // namespace turnout::control
