#include "proxy/mysql/greeting.h"

#include <openssl/rand.h>

#include <algorithm>
#include <charconv>

#include "protocol/mysql/reply.h"
#include "proxy/mysql/password_trials.h"
#include "proxy/mysql/refusal.h"
#include "proxy/mysql/session.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

constexpr std::size_t user_bytes_max = 320;      // 80 characters, of both products
constexpr std::size_t database_bytes_max = 256;  // 64 characters
constexpr std::uint16_t access_denied = 1045;
// Changes of user on one connection that may be refused before none is tried any more (MariaDB, dispatch_command).
constexpr std::uint8_t refused_changes_max = 3;

// Old clients read it as a string: no byte is zero. Printable ones without '$', as the servers' own are.
my::Nonce random_nonce() {
  my::Nonce nonce{};
  RAND_bytes(nonce.data(), static_cast<int>(nonce.size()));
  for (std::uint8_t& byte : nonce) byte = static_cast<std::uint8_t>('%' + byte % 90U);
  return nonce;
}

// A login names a collation with one byte. What is above belongs to utf8mb4, but for a few that clients may not use or
// that nobody names at a login: its first one stands for them.
std::uint16_t login_collation(std::uint16_t wanted) {
  constexpr std::uint16_t of_utf8mb4 = 45;
  return wanted > 0xff ? of_utf8mb4 : wanted;
}

std::uint16_t status_in(const Welcome& welcome) {
  std::uint16_t status = my::status::autocommit;
  for (const auto& [name, value] : welcome)
    if (name == "status") std::from_chars(value.data(), value.data() + value.size(), status);
  return status;
}

// The default database, where the server tells its clients of it.
std::string_view changes_in(const Welcome& welcome) {
  const auto found =
      std::find_if(welcome.begin(), welcome.end(), [](const auto& one) { return one.first == "changes"; });
  return found == welcome.end() ? std::string_view{} : std::string_view(found->second);
}

bool is_required(conf::TlsMode mode) {
  return mode == conf::TlsMode::require || mode == conf::TlsMode::verify_ca || mode == conf::TlsMode::verify_full;
}

}  // namespace

Greeting::Greeting(Shard& shard, int fd, std::string address)
    : Arrival(shard, fd, std::move(address)), number_(shard.worker.next_session_number()) {}

Greeting::Greeting(Shard& shard, ChangeOfUser change)
    : Arrival(shard, std::move(change.transport), std::move(change.address)),
      number_(change.number),
      nonce_(std::move(change.nonce)),
      change_(std::make_unique<ChangeOfUser>(std::move(change))) {}

Greeting::~Greeting() = default;

// ---- the greeting --------------------------------------------------------------------------------------------------

void Greeting::begin() {
  Arrival::begin();
  if (change_) {
    begin_change();
    return;
  }
  if (greet()) return;
  // A server says what it is to everybody who connects, but counts those who go away then, and shuts their host out.
  // So it is a whole login, as the one user that is known.
  const std::string& admin = shard_.settings->conf.admin.user;
  if (await_welcome(shard_.account(shard_.deployment.account({}, admin)))) welcome_known();
}

bool Greeting::greet() {
  const Settings& settings = *shard_.settings;
  Shared& shared = *shard_.deployment.of_mysql;
  const auto offer = shared.offer(settings.has_green, settings.client_tls != nullptr);
  if (!offer) return false;
  my::ClientLogin::Input input = login_input(*offer);
  nonce_.assign(my::view_of(input.nonce));
  login_ = std::make_unique<my::ClientLogin>(std::move(input));
  state_ = State::conversing;
  on_login_step(login_->start());
  return true;
}

my::ClientLogin::Input Greeting::login_input(const Shared::Offer& offer) {
  const Settings& settings = *shard_.settings;
  my::ClientLogin::Input input;
  input.server_version = offer.version;
  input.connection_id = shown_number(number_);
  input.offered = offer.capabilities;
  input.collation = collation_ = offer.collation;
  is_mariadb_ = offer.is_mariadb;
  input.plugin = offer.is_mariadb ? my::native_plugin : my::sha2_plugin;
  input.client_host = client_host();
  input.nonce = random_nonce();
  input.switch_nonce = random_nonce();
  input.key = shard_.deployment.of_mysql->key();
  input.is_private = transport_.peer().is_unix || transport_.is_tls();
  input.requires_tls = is_required(settings.conf.client_tls.mode);
  return input;
}

void Greeting::begin_change() {
  const Settings& settings = *shard_.settings;
  const auto offer = shard_.deployment.of_mysql->offer(settings.has_green, settings.client_tls != nullptr);
  my::ClientLogin::Input input = login_input(offer.value_or(Shared::Offer{}));  // the client has been offered one
  if ((change_->agreed & my::capability::plugin_auth) == 0)
    std::copy_n(nonce_.begin(), std::min(nonce_.size(), input.nonce.size()), input.nonce.begin());
  my::ChangeUser& wanted = change_->wanted;
  if (wanted.collation == 0) wanted.collation = change_->collation;
  wanted.collation = login_collation(wanted.collation);
  if (may_go_back() && change_->refused >= refused_changes_max) {
    std::string payload, reply;
    my::put_error(payload, {my::unknown_command_number, my::unknown_command_sqlstate, "Unknown command"});
    my::put_message(reply, static_cast<std::uint8_t>(change_->packet + 1), payload);
    send(reply);
    go_back();
    return;
  }
  login_ = std::make_unique<my::ClientLogin>(std::move(input), wanted, change_->agreed, change_->packet);
  state_ = State::conversing;
  on_login_step(login_->start());
}

void Greeting::welcome_known() {
  if (state_ == State::awaiting_welcome) {
    welcome();
    return;
  }
  account_ = nullptr;  // the admin's
  if (!greet()) end("no server has been seen", "08001", "the database server did not say what it is");
}

void Greeting::welcome_failed(const LoginFailure& failure) {
  shard_.numbers.login_failures.add();
  if (state_ == State::awaiting_welcome)
    refuse(failure);
  else  // what the server has against the admin is not for strangers
    end(failure.message.c_str(), "08001", "the database server cannot be asked what it is");
}

// ---- the conversation ----------------------------------------------------------------------------------------------

void Greeting::on_events(std::uint32_t) {
  if (state_ == State::handshaking)
    continue_handshake();
  else if (state_ != State::ended)
    on_readable();
}

void Greeting::on_readable() {
  do {
    // One packet and not a byte more: what follows may be for OpenSSL, or the session's.
    my::Header header;
    const bool has_header = my::read_header(my::bytes_of(input_), header);
    if (has_header && (header.payload > my::login_bytes_max || header.payload == 0)) {
      end("malformed message during login", "08P01", "invalid length of a packet during login");
      return;
    }
    const std::size_t wanted = (has_header ? header.total() : my::header_bytes) - input_.size();
    const std::span<std::uint8_t> buffer = shard_.worker.buffer();
    const IoResult got = transport_.read(buffer.first(std::min(wanted, buffer.size())));
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      end("client went away during login");
      return;
    }
    if (state_ != State::conversing) {
      end("bytes before the login was answered", "08P01", "unexpected message during login");
      return;
    }
    input_.append(my::text(buffer.first(got.bytes)));
    if (!my::read_header(my::bytes_of(input_), header) || input_.size() < header.total()) continue;
    std::string message = std::exchange(input_, {});
    const my::LoginStep step = login_->on_message(header.number, my::bytes_of(message).subspan(my::header_bytes));
    my::wipe(message);  // perhaps the password
    on_login_step(step);
    if (state_ != State::conversing) return;
  } while (true);
}

void Greeting::on_login_step(const my::LoginStep& step) {
  using Status = my::LoginStep::Status;
  send(step.send);
  if (state_ == State::ended) return;
  switch (step.status) {
    case Status::more:
      return;
    case Status::start_tls:
      begin_tls();
      return;
    case Status::user: {
      if (login_->user().size() > user_bytes_max || login_->response().database.size() > database_bytes_max) {
        end("name too long", "28000", "user and database names are too long");
        return;
      }
      on_login_step(login_->answer_for(known_secret()));
      return;
    }
    case Status::done:
      is_passed_through_ ? ask_for_trial() : authenticated();
      return;
    case Status::failed:
      shard_.numbers.login_failures.add();
      if (step.error_number == access_denied && may_go_back()) {
        go_back();
        return;
      }
      end(step.detail.empty() ? "authentication failed" : step.detail.c_str());  // the client has been told
      return;
  }
}

void Greeting::begin_tls() {
  if (!shard_.settings->client_tls) {  // gone with a reload since the greeting
    end("TLS is not configured any more", "08P01", "TLS is not available any more");
    return;
  }
  transport_.start_tls(*shard_.settings->client_tls, true, {}, false);
  state_ = State::handshaking;
  continue_handshake();
}

void Greeting::continue_handshake() {
  switch (transport_.handshake()) {
    case IoStatus::ok:
      state_ = State::conversing;
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

// ---- users: passthrough --------------------------------------------------------------------------------------------

std::optional<my::Secret> Greeting::known_secret() {
  is_passed_through_ = shard_.settings->conf.passes_passwords;
  if (is_passed_through_)
    return my::Secret{my::Secret::Kind::unproven, shard_.deployment.of_mysql->learned.proven(login_->user())};
  const Users& users = shard_.settings->mysql_users;
  const auto found = users.find(login_->user());
  return found == users.end() ? std::nullopt : std::optional(found->second);
}

std::uint64_t Greeting::dialect() const {
  const std::uint8_t collation = login_->response().collation;
  return dialect_of(login_->agreed(), collation != 0 ? collation : collation_);
}

void Greeting::ask_for_trial() {
  state_ = State::awaiting_trial;
  shard_.password_trials().ask(
      *this, {login_->user(), login_->response().database, dialect(), login_->learned()->text, client_host()});
}

void Greeting::password_proven() {
  if (state_ == State::awaiting_trial) authenticated();
}

void Greeting::password_refused(const LoginFailure& failure) {
  if (state_ != State::awaiting_trial) return;
  shard_.numbers.login_failures.add();
  next_number_ = login_->next_number();
  refuse(failure);
}

// In the server's own words: a change of user that it has refused may go back.
void Greeting::refuse(const LoginFailure& failure) {
  std::string reply;
  const bool has_words = !failure.raw_error.empty();
  put_refusal(reply, next_number_, failure.sqlstate, failure.message,
              has_words && is_passed_through_ ? for_client(failure.raw_error, client_host()) : failure.raw_error);
  send(reply);
  if (has_words && may_go_back())
    go_back();
  else
    end(failure.message.c_str());
}

// ---- the end of it -------------------------------------------------------------------------------------------------

void Greeting::authenticated() {
  if (const auto& learned = login_->learned(); learned && !is_passed_through_)
    shard_.deployment.of_mysql->learned.learn(login_->user(), *learned);
  agreed_ = login_->agreed();
  next_number_ = login_->next_number();
  SharedAccount& shared = shard_.deployment.account(login_->response().database, login_->user(), dialect());
  login_.reset();
  state_ = State::awaiting_welcome;
  if (await_welcome(shard_.account(shared))) welcome();
}

void Greeting::welcome() {
  const WelcomePtr told = known_welcome();  // kept: another worker may replace it meanwhile
  my::Ok ok;
  ok.status = static_cast<std::uint16_t>(status_in(*told) & ~unsigned{my::status::session_state_changed});
  ok.changes = changes_in(*told);
  std::string payload, reply;
  my::put_ok(payload, ok, agreed_);
  my::put_message(reply, next_number_, payload);
  send(reply);
  if (state_ == State::ended) return;
  shard_.numbers.logins.add();
  begin_session(ok.status);
}

// As MariaDB does: what the former user had is gone, and the character sets are the server's own.
void Greeting::go_back() {
  if (state_ == State::ended) return;  // what it was told could not be sent
  agreed_ = change_->agreed;
  if (change_->refused < refused_changes_max) ++change_->refused;
  account_ =
      &shard_.account(shard_.deployment.account(change_->database, change_->user, dialect_of(agreed_, collation_)));
  begin_session(my::status::autocommit);
}

void Greeting::begin_session(std::uint16_t status) {
  SessionStart start;
  start.transport = std::move(transport_);
  start.address = std::move(address_);
  start.number = number_;
  start.capabilities = agreed_;
  start.status = status;
  if (change_) start.refused_changes = change_->refused;
  if ((agreed_ & my::capability::plugin_auth) == 0) start.nonce = std::move(nonce_);
  state_ = State::ended;
  shard_.add_session(std::make_unique<Session>(shard_, *account_, std::move(start)));
  shard_.remove_greeting(*this);
}

void Greeting::time_out() {
  if (state_ == State::awaiting_trial) {
    const LoginFailure reason = shard_.password_trials().reason(*this);
    shard_.password_trials().forget(*this);
    shard_.numbers.login_failures.add();
    next_number_ = login_->next_number();
    login_.reset();
    refuse(reason);
    return;
  }
  end("login took too long", "08P01", "login not complete within limits.login_timeout");
}

void Greeting::end(const char* reason, std::string_view sqlstate, std::string_view message) {
  if (state_ == State::ended) return;
  if (state_ == State::awaiting_trial) shard_.password_trials().forget(*this);
  state_ = State::ended;
  if (!sqlstate.empty()) {
    std::string fatal;
    put_refusal(fatal, login_ ? login_->next_number() : next_number_, sqlstate, message);
    [[maybe_unused]] const IoResult best_effort = transport_.write(fatal);
  }
  static_cast<void>(reason);
  leave();
}

}  // namespace turnout::proxy::mysql
