// One HTTP request in, one answer out: access, route, arguments, call, JSON. Knows no socket and no HTTP library.
//
// Thread-safe as far as its Backend is. handle() may block as long as the backend does; is_slow() says beforehand
// whether that may be long, so that the server can use other threads for it. Errors are always problem+json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/access.h"
#include "control/backend.h"
#include "control/routes.h"

namespace turnout::control {

// A stream that did not say where to begin gets only what happens from now on.
inline constexpr std::uint64_t only_new_events = UINT64_MAX;

struct HttpResponse {
  int status = 200;
  int exit_code = 0;
  std::string content_type = "application/json";
  std::string body;
  std::string allow;                          // with 405
  std::optional<std::uint64_t> events_after;  // set: no body, stream the events after this one
};

class Api {
 public:
  // Keeps the reference; backend must outlive the Api.
  Api(Backend& backend, AccessRules rules);

  [[nodiscard]] HttpResponse handle(const HttpRequest& request) const;
  [[nodiscard]] bool is_slow(const HttpRequest& request) const;
  // For mistakes that HTTP parsing finds before there is a request: 400, 413, 431, 503.
  [[nodiscard]] static HttpResponse failure(int status, std::string_view detail);

 private:
  [[nodiscard]] HttpResponse serve(const Route& route, Call& call, const HttpRequest& request) const;

  Backend& backend_;
  AccessRules rules_;
};

// Arguments of a route from a JSON body or a query string, checked against its fields.
// Either the arguments, or in `wrong` what is not as it should be.
struct Arguments {
  boost::json::object values;
  std::string wrong;
};
[[nodiscard]] Arguments arguments_of_body(const Route& route, const std::string& body);
[[nodiscard]] Arguments arguments_of_query(const Route& route, std::string_view query);

}  // namespace turnout::control
