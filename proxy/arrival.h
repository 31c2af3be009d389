// A client before it is a session, of whichever protocol: its socket, its deadline, and whom it waits for when nobody
// has logged in to the servers as this user yet. The conversation itself is greeting.h's (PostgreSQL) and
// mysql_greeting.h's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/event_loop.h"
#include "proxy/pool.h"
#include "proxy/shard.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Arrival : public Handler {
 public:
  Arrival(Shard& shard, int fd, std::string address) : shard_(shard), transport_(fd), address_(std::move(address)) {}
  // Of a client whose session has ended: its socket is with the loop already.
  Arrival(Shard& shard, Transport transport, std::string address)
      : shard_(shard), transport_(std::move(transport)), address_(std::move(address)), is_known_(true) {}

  virtual void begin();
  virtual void time_out() = 0;  // the absolute deadline of all logins
  [[nodiscard]] std::uint64_t began_ms() const { return began_ms_; }

  // ---- from the pool that was asked for a first server login
  virtual void welcome_known() = 0;
  virtual void welcome_failed(const LoginFailure& failure) = 0;

  // It ends by becoming a session, or by this.
  virtual void end(const char* reason, std::string_view sqlstate = {}, std::string_view message = {}) = 0;

 protected:
  void send(std::string_view bytes);
  // Has a server let this account in, and said what it is? If not, one is asked, and welcome_known() or
  // welcome_failed() follows.
  [[nodiscard]] bool await_welcome(Account& account);
  [[nodiscard]] WelcomePtr known_welcome() const;
  void leave();  // the last of end()

  Shard& shard_;
  Transport transport_;
  std::string address_;
  const bool is_known_ = false;
  std::uint64_t began_ms_ = 0;
  Account* account_ = nullptr;
};

}  // namespace turnout::proxy
