// classify.h for texts of MySQL and MariaDB: no grammar of theirs, but a walk over the tokens that knows what a query
// is made of and takes everything that it does not know for a write.
//
// Always true of a read: each statement of the text is a query; it takes no lock, stores nothing, sets no variable;
// every function is a native one that changes nothing, called so that no stored function can be meant; every relation
// is known to the catalog and carried to the other side. router/README.md has the rules.
//
// The catalog has one database, `mysql_catalog_database`, whose schemas are the server's databases. Of functions it
// holds the stored ones, and those loaded from libraries, in lower case: who calls one by name, or its namesake,
// writes.
#pragma once

#include <string_view>

#include "router/catalog.h"
#include "router/classify.h"

namespace turnout::router {

inline constexpr std::string_view mysql_catalog_database = "server";

// `default_database`: the session's, "" = none.
[[nodiscard]] Classified classify_mysql(std::string_view sql, const Catalog& catalog,
                                        std::string_view default_database);

}  // namespace turnout::router
