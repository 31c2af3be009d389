// A server connection that was told goodbye, until the server has closed it: only then is its backend gone and may
// another one take its place. So the server never sees more of them than the limits say.
//
// Of a pool, or of whoever has connections outside the pools. Owned by the shard. Ends with the server's end of the
// socket, or at its deadline: a server that says nothing any more must not keep others from being reached. A statement
// that its client has left behind is cancelled, and again until the server has closed: a backend that is signalled
// before it has read the statement forgets the signal (postgres.c, ProcessInterrupts), and would keep its locks until
// the statement ends by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "conf/config.h"
#include "proxy/event_loop.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Shard;

// The backend of a statement that nobody waits for.
struct Abandoned {
  conf::Address address;
  std::uint32_t backend_pid;
  std::string cancel_key;
  bool has_more = false;  // sent behind it: a cancel ends one, and the next one begins
};

class Farewell final : public Handler {
 public:
  static constexpr std::uint64_t ms_max = 2'000;  // that it counts at most; a server that is there needs one

  // `over`: once, when its backend is gone or nobody waits for that any more.
  Farewell(Shard& shard, Transport transport, std::optional<Abandoned> abandoned, std::function<void()> over);

  void begin();
  void on_events(std::uint32_t events) override;
  void tick(std::uint64_t now_ms);
  [[nodiscard]] std::uint64_t until_ms() const { return until_ms_; }
  [[nodiscard]] std::function<void()> take_over() { return std::move(over_); }
  void end();

 private:
  Shard& shard_;
  Transport transport_;
  const std::uint64_t until_ms_;
  const std::optional<Abandoned> abandoned_;
  const std::uint64_t again_ms_;
  std::function<void()> over_;
  std::uint64_t cancel_again_ms_;
};

}  // namespace turnout::proxy
