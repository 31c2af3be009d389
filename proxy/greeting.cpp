#include "proxy/greeting.h"
#include "protocol/pg/canonical.h"

#include <openssl/rand.h>

#include <algorithm>

#include "protocol/pg/startup_options.h"
#include "proxy/cancel_key.h"
#include "proxy/replication.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t authentication_bytes_max = 64 * 1024;

// Start-up parameters that are not session parameters of the server.
bool is_ours(std::string_view name) {
  return name == "user" || name == "database" || name == "options" || name == "replication" ||
         name.starts_with("_pq_.");
}

}  // namespace

Greeting::Greeting(Shard& shard, int fd, std::string address) : Arrival(shard, fd, std::move(address)) {}

Greeting::~Greeting() = default;

void Greeting::on_events(std::uint32_t) {
  if (state_ == State::handshaking)
    continue_handshake();
  else if (state_ != State::ended)
    on_readable();
}

void Greeting::on_readable() {
  if (begin_direct_tls()) return;
  do {
    const std::span<std::uint8_t> buffer = shard_.worker.buffer();
    const IoResult got = transport_.read(buffer);
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      end("client went away during login");
      return;
    }
    input_.append(pg::text(buffer.first(got.bytes)));
    if (input_.size() > authentication_bytes_max) {
      end("too much before login", "08P01", "more bytes than a login needs");
      return;
    }
    run_input();
  } while (state_ != State::ended && state_ != State::handshaking && transport_.is_open() && transport_.has_pending());
}

void Greeting::run_input() {
  bool goes_on = true;
  while (goes_on && !input_.empty()) {
    switch (state_) {
      case State::startup:
        goes_on = take_startup();
        break;
      case State::authenticating:
        goes_on = take_authentication();
        break;
      case State::awaiting_secret:
      case State::awaiting_welcome:  // the client has nothing to say now: it waits for ReadyForQuery
        end("bytes before the login was answered", "08P01", "unexpected message during login");
        return;
      case State::handshaking:
      case State::ended:
        return;
    }
  }
}

// ---- start-up ------------------------------------------------------------------------------------------------------

// Direct TLS (PostgreSQL 17): a TLS record instead of a start-up packet. It must stay in the socket, for OpenSSL.
bool Greeting::begin_direct_tls() {
  constexpr int tls_handshake_record = 0x16;
  if (!std::exchange(is_first_byte_, false) || !shard_.settings->client_tls) return false;
  if (transport_.peek() != tls_handshake_record) return false;
  asked_tls_ = is_direct_tls_ = true;
  start_tls();
  return true;
}

bool Greeting::take_startup() {
  const pg::StartupPacket packet =
      pg::parse_startup(pg::bytes_of(input_), shard_.settings->conf.limits.startup_bytes_max);
  input_.erase(0, packet.consumed);
  switch (packet.kind) {
    case pg::StartupPacket::Kind::incomplete:
      return false;
    case pg::StartupPacket::Kind::malformed:
      end("malformed start-up packet", "08P01", "invalid startup packet layout");
      return false;
    case pg::StartupPacket::Kind::unsupported_version:
      end("unsupported protocol", "0A000", "unsupported frontend protocol: Turnout speaks 3.0 to 3.2");
      return false;
    case pg::StartupPacket::Kind::ssl_request:
      answer_encryption(true);
      return state_ == State::startup;
    case pg::StartupPacket::Kind::gss_request:
      answer_encryption(false);
      return state_ == State::startup;
    case pg::StartupPacket::Kind::cancel:
      relay_cancel(packet);
      return false;
    case pg::StartupPacket::Kind::startup:
      on_startup(packet);
      return state_ != State::ended;
  }
  return false;
}

void Greeting::answer_encryption(bool is_tls) {
  bool& asked = is_tls ? asked_tls_ : asked_gss_;
  if (asked || transport_.is_tls()) {
    end("asked for encryption twice", "08P01", "encryption was already negotiated");
    return;
  }
  asked = true;
  // Somebody between us may have put it there, to be taken for the encrypted session's (CVE-2021-23214). An honest
  // client waits for the answer, whichever it is.
  if (!input_.empty()) {
    end("bytes behind a request for encryption", "08P01",
        is_tls ? "received unencrypted data after SSL request"
               : "received unencrypted data after GSSAPI encryption request");
    return;
  }
  if (!is_tls || !shard_.settings->client_tls) {
    send("N");
    return;
  }
  send("S");
  if (state_ != State::ended) start_tls();
}

void Greeting::start_tls() {
  transport_.start_tls(*shard_.settings->client_tls, true, {}, false);
  state_ = State::handshaking;
  continue_handshake();
}

void Greeting::continue_handshake() {
  switch (transport_.handshake()) {
    case IoStatus::ok:
      // Without ALPN, bytes meant for a server of another protocol could be made to end here (ALPACA).
      if (is_direct_tls_ && transport_.application_protocol() != "postgresql") {
        end("direct TLS without ALPN");
        return;
      }
      state_ = State::startup;
      shard_.worker.loop.change(transport_.fd(), EPOLLIN, *this);
      if (transport_.has_pending()) on_readable();
      return;
    case IoStatus::would_block:
      shard_.worker.loop.change(transport_.fd(), transport_.wants_write() ? EPOLLOUT : EPOLLIN, *this);
      return;
    case IoStatus::closed:
    case IoStatus::failed:
      end("TLS with the client failed");
      return;
  }
}

void Greeting::relay_cancel(const pg::StartupPacket& packet) {
  shard_.worker.loop.remove(transport_.fd(), *this);
  proxy::relay_cancel(shard_, address_, packet.cancel_pid, packet.cancel_key, std::move(transport_));
  end("cancel request");
}

void Greeting::on_startup(const pg::StartupPacket& packet) {
  const conf::TlsMode tls = shard_.settings->conf.client_tls.mode;
  const bool tls_required =
      tls == conf::TlsMode::require || tls == conf::TlsMode::verify_ca || tls == conf::TlsMode::verify_full;
  if (tls_required && !transport_.is_tls()) {
    end("TLS required", "28000", "this endpoint requires TLS: use sslmode=require");
    return;
  }
  if (!read_parameters(packet)) return;
  negotiate_version(packet);
  if (state_ != State::ended) begin_authentication();
}

// What is newer than we know is answered by what we know, and the client decides whether that will do. Clients ask for
// 3.9999 and for options that nobody has, to see whether this works.
void Greeting::negotiate_version(const pg::StartupPacket& packet) {
  version_ = std::min(packet.version, pg::protocol_3_2);
  std::vector<std::string> unknown;
  for (const auto& [name, value] : packet.parameters)
    if (name.starts_with("_pq_.")) unknown.push_back(name);
  if (packet.version == version_ && unknown.empty()) return;
  std::string negotiate;
  pg::put_negotiate_version(negotiate, version_, unknown);
  send(negotiate);
}

bool Greeting::read_parameters(const pg::StartupPacket& packet) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [name, value] : packet.parameters) {
    if (name == "user") user_ = value;
    if (name == "database") database_ = value;
    if (name == "replication") {
      const auto kind = pg::parse_replication(value);
      if (!kind) {
        end("start-up parameter", "22023", "invalid value for parameter \"replication\": \"" + value + "\"");
        return false;
      }
      replication_ = *kind;
      replication_value_ = value;
    }
    if (name == "options") {
      pg::StartupOptions options = pg::parse_options(value);
      if (options.refusal) {
        end("start-up options", options.refusal->sqlstate, options.refusal->message);
        return false;
      }
      all.insert(all.end(), options.settings.begin(), options.settings.end());
    }
    if (!is_ours(name)) all.emplace_back(name, value);
  }
  constexpr std::size_t name_bytes_max = 63;
  if (user_.empty() || user_.size() > name_bytes_max || database_.size() > name_bytes_max) {
    end("no user name", "28000",
        user_.empty() ? "no PostgreSQL user name specified in startup packet"
                      : "user and database names have at most 63 bytes");
    return false;
  }
  if (database_.empty()) database_ = user_;
  for (const auto& [name, value] : all) {
    if (const auto refusal = pg::refuse_setting(name)) {
      end("start-up parameter", refusal->sqlstate, refusal->message);
      return false;
    }
    if (!Parameters::accept(name, value)) continue;
    const std::optional<std::string> sql = Parameters::from_string(name, value);
    if (!sql) {
      end("start-up parameter", "22023", "invalid value for parameter \"" + name + "\": \"" + value + "\"");
      return false;
    }
    parameters_.set(name, *sql);
    wished_.emplace_back(name, value);
  }
  return true;
}

// ---- authentication ------------------------------------------------------------------------------------------------

bool Greeting::take_authentication() {
  pg::Header header;
  const pg::Framing framing = pg::read_header(pg::bytes_of(input_), authentication_bytes_max, header);
  if (framing == pg::Framing::malformed) {
    end("malformed message during login", "08P01", "invalid message length");
    return false;
  }
  if (framing == pg::Framing::incomplete || input_.size() < header.total()) return false;
  const std::string message = input_.substr(0, header.total());
  input_.erase(0, header.total());
  if (header.type == 'X') {
    end("client said goodbye");
    return false;
  }
  on_login_step(login_->on_message(header.type, pg::bytes_of(message).subspan(pg::header_bytes)));
  return state_ != State::ended;
}

void Greeting::on_login_step(const pg::LoginStep& step) {
  if (step.status == pg::LoginStep::Status::done) {
    output_ = step.send;  // AuthenticationOk goes out together with the welcome
    authenticated();
    return;
  }
  send(step.send);
  if (step.status == pg::LoginStep::Status::failed) {
    shard_.numbers.login_failures.add();
    if (fetched_) shard_.deployment.fetched().doubt(user_, shard_.worker.loop.now_ms());
    end(step.detail.empty() ? "authentication failed" : step.detail.c_str(), step.sqlstate, step.message);
  }
}

void Greeting::authenticated() {
  learn_secrets();
  login_.reset();
  if (replication_ != pg::ReplicationKind::none) {
    begin_replication();
    return;
  }
  state_ = State::awaiting_welcome;
  if (await_welcome(shard_.account(shard_.deployment.account(database_, user_)))) welcome();
}

void Greeting::welcome_known() {
  welcome();
}

void Greeting::welcome_failed(const LoginFailure& failure) {
  shard_.numbers.login_failures.add();
  if (!failure.raw_error.empty()) {
    std::string relayed;
    pg::put_raw_error(relayed, failure.raw_error);
    send(output_ + relayed);
    end(failure.message.c_str());
  } else {
    end(failure.message.c_str(), failure.sqlstate, failure.message);
  }
}

void Greeting::welcome() {
  std::string reply = std::move(output_);
  const auto wished = [this](const std::string& name) -> const std::string* {
    for (const auto& [wish, value] : wished_)
      if (std::equal(wish.begin(), wish.end(), name.begin(), name.end(),
                     [](char a, char b) { return std::tolower(a) == std::tolower(b); }))
        return &value;
    return nullptr;
  };
  const WelcomePtr told = known_welcome();  // kept: another worker may replace it meanwhile
  for (const auto& [name, value] : *told) {
    const std::string* const wish = wished(name);
    const bool is_virtual = name == "default_transaction_read_only" || name == "in_hot_standby";
    if (is_virtual)
      pg::put_parameter_status(reply, name, wish != nullptr ? "on" : "off");
    else
      pg::put_parameter_status(reply, name, wish != nullptr ? pg::canonical_value(name, *wish, value) : value);
  }
  SessionStart start;
  start.number = shard_.worker.next_session_number();
  RAND_bytes(reinterpret_cast<unsigned char*>(&start.secret), sizeof start.secret);
  start.has_long_key = version_ >= pg::protocol_3_2;
  pg::put_backend_key_data(reply, start.number,
                           cancel_key(shard_.deployment.mock_key, start.number, start.secret, start.has_long_key));
  pg::put_ready_for_query(reply, 'I');
  send(reply);
  if (state_ == State::ended) return;
  start.transport = std::move(transport_);
  start.address = std::move(address_);
  start.parameters = std::move(parameters_);
  state_ = State::ended;
  shard_.numbers.logins.add();
  shard_.add_session(std::make_unique<Session>(shard_, *account_, std::move(start)));
  shard_.remove_greeting(*this);
}

// ---- the rest ------------------------------------------------------------------------------------------------------

void Greeting::time_out() {
  end("login took too long", "08P01", "login not complete within limits.login_timeout");
}

void Greeting::end(const char* reason, std::string_view sqlstate, std::string_view message) {
  if (state_ == State::ended) return;
  state_ = State::ended;
  if (!sqlstate.empty()) {
    std::string fatal;
    pg::put_error(fatal, {"FATAL", std::string(sqlstate), std::string(message), {}, {}});
    [[maybe_unused]] const IoResult best_effort = transport_.write(fatal);
  }
  static_cast<void>(reason);
  shard_.forget_question(*this);
  leave();
}

}  // namespace turnout::proxy
