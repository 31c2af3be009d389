// A server connection that was told goodbye, until the server has closed it: only then is its backend gone and may
// another one take its place. So the server never sees more of them than the limits say.
//
// Owned by the shard. Ends with the server's end of the socket, or at its deadline: a server that says nothing any more
// must not keep others from being reached.
#pragma once

#include <cstdint>

#include "proxy/event_loop.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Pool;

class Farewell final : public Handler {
 public:
  Farewell(Pool& pool, Transport transport, std::uint64_t until_ms);

  void begin();
  void on_events(std::uint32_t events) override;
  [[nodiscard]] std::uint64_t until_ms() const { return until_ms_; }
  [[nodiscard]] Pool& pool() const { return pool_; }
  void end();  // gives the pool its unit back and goes

 private:
  Pool& pool_;
  Transport transport_;
  const std::uint64_t until_ms_;
};

}  // namespace turnout::proxy
