#include <utility>

#include "protocol/mysql/ed25519.h"
#include "protocol/mysql/login.h"
#include "protocol/mysql/reply.h"

namespace turnout::protocol::mysql {
namespace {

constexpr std::string_view fast_is_right = "\3";
constexpr std::string_view whole_is_wanted = "\4";
constexpr std::uint8_t switches_max = 2;
constexpr std::string_view cannot_authenticate = "28000";

}  // namespace

ServerLogin::ServerLogin(Input input) : input_(std::move(input)) {}

LoginStep ServerLogin::fail(std::string message) {
  state_ = State::failed;
  LoginStep step;
  step.status = LoginStep::Status::failed;
  step.error_number = 1045;
  step.sqlstate = cannot_authenticate;
  step.message = std::move(message);
  return step;
}

LoginStep ServerLogin::say(std::string_view payload, State next) {
  state_ = next;
  LoginStep step;
  number_ = put_message(step.send, number_, payload);
  return step;
}

LoginStep ServerLogin::on_message(std::uint8_t number, Bytes payload) {
  if (state_ == State::failed || state_ == State::done || state_ == State::tls)
    return fail("server sent a message that nobody asked for");
  if (number != number_) return fail("server's packets are out of order");
  ++number_;
  if (payload.empty() || payload.size() > login_bytes_max) return fail("server's login message has no acceptable size");
  if (payload[0] == error_byte) return on_error(payload);
  if (state_ == State::greeting) return on_greeting(payload);
  if (payload[0] == auth_switch_byte) return on_switch(payload);
  if (payload[0] == auth_more_byte) return on_more(text(payload.subspan(1)));
  if (payload[0] == ok_byte) return on_ok(payload);
  return fail("server sent an unknown login message");
}

LoginStep ServerLogin::on_error(Bytes payload) {
  const Error error = parse_error(payload);
  LoginStep step = fail(std::string(error.message));
  step.error_number = error.number;
  // Before the login, a server does not know yet that we can read a state: too many connections, a host not allowed.
  step.sqlstate = error.sqlstate.empty() ? std::string_view("08004") : error.sqlstate;
  return step;
}

LoginStep ServerLogin::on_greeting(Bytes payload) {
  const auto greeting = parse_greeting(payload);
  if (!greeting) return fail("server's greeting is not that of a MySQL or MariaDB server");
  if (greeting->nonce.size() != nonce_bytes) return fail("server's greeting has no nonce of 20 bytes");
  server_version_ = greeting->server_version;
  collation_ = greeting->collation;
  connection_id_ = greeting->connection_id;
  server_capabilities_ = greeting->capabilities;
  is_mariadb_ = greeting->is_mariadb();
  nonce_ = greeting->nonce;
  plugin_ = greeting->plugin.empty() ? native_plugin : greeting->plugin;

  const bool has_tls = (server_capabilities_ & capability::tls) != 0;
  if (input_.tls == Tls::required && !has_tls) return fail("TLS is required, but the server does not offer it");
  const bool with_tls = has_tls && input_.tls != Tls::never;
  const Towards towards = towards_server(input_.dialect, server_capabilities_, with_tls, !input_.database.empty());
  if (towards.missing != 0) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string bits;
    for (int shift = 60; shift >= 0; shift -= 4) bits += digits[towards.missing >> static_cast<unsigned>(shift) & 15U];
    return fail("server lacks capabilities that its sessions have agreed on: 0x" + bits);
  }
  capabilities_ = towards.capabilities;
  if (!with_tls) return respond();
  LoginStep step = say(handshake_response(true, {}), State::tls);
  step.status = LoginStep::Status::start_tls;
  return step;
}

LoginStep ServerLogin::tls_started() {
  if (state_ != State::tls) return fail("TLS was not asked for");
  is_tls_ = true;
  return respond();
}

std::string ServerLogin::handshake_response(bool asks_for_tls, std::string_view auth) const {
  HandshakeResponse response;
  response.capabilities = capabilities_;
  response.message_bytes_max = input_.message_bytes_max;
  response.collation = input_.collation;
  response.asks_for_tls = asks_for_tls;
  response.user = input_.user;
  response.auth = auth;
  response.database = input_.database;
  response.plugin = plugin_;
  response.attributes = input_.attributes;
  std::string payload;
  put_handshake_response(payload, response);
  return payload;
}

// Begins with what the secret can do without giving it away; the server switches to what the user has.
LoginStep ServerLogin::respond() {
  const bool is_known = plugin_ == native_plugin || plugin_ == sha2_plugin;
  if (input_.secret.kind == Secret::Kind::native_once || !is_known) plugin_ = native_plugin;
  if (input_.secret.kind == Secret::Kind::sha2_once) plugin_ = sha2_plugin;
  std::string mistake;
  const auto auth = response_of(plugin_, mistake);
  if (!auth) return fail(std::move(mistake));
  return say(handshake_response(false, *auth), State::responded);
}

// Nothing: the secret cannot do it, `mistake` says why.
std::optional<std::string> ServerLogin::response_of(std::string_view plugin, std::string& mistake) {
  const Secret& secret = input_.secret;
  const bool is_empty = secret.kind == Secret::Kind::empty;
  const bool is_plain = secret.kind == Secret::Kind::plain;
  if (plugin == native_plugin) {
    if (is_empty) return std::string{};
    if (is_plain) return std::string(view_of(native_scramble(sha1(secret.text), nonce_)));
    Sha1 once{};
    if (secret.kind == Secret::Kind::native_once && secret.text.size() == once.size()) {
      for (std::size_t i = 0; i < once.size(); ++i) once[i] = static_cast<std::uint8_t>(secret.text[i]);
      return std::string(view_of(native_scramble(once, nonce_)));
    }
  } else if (plugin == sha2_plugin) {
    if (is_empty) return std::string{};
    if (is_plain) return std::string(view_of(sha2_scramble(sha256(secret.text), nonce_)));
    Sha256 once{};
    if (secret.kind == Secret::Kind::sha2_once && secret.text.size() == once.size()) {
      for (std::size_t i = 0; i < once.size(); ++i) once[i] = static_cast<std::uint8_t>(secret.text[i]);
      return std::string(view_of(sha2_scramble(once, nonce_)));
    }
  } else if (plugin == ed25519_plugin) {
    auto signature = is_plain || is_empty ? sign_ed25519(secret.text, nonce_) : std::nullopt;
    if (signature) return signature;
  } else {
    mistake = "server asks for authentication plugin " + std::string(plugin) +
              ", which is not supported; supported are mysql_native_password, caching_sha2_password, "
              "sha256_password and client_ed25519";
    return std::nullopt;
  }
  mistake = "the secret of user \"" + input_.user + "\" cannot log in with " + std::string(plugin) +
            "; its password is needed";
  return std::nullopt;
}

LoginStep ServerLogin::on_switch(Bytes payload) {
  const auto change = parse_auth_switch(payload);
  if (!change) return fail("server asks for a password in the form of before 4.1, which is not supported");
  if (state_ != State::responded || ++switches_ > switches_max) return fail("server changes its mind about the plugin");
  plugin_ = change->plugin;
  nonce_ = change->data;
  if (!nonce_.empty() && nonce_.back() == '\0' && nonce_.size() != ed25519_nonce_bytes) nonce_.pop_back();
  const std::size_t expected = plugin_ == ed25519_plugin ? ed25519_nonce_bytes : nonce_bytes;
  const bool has_nonce =
      plugin_ == native_plugin || plugin_ == sha2_plugin || plugin_ == sha256_plugin || plugin_ == ed25519_plugin;
  if (has_nonce && nonce_.size() != expected) return fail("server sent a nonce of the wrong size for " + plugin_);
  if (plugin_ == sha256_plugin) {
    return input_.secret.kind == Secret::Kind::empty ? say(std::string_view("\0", 1), State::whole_sent)
                                                     : send_whole(1);
  }
  std::string mistake;
  const auto auth = response_of(plugin_, mistake);
  return auth ? say(*auth, State::responded) : fail(std::move(mistake));
}

LoginStep ServerLogin::on_more(std::string_view data) {
  if (state_ == State::key_asked) return on_key(data);
  if (state_ != State::responded || plugin_ != sha2_plugin) return fail("server says more than was asked for");
  if (data == fast_is_right) {
    state_ = State::whole_sent;
    return LoginStep{};
  }
  if (data == whole_is_wanted) return send_whole(2);
  return fail("server sent an unknown message of caching_sha2_password");
}

// The password itself, so never in clear where others may listen.
LoginStep ServerLogin::send_whole(std::uint8_t key_request) {
  if (input_.secret.kind != Secret::Kind::plain) {
    return fail("server wants the password of user \"" + input_.user + "\" itself, and only a hash of it is known");
  }
  if (is_private()) {
    std::string whole = std::string(input_.secret.text.view()) + '\0';
    LoginStep step = say(whole, State::whole_sent);
    wipe(whole);
    return step;
  }
  if (!input_.server_key_pem.empty()) return on_key(input_.server_key_pem);
  if (!input_.may_fetch_key) {
    return fail("server wants the password of user \"" + input_.user +
                "\" itself: use TLS, or let its public key be known or asked for");
  }
  return say(std::string(1, static_cast<char>(key_request)), State::key_asked);
}

LoginStep ServerLogin::on_key(std::string_view pem) {
  std::string whole = std::string(input_.secret.text.view()) + '\0';
  std::string mixed = mixed_with_nonce(whole, nonce_);
  wipe(whole);
  const auto encrypted = encrypt_for(pem, mixed);
  wipe(mixed);
  if (!encrypted) return fail("server's public key cannot encrypt the password");
  return say(*encrypted, State::whole_sent);
}

LoginStep ServerLogin::on_ok(Bytes payload) {
  if (state_ != State::responded && state_ != State::whole_sent)
    return fail("server lets us in in the midst of a question");
  if (!parse_ok(payload, capabilities_)) return fail("server's OK is malformed");
  ok_payload_ = text(payload);
  state_ = State::done;
  input_.secret.text.wipe();
  LoginStep step;
  step.status = LoginStep::Status::done;
  return step;
}

}  // namespace turnout::protocol::mysql
