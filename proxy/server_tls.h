// TLS towards a server, the same for everybody who opens a connection to a side.
#pragma once

#include <string>

#include "proxy/deployment.h"
#include "proxy/transport.h"
#include "router/routing_table.h"

namespace turnout::proxy {

// The server has agreed; handshake() is next. The certificate is checked against the name that the configuration gives
// the side, if at all. "" or why not: a reload may have taken server_tls away since the server was asked.
[[nodiscard]] std::string begin_server_tls(Transport& transport, const Settings& settings, router::Side side);

}  // namespace turnout::proxy
