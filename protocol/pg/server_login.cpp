#include <algorithm>
#include <utility>

#include "protocol/pg/login.h"
#include "protocol/pg/login_bytes.h"
#include "protocol/pg/md5.h"
#include "protocol/pg/scram.h"

namespace turnout::protocol::pg {
namespace {

// A server sends some 15 parameters and 30 messages; extensions add a few. The rest is an attack on our memory.
constexpr std::size_t parameters_max = 256;
constexpr std::size_t parameter_bytes_max = 8192;
constexpr std::size_t login_messages_max = 1024;
constexpr std::size_t error_bytes_max = 64 * 1024;
constexpr std::size_t cancel_key_bytes_max = 256;

constexpr std::string_view protocol_violation = "08P01";
constexpr std::string_view cannot_authenticate = "28000";

// A zero byte inside would begin a parameter of its own; no role, database or setting has one.
std::string without_zeros(std::string_view value) {
  std::string out{value};
  std::replace(out.begin(), out.end(), '\0', '?');
  return out;
}

bool is_sqlstate(std::string_view code) {
  return code.size() == 5 &&
         std::all_of(code.begin(), code.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

// Of one that a login has taught us; zeros if that has not.
ScramKey key_of(const SecretBytes& secret) {
  ScramKey key{};
  std::copy_n(secret.begin(), std::min(secret.size(), key.size()), key.begin());
  return key;
}

std::string password_message(std::string_view password) {
  std::string out;
  Writer(out).begin('p').cstring(without_zeros(password)).end();
  return out;
}

}  // namespace

ServerLogin::ServerLogin(Input input) : input_(std::move(input)) {}

LoginStep ServerLogin::fail(std::string sqlstate, std::string message) {
  state_ = State::failed;
  LoginStep step;
  step.status = LoginStep::Status::failed;
  step.sqlstate = std::move(sqlstate);
  step.message = std::move(message);
  return step;
}

LoginStep ServerLogin::fail_protocol(std::string_view what) {
  return fail(std::string{protocol_violation}, "server broke the protocol during login: " + std::string{what});
}

LoginStep ServerLogin::fail_secret(std::string_view method) {
  return fail(std::string{cannot_authenticate}, "server asks for " + std::string{method} +
                                                    " authentication of user \"" + input_.user +
                                                    "\", which the stored secret cannot do");
}

std::string ServerLogin::startup_packet() const {
  std::string body;
  Writer writer(body);
  writer.u32(input_.protocol_version);
  const auto put_pair = [&writer](std::string_view name, std::string_view value) {
    if (name.empty()) return;  // an empty name would end the list
    writer.cstring(without_zeros(name)).cstring(without_zeros(value));
  };
  put_pair("user", input_.user);
  if (!input_.database.empty()) put_pair("database", input_.database);
  for (const auto& [name, value] : input_.parameters) put_pair(name, value);
  writer.u8(0);
  std::string packet;
  Writer(packet).u32(static_cast<std::uint32_t>(body.size() + 4)).raw(body);
  return packet;
}

LoginStep ServerLogin::on_message(char type, Bytes body) {
  if (state_ == State::done || state_ == State::failed) return fail_protocol("a message after the end of the login");
  if (++messages_ > login_messages_max) return fail_protocol("too many messages");
  const bool is_authenticated = state_ == State::authenticated;
  switch (type) {
    case 'E':
      return on_error(body);
    case 'N':
      return LoginStep{};
    case 'v':
      return is_authenticated ? fail_protocol("late version negotiation") : on_negotiate(body);
    case 'R':
      return is_authenticated ? fail_protocol("authentication request after AuthenticationOk")
                              : on_authentication(body);
    case 'S':
      return is_authenticated ? on_parameter(body) : fail_protocol("ParameterStatus before AuthenticationOk");
    case 'K':
      return is_authenticated ? on_key(body) : fail_protocol("BackendKeyData before AuthenticationOk");
    case 'Z': {
      if (!is_authenticated) return fail_protocol("ReadyForQuery before AuthenticationOk");
      if (body.size() != 1 || body.front() != 'I') return fail_protocol("first ReadyForQuery is not idle");
      state_ = State::done;
      LoginStep step;
      step.status = LoginStep::Status::done;
      return step;
    }
    default:
      return fail_protocol("unexpected message type");
  }
}

LoginStep ServerLogin::on_error(Bytes body) {
  if (body.size() > error_bytes_max) return fail_protocol("ErrorResponse is too long");
  const ErrorFields fields = parse_error(body);
  LoginStep step = fail(is_sqlstate(fields.sqlstate) ? fields.sqlstate : std::string{protocol_violation},
                        fields.message.empty() ? "server refused the login without saying why" : fields.message);
  step.detail = fields.detail;
  step.raw_error = text(body);
  return step;
}

// NegotiateProtocolVersion: the newest minor version the server has, and the options it does not know.
LoginStep ServerLogin::on_negotiate(Bytes body) {
  Reader reader(body);
  const auto version = reader.u32();
  const auto options = reader.u32();
  if (!version || !options) return fail_protocol("NegotiateProtocolVersion is cut short");
  // The manual says "minor version", the server sends the whole number with the major in it (PostgreSQL 15 source).
  if ((*version & 0xFFFFU) > (input_.protocol_version & 0xFFFFU)) {
    return fail_protocol("server wants a newer protocol than was offered");
  }
  for (std::uint32_t i = 0; i < *options; ++i) {
    if (!reader.cstring()) return fail_protocol("NegotiateProtocolVersion is cut short");
  }
  if (!reader.is_empty()) return fail_protocol("NegotiateProtocolVersion is too long");
  input_.protocol_version = (input_.protocol_version & ~0xFFFFU) | (*version & 0xFFFFU);
  return LoginStep{};
}

LoginStep ServerLogin::on_parameter(Bytes body) {
  if (body.size() > parameter_bytes_max) return fail_protocol("ParameterStatus is too long");
  Reader reader(body);
  const auto name = reader.cstring();
  const auto value = reader.cstring();
  if (!name || !value || !reader.is_empty() || name->empty()) return fail_protocol("ParameterStatus is malformed");
  const auto known =
      std::find_if(parameters_.begin(), parameters_.end(), [&name](const auto& pair) { return pair.first == *name; });
  if (known != parameters_.end()) {
    known->second = *value;
  } else if (parameters_.size() == parameters_max) {
    return fail_protocol("too many parameters");
  } else {
    parameters_.emplace_back(*name, *value);
  }
  return LoginStep{};
}

LoginStep ServerLogin::on_key(Bytes body) {
  Reader reader(body);
  const auto pid = reader.u32();
  const std::string_view key = text(reader.rest());
  // 3.0 has exactly four bytes; later versions up to 256.
  const bool is_classic = (input_.protocol_version & 0xFFFFU) < 2;
  if (!pid || key.size() < 4 || key.size() > (is_classic ? 4 : cancel_key_bytes_max)) {
    return fail_protocol("BackendKeyData is malformed");
  }
  if (!cancel_key_.empty()) return fail_protocol("a second BackendKeyData");
  backend_pid_ = *pid;
  cancel_key_ = key;
  return LoginStep{};
}

LoginStep ServerLogin::on_authentication(Bytes body) {
  Reader reader(body);
  const auto code = reader.u32();
  if (!code) return fail_protocol("authentication request is cut short");
  if (body.size() > login_message_bytes_max) return fail_protocol("authentication request is too long");
  const std::string_view payload = text(reader.rest());
  const bool is_first = state_ == State::authenticating;
  switch (static_cast<Authentication>(*code)) {
    case Authentication::ok:
      return on_authentication_ok(payload);
    case Authentication::cleartext:
      return is_first && payload.empty() ? answer_cleartext() : fail_protocol("unexpected cleartext request");
    case Authentication::md5:
      return is_first && payload.size() == 4 ? answer_md5(payload) : fail_protocol("unexpected md5 request");
    case Authentication::sasl:
      return is_first ? answer_sasl(payload) : fail_protocol("unexpected SASL request");
    case Authentication::sasl_continue:
      return state_ == State::sasl_first ? answer_challenge(payload) : fail_protocol("unexpected SASL challenge");
    case Authentication::sasl_final:
      return state_ == State::sasl_final ? check_signature(payload) : fail_protocol("unexpected SASL outcome");
  }
  return fail(std::string{cannot_authenticate},
              "server asks for authentication method " + std::to_string(*code) +
                  ", which is not supported; allow trust, password, md5 or scram-sha-256 in its pg_hba.conf");
}

// AuthenticationOk in the midst of SCRAM would be a server that does not know the password and hopes we do not look.
LoginStep ServerLogin::on_authentication_ok(std::string_view payload) {
  if (!payload.empty()) return fail_protocol("AuthenticationOk is too long");
  if (state_ == State::sasl_first || state_ == State::sasl_final) {
    return fail(std::string{cannot_authenticate}, "server ended SCRAM without proving that it knows the secret");
  }
  if (input_.require_channel_binding && !(plus_ && state_ == State::proved)) {
    return fail(std::string{cannot_authenticate}, "channel binding is required, but the server let us in without it");
  }
  state_ = State::authenticated;
  return LoginStep{};
}

LoginStep ServerLogin::answer_cleartext() {
  if (input_.require_channel_binding) return fail_no_binding();
  if (input_.secret.kind != Secret::Kind::plain) return fail_secret("password");
  state_ = State::password_sent;
  LoginStep step;
  step.send = password_message(input_.secret.text);
  return step;
}

LoginStep ServerLogin::answer_md5(std::string_view salt_text) {
  if (input_.require_channel_binding) return fail_no_binding();
  std::array<std::uint8_t, 4> salt{};
  std::transform(salt_text.begin(), salt_text.end(), salt.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
  std::optional<std::string> answer;
  if (input_.secret.kind == Secret::Kind::md5) {
    answer = md5_answer(input_.secret.text, salt);
  } else if (input_.secret.kind == Secret::Kind::plain) {
    const auto secret = md5_secret(input_.user, input_.secret.text);
    if (secret) answer = md5_answer(*secret, salt);
  }
  if (!answer) return fail_secret("md5");
  state_ = State::password_sent;
  LoginStep step;
  step.send = password_message(*answer);
  return step;
}

LoginStep ServerLogin::answer_sasl(std::string_view mechanisms) {
  bool has_scram = false;
  bool has_plus = false;
  while (!mechanisms.empty() && mechanisms.front() != '\0') {
    const std::size_t zero = mechanisms.find('\0');
    if (zero == std::string_view::npos) return fail_protocol("SASL mechanisms are cut short");
    const std::string_view name = mechanisms.substr(0, zero);
    has_scram = has_scram || name == scram_name;
    has_plus = has_plus || name == scram_plus_name;
    mechanisms.remove_prefix(zero + 1);
  }
  if (mechanisms.size() != 1) return fail_protocol("SASL mechanisms are cut short");
  if (input_.secret.kind != Secret::Kind::plain && input_.secret.kind != Secret::Kind::scram_keys) {
    return fail_secret(scram_name);
  }
  const bool can_bind = !input_.channel_binding_data.empty();
  plus_ = has_plus && can_bind;
  if (input_.require_channel_binding && !plus_) return fail_no_binding();
  if (!plus_ && !has_scram) {
    return fail(std::string{cannot_authenticate}, "server offers no SASL mechanism that is supported (SCRAM-SHA-256)");
  }
  gs2_header_ = plus_ ? gs2_plus_header : can_bind ? "y,," : "n,,";
  nonce_ = base64_encode(text(input_.nonce));
  client_first_bare_ = "n=,r=" + nonce_;  // the server takes the name from the startup packet

  const std::string first = gs2_header_ + client_first_bare_;
  state_ = State::sasl_first;
  LoginStep step;
  Writer writer(step.send);
  writer.begin('p').cstring(plus_ ? scram_plus_name : scram_name);
  writer.u32(static_cast<std::uint32_t>(first.size())).raw(first).end();
  return step;
}

LoginStep ServerLogin::answer_challenge(std::string_view server_first) {
  std::string_view left = server_first;
  const auto nonce = take_attribute(left, 'r');
  const auto salt_text = take_attribute(left, 's');
  const auto iterations_text = take_attribute(left, 'i');
  if (!nonce || !salt_text || !iterations_text) return fail_protocol("SCRAM challenge is malformed");
  if (!is_nonce(*nonce) || nonce->size() > scram_nonce_bytes_max || !nonce->starts_with(nonce_) ||
      nonce->size() == nonce_.size()) {
    return fail_protocol("SCRAM challenge has a wrong nonce");
  }
  const auto salt = base64_decode(*salt_text, scram_salt_bytes_max);
  if (!salt || salt->empty()) return fail_protocol("SCRAM challenge has no valid salt");
  const auto iterations = parse_iterations(*iterations_text, input_.scram_iterations_max);
  if (!iterations) {
    return fail_protocol("SCRAM iteration count is not between 1 and " + std::to_string(input_.scram_iterations_max));
  }

  ScramKeys keys{key_of(input_.secret.client_key), key_of(input_.secret.server_key)};
  if (input_.secret.kind == Secret::Kind::plain) {
    const auto derived = derive_keys(input_.secret.text, *salt, *iterations);
    if (!derived) return fail_secret(scram_name);
    keys = *derived;
  }
  const std::string bound = plus_ ? gs2_header_ + input_.channel_binding_data : gs2_header_;
  const std::string without_proof = "c=" + base64_encode(bound) + ",r=" + std::string{*nonce};
  const std::string auth_message = client_first_bare_ + "," + std::string{server_first} + "," + without_proof;
  const ScramKey signature = hmac_sha256(sha256(keys.client_key), auth_message);
  const std::string proof = base64_encode(exclusive_or(keys.client_key, signature));
  expected_server_signature_ = base64_encode(hmac_sha256(keys.server_key, auth_message));
  state_ = State::sasl_final;
  LoginStep step;
  Writer(step.send).begin('p').raw(without_proof + ",p=" + proof).end();
  return step;
}

LoginStep ServerLogin::check_signature(std::string_view server_final) {
  if (const auto error = take_attribute(server_final, 'e')) {
    return fail(std::string{cannot_authenticate}, "server ended SCRAM with an error: " + std::string{*error});
  }
  const auto signature = take_attribute(server_final, 'v');
  if (!signature) return fail_protocol("SCRAM outcome is malformed");
  if (!is_equal_secretly(*signature, expected_server_signature_)) {
    return fail(std::string{cannot_authenticate}, "server did not prove that it knows the secret of user \"" +
                                                      input_.user + "\"; is this the right server?");
  }
  state_ = State::proved;
  return LoginStep{};
}

LoginStep ServerLogin::fail_no_binding() {
  return fail(std::string{cannot_authenticate},
              "channel binding is required, but the server does not offer SCRAM-SHA-256-PLUS on this connection");
}

}  // namespace turnout::protocol::pg
