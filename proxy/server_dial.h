// A dial (dial.h) in PostgreSQL's words: SSLRequest, then the login.
#pragma once

#include <memory>
#include <utility>

#include "protocol/pg/login.h"
#include "proxy/dial.h"

namespace turnout::proxy {

class ServerDial final : public Dial {
 public:
  ServerDial(Shard& shard, router::Side side, Handler& owner) : Dial(shard, side, owner) {}

  void begin(protocol::pg::ServerLogin::Input input);

  [[nodiscard]] const protocol::pg::ServerLogin& login() const { return *login_; }  // once done
  [[nodiscard]] Transport take_transport() { return std::move(transport_); }        // likewise

 private:
  void connected() override;
  void tls_answered() override;
  void tls_is_up() override { begin_login(); }
  [[nodiscard]] std::optional<std::size_t> wanted(protocol::Bytes pending) override;
  void on_message(protocol::Bytes message) override;
  void begin_login();

  protocol::pg::ServerLogin::Input input_;
  std::unique_ptr<protocol::pg::ServerLogin> login_;
};

}  // namespace turnout::proxy
