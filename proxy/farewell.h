// A server connection that was told goodbye, until the server has closed it: only then is its backend gone and may
// another one take its place. So the server never sees more of them than the limits say.
//
// Owned by the shard. Ends with the server's end of the socket, or at its deadline: a server that says nothing any more
// must not keep others from being reached. A statement that its client has left behind is cancelled, and again until
// the server has closed: a backend that is signalled before it has read the statement forgets the signal (postgres.c,
// ProcessInterrupts), and would keep its locks until the statement ends by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "conf/config.h"
#include "proxy/event_loop.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Pool;

// The backend of a statement that nobody waits for.
struct Abandoned {
  conf::Address address;
  std::uint32_t backend_pid;
  std::string cancel_key;
};

class Farewell final : public Handler {
 public:
  Farewell(Pool& pool, Transport transport, std::uint64_t until_ms, std::optional<Abandoned> abandoned);

  void begin();
  void on_events(std::uint32_t events) override;
  void tick(std::uint64_t now_ms);
  [[nodiscard]] std::uint64_t until_ms() const { return until_ms_; }
  [[nodiscard]] Pool& pool() const { return pool_; }
  void end();  // gives the pool its unit back and goes

 private:
  Pool& pool_;
  Transport transport_;
  const std::uint64_t until_ms_;
  const std::optional<Abandoned> abandoned_;
  std::uint64_t cancel_again_ms_;
};

}  // namespace turnout::proxy
