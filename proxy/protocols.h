// Where the protocols differ and nothing of the data path knows it yet: what a deployment's clients and server
// connections are made of. Called at an accept and at the opening of a server connection, never on the way of bytes.
#pragma once

#include <memory>
#include <string>

#include "conf/config.h"

namespace turnout::proxy {

class Arrival;
class Connection;
class Pool;
class Shard;

[[nodiscard]] std::unique_ptr<Arrival> make_arrival(Shard& shard, int fd, std::string address);
[[nodiscard]] std::unique_ptr<Connection> make_connection(Pool& pool);
// What a client is told that is one more than limits.clients: it gets no login at all.
[[nodiscard]] std::string too_many_clients(conf::Protocol spoken);

}  // namespace turnout::proxy
