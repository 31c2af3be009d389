// Carries one CancelRequest to the server, on a connection of its own, to the very connection that runs the statement.
//
// The server connection is not handed to another session until every cancel for it has been answered by the server's
// closing of its socket: a late cancel never hits somebody else's statement.
#pragma once

#include <cstdint>
#include <string>

#include "router/routing_table.h"

namespace turnout::proxy {

class ServerConnection;
class Shard;

// Starts it; nothing to wait for.
void send_cancel(Shard& shard, ServerConnection& connection);
// For a connection that nobody else ever gets: nothing has to be kept away from it.
void send_cancel(Shard& shard, router::Side side, std::uint32_t backend_pid, const std::string& key);

}  // namespace turnout::proxy
