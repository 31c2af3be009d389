// The way from nothing to a logged-in connection to one side, for a login that is no pool's: TCP or unix socket, TLS,
// the conversation. Non-blocking: its owner hands it every event of the socket until it is done or has failed.
//
// Always true: no byte is read behind the end of the login, nor before TLS behind the agreement on it. The owner
// watches the time. A server counts logins that are not brought to an end, and shuts their host out in the end: once
// begun it is not given up while the server answers.
#pragma once

#include <memory>
#include <string>

#include "proxy/event_loop.h"
#include "proxy/mysql/server_connection.h"
#include "proxy/pool.h"
#include "proxy/transport.h"

namespace turnout::proxy::mysql {

class ServerDial {
 public:
  enum class State {
    connecting,  // TCP
    logging_in,
    handshaking,  // TLS, in the midst of the login
    done,
    failed,
  };

  // Its socket's events go to `owner`.
  ServerDial(Shard& shard, router::Side side, Handler& owner);
  ~ServerDial();  // closes what was not taken
  ServerDial(const ServerDial&) = delete;
  ServerDial& operator=(const ServerDial&) = delete;

  void begin(protocol::mysql::ServerLogin::Input input);  // without what depends on the address
  void on_events();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const LoginFailure& failure() const { return failure_; }  // once failed
  [[nodiscard]] router::Side side() const { return side_; }
  // Once done: what ServerConnection::go_on() takes.
  [[nodiscard]] FinishedLogin take();
  void say_goodbye();  // once done

 private:
  void on_readable();
  void on_packet(std::uint8_t number, protocol::mysql::Bytes payload);
  void on_login_step(const protocol::mysql::LoginStep& step);
  void continue_handshake();
  void listen_to(std::uint32_t events);
  void fail(LoginFailure failure);
  void fail(std::string sqlstate, std::string message);

  Shard& shard_;
  const router::Side side_;
  Handler& owner_;
  conf::Address address_;
  State state_ = State::connecting;
  Transport transport_;
  std::string input_;  // of one packet
  std::unique_ptr<protocol::mysql::ServerLogin> login_;
  LoginFailure failure_;
};

}  // namespace turnout::proxy::mysql
