// The route table: every path of the API once, with what it takes and what it calls.
//
// Requests are matched and their arguments checked against this table, /v1/openapi.json is generated from it, and the
// tests walk it; so a route cannot exist without its documentation or without its access check.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/backend.h"

namespace turnout::control {

enum class FieldType { boolean, integer, text, texts };

// One argument. The same for JSON bodies and query strings; `least`/`most` bound integers, `most` also text lengths.
struct Field {
  std::string_view name;
  FieldType type = FieldType::text;
  bool required = false;
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::string_view description;
};

// What a handler gets: everything checked already.
struct Call {
  std::string deployment;         // {d}, "" where the path has none
  std::string epoch;              // {epoch}: digits, or "latest"
  boost::json::object arguments;  // only fields of the route, of the right type and within bounds
  std::string who;
};

enum class Kind {
  json,     // `run` answers
  metrics,  // Prometheus text
  events,   // a stream that stays open
};

// Which threads serve it: slow work (a preflight asks two servers) must never keep an abort or a status waiting.
enum class Pace { quick, slow };

struct Route {
  std::string_view method;
  std::string_view path;
  std::string_view summary;
  Answer (*run)(Backend&, const Call&) = nullptr;
  Kind kind = Kind::json;
  Pace pace = Pace::quick;
  bool open = false;  // health: no token
  std::vector<Field> fields = {};
};

[[nodiscard]] const std::vector<Route>& routes();

// Finds a path's segments in a route's template; false = another path. Fills deployment and epoch.
[[nodiscard]] bool matches(const Route& route, std::string_view path, Call& call);

// "%41" → "A"; nothing for a cut or NUL escape.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);

// OpenAPI 3.1, of the table above.
[[nodiscard]] boost::json::object openapi();

}  // namespace turnout::control
