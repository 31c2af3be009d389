// Reads what the router must know of a MySQL or MariaDB server: relations, what lies behind views, stored functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/catalog_loader.h"
#include "control/mysql_shelf.h"

namespace turnout::control {

struct MysqlRelation {
  std::string schema, name;
  std::string type;    // information_schema.TABLES.TABLE_TYPE
  std::string engine;  // "" of a view
  std::string sql;     // of a view
};
// Pure. A view is as good as a table if what it runs is proven to be a read; one over another one is looked at when
// that has been. Only engines with transactions are carried in the order in which others see them.
[[nodiscard]] router::CatalogPtr build_mysql_catalog(const std::vector<MysqlRelation>& relations,
                                                     const std::vector<std::string>& functions,
                                                     std::uint64_t generation, std::string_view deployment);

// Both servers are asked: whether replication leaves nothing out, and whether texts mean what the router takes them
// for.
[[nodiscard]] MysqlOutcome<LoadedCatalog> load_mysql_catalog(MysqlShelf& shelf, router::Side writer,
                                                             std::uint64_t generation, const std::string& deployment);

}  // namespace turnout::control
