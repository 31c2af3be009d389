// Reads what the router must know of the databases: functions, relations, what lies behind views, and which tables are
// carried to the other side. One query a kind and database; the result is an immutable router::Catalog.
#pragma once

#include <cstdint>
#include <string>

#include "control/streams.h"
#include "router/catalog.h"

namespace turnout::control {

struct LoadedCatalog {
  router::CatalogPtr catalog;
  std::uint64_t content = 0;  // equal for equal rows: then nobody has to be told
};
[[nodiscard]] PgOutcome<LoadedCatalog> load_catalog(Shelf& shelf, const Topology& topology, std::uint64_t generation,
                                                    const std::string& deployment);

}  // namespace turnout::control
