#include <algorithm>
#include <utility>

#include "protocol/mysql/login.h"
#include "protocol/mysql/reply.h"

namespace turnout::protocol::mysql {
namespace {

constexpr std::string_view fast_is_right = "\3";
constexpr std::string_view whole_is_wanted = "\4";
constexpr std::string_view sha2_wants_key = "\2";
constexpr std::string_view sha256_wants_key = "\1";
constexpr std::size_t unproven_bytes_max = 1024;  // MySQL's own limit is 256

// Both are used for an empty password.
bool is_empty_response(std::string_view response) {
  return response.empty() || response == std::string_view("\0", 1);
}

}  // namespace

ClientLogin::ClientLogin(Input input) : input_(std::move(input)), is_private_(input_.is_private) {
  nonce_ = view_of(input_.nonce);
}

ClientLogin::ClientLogin(Input input, const ChangeUser& change, Capabilities agreed, std::uint8_t number)
    : input_(std::move(input)), agreed_(agreed), is_change_(true), is_private_(input_.is_private) {
  nonce_ = view_of(input_.nonce);
  number_ = static_cast<std::uint8_t>(number + 1);
  response_.capabilities = agreed;
  response_.user = change.user;
  response_.auth = change.auth;
  response_.database = change.database;
  response_.collation = static_cast<std::uint8_t>(change.collation);
  response_.plugin = change.plugin;
  response_.attributes = change.attributes;
}

// ---- ends ----------------------------------------------------------------------------------------------------------

LoginStep ClientLogin::fail_with(std::uint16_t number, std::string_view sqlstate, std::string message) {
  state_ = State::failed;
  LoginStep step;
  step.status = LoginStep::Status::failed;
  step.error_number = number;
  step.sqlstate = sqlstate;
  step.message = std::move(message);
  std::string payload;
  put_error(payload, {number, sqlstate, step.message});
  number_ = put_message(step.send, number_, payload);
  return step;
}

// One text for a wrong password, a missing user and a secret of the wrong kind: only our log knows which it was.
LoginStep ClientLogin::fail(std::string detail) {
  const bool has_password = !is_empty_response(response_.auth);
  LoginStep step = fail_with(1045, "28000",
                             "Access denied for user '" + response_.user + "'@'" + input_.client_host +
                                 "' (using password: " + (has_password ? "YES)" : "NO)"));
  step.detail = std::move(detail);
  return step;
}

LoginStep ClientLogin::fail_protocol(std::string message) {
  LoginStep step = fail_with(1043, "08S01", "Bad handshake");
  step.detail = std::move(message);
  return step;
}

LoginStep ClientLogin::fail_without_tls() {
  return fail_with(3159, "HY000", "Connections using insecure transport are prohibited; use TLS");
}

LoginStep ClientLogin::succeed(std::string send) {
  state_ = State::done;
  LoginStep step;
  step.status = LoginStep::Status::done;
  step.send = std::move(send);
  return step;
}

LoginStep ClientLogin::say(std::string_view payload) {
  LoginStep step;
  number_ = put_message(step.send, number_, payload);
  return step;
}

// ---- messages ------------------------------------------------------------------------------------------------------

LoginStep ClientLogin::start() {
  if (state_ != State::fresh) return fail_protocol("login was begun twice");
  if (is_change_) {
    if (input_.requires_tls && !is_private_) return fail_without_tls();  // since a reload
    state_ = State::awaiting_user;
    LoginStep step;
    step.status = LoginStep::Status::user;
    return step;
  }
  state_ = State::greeted;
  Greeting greeting;
  greeting.server_version = input_.server_version;
  greeting.connection_id = input_.connection_id;
  greeting.capabilities = input_.offered;
  greeting.collation = input_.collation;
  greeting.status = input_.status;
  greeting.nonce = nonce_;
  greeting.plugin = input_.plugin;
  std::string payload;
  put_greeting(payload, greeting);
  return say(payload);
}

LoginStep ClientLogin::on_message(std::uint8_t number, Bytes payload) {
  if (state_ == State::failed || state_ == State::done || state_ == State::fresh || state_ == State::awaiting_user)
    return fail_protocol("a message that nobody asked for");
  if (number != number_) return fail_with(1156, "08S01", "Got packets out of order");
  ++number_;
  if (payload.size() > login_bytes_max) return fail_protocol("login message is too long");
  switch (state_) {
    case State::greeted:
      return on_response(payload);
    case State::switched:
      response_.auth = text(payload);
      return check(response_.auth);
    case State::whole_asked:
      return on_whole(payload);
    case State::key_sent:
      return on_encrypted(text(payload));
    case State::fresh:
    case State::awaiting_user:
    case State::done:
    case State::failed:
      break;
  }
  return fail_protocol("a message that nobody asked for");
}

LoginStep ClientLogin::on_response(Bytes payload) {
  auto response = parse_handshake_response(payload);
  if (!response) return fail_protocol("handshake response is malformed");
  const auto agreed = agree(input_.offered, response->capabilities);
  if (!agreed) return fail_protocol("client does not speak the protocol of 4.1");
  agreed_ = *agreed;
  LoginStep step;
  if (response->asks_for_tls) {
    if (has_begun_tls_ || (input_.offered & capability::tls) == 0) return fail_protocol("TLS was not offered");
    has_begun_tls_ = is_private_ = true;
    step.status = LoginStep::Status::start_tls;
    return step;
  }
  // A client that has not looked at what it was offered (PHP's mysqlnd) would go on compressed.
  if ((response->capabilities & ~input_.offered & capability::compress) != 0)
    return fail_with(1235, "42000", "Turnout does not compress: connect without compression");
  response_ = std::move(*response);
  if (input_.requires_tls && !is_private_) return fail_without_tls();
  state_ = State::awaiting_user;
  step.status = LoginStep::Status::user;
  return step;
}

// ---- methods -------------------------------------------------------------------------------------------------------

// An unknown user is treated as one with a password in the users file.
bool ClientLogin::can_do(std::string_view plugin) const {
  const auto kind = secret_ ? secret_->kind : Secret::Kind::plain;
  const bool is_sha256 = plugin == sha256_plugin && can_take_whole();
  switch (kind) {
    case Secret::Kind::native_hash:
    case Secret::Kind::native_once:
      return plugin == native_plugin;
    case Secret::Kind::sha2_once:
      return plugin == sha2_plugin || is_sha256;
    case Secret::Kind::crypt:
      return (plugin == sha2_plugin && can_take_whole()) || is_sha256;
    case Secret::Kind::unproven:
      return (plugin == sha2_plugin && can_take_whole()) || is_sha256 ||
             (!secret_->text.empty() && (plugin == native_plugin || plugin == sha2_plugin));
    case Secret::Kind::empty:
    case Secret::Kind::plain:
      return plugin == native_plugin || plugin == sha2_plugin || is_sha256;
  }
  return false;
}

// It answers a request for mysql_native_password in a change of user with the nonce of its login (auth_native.c), which
// is taken from nobody. Its caching_sha2_password reads the one that it is sent.
bool ClientLogin::keeps_old_nonce() const {
  const auto is_libmariadb = [](const auto& one) { return one.first == "_client_name" && one.second == "libmariadb"; };
  return is_change_ && std::any_of(response_.attributes.begin(), response_.attributes.end(), is_libmariadb);
}

std::string_view ClientLogin::plugin_for_secret() const {
  const bool may_need_whole = secret_ && secret_->kind == Secret::Kind::unproven;
  if ((keeps_old_nonce() || may_need_whole) && can_do(sha2_plugin)) return sha2_plugin;
  if (can_do(input_.plugin)) return input_.plugin;
  return can_do(sha2_plugin) ? sha2_plugin : native_plugin;
}

LoginStep ClientLogin::answer_for(std::optional<Secret> secret) {
  if (state_ != State::awaiting_user) return fail_protocol("nobody asked for a secret");
  secret_ = std::move(secret);
  const bool has_plugins = (agreed_ & capability::plugin_auth) != 0;
  plugin_ = has_plugins && !response_.plugin.empty() ? response_.plugin : std::string(native_plugin);
  // A nonce serves one password: what comes with a change of user was made with the greeting's. And who names another
  // method than the greeting may have said nothing yet: it waits to be asked.
  const bool awaits_switch = has_plugins && (is_change_ || (response_.auth.empty() && plugin_ != input_.plugin));
  if (can_do(plugin_) && !awaits_switch) return check(response_.auth);
  if (secret_ && secret_->kind == Secret::Kind::unproven) return not_remembered();
  if (!has_plugins) return fail("the client knows one method only, and the secret of this user cannot do it");
  return switch_plugin();
}

// The whole password is needed, and this is the one change of plugin that clients understand in a login. Whether there
// is something to remember of this user shall not be seen from outside.
LoginStep ClientLogin::not_remembered() {
  if ((agreed_ & capability::plugin_auth) == 0) {
    LoginStep step = fail_with(1251, "08004",
                               "Client does not support the authentication protocol that is asked for: "
                               "caching_sha2_password, which sends the password inside TLS or encrypted");
    step.detail = "the client knows mysql_native_password only, which shows no server who it is";
    return step;
  }
  if (state_ == State::awaiting_user && (is_change_ || can_take_whole())) return switch_plugin();
  return fail("no password that is remembered, and no way to take a whole one: TLS, or a key for RSA");
}

LoginStep ClientLogin::switch_plugin() {
  plugin_ = plugin_for_secret();
  if (!can_do(plugin_)) return fail("the secret of this user needs the whole password: TLS, or a key for RSA");
  nonce_ = view_of(input_.switch_nonce);
  state_ = State::switched;
  std::string payload;
  put_auth_switch(payload, {plugin_, nonce_ + '\0'});
  return say(payload);
}

LoginStep ClientLogin::check(std::string_view response) {
  if (plugin_ == native_plugin) return check_native(response);
  if (plugin_ == sha2_plugin) return check_sha2(response);
  return check_sha256(response);
}

LoginStep ClientLogin::check_native(std::string_view response) {
  if (secret_ && secret_->kind == Secret::Kind::unproven) {
    const Sha1 twice = sha1(view_of(sha1(secret_->text)));
    if (!recover_native(response, twice, nonce_)) return not_remembered();
    learned_ = Secret{Secret::Kind::plain, secret_->text};
    return succeed();
  }
  if (response.empty()) {
    return secret_ && secret_->kind == Secret::Kind::empty ? succeed() : fail("no password given");
  }
  if (!secret_ || secret_->kind == Secret::Kind::empty) {
    // As much work as for a known user.
    static_cast<void>(recover_native(response, sha1(view_of(sha1(nonce_))), nonce_));
    return fail(secret_ ? "this user has no password" : "no such user");
  }
  Sha1 twice{};
  if (secret_->kind == Secret::Kind::plain)
    twice = sha1(view_of(sha1(secret_->text)));
  else if (secret_->kind == Secret::Kind::native_once)
    twice = sha1(secret_->text);
  else
    std::copy_n(secret_->text.begin(), twice.size(), twice.begin());
  const auto once = recover_native(response, twice, nonce_);
  if (!once) return fail("wrong password (mysql_native_password)");
  if (secret_->kind == Secret::Kind::native_hash) {
    learned_ = Secret{Secret::Kind::native_once, view_of(*once)};
  }
  return succeed();
}

LoginStep ClientLogin::check_sha2(std::string_view response) {
  const auto kind = secret_ ? secret_->kind : Secret::Kind::plain;
  if (is_empty_response(response)) {
    return secret_ && kind == Secret::Kind::empty ? succeed() : fail("no password given");
  }
  const bool is_remembered = kind == Secret::Kind::unproven && !secret_->text.empty();
  const bool is_fast = kind == Secret::Kind::plain || kind == Secret::Kind::sha2_once || is_remembered;
  if (is_fast && !(input_.learns_passwords && kind == Secret::Kind::sha2_once && can_take_whole())) {
    const std::string_view known = secret_ ? std::string_view(secret_->text) : std::string_view(nonce_);
    const Sha256 twice = kind == Secret::Kind::sha2_once ? sha256(known) : sha256(view_of(sha256(known)));
    if (recover_sha2(response, twice, nonce_) && secret_) {
      if (is_remembered) learned_ = Secret{Secret::Kind::plain, secret_->text};
      std::string payload;
      put_auth_more(payload, fast_is_right);
      return succeed(say(payload).send);
    }
  }
  // A wrong password, no such user, or a secret that needs the whole of it: all are asked alike.
  return can_take_whole() ? ask_whole() : fail(secret_ ? "wrong password (caching_sha2_password)" : "no such user");
}

LoginStep ClientLogin::ask_whole() {
  state_ = State::whole_asked;
  std::string payload;
  put_auth_more(payload, whole_is_wanted);
  return say(payload);
}

// What sha256_password's clients answer at once: the password inside TLS, else their wish for our key.
LoginStep ClientLogin::check_sha256(std::string_view response) {
  if (is_empty_response(response)) {
    return secret_ && secret_->kind == Secret::Kind::empty ? succeed() : fail("no password given");
  }
  if (!is_private_ && response == sha256_wants_key) return send_key();
  return is_private_ ? take_whole(response) : on_encrypted(response);
}

LoginStep ClientLogin::send_key() {
  if (!input_.key) return fail("the client asks for a key, and there is none; use TLS");
  state_ = State::key_sent;
  std::string payload;
  put_auth_more(payload, input_.key->public_pem());
  return say(payload);
}

LoginStep ClientLogin::on_whole(Bytes payload) {
  if (is_private_) return take_whole(text(payload));
  return text(payload) == sha2_wants_key ? send_key() : on_encrypted(text(payload));
}

LoginStep ClientLogin::on_encrypted(std::string_view bytes) {
  auto mixed = input_.key ? input_.key->decrypt(bytes) : std::nullopt;
  if (!mixed) return fail("the password was not encrypted with our key");
  std::string whole = mixed_with_nonce(*mixed, nonce_);
  LoginStep step = take_whole(whole);
  wipe(whole);
  wipe(*mixed);
  return step;
}

LoginStep ClientLogin::take_whole(std::string_view bytes) {
  if (bytes.empty() || bytes.back() != '\0') return fail("the password has no end");
  bytes.remove_suffix(1);
  return check_whole(std::string(bytes));
}

LoginStep ClientLogin::check_whole(std::string password) {
  wipe(response_.auth);
  response_.auth = "?";  // for the error: there was a password
  bool is_right = false;
  if (secret_) {
    switch (secret_->kind) {
      case Secret::Kind::empty:
        is_right = password.empty();
        break;
      case Secret::Kind::plain:
        is_right = is_equal_secretly(password, secret_->text);
        break;
      case Secret::Kind::native_hash:
      case Secret::Kind::native_once:
        break;
      case Secret::Kind::sha2_once:
        is_right = is_equal_secretly(view_of(sha256(password)), secret_->text);
        break;
      case Secret::Kind::crypt: {
        const auto kept = parse_sha256_crypt(secret_->text);
        is_right = kept && is_right_password(password, *kept);
        break;
      }
      case Secret::Kind::unproven:
        // None is no proof: who may come without a password is known by its host, which would be ours.
        is_right = !password.empty() && password.size() <= unproven_bytes_max;
        break;
    }
    if (is_right && secret_->kind != Secret::Kind::plain && secret_->kind != Secret::Kind::empty)
      learned_ = Secret{password.empty() ? Secret::Kind::empty : Secret::Kind::plain, password};
  }
  wipe(password);
  if (!is_right) return fail(secret_ ? "wrong password (whole)" : "no such user");
  return succeed();
}

}  // namespace turnout::protocol::mysql
