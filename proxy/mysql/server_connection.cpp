#include "proxy/mysql/server_connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "protocol/mysql/result.h"
#include "protocol/mysql/state_words.h"
#include "proxy/connection_path.h"
#include "proxy/mysql/session.h"
#include "proxy/pool.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

// Everything that a session sets shall be told. CHARACTERISTICS tells both of a SET TRANSACTION that waits for its
// transaction and of LOCK TABLES.
constexpr std::string_view tracking_sql =
    "SET session_track_schema = ON, session_track_system_variables = '*', session_track_state_change = ON, "
    "session_track_transaction_info = 'CHARACTERISTICS'";
// A wrong verdict must not write, whatever the server lets this user do.
constexpr std::string_view read_only_sql = "SET SESSION TRANSACTION READ ONLY";
constexpr std::string_view told_sql =
    "SELECT @@session_track_schema, @@session_track_system_variables, @@session_track_state_change, "
    "@@session_track_transaction_info";
constexpr std::size_t told_fields = 4;
// In the order of `start_names`.
constexpr std::string_view start_sql =
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection, "
    "@@sql_mode";
constexpr std::array<std::string_view, 5> start_names = {"character_set_client", "character_set_connection",
                                                         "character_set_results", "collation_connection", "sql_mode"};
// What COM_RESET_CONNECTION makes of MySQL's sessions, whatever their login said (measured on 9.7).
constexpr std::string_view global_charsets_sql =
    "SET character_set_client = @@global.character_set_client, character_set_results = @@global.character_set_results, "
    "character_set_connection = @@global.character_set_connection, "
    "collation_connection = @@global.collation_connection";
constexpr std::string_view proof_sql = "SELECT @@global.read_only";

// Errors of these numbers are soon over: too many connections, of a user, of an account.
bool is_soon_over(std::uint16_t number) {
  return number == 1040 || number == 1053 || number == 1203 || number == 1226;
}

my::ServerLogin::Tls tls_of(const Settings& settings, bool is_local) {
  using Tls = my::ServerLogin::Tls;
  if (!settings.server_tls || is_local) return Tls::never;
  const conf::TlsMode mode = settings.conf.server_tls.mode;
  return mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow ? Tls::if_offered : Tls::required;
}

}  // namespace

ServerConnection::ServerConnection(Pool& pool, std::uint64_t id, LineKeeper* keeper)
    : Connection(pool, id), keeper_(keeper) {}

ServerConnection::~ServerConnection() = default;

my::ServerLogin::Input login_input(const std::string& user, const std::string& database, std::uint64_t dialect) {
  my::ServerLogin::Input input;
  input.user = user;
  input.database = database;
  input.dialect = capabilities_of(dialect);
  if (const std::uint8_t collation = collation_of(dialect); collation != 0) input.collation = collation;
  input.attributes = {{"program_name", "turnout"}};
  return input;
}

void set_way(my::ServerLogin::Input& input, const Settings& settings, const conf::Address& address) {
  input.is_local = address.is_unix();
  input.tls = tls_of(settings, input.is_local);
  // Who turns TLS off trusts the network: caching_sha2_password could not be used there otherwise.
  input.may_fetch_key = settings.conf.server_tls.mode == conf::TlsMode::disable;
}

my::ServerLogin::Input login_input(const Pool& pool, const conf::Address& address) {
  const Shard& shard = pool.shard();
  const SharedAccount& shared = pool.account().shared;
  const Settings& settings = *shard.settings;
  my::ServerLogin::Input input = login_input(shared.user, shared.database, shared.dialect);
  input.secret = shard.deployment.of_mysql->server_secret(shared.user, settings.mysql_users, settings.conf.admin);
  set_way(input, settings, address);
  return input;
}

LoginFailure login_failure(const my::LoginStep& step, my::Bytes payload) {
  LoginFailure failure;
  failure.sqlstate = step.sqlstate;
  failure.message = step.message;
  if (!payload.empty() && payload[0] == my::error_byte) {
    // Before the login the server leaves the SQLSTATE out; our clients expect one behind theirs.
    my::put_error(failure.raw_error, {step.error_number, step.sqlstate, step.message});
  }
  failure.is_soon_over = is_soon_over(step.error_number);
  return failure;
}

// ---- opening -------------------------------------------------------------------------------------------------------

void ServerConnection::begin() {
  login_ = std::make_unique<my::ServerLogin>(login_input(*pool_, address_));
  state_ = State::logging_in;
  listen_to(EPOLLIN);  // the server speaks first
}

void ServerConnection::go_on(FinishedLogin login) {
  opened_ms_ = worker().loop.now_ms();
  to_try_ = pool_->shard().addresses[router::index(pool_->side())];
  tried_ = to_try_->size();  // this address is the one
  address_ = std::move(login.address);
  transport_ = std::move(login.transport);
  login_ = std::move(login.login);
  state_ = State::logging_in;
  events_ = EPOLLIN;
  worker().loop.add(transport_.fd(), events_, *this);
  logged_in();
}

void ServerConnection::tls_is_up() {
  state_ = State::logging_in;
  listen_to(EPOLLIN);
  on_login_step(login_->tls_started());
}

void ServerConnection::on_login_packet(std::uint8_t number, my::Bytes payload) {
  my::LoginStep step = login_->on_message(number, payload);
  if (step.status != my::LoginStep::Status::failed) {
    on_login_step(step);
    my::wipe(step.send);  // perhaps the password
    return;
  }
  const LoginFailure failure = login_failure(step, payload);
  if (is_writers())
    pool_->shard().deployment.of_mysql->learned.refused(pool_->account().shared.user, failure, opened_ms_);
  failed(failure);
}

void ServerConnection::on_login_step(const my::LoginStep& step) {
  using Status = my::LoginStep::Status;
  if (!step.send.empty()) send(step.send);
  switch (step.status) {
    case Status::more:
      return;
    case Status::start_tls:
      begin_tls();
      return;
    case Status::done:
      logged_in();
      return;
    case Status::failed:
    case Status::user:
      fail(step.sqlstate, step.message);
      return;
  }
}

// What it says of a password counts: whoever follows may not have heard of a change yet.
bool ServerConnection::is_writers() const {
  return pool_->side() == pool_->shard().table().writer;
}

// Not idle yet: it has to tell of its session first.
void ServerConnection::logged_in() {
  const auto ok = my::parse_ok(my::bytes_of(login_->ok_payload()), login_->capabilities());
  const std::uint16_t status = ok ? ok->status : my::status::autocommit;
  exchange.begin(login_->capabilities(), status);
  if ((login_->capabilities() & my::capability::session_track) == 0) {
    fail("08001", "the server does not track sessions: MySQL 5.7 or MariaDB 10.2 is the oldest that is supported");
    return;
  }
  backend_pid_ = login_->connection_id();
  database = pool_->account().shared.database;
  reported_ = {{"version", login_->server_version()}, {"status", std::to_string(status)}};
  if (ok) reported_.emplace_back("changes", ok->changes);
  pool_->shard().deployment.of_mysql->saw(pool_->side(), {login_->server_version(), login_->server_capabilities(),
                                                          login_->is_mariadb(), login_->collation()});
  if (is_writers()) pool_->shard().deployment.of_mysql->learned.accepted(pool_->account().shared.user, opened_ms_);
  login_.reset();
  std::string message;
  if (pool_->access() == router::Access::read) put_own(message, my::Command::query, read_only_sql);
  put_own(message, my::Command::query, told_sql);
  put_own(message, my::Command::query, tracking_sql);
  put_own(message, my::Command::query, start_sql);
  send(message);
}

// ---- commands of ours ----------------------------------------------------------------------------------------------

void ServerConnection::put_own(std::string& out, my::Command command, std::string_view argument, std::uint32_t ticket) {
  std::string payload;
  if (command == my::Command::query)
    my::put_query(payload, argument, exchange.capabilities());
  else
    my::put_command(payload, command, argument);
  my::put_message(out, 0, payload);
  my::Exchange::Entry entry;
  entry.command = command;
  entry.owner = my::Owner::ours;
  entry.ticket = ticket;
  exchange.sent(entry);
}

void ServerConnection::put_reset(std::string& out) {
  put_own(out, my::Command::reset_connection, {});
  put_tracking(out);
  put_start(out);
  forget_state();
}

void ServerConnection::put_tracking(std::string& out) {
  if (pool_->access() == router::Access::read) put_own(out, my::Command::query, read_only_sql);
  put_own(out, my::Command::query, tracking_sql);
}

void ServerConnection::put_start(std::string& out) {
  if (const std::string sql = Variables::difference({}, start_, {}); !sql.empty())
    put_own(out, my::Command::query, sql);
}

void ServerConnection::put_after_reset(std::string& out, std::uint32_t ticket) {
  put_tracking(out);
  if (pool_->shard().deployment.of_mysql->is_mariadb())
    put_start(out);
  else
    put_own(out, my::Command::query, global_charsets_sql, ticket);
}

void ServerConnection::put_tracking_again(std::string& out, std::uint32_t ticket) {
  put_own(out, my::Command::query, told_sql, ticket);
  put_own(out, my::Command::query, tracking_sql, ticket);
}

void ServerConnection::take_wanted(my::Bytes row, std::uint8_t which, my::WantedChanges& wanted) const {
  const auto fields = my::parse_text_row(row, told_fields);
  if (!fields) return;
  const auto value = [&](std::size_t at) { return (*fields)[at].value_or(std::string_view{}); };
  const bool is_mysql = !pool_->shard().deployment.of_mysql->is_mariadb();
  const my::StateTold with_info_off = is_mysql ? my::StateTold::beginning_and_end : my::StateTold::nothing;
  my::set_wanted(wanted, which, {value(0), value(1), value(2), value(3), with_info_off});
}

void ServerConnection::forget_state() {
  // MariaDB lets go of a prepared one when the connection is reset, but InnoDB's part stays (measured on 10.11): every
  // later statement that needs it fails with 1031.
  if (std::exchange(has_xa, false)) is_retired = true;
  variables.clear();
  statements_.clear();
  suspect = has_warnings = owes_lock_waits = false;
}

void ServerConnection::prove() {
  state_ = State::proving;
  proof_says_writable_ = false;
  std::string message;
  put_own(message, my::Command::query, proof_sql);
  send(message);
}

void ServerConnection::clean() {
  state_ = State::cleaning;
  is_left_behind_ = false;
  std::string message;
  put_reset(message);
  send(message);
}

void ServerConnection::failed(const LoginFailure& failure) {
  if (keeper_ != nullptr)
    keeper_->line_failed();
  else
    Connection::failed(failure);
}

void ServerConnection::put_goodbye(std::string& out) const {
  std::string payload;
  my::put_command(payload, my::Command::quit);
  my::put_message(out, 0, payload);
}

// ---- statements ----------------------------------------------------------------------------------------------------

ServerConnection::Known* ServerConnection::find_statement(std::string_view key) {
  const auto found = statements_.find(key);
  if (found == statements_.end()) return nullptr;
  found->second.last_use = ++statement_clock_;
  return &found->second;
}

void ServerConnection::add_statement(std::string_view key, std::uint32_t number) {
  statements_.insert_or_assign(std::string(key), Known{number, ++statement_clock_});
}

void ServerConnection::close_statement(std::string& out, Statements::iterator known) {
  std::string payload;
  my::put_statement_command(payload, my::Command::statement_close, known->second.number);
  my::put_message(out, 0, payload);
  my::Exchange::Entry entry;
  entry.command = my::Command::statement_close;
  entry.owner = my::Owner::ours;
  entry.statement = known->second.number;
  exchange.sent(entry);
  statements_.erase(known);
}

void ServerConnection::replace_statement(std::string& out, std::string_view key) {
  const auto found = statements_.find(key);
  // A cursor, or parameters that were sent ahead, may be of this very statement.
  if (found != statements_.end() && !exchange.has_statement_state()) close_statement(out, found);
}

void ServerConnection::make_room(std::string& out, std::uint32_t keep_max) {
  while (!statements_.empty() && statements_.size() >= keep_max) {
    const auto oldest = std::min_element(statements_.begin(), statements_.end(), [](const auto& a, const auto& b) {
      return a.second.last_use < b.second.last_use;
    });
    close_statement(out, oldest);
  }
}

// ---- events --------------------------------------------------------------------------------------------------------

void ServerConnection::on_events(std::uint32_t events) {
  if (state_ < State::logging_in)
    go_on_opening();
  else if (state_ != State::closed)
    take_events(events, [this](bool is_ending) { on_readable(is_ending); });
}

void ServerConnection::on_readable(bool is_ending) {
  auto* const session = static_cast<Session*>(session_);
  const bool goes_on = read_all(is_ending, [this, session](my::Bytes data) {
    if (state_ == State::listening) return keeper_->line_bytes(data);
    if (session == nullptr) return on_own_bytes(data);
    const std::size_t used = session->on_server_bytes(*this, data);
    if (is_left_behind_) go_on_alone(data.subspan(used));
    return used;
  });
  // Last: the lease may end here, and the connection may already be at work on another worker's thread.
  if (goes_on && session != nullptr) session->after_server_bytes(*this);
}

// What was read with the session's last bytes, and what TLS has read ahead, is of the answer that nobody waits for.
void ServerConnection::go_on_alone(my::Bytes rest) {
  if (state_ == State::closed) return;
  const std::size_t used = on_own_bytes(rest);
  if (state_ == State::closed) return;
  input_.assign(my::text(rest.subspan(used)));
  if (!transport_.has_pending()) return;
  worker().loop.post([pool = pool_, id = id_] {
    if (Connection* const found = pool->find(id)) found->on_events(EPOLLIN);
  });
}

std::size_t ServerConnection::skip_abandoned(my::Bytes rest) {
  if (body_left != 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(body_left, rest.size()));
    body_left -= part;
    return part;
  }
  if (const std::size_t rows = exchange.take_rows(rest); rows != 0) return rows;
  my::Header header;
  if (!my::read_header(rest, header)) return 0;
  const std::size_t available = std::min(rest.size(), header.total());
  if (available == my::header_bytes && header.payload != 0) return 0;
  const std::uint8_t first = header.payload != 0 ? rest[my::header_bytes] : std::uint8_t{0};
  const bool is_cut = available < header.total() && exchange.wants_whole(header, first);
  if (is_cut && header.payload <= my::login_bytes_max / 2) return 0;
  const auto received = exchange.received(header, rest.subspan(my::header_bytes, available - my::header_bytes));
  if (is_cut || received.action == my::Exchange::Action::protocol_error) {
    lost("the server broke the protocol");
    return rest.size();
  }
  body_left = header.total() - available;
  return available;
}

// Of the login, and of answers to what only we have asked: whole packets.
std::size_t ServerConnection::on_own_bytes(my::Bytes data) {
  std::size_t at = 0;
  my::Header header;
  while (state_ != State::closed && is_abandoned()) {
    const std::size_t used = skip_abandoned(data.subspan(at));
    if (used == 0) return at;
    at += used;
  }
  while (state_ != State::closed && my::read_header(data.subspan(at), header)) {
    if (header.payload > my::login_bytes_max) {
      lost("the server sent a packet that is too long for an answer to Turnout");
      return data.size();
    }
    if (data.size() - at < header.total()) break;
    const my::Bytes payload = data.subspan(at + my::header_bytes, header.payload);
    at += header.total();
    if (!login_) {
      on_own_packet(header, payload);
      continue;
    }
    if (state_ == State::handshaking) break;
    on_login_packet(header.number, payload);
    // Somebody between us may have put it there, to be taken for what TLS protects.
    if (state_ == State::handshaking && at < data.size()) {
      fail("08P01", "the server sent unencrypted bytes behind the agreement on TLS");
      return data.size();
    }
  }
  return at;
}

void ServerConnection::on_own_packet(const my::Header& header, my::Bytes payload) {
  const auto received = exchange.received(header, payload);
  const bool is_error = received.kind == my::Exchange::Kind::error;
  if (received.action == my::Exchange::Action::protocol_error || received.unasked || is_error) {
    const std::string said = is_error ? std::string(my::parse_error(payload).message) : std::string();
    lost(is_error ? "the server refused or ended an idle connection: " + said : "the server broke the protocol",
         is_error ? std::string(my::text(payload)) : std::string());
    return;
  }
  if (received.kind == my::Exchange::Kind::row) take_row(payload);
  if (received.completed && exchange.is_idle()) answered();
}

void ServerConnection::take_row(my::Bytes payload) {
  if (state_ == State::proving) {
    const auto fields = my::parse_text_row(payload, 1);
    const my::Field value = fields ? fields->front() : my::Field{};
    proof_says_writable_ = value && (*value == "0" || *value == "OFF");
    return;
  }
  if (state_ != State::logging_in) return;
  if (!std::exchange(knows_told_, true)) {
    take_wanted(payload, my::Tracking::all, told_);
    return;
  }
  const auto fields = my::parse_text_row(payload, start_names.size());
  if (!fields) return;
  // A login with IGNORE_SPACE has a mode that the server's default has not.
  const bool has_mode = (exchange.capabilities() & my::capability::ignore_space) != 0;
  for (std::size_t i = 0; i < start_names.size() - (has_mode ? 0 : 1); ++i)
    if (!start_.set(start_names[i], (*fields)[i].value_or(std::string_view{}))) return;
}

void ServerConnection::answered() {
  switch (state_) {
    case State::proving:
      pool_->proof_answered(*this, proof_says_writable_);
      return;
    case State::cleaning:
      pool_->cleaned(*this);
      return;
    case State::logging_in:
      opened();
      if (keeper_ == nullptr) return pool_->logged_in(*this);
      state_ = State::listening;
      keeper_->line_opened();
      return;
    case State::connecting:
    case State::asking_tls:
    case State::handshaking:
    case State::warming:
    case State::listening:
    case State::idle:
    case State::leased:
    case State::closed:
      return;
  }
}

}  // namespace turnout::proxy::mysql
