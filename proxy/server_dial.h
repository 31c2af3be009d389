// The way from nothing to a logged-in connection to one side, for the connections that belong to no pool: TCP or unix
// socket, TLS, login. Non-blocking: its owner hands it every event of the socket until it is done or has failed.
//
// Always true: one byte at most is read before TLS begins; what the server says behind the end of the login is not read
// here. The owner watches the time.
#pragma once

#include <memory>
#include <string>

#include "conf/config.h"
#include "protocol/pg/login.h"
#include "proxy/event_loop.h"
#include "proxy/pool.h"
#include "proxy/transport.h"
#include "router/routing_table.h"

namespace turnout::proxy {

class Shard;

class ServerDial {
 public:
  enum class State {
    connecting,   // TCP
    asking_tls,   // SSLRequest sent, one byte awaited
    handshaking,  // TLS
    logging_in,
    done,
    failed,
  };

  // Its socket's events go to `owner`.
  ServerDial(Shard& shard, router::Side side, Handler& owner);
  ~ServerDial();  // closes what was not taken
  ServerDial(const ServerDial&) = delete;
  ServerDial& operator=(const ServerDial&) = delete;

  void begin(protocol::pg::ServerLogin::Input input);
  void on_events();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const LoginFailure& failure() const { return failure_; }            // once failed
  [[nodiscard]] const protocol::pg::ServerLogin& login() const { return *login_; }  // once done
  [[nodiscard]] Transport take_transport() { return std::move(transport_); }        // likewise
  [[nodiscard]] router::Side side() const { return side_; }
  [[nodiscard]] const conf::Address& address() const { return address_; }  // of this very server, once begun

 private:
  void on_connected();
  void on_tls_answer();
  void continue_handshake();
  void begin_login();
  void on_readable();
  void on_message(char type, protocol::pg::Bytes body);
  void send(std::string_view bytes);
  void listen_to(std::uint32_t events);
  void fail(std::string sqlstate, std::string message, std::string raw_error = {});

  Shard& shard_;
  const router::Side side_;
  conf::Address address_;
  Handler& owner_;
  State state_ = State::connecting;
  Transport transport_;
  protocol::pg::ServerLogin::Input input_;
  std::string pending_;  // of one message
  std::unique_ptr<protocol::pg::ServerLogin> login_;
  LoginFailure failure_;
};

}  // namespace turnout::proxy
