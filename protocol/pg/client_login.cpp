#include <openssl/crypto.h>

#include <utility>

#include "protocol/pg/login.h"
#include "protocol/pg/login_bytes.h"
#include "protocol/pg/md5.h"
#include "protocol/pg/scram.h"

namespace turnout::protocol::pg {
namespace {

// The md5 secret to check against; nothing: nobody can log in with md5 as this user.
std::optional<std::string> md5_secret_of(const std::string& user, const std::optional<Secret>& secret) {
  if (!secret) return std::nullopt;
  switch (secret->kind) {
    case Secret::Kind::plain:
      return md5_secret(user, secret->text);
    case Secret::Kind::md5:
      return is_md5_secret(secret->text) ? std::optional{std::string(secret->text.view())} : std::nullopt;
    case Secret::Kind::none:
    case Secret::Kind::scram_verifier:
    case Secret::Kind::scram_keys:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<ScramVerifier> verifier_of(const std::string& user, const std::optional<Secret>& secret,
                                         const std::string& mock_key) {
  if (!secret) return std::nullopt;
  switch (secret->kind) {
    case Secret::Kind::plain:
      return derive_verifier(user, secret->text, mock_key);
    case Secret::Kind::scram_verifier:
      return parse_verifier(secret->text);
    // Keys alone have no salt to show to the client; an md5 secret has no SCRAM keys.
    case Secret::Kind::none:
    case Secret::Kind::md5:
    case Secret::Kind::scram_keys:
      return std::nullopt;
  }
  return std::nullopt;
}

// The password or digest of a PasswordMessage: one zero-terminated string, nothing behind it.
std::optional<std::string_view> password_in(Bytes body) {
  Reader reader(body);
  const auto password = reader.cstring();
  return reader.is_empty() ? password : std::nullopt;
}

}  // namespace

ClientLogin::ClientLogin(Input input) : input_(std::move(input)) {}

// One text for a wrong password, a missing user and a secret of the wrong kind: only our log knows which it was.
LoginStep ClientLogin::fail(std::string detail) {
  state_ = State::failed;
  LoginStep step;
  step.status = LoginStep::Status::failed;
  step.sqlstate = "28P01";
  step.message = "password authentication failed for user \"" + input_.user + "\"";
  step.detail = std::move(detail);
  return step;
}

LoginStep ClientLogin::fail_protocol(std::string detail) {
  LoginStep step = fail(std::move(detail));
  step.sqlstate = "08P01";
  step.message = "protocol error during login: " + step.detail;
  return step;
}

LoginStep ClientLogin::done(std::string send) {
  state_ = State::done;
  LoginStep step;
  step.status = LoginStep::Status::done;
  step.send = std::move(send) + authentication_message(Authentication::ok);
  return step;
}

LoginStep ClientLogin::start() {
  if (state_ != State::fresh) return fail_protocol("login was begun twice");
  LoginStep step;
  switch (input_.method) {
    case ClientMethod::trust:
      return done({});
    case ClientMethod::md5:
      state_ = State::md5_sent;
      step.send = authentication_message(Authentication::md5, text(input_.md5_salt));
      return step;
    case ClientMethod::scram_sha_256: {
      state_ = State::sasl_sent;
      std::string mechanisms;
      if (!input_.channel_binding_data.empty()) mechanisms.append(scram_plus_name) += '\0';
      mechanisms.append(scram_name) += '\0';
      mechanisms += '\0';
      step.send = authentication_message(Authentication::sasl, mechanisms);
      return step;
    }
  }
  return fail_protocol("login method is not known");
}

LoginStep ClientLogin::on_message(char type, Bytes body) {
  const bool is_waiting = state_ == State::md5_sent || state_ == State::sasl_sent || state_ == State::challenge_sent;
  if (!is_waiting) return fail_protocol("a message that nobody asked for");
  if (type != 'p') return fail_protocol("expected a password or SASL response");
  if (body.size() > login_message_bytes_max) return fail_protocol("login message is too long");
  switch (state_) {
    case State::md5_sent:
      return on_md5(body);
    case State::sasl_sent:
      return on_initial(body);
    case State::challenge_sent:
      return on_final(body);
    case State::fresh:
    case State::done:
    case State::failed:
      break;
  }
  return fail_protocol("a message that nobody asked for");
}

LoginStep ClientLogin::on_md5(Bytes body) {
  const auto answer = password_in(body);
  if (!answer) return fail_protocol("password message is not one zero-terminated string");
  const auto secret = md5_secret_of(input_.user, input_.secret);
  if (!secret) return fail(input_.secret ? "the secret of this user cannot do md5" : "no such user");
  const auto expected = md5_answer(*secret, input_.md5_salt);
  if (!expected) return fail("MD5 is not available in this OpenSSL");
  return is_equal_secretly(*expected, *answer) ? done({}) : fail("wrong password (md5)");
}

// SASLInitialResponse: mechanism, length, client-first-message = gs2-header client-first-message-bare.
LoginStep ClientLogin::on_initial(Bytes body) {
  Reader reader(body);
  const auto mechanism = reader.cstring();
  const auto length = reader.u32();
  if (!mechanism || !length) return fail_protocol("SASL initial response is cut short");
  if (*length != reader.rest().size()) {
    return fail_protocol("SASL initial response has a wrong length");
  }
  plus_ = *mechanism == scram_plus_name;
  if (plus_ ? input_.channel_binding_data.empty() : *mechanism != scram_name) {
    return fail_protocol("client chose a SASL mechanism that was not offered");
  }
  std::string_view message = text(reader.rest());
  if (const auto mistake = take_gs2_header(message)) return fail_protocol(*mistake);

  client_first_bare_ = message;
  // The name in here is ignored, as the server does: the startup packet has said who it is.
  if (!take_attribute(message, 'n')) return fail_protocol("SCRAM first message has no user name attribute");
  const auto nonce = take_attribute(message, 'r');
  if (!nonce || !is_nonce(*nonce) || nonce->size() > scram_nonce_bytes_max) {
    return fail_protocol("SCRAM first message has no valid nonce");
  }

  const auto known = verifier_of(input_.user, input_.secret, input_.mock_key);
  mock_ = !known.has_value();
  const ScramVerifier verifier = known ? *known : mock_verifier(input_.user, input_.mock_key);
  stored_key_ = verifier.stored_key;
  server_key_ = verifier.server_key;
  nonce_ = std::string{*nonce} + base64_encode(text(input_.nonce));
  server_first_ = "r=" + nonce_ + ",s=" + base64_encode(verifier.salt) + ",i=" + std::to_string(verifier.iterations);
  state_ = State::challenge_sent;
  LoginStep step;
  step.send = authentication_message(Authentication::sasl_continue, server_first_);
  return step;
}

// gs2-header = ("n" | "y" | "p=" name) "," [authzid] ","; the answer is a mistake, or nothing.
std::optional<std::string> ClientLogin::take_gs2_header(std::string_view& message) {
  const std::string_view whole = message;
  if (message.starts_with("p=")) {
    if (!message.starts_with(gs2_plus_header))
      return "client wants an unknown channel binding type or another identity";
    if (!plus_) return "client binds the channel without the -PLUS mechanism";
    message.remove_prefix(gs2_plus_header.size());
  } else if (message.starts_with("n,,") || message.starts_with("y,,")) {
    if (plus_) return "client chose the -PLUS mechanism without binding the channel";
    // "y" says: I could bind, but you did not offer it. We did, so somebody between us took the offer out.
    if (message.front() == 'y' && !input_.channel_binding_data.empty()) {
      return "client did not see the offer of channel binding; somebody may be between us";
    }
    message.remove_prefix(3);
  } else {
    return "SCRAM first message has no valid header";
  }
  gs2_header_ = whole.substr(0, whole.size() - message.size());
  return std::nullopt;
}

// client-final-message = channel-binding "," nonce ["," extensions] "," proof
LoginStep ClientLogin::on_final(Bytes body) {
  const std::string_view message = text(body);
  const std::size_t proof_at = message.rfind(",p=");
  if (proof_at == std::string_view::npos) return fail_protocol("SCRAM final message has no proof");
  const std::string_view without_proof = message.substr(0, proof_at);
  std::string_view left = without_proof;
  const auto binding = take_attribute(left, 'c');
  const auto nonce = take_attribute(left, 'r');
  const auto proof = base64_decode_key(message.substr(proof_at + 3));
  if (!binding || !nonce || !proof) return fail_protocol("SCRAM final message is malformed");

  const std::string bound = plus_ ? gs2_header_ + input_.channel_binding_data : gs2_header_;
  if (!is_equal_secretly(*binding, base64_encode(bound))) return fail_protocol("SCRAM channel binding does not match");
  if (!is_equal_secretly(*nonce, nonce_)) return fail_protocol("SCRAM nonce does not match");

  const std::string auth_message = client_first_bare_ + "," + server_first_ + "," + std::string{without_proof};
  const ScramKey client_key = exclusive_or(*proof, hmac_sha256(stored_key_, auth_message));
  const bool is_right = is_equal_secretly(sha256(client_key), stored_key_);
  if (mock_ || !is_right) {
    if (!mock_) return fail("wrong password (scram-sha-256)");
    return fail(input_.secret ? "the secret of this user cannot do scram-sha-256" : "no such user");
  }
  client_key_ = client_key;
  return done(
      authentication_message(Authentication::sasl_final, "v=" + base64_encode(hmac_sha256(server_key_, auth_message))));
}

std::optional<Secret> ClientLogin::learned() const {
  if (state_ != State::done || input_.method != ClientMethod::scram_sha_256) return std::nullopt;
  Secret secret;
  secret.kind = Secret::Kind::scram_keys;
  secret.client_key = text(client_key_);
  secret.server_key = text(server_key_);
  return secret;
}

}  // namespace turnout::protocol::pg
