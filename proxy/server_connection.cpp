#include "proxy/server_connection.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "proxy/pool.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t login_message_bytes_max = 64 * 1024;
constexpr std::string_view proof_sql = "SHOW transaction_read_only";

}  // namespace

ServerConnection::ServerConnection(Pool& pool, std::uint64_t id, LineKeeper* keeper)
    : pool_(&pool), keeper_(keeper), id_(id) {}

ServerConnection::~ServerConnection() = default;

Worker& ServerConnection::worker() const {
  return pool_->shard().worker;
}

// ---- opening -------------------------------------------------------------------------------------------------------

void ServerConnection::open() {
  opened_ms_ = worker().loop.now_ms();
  const std::size_t side = router::index(pool_->side());
  to_try_ = pool_->shard().addresses[side];
  first_ = pool_->shard().first_address[side];
  connect_next("no address is known for " + std::string(router::name(pool_->side())) + ": its name was not found");
}

// The next address of those that the side has; behind the last one, what was wrong there is the failure.
void ServerConnection::connect_next(std::string why) {
  if (transport_.is_open()) worker().loop.remove(transport_.fd(), *this);
  login_.reset();
  input_.clear();
  output_.clear();
  while (tried_ < to_try_->size()) {
    const std::size_t at = (first_ + tried_++) % to_try_->size();
    pool_->shard().first_address[router::index(pool_->side())] = at;
    address_ = (*to_try_)[at];
    const int fd = Transport::connect_to(address_);
    if (fd < 0) {
      why = "cannot connect to " + address_.text() + ": " + std::strerror(errno);
      continue;
    }
    transport_ = Transport(fd);
    state_ = State::connecting;
    tries_since_ms_ = worker().loop.now_ms();
    events_ = EPOLLOUT;
    worker().loop.add(fd, events_, *this);
    return;
  }
  fail("08001", std::move(why));
}

void ServerConnection::hurry(std::uint64_t now_ms, std::uint32_t ms_max) {
  const std::uint64_t share_ms = ms_max / std::max<std::size_t>(1, to_try_->size());
  if (tried_ < to_try_->size() && now_ms - tries_since_ms_ > share_ms)
    connect_next("no answer from " + address_.text());
}

void ServerConnection::on_connected() {
  const Settings& settings = *pool_->shard().settings;
  if (const int error = Transport::socket_error(transport_.fd()); error != 0) {
    connect_next("cannot connect to " + address_.text() + ": " + std::strerror(error));
    return;
  }
  if (settings.server_tls && !address_.is_unix()) {
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
  const Settings& settings = *pool_->shard().settings;
  const conf::TlsMode mode = settings.conf.server_tls.mode;
  if (got.status != IoStatus::ok) {
    fail("08006", "the server ended the connection when asked for TLS");
  } else if (answer == 'S') {
    const conf::Address& named = pool_->side() == router::Side::blue ? settings.conf.blue : *settings.conf.green;
    transport_.start_tls(*settings.server_tls, false, named.host, mode == conf::TlsMode::verify_full);
    state_ = State::handshaking;
    continue_handshake();
  } else if (answer == 'N' && (mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow)) {
    begin_login();
  } else {
    fail("08001", "the server does not offer TLS, and server_tls.sslmode requires it");
  }
}

void ServerConnection::continue_handshake() {
  switch (transport_.handshake()) {
    case IoStatus::ok:
      begin_login();
      return;
    case IoStatus::would_block:
      listen_to(transport_.wants_write() ? EPOLLOUT : EPOLLIN);
      return;
    case IoStatus::closed:
    case IoStatus::failed:
      fail("08001", "TLS with the server failed: " + transport_.error());
      return;
  }
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
  if (state_ != State::logging_in) return;  // the send failed
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
  to_try_.reset();
  state_ = State::idle;
  worker().loop.change(transport_.fd(), transport_.wanted(events_), *this);  // from now on
  idle_since_ms_ = worker().loop.now_ms();
  if (keeper_ != nullptr) {
    state_ = State::listening;
    keeper_->line_opened(*this);
    return;
  }
  pool_->logged_in(*this);
}

// ---- lease ---------------------------------------------------------------------------------------------------------

void ServerConnection::lease_to(Session& session) {
  session_ = &session;
  state_ = State::leased;
}

void ServerConnection::end_lease() {
  session_ = nullptr;
  cancel_waiting.reset();
  state_ = State::idle;
  idle_since_ms_ = worker().loop.now_ms();
  pause_reading(false);
}

void ServerConnection::become_idle() {
  state_ = State::idle;
}

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

void ServerConnection::send(std::string_view bytes) {
  if (state_ == State::closed || bytes.empty()) return;
  if (!output_.empty()) {
    output_.append(bytes);
    return;
  }
  const IoResult put = transport_.write(bytes);
  if (put.status != IoStatus::ok) {
    lost("cannot send to the server: " + transport_.error());
    return;
  }
  if (put.bytes < bytes.size()) {
    output_.assign(bytes.substr(put.bytes));
    listen_to(events_ | EPOLLOUT);
  }
}

void ServerConnection::flush() {
  const IoResult put = transport_.write(output_);
  if (put.status != IoStatus::ok) {
    lost("cannot send to the server: " + transport_.error());
    return;
  }
  output_.erase(0, put.bytes);
  if (!output_.empty()) return;
  output_.shrink_to_fit();
  listen_to(events_ & ~static_cast<std::uint32_t>(EPOLLOUT));
  if (session_ != nullptr) session_->server_took_everything();
}

void ServerConnection::pause_reading(bool paused) {
  if (paused == reading_paused_ || state_ == State::closed) return;
  reading_paused_ = paused;
  listen_to(paused ? events_ & ~static_cast<std::uint32_t>(EPOLLIN) : events_ | EPOLLIN);
}

void ServerConnection::listen_to(std::uint32_t events) {
  if (events == events_ || !transport_.is_open()) return;
  events_ = events;
  worker().loop.change(transport_.fd(), is_logged_in() ? transport_.wanted(events) : events, *this);
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
  switch (state_) {
    case State::connecting:
      on_connected();
      return;
    case State::asking_tls:
      on_tls_answer();
      return;
    case State::handshaking:
      continue_handshake();
      return;
    case State::closed:
      return;
    case State::logging_in:
    case State::proving:
    case State::cleaning:
    case State::listening:
    case State::idle:
    case State::leased:
      break;
  }
  if ((events & EPOLLOUT) != 0 && !output_.empty()) flush();
  if (state_ == State::closed) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !reading_paused_) {
    on_readable((events & EPOLLRDHUP) != 0);
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    lost("the server ended the connection");
  }
}

void ServerConnection::on_readable(bool is_ending) {
  Session* const session = session_;
  do {
    const std::span<std::uint8_t> buffer = worker().buffer();
    const std::size_t had = input_.size();
    std::memcpy(buffer.data(), input_.data(), had);
    const IoResult got = transport_.read(buffer.subspan(had));
    if (got.status == IoStatus::would_block) break;
    if (got.status != IoStatus::ok) {
      lost(transport_.error().empty() ? "the server ended the connection" : transport_.error());
      return;
    }
    if (had + got.bytes == buffer.size() || is_ending)
      worker().loop.change(transport_.fd(), transport_.wanted(events_), *this);
    const pg::Bytes data = buffer.first(had + got.bytes);
    std::size_t used = 0;
    if (session != nullptr)
      used = session->on_server_bytes(*this, data);
    else if (state_ == State::logging_in)
      used = on_login_bytes(data);
    else
      used = on_idle_bytes(data);
    if (state_ == State::closed || session_ != session) return;
    if (used < data.size())
      input_.assign(pg::text(data.subspan(used)));
    else if (!input_.empty())
      input_.clear();
  } while (!reading_paused_ && transport_.has_pending());
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
    if (received.action == pg::Exchange::Action::protocol_error || (received.is_error && state_ != State::proving)) {
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
    } else if (received.ready && state_ == State::proving) {
      pool_->proof_answered(*this, proof_says_writable_);
    } else if (received.ready && state_ == State::cleaning && exchange.is_idle()) {  // not what went out before it
      pool_->cleaned(*this);
    }
  }
  return at;
}

// ---- the end -------------------------------------------------------------------------------------------------------

void ServerConnection::fail(std::string sqlstate, std::string message, std::string raw_error) {
  if (state_ == State::closed) return;
  const LoginFailure failure{std::move(sqlstate), std::move(message), std::move(raw_error)};
  if (keeper_ != nullptr)
    keeper_->line_failed(*this, failure);
  else
    pool_->login_failed(*this, failure);
}

void ServerConnection::lost(const std::string& why, std::string raw_error) {
  if (state_ == State::closed) return;
  if (state_ == State::logging_in || state_ == State::connecting || state_ == State::handshaking ||
      state_ == State::asking_tls || keeper_ != nullptr) {
    fail("08006", why, std::move(raw_error));
    return;
  }
  Session* const session = session_;
  session_ = nullptr;
  if (session != nullptr) session->server_lost(*this, why);
  if (state_ != State::closed) pool_->remove(*this);
}

bool ServerConnection::is_logged_in() const {
  return state_ == State::idle || state_ == State::leased || state_ == State::proving || state_ == State::cleaning ||
         state_ == State::listening;
}

Transport ServerConnection::take_leave() {
  if (state_ == State::closed) return {};
  // A server that is told goodbye frees its slot at once instead of at its next write.
  if (is_logged_in() && output_.empty()) {
    std::string goodbye;
    pg::put_empty_message(goodbye, 'X');
    [[maybe_unused]] const IoResult ignored = transport_.write(goodbye);
  }
  const bool may_have_backend = state_ != State::connecting && transport_.is_open();
  state_ = State::closed;
  session_ = nullptr;
  if (!may_have_backend) {
    transport_.close();
    return {};
  }
  worker().loop.remove(transport_.fd(), *this);
  return std::move(transport_);
}

void ServerConnection::detach_from_loop() {
  worker().loop.remove(transport_.fd(), *this);
}

void ServerConnection::attach_to_pool(Pool& pool) {
  pool_ = &pool;
  events_ = EPOLLIN;
  reading_paused_ = false;
  worker().loop.add(transport_.fd(), transport_.wanted(events_), *this);
}

}  // namespace turnout::proxy
