// A dial (proxy/dial.h) in MySQL's words: the server speaks first, and TLS begins in the midst of the login.
//
// A server counts logins that are not brought to an end, and shuts their host out in the end: once begun it is not
// given up while the server answers.
#pragma once

#include <memory>

#include "proxy/dial.h"
#include "proxy/mysql/server_connection.h"

namespace turnout::proxy::mysql {

class ServerDial final : public Dial {
 public:
  ServerDial(Shard& shard, router::Side side, Handler& owner) : Dial(shard, side, owner) {}

  void begin(protocol::mysql::ServerLogin::Input input);  // without what depends on the address
  // At that address and no other; `input` has all.
  void begin_at(const conf::Address& address, protocol::mysql::ServerLogin::Input input);

  // Once done: what ServerConnection::go_on() takes.
  [[nodiscard]] FinishedLogin take();
  void say_goodbye();  // once done

 private:
  void connected() override { log_in(); }
  void tls_is_up() override;
  [[nodiscard]] std::optional<std::size_t> wanted(protocol::Bytes pending) override;
  void on_message(protocol::Bytes message) override;
  void on_login_step(const protocol::mysql::LoginStep& step);

  std::unique_ptr<protocol::mysql::ServerLogin> login_;
};

}  // namespace turnout::proxy::mysql
