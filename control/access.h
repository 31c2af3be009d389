// Who may ask the control API for something, decided from one request's values. Pure.
//
// A unix socket is guarded by its file mode, so its peers need no token. On TCP a configured token is needed for all
// but the health routes. Without a token (loopback only) the Host must be an address or localhost, so that a web page
// cannot reach the API through a name it controls; a foreign Origin is refused everywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/operations.h"

namespace turnout::control {

// One HTTP request as the surface sees it: copies, owned by the request.
struct HttpRequest {
  std::string method;
  std::string target;  // path and query, still percent-encoded
  std::string host, origin, authorization, content_type, user, last_event_id;
  std::string body;
  std::optional<std::uint32_t> unix_uid;  // of the peer; empty on TCP
};

struct AccessRules {
  std::string token;        // empty = none configured
  std::string listen_host;  // also accepted as Host when there is no token
};

// What is wrong with the caller, as a problem answer (401, 403 or 400); nothing when it may go on.
// `open_route`: health, which asks for no token.
[[nodiscard]] std::optional<Answer> refuse(const HttpRequest& request, const AccessRules& rules, bool open_route);

// For the audit: "unix:1000", "token" or "local", then "/" and the name the caller gives itself, cleaned.
[[nodiscard]] std::string who(const HttpRequest& request, const AccessRules& rules);

// Takes the same time wherever the first difference is.
[[nodiscard]] bool equal_in_constant_time(std::string_view given, std::string_view expected);

[[nodiscard]] Answer problem(int status, std::string_view name, std::string_view title, std::string_view detail);

}  // namespace turnout::control
