// A PostgreSQL client before it is a session: TLS, start-up packet, authentication, the welcome. One absolute deadline
// for all.
//
// Always true: nothing that arrived before TLS is used after it; nothing is allocated from a declared length; an
// unknown user takes the same steps as a known one. It ends by becoming a Session, or by end().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protocol/pg/hba.h"
#include "protocol/pg/login.h"
#include "protocol/pg/replication.h"
#include "proxy/arrival.h"
#include "proxy/parameters.h"

namespace turnout::proxy {

class Greeting final : public Arrival {
 public:
  Greeting(Shard& shard, int fd, std::string address);
  ~Greeting() override;

  void on_events(std::uint32_t events) override;
  void time_out() override;

  // ---- from the auth query
  [[nodiscard]] const std::string& user() const { return user_; }
  void secret_known(const std::optional<protocol::pg::Secret>& secret);
  void secret_unavailable();

  // ---- from the pool that was asked for a first server login
  void welcome_known() override;
  void welcome_failed(const LoginFailure& failure) override;
  void end(const char* reason, std::string_view sqlstate = {}, std::string_view message = {}) override;

 private:
  enum class State { startup, handshaking, awaiting_secret, authenticating, awaiting_welcome, ended };

  void on_readable();
  void run_input();
  bool begin_direct_tls();  // true: the client began with a TLS record
  bool take_startup();      // true: something was used up, go on
  bool take_authentication();
  void answer_encryption(bool is_tls);
  void start_tls();
  void negotiate_version(const protocol::pg::StartupPacket& packet);
  void on_startup(const protocol::pg::StartupPacket& packet);
  bool read_parameters(const protocol::pg::StartupPacket& packet);
  // How must this client prove who it is? greeting_access.cpp
  void begin_authentication();
  void authenticate_by_rule();
  [[nodiscard]] bool has_certificate(protocol::pg::ClientCertificate wish);  // false: refused, and this has ended
  [[nodiscard]] bool is_system_user();                                       // likewise
  void begin_login(protocol::pg::ClientMethod method);
  void converse(std::optional<protocol::pg::Secret> secret);
  void learn_secrets();
  void begin_replication();
  void refuse_login(const char* reason, const std::string& message);
  void on_login_step(const protocol::pg::LoginStep& step);
  void authenticated();
  void welcome();
  void relay_cancel(const protocol::pg::StartupPacket& packet);
  void continue_handshake();

  State state_ = State::startup;
  bool asked_tls_ = false, asked_gss_ = false;
  bool is_first_byte_ = true;  // not looked at yet: it may begin a TLS record
  bool is_direct_tls_ = false;
  std::uint32_t version_ = protocol::pg::protocol_3_0;  // what was agreed on
  std::string input_;
  std::string output_;
  std::string user_, database_;
  std::string replication_value_;
  protocol::pg::ReplicationKind replication_ = protocol::pg::ReplicationKind::none;
  Parameters parameters_;
  Welcome wished_;  // the client's start-up values, as they will be reported
  protocol::pg::ClientMethod method_ = protocol::pg::ClientMethod::trust;
  std::optional<protocol::pg::Secret> fetched_;  // by the auth query
  std::unique_ptr<protocol::pg::ClientLogin> login_;
};

}  // namespace turnout::proxy
