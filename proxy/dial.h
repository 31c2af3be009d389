// The way from nothing to a logged-in connection to one side, for the connections that belong to no pool: TCP or unix
// socket, TLS, login. Non-blocking: its owner hands it every event of the socket until it is done or has failed. What
// is said on the way is for those who know the words: server_dial.h (PostgreSQL), mysql/server_dial.h.
//
// Always true: no byte is read behind the message that is being waited for, so none behind the agreement on TLS before
// TLS begins, and none behind the end of the login. One attempt, at one address. The owner watches the time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "conf/config.h"
#include "protocol/bytes.h"
#include "proxy/event_loop.h"
#include "proxy/pool.h"
#include "proxy/transport.h"
#include "router/routing_table.h"

namespace turnout::proxy {

class Shard;

class Dial {
 public:
  enum class State {
    connecting,   // TCP
    asking_tls,   // PostgreSQL: SSLRequest sent, one byte awaited
    handshaking,  // TLS
    logging_in,
    done,
    failed,
  };

  virtual ~Dial();  // closes what was not taken
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;

  void on_events();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const LoginFailure& failure() const { return failure_; }  // once failed
  [[nodiscard]] router::Side side() const { return side_; }
  [[nodiscard]] const conf::Address& address() const { return address_; }  // of this very server, once begun

 protected:
  // Its socket's events go to `owner`.
  Dial(Shard& shard, router::Side side, Handler& owner);

  virtual void connected() = 0;
  virtual void tls_answered() {}  // of State::asking_tls: there is something to read
  virtual void tls_is_up() = 0;
  // How long the message that begins there is, or what has to be here to know it. Nothing: it has failed.
  [[nodiscard]] virtual std::optional<std::size_t> wanted(protocol::Bytes pending) = 0;
  virtual void on_message(protocol::Bytes message) = 0;  // whole, with its header

  // Where the side was reached last: the pools find out which of its addresses that is. Nothing: it has failed.
  [[nodiscard]] std::optional<conf::Address> known_address();
  void connect(const conf::Address& address);
  void begin_tls();  // the server has agreed to it
  void log_in();     // from here on its messages are read
  void send(std::string_view bytes);
  void listen_to(std::uint32_t events);
  void fail(LoginFailure failure);

  Shard& shard_;
  const router::Side side_;
  Handler& owner_;
  conf::Address address_;
  State state_ = State::connecting;
  Transport transport_;

 private:
  void continue_handshake();
  void on_readable();

  std::string pending_;  // of one message
  LoginFailure failure_;
};

}  // namespace turnout::proxy
