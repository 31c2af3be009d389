// What the workers of a MySQL deployment share: what its servers are, hence what clients are offered, and what logins
// taught.
//
// Always true: what clients are offered is decided once, when the first server has been seen, and stays: a client keeps
// its dialect for life. A side that has not been seen then is taken for the plainest server that is supported.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "conf/config.h"
#include "protocol/mysql/login.h"
#include "proxy/mysql/learned_secrets.h"
#include "proxy/mysql/login_turns.h"
#include "router/routing_table.h"

namespace turnout::proxy::mysql {

using Users = std::map<std::string, protocol::mysql::Secret, std::less<>>;

// What clients know their connection by. Not the session's number itself: that may be a number of the server's own as
// well, which SELECT CONNECTION_ID() tells, and KILL must not take the one for the other.
[[nodiscard]] inline std::uint32_t shown_number(std::uint32_t session_number) {
  return session_number ^ 0x8000'0000U;
}
[[nodiscard]] inline std::uint32_t session_number(std::uint32_t shown) {
  return shown ^ 0x8000'0000U;
}

class Shared {
 public:
  Shared();

  std::atomic<bool> is_over{false};  // the workers have ended

  // As a server's greeting has it.
  struct Face {
    std::string version;
    protocol::mysql::Capabilities capabilities = 0;
    bool is_mariadb = false;
    std::uint8_t collation = 0;  // the server's own: clients that name none take it
  };
  void saw(router::Side side, Face face);

  // What a client is greeted with. Nothing: no server has been seen yet.
  struct Offer {
    std::string version;  // of the server that was seen first
    protocol::mysql::Capabilities capabilities = 0;
    bool is_mariadb = false;
    std::uint8_t collation = 45;
  };
  [[nodiscard]] std::optional<Offer> offer(bool has_green, bool has_tls);
  [[nodiscard]] bool is_mariadb() const;  // of the server that was seen first
  [[nodiscard]] bool has_process_kill(router::Side side) const;

  // Shown to clients without TLS that have to send a whole password.
  [[nodiscard]] const std::shared_ptr<const protocol::mysql::RsaKey>& key() const { return key_; }

  LearnedSecrets learned;
  LoginTurns turns;  // of passwords that a server has to prove

  // What logs in to a server as this user: what the users file has, or more than that if a client's login taught it.
  [[nodiscard]] protocol::mysql::Secret server_secret(const std::string& user, const Users& users,
                                                      const conf::Login& admin) const;

 private:
  const std::shared_ptr<const protocol::mysql::RsaKey> key_;
  mutable std::mutex mutex_;
  std::array<std::optional<Face>, 2> faces_;
  std::optional<std::array<Face, 2>> offered_;  // what the offer was made of, once it was
};

}  // namespace turnout::proxy::mysql
