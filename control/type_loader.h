// Reads which numbers (OIDs) the types and other objects of one database have on one side (protocol/pg/type_map.h).
#pragma once

#include <string>

#include "control/shelf.h"
#include "protocol/pg/type_map.h"

namespace turnout::control {

[[nodiscard]] PgOutcome<protocol::pg::ObjectOids> read_object_oids(PgClient& client);
// Cheap to ask for; another one where types or tables were made, changed or dropped.
[[nodiscard]] PgOutcome<std::string> load_types_mark(Shelf& shelf, router::Side side, const std::string& database);
[[nodiscard]] PgOutcome<protocol::pg::ObjectOids> load_object_oids(Shelf& shelf, router::Side side,
                                                                   const std::string& database);

}  // namespace turnout::control
