#include "proxy/server_connection.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "proxy/connection_path.h"
#include "proxy/pool.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t login_message_bytes_max = 64 * 1024;
constexpr std::string_view proof_sql = "SHOW transaction_read_only";
// Half of what a new backend spends on its first statement is the same for all of them: it reads the catalog's entries
// for indexes, operators and the planner's tables into caches of its own. Any join over an index makes it do so, and
// after a flip all sessions at once would pay for it. On a table that everybody may read, and that is never locked.
constexpr std::string_view warm_up_sql =
    "SELECT c.relname, a.attname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid "
    "WHERE c.oid = 1259 AND a.attnum > 0 AND a.attname <> 'relname' LIMIT 1";

}  // namespace

ServerConnection::ServerConnection(Pool& pool, std::uint64_t id, LineKeeper* keeper)
    : Connection(pool, id), keeper_(keeper) {}

ServerConnection::~ServerConnection() = default;

// ---- opening -------------------------------------------------------------------------------------------------------

void ServerConnection::forget_login() {
  login_.reset();
}

void ServerConnection::begin() {
  if (pool_->shard().settings->server_tls && !address_.is_unix()) {
    std::string request;
    pg::Writer(request).u32(8).u32(pg::ssl_request_code);
    state_ = State::asking_tls;
    listen_to(EPOLLIN);
    send(request);
    return;
  }
  begin_login();
}

void ServerConnection::on_tls_answer() {
  std::uint8_t answer = 0;
  const IoResult got = transport_.read({&answer, 1});  // one byte: nothing may be buffered before TLS begins
  if (got.status == IoStatus::would_block) return;
  const conf::TlsMode mode = pool_->shard().settings->conf.server_tls.mode;
  if (got.status != IoStatus::ok) {
    fail("08006", "the server ended the connection when asked for TLS");
  } else if (answer == 'S') {
    begin_tls();
  } else if (answer == 'N' && (mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow)) {
    begin_login();
  } else {
    fail("08001", "the server does not offer TLS, and server_tls.sslmode requires it");
  }
}

void ServerConnection::tls_is_up() {
  begin_login();
}

void ServerConnection::begin_login() {
  pg::ServerLogin::Input input;
  input.user = pool_->account().shared.user;
  input.database = pool_->account().shared.database;
  // The only value of it that Turnout ever puts on a connection is `on` (see the fence in drain/README.md).
  if (pool_->access() == router::Access::read) input.parameters.emplace_back("default_transaction_read_only", "on");
  input.secret = pool_->shard().deployment.server_secret(input.user);
  RAND_bytes(input.nonce.data(), static_cast<int>(input.nonce.size()));
  const conf::ChannelBinding binding = pool_->shard().settings->conf.server_tls.channel_binding;
  if (binding != conf::ChannelBinding::disable) input.channel_binding_data = transport_.channel_binding(false);
  input.require_channel_binding = binding == conf::ChannelBinding::require;
  // For its longer cancel keys; a server that has only 3.0 says so and goes on.
  if (!is_classic()) input.protocol_version = pg::protocol_3_2;
  login_ = std::make_unique<pg::ServerLogin>(std::move(input));
  state_ = State::logging_in;
  listen_to(EPOLLIN);
  send(login_->startup_packet());
}

std::atomic<bool>& ServerConnection::is_classic() const {
  return pool_->shard().deployment.is_classic[router::index(pool_->side())];
}

// The server refuses to speak of protocol 3.2: the same address once more, in 3.0.
void ServerConnection::ask_classic(std::string why) {
  is_classic() = true;
  --tried_;
  connect_next(std::move(why));
}

std::size_t ServerConnection::on_login_bytes(pg::Bytes data) {
  std::size_t at = 0;
  pg::Header header;
  while (state_ == State::logging_in) {
    const pg::Bytes rest = data.subspan(at);
    const pg::Framing framing = pg::read_header(rest, login_message_bytes_max, header);
    if (framing == pg::Framing::malformed) {
      fail("08P01", "the server sent a malformed message during login");
      return data.size();
    }
    if (framing == pg::Framing::incomplete || rest.size() < header.total()) return at;
    at += header.total();
    on_login_message(header.type, rest.subspan(pg::header_bytes, header.body));
  }
  return at;
}

void ServerConnection::on_login_message(char type, pg::Bytes body) {
  pg::LoginStep step = login_->on_message(type, body);
  if (!step.send.empty()) send(step.send);
  if (step.status == pg::LoginStep::Status::failed) {
    constexpr std::string_view feature_not_supported = "0A000";
    // By what this one has asked for: others may have been refused meanwhile.
    if (step.sqlstate == feature_not_supported && login_->protocol_version() > pg::protocol_3_0)
      ask_classic(std::move(step.message));
    else
      fail(step.sqlstate, step.message, step.raw_error);
    return;
  }
  if (step.status == pg::LoginStep::Status::more) return;
  backend_pid_ = login_->backend_pid();
  cancel_key_ = login_->cancel_key();
  for (const auto& [name, value] : login_->parameters()) parameter_reported(name, value);
  login_.reset();
  if (keeper_ == nullptr && pool_->is_warming())
    warm_up();
  else
    ready_for_work();
}

void ServerConnection::warm_up() {
  state_ = State::warming;
  std::string message;
  pg::put_query(message, warm_up_sql);
  exchange.sent(pg::Request::query, pg::Owner::ours);
  send(message);
}

void ServerConnection::ready_for_work() {
  opened();
  if (keeper_ != nullptr) {
    state_ = State::listening;
    keeper_->line_opened(*this);
    return;
  }
  pool_->logged_in(*this);
}

// ---- between leases -------------------------------------------------------------------------------------------------

void ServerConnection::prove() {
  state_ = State::proving;
  proof_says_writable_ = false;
  std::string message;
  pg::put_query(message, proof_sql);
  exchange.sent(pg::Request::query, pg::Owner::ours);
  send(message);
}

void ServerConnection::clean() {
  state_ = State::cleaning;
  forget_state();
  std::string message;
  pg::put_query(message, "DISCARD ALL");
  exchange.sent(pg::Request::query, pg::Owner::ours);
  send(message);
}

void ServerConnection::forget_state() {
  parameters.clear();
  drop_all_statements();
  unnamed_owner = 0;
  suspect = false;
}

std::optional<Abandoned> ServerConnection::abandoned() const {
  if (exchange.is_idle()) return std::nullopt;
  return Abandoned{address(), backend_pid(), cancel_key()};
}

bool ServerConnection::has_statement(std::uint32_t number) {
  const auto found = statements_.find(number);
  if (found == statements_.end()) return false;
  found->second = ++statement_clock_;
  return true;
}

void ServerConnection::look_through(const protocol::pg::TypeMapPtr& map) {
  if (!map)
    lens.reset();
  else if (lens)
    lens->use(map);
  else
    lens = std::make_unique<TypeLens>(map);
}

void ServerConnection::drop_all_statements() {
  if (lens) lens->forget_all();
  if (statements_.empty()) return;
  statements_.clear();
  ++statement_generation_;
}

std::uint32_t ServerConnection::statement_to_close(std::uint32_t keep_max) const {
  if (statements_.size() < keep_max) return 0;
  const auto oldest = std::min_element(statements_.begin(), statements_.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return oldest->first;
}

void ServerConnection::parameter_reported(std::string_view name, std::string_view value) {
  if (name == "default_transaction_read_only") reports_writable = value == "off";
  for (auto& [known, old] : reported_) {
    if (known != name) continue;
    old = value;
    return;
  }
  constexpr std::size_t parameters_max = 200;  // a hostile server must not grow us
  if (reported_.size() < parameters_max) reported_.emplace_back(name, value);
}

// ---- events --------------------------------------------------------------------------------------------------------

void ServerConnection::on_events(std::uint32_t events) {
  if (state_ == State::asking_tls)
    on_tls_answer();
  else if (state_ < State::logging_in)
    go_on_opening();
  else if (state_ != State::closed)
    take_events(events, [this](bool is_ending) { on_readable(is_ending); });
}

void ServerConnection::on_readable(bool is_ending) {
  auto* const session = static_cast<Session*>(session_);
  const bool goes_on = read_all(is_ending, [this, session](pg::Bytes data) {
    if (session != nullptr) return session->on_server_bytes(*this, data);
    if (state_ == State::logging_in) return on_login_bytes(data);
    return state_ == State::listening && keeper_->reads_itself() ? keeper_->line_bytes(*this, data)
                                                                 : on_idle_bytes(data);
  });
  if (!goes_on) return;
  if (keeper_ != nullptr) keeper_->line_read();
  // Last: the lease may end here, and the connection may already be at work on another worker's thread.
  if (session != nullptr) session->after_server_bytes(*this);
}

std::size_t ServerConnection::on_idle_bytes(pg::Bytes data) {
  std::size_t at = 0;
  pg::Header header;
  while (state_ != State::closed) {
    const pg::Bytes rest = data.subspan(at);
    const pg::Framing framing = pg::read_header(rest, login_message_bytes_max, header);
    if (framing == pg::Framing::incomplete || (framing == pg::Framing::complete && rest.size() < header.total())) break;
    if (framing == pg::Framing::malformed) {
      lost("the server sent a malformed message");
      break;
    }
    at += header.total();
    const pg::Bytes body = rest.subspan(pg::header_bytes, header.body);
    const auto received = exchange.received(header.type, body.empty() ? std::uint8_t{0} : body[0]);
    const bool is_asking = state_ == State::proving || state_ == State::warming;  // an error may be the answer
    if (received.action == pg::Exchange::Action::protocol_error || (received.is_error && !is_asking)) {
      lost("the server ended an idle connection", received.is_error ? std::string(pg::text(body)) : std::string());
      break;
    }
    if (header.type == 'S') {
      pg::Reader reader(body);
      const auto name = reader.cstring();
      const auto value = reader.cstring();
      if (name && value) parameter_reported(*name, *value);
    } else if (header.type == 'A' && keeper_ != nullptr) {
      keeper_->line_notified(*this, body);
    } else if (received.ready && state_ == State::listening) {
      keeper_->line_answered(*this);
    } else if (header.type == 'D' && state_ == State::proving) {
      proof_says_writable_ = pg::text(body).ends_with("off");
    } else if (received.ready && state_ == State::warming) {
      ready_for_work();
    } else if (received.ready && state_ == State::proving) {
      pool_->proof_answered(*this, proof_says_writable_);
    } else if (received.ready && state_ == State::cleaning && exchange.is_idle()) {  // not what went out before it
      pool_->cleaned(*this);
    }
  }
  return at;
}

// ---- the end -------------------------------------------------------------------------------------------------------

void ServerConnection::failed(const LoginFailure& failure) {
  if (keeper_ != nullptr)
    keeper_->line_failed(*this, failure);
  else
    Connection::failed(failure);
}

void ServerConnection::put_goodbye(std::string& out) const {
  pg::put_empty_message(out, 'X');
}

}  // namespace turnout::proxy
