#include "proxy/farewell.h"

#include <sys/socket.h>

#include "proxy/pool.h"
#include "proxy/worker.h"

namespace turnout::proxy {

Farewell::Farewell(Pool& pool, Transport transport, std::uint64_t until_ms)
    : pool_(pool), transport_(std::move(transport)), until_ms_(until_ms) {}

void Farewell::begin() {
  ::shutdown(transport_.fd(), SHUT_WR);  // also a server that waits for more of a login hears the end of it
  pool_.shard().worker.loop.add(transport_.fd(), EPOLLIN, *this);
}

void Farewell::on_events(std::uint32_t) {
  IoResult got;
  do got = transport_.read(pool_.shard().worker.buffer());
  while (got.status == IoStatus::ok && transport_.has_pending());
  if (got.status == IoStatus::closed || got.status == IoStatus::failed) end();
}

void Farewell::end() {
  transport_.close();
  pool_.shard().remove_farewell(*this);
}

}  // namespace turnout::proxy
