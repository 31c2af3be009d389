// A MySQL or MariaDB pair for the comparison: every table of every database that is not the server's own. A marker is
// the position in the writer's binary log; nothing is written.
#pragma once

#include <memory>

#include "control/compare_pair.h"
#include "control/mysql_shelf.h"

namespace turnout::control {

[[nodiscard]] std::unique_ptr<ComparePair> mysql_compare_pair(MysqlShelf& shelf);

// The key and the columns of a table, from the rows of information_schema.COLUMNS and STATISTICS; by their names. Pure.
[[nodiscard]] TableFacts mysql_table_facts(const TableName& table, const MysqlRows& columns, const MysqlRows& indexes);

}  // namespace turnout::control
