// The statements that `compare` asks of two servers of MySQL or MariaDB; compare_sql.h says what each of them is for
// and makes the plan. Pure: facts in, text out.
//
// Always true: a row is hashed as the bytes of its columns' texts, so no collation, character set, number of decimals
// shown or order of columns has a say; NULL is not an empty text; every name and value is quoted for a session of
// mysql_compare_session(). A row without an answer (NULL) could not be hashed, and is no answer at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/compare_sql.h"
#include "control/mysql_dialect.h"

namespace turnout::control {

// What a column's values are to the comparison, as ColumnFact::type has it: how they become texts, how a text becomes a
// literal again, and, behind it, what their order depends on. Two types that are not equal are not ordered alike.
//   number …  integers, decimals, years, bits; enums and sets by their number, with their definition
//   real      of their full precision
//   text …    with its collation
//   bytes     shown as 0x…
//   plain …   times, uuid, inet6: as the server writes them
// "long " before it: never a key, and hashed by itself, so that no statement grows with it.
[[nodiscard]] std::string mysql_compare_type(std::string_view data_type, std::string_view column_type,
                                             std::string_view collation);

// As make_plan(), with what each side's statements need besides.
[[nodiscard]] ComparePlan make_mysql_plan(const TableName& table, const TableFacts& writer, const TableFacts& follower,
                                          router::Side from);

// What both sessions must have in common, and what keeps them from being in the way.
[[nodiscard]] std::string mysql_compare_session(MysqlProduct product, std::uint32_t statement_ms_max);
[[nodiscard]] std::string quoted_name(const TableName& table);  // `schema`.`name`

namespace mysql {

[[nodiscard]] std::string bound_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range,
                                    std::uint64_t rows);
[[nodiscard]] std::string sum_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range,
                                  std::uint64_t limit);
[[nodiscard]] std::string rows_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range,
                                   std::uint64_t limit);
[[nodiscard]] std::string page_sql(const ComparePlan& plan, const CompareSource& source,
                                   const std::optional<RowKey>& after, std::uint64_t rows);
[[nodiscard]] std::string lookup_sql(const ComparePlan& plan, const CompareSource& source,
                                     const std::vector<RowKey>& keys);
[[nodiscard]] std::string columns_sql(const ComparePlan& plan, const CompareSource& source,
                                      const std::vector<RowKey>& keys);
// Of the whole table: there are no blocks to read it by.
[[nodiscard]] std::string blocks_sql(const ComparePlan& plan, const CompareSource& source, std::int64_t first,
                                     std::int64_t end);
[[nodiscard]] std::string null_keys_sql(const ComparePlan& plan, const CompareSource& source);

}  // namespace mysql
}  // namespace turnout::control
