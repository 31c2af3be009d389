#include "router/explain.h"

#include "router/classify.h"
#include "router/mysql_classify.h"

namespace turnout::router {

namespace {

std::string verdict_line(const Classified& found) {
  switch (found.verdict) {
    case Verdict::read:
      return "a proven read: it may run on green";
    case Verdict::read_writer:
      return "a read that belongs to the writer: " + found.why;
    case Verdict::write:
      return "taken for a write: " + found.why;
  }
  return found.why;
}

std::string route_line(const RoutingTable& table, const Route& route) {
  if (route.held) return std::string("waits: ") + route.why;
  std::string line = std::string("goes to ") + name(route.side);
  if (route.side == table.writer) line += ", the writer";
  if (route.access == Access::read) line += ", on a read-only connection";
  return line + ": " + route.why;
}

RouteExplanation explain(const RoutingTable& table, const Classified& found) {
  // The session that would be ramped first, with nothing against it: what remains is the text's own doing.
  const Unit unit{.verdict = found.verdict, .session_known_state = true, .session_hash = 0};
  const Route route = router::route(table, unit, 0);

  RouteExplanation out{
      .verdict = found.verdict,
      .why = found.verdict == Verdict::read ? "nothing in it writes or belongs to one server" : found.why,
      .side = route.held ? table.writer : route.side,
      .held = route.held,
      .ramped = route.ramped,
      .text = {}};
  out.text = std::string("verdict: ") + name(found.verdict) + ", " + verdict_line(found) + "\n";
  out.text += "route:   " + route_line(table, route) + "\n";
  if (table.ramp.percent != 0) {
    out.text += "ramp:    " + std::to_string(table.ramp.percent) +
                " % of the reads that are proven to be reads go to " + name(table.ramp.side) +
                "; sessions outside of that share stay with the writer\n";
  }
  return out;
}

}  // namespace

RouteExplanation explain_route(const RoutingTable& table, const Catalog& catalog, std::string_view database,
                               std::string_view search_path, std::string_view sql) {
  return explain(table, classify(sql, catalog, database, search_path));
}

RouteExplanation explain_mysql_route(const RoutingTable& table, const Catalog& catalog,
                                     std::string_view default_database, std::string_view sql) {
  return explain(table, classify_mysql(sql, catalog, default_database));
}

}  // namespace turnout::router
