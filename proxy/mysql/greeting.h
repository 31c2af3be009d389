// A MySQL client before it is a session: the greeting, TLS, authentication, the first OK. One absolute deadline for
// all. Or between two sessions: a change of user is a login without a greeting, on the same socket, and nothing of the
// former session is left but its number.
//
// The server speaks first in this protocol, so what clients are offered has to be known before anything is known of
// them: the first one waits until a server has been seen, by a login of the deployment's admin.
// Always true: before TLS never more is read than the packet that asks for it (a client begins TLS right behind it,
// and OpenSSL reads the socket itself); nothing is allocated from a declared length; an unknown user takes the same
// steps as a known one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "protocol/mysql/login.h"
#include "proxy/arrival.h"
#include "proxy/mysql/shared.h"

namespace turnout::proxy::mysql {

// What the session that asked for another user leaves behind.
struct ChangeOfUser {
  Transport transport;
  std::string address;
  std::uint32_t number = 0;
  protocol::mysql::Capabilities agreed = 0;
  std::string nonce;  // of the greeting, for clients that cannot be sent another one
  std::string user;   // the former one, and the database it was in
  std::string database;
  std::uint8_t refused = 0;    // changes before this one
  std::uint8_t collation = 0;  // of the former user, for clients that do not name one
  std::uint8_t packet = 0;     // the number of the command
  protocol::mysql::ChangeUser wanted;
};

class Greeting final : public Arrival {
 public:
  Greeting(Shard& shard, int fd, std::string address);
  Greeting(Shard& shard, ChangeOfUser change);
  ~Greeting() override;

  void begin() override;
  void on_events(std::uint32_t events) override;
  void time_out() override;
  void welcome_known() override;
  void welcome_failed(const LoginFailure& failure) override;
  void end(const char* reason, std::string_view sqlstate = {}, std::string_view message = {}) override;

  // ---- from the trial of its password
  void password_proven();
  void password_refused(const LoginFailure& failure);

 private:
  enum class State {
    awaiting_face,  // no server has been seen yet
    conversing,
    handshaking,
    awaiting_trial,    // of its password: `users: passthrough`
    awaiting_welcome,  // it is who it says; nobody has logged in to the servers as this user yet
    ended,
  };

  [[nodiscard]] std::optional<protocol::mysql::Secret> known_secret();
  [[nodiscard]] std::string client_host() const { return address_.substr(0, address_.rfind(':')); }
  [[nodiscard]] std::uint64_t dialect() const;
  void ask_for_trial();
  void refuse(const LoginFailure& failure);
  [[nodiscard]] bool may_go_back() const { return change_ && is_mariadb_; }
  [[nodiscard]] bool greet();  // false: it is not known yet what to offer
  void begin_change();
  void go_back();  // to the former user, whose change was refused
  void begin_session(std::uint16_t status);
  [[nodiscard]] protocol::mysql::ClientLogin::Input login_input(const Shared::Offer& offer);
  void on_readable();
  void on_login_step(const protocol::mysql::LoginStep& step);
  void begin_tls();
  void continue_handshake();
  void authenticated();
  void welcome();

  State state_ = State::awaiting_face;
  const std::uint32_t number_;  // of the session to be: clients know it as their connection's id
  std::string input_;           // an incomplete packet
  std::unique_ptr<protocol::mysql::ClientLogin> login_;
  protocol::mysql::Capabilities agreed_ = 0;
  std::uint8_t next_number_ = 0;
  bool is_passed_through_ = false;        // its password is for a server to prove
  bool is_mariadb_ = false;               // what it was offered as
  std::uint8_t collation_ = 0;            // of the greeting: that of clients that name none
  std::string nonce_;                     // of the greeting, when the client has to use it again
  std::unique_ptr<ChangeOfUser> change_;  // what a change of user began with
};

}  // namespace turnout::proxy::mysql
