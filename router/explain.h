// What would happen to this text, and why: the answer of `turnout explain-route`. The same decisions as the data path,
// in words.
#pragma once

#include <string>
#include <string_view>

#include "router/catalog.h"
#include "router/route.h"
#include "router/routing_table.h"

namespace turnout::router {

struct RouteExplanation {
  Verdict verdict = Verdict::write;
  std::string why;         // what made the verdict so
  Side side = Side::blue;  // of a session that is in the ramp's share and has seen nothing that green lacks
  bool held = false;       // it would wait
  bool ramped = false;
  std::string text;  // all of it, a few lines for a person
};

[[nodiscard]] RouteExplanation explain_route(const RoutingTable& table, const Catalog& catalog,
                                             std::string_view database, std::string_view search_path,
                                             std::string_view sql);

// Of a text of MySQL, in a session with this default database.
[[nodiscard]] RouteExplanation explain_mysql_route(const RoutingTable& table, const Catalog& catalog,
                                                   std::string_view default_database, std::string_view sql);

}  // namespace turnout::router
