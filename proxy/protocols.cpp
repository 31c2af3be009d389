#include "proxy/protocols.h"

#include "protocol/pg/wire.h"
#include "proxy/greeting.h"
#include "proxy/mysql/greeting.h"
#include "proxy/mysql/refusal.h"
#include "proxy/mysql/server_connection.h"
#include "proxy/server_connection.h"
#include "proxy/worker.h"

namespace turnout::proxy {

std::unique_ptr<Arrival> make_arrival(Shard& shard, int fd, std::string address) {
  if (shard.deployment.of_mysql) return std::make_unique<mysql::Greeting>(shard, fd, std::move(address));
  return std::make_unique<Greeting>(shard, fd, std::move(address));
}

std::unique_ptr<Connection> make_connection(Pool& pool) {
  const std::uint64_t id = pool.shard().worker.next_connection_id();
  if (pool.shard().deployment.of_mysql) return std::make_unique<mysql::ServerConnection>(pool, id);
  return std::make_unique<ServerConnection>(pool, id);
}

std::string too_many_clients(conf::Protocol spoken) {
  std::string fatal;
  if (spoken == conf::Protocol::mysql) {
    mysql::put_refusal(fatal, 0, "53300", "Too many connections: limits.clients is reached");
    return fatal;
  }
  protocol::pg::put_error(fatal, {"FATAL", "53300", "too many clients: limits.clients is reached", {}, {}});
  return fatal;
}

}  // namespace turnout::proxy
