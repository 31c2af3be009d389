// Login conversations of the Postgres v3 protocol as step-by-step state machines, both roles. No I/O, no clock; random
// bytes are arguments. Messages arrive whole: (type byte, body without type and length).
// Source: PostgreSQL manual 55.2.1 "Start-up", 55.3 "SASL Authentication"; RFC 5802, RFC 7677.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/pg/wire.h"
#include "protocol/secret_bytes.h"

namespace turnout::protocol::pg {

// ---- secrets -------------------------------------------------------------------------------------------------------

// What the userlist says of a user, or what a login taught us.
struct Secret {
  enum class Kind { none, plain, md5, scram_verifier, scram_keys };
  Kind kind = Kind::none;
  SecretBytes text;  // plain: the password; md5: "md5" + 32 hex; scram_verifier: "SCRAM-SHA-256$i:salt$stored:server"
  // scram_keys: what a client's own SCRAM login proved to us, enough to log in to a server with the same verifier.
  SecretBytes client_key, server_key;  // of 32 bytes
};

// What a userlist, pg_authid or an auth query holds for a user. Nothing: empty, or a damaged SCRAM verifier.
[[nodiscard]] std::optional<Secret> parse_secret(std::string_view text);

struct UserEntry {
  std::string name;
  Secret secret;
};
// PgBouncer's userlist format: "user" "secret" a line, "" escapes a quote, ';' or '#' begins a comment line.
// Returns entries, or the mistakes as "line:column: text".
struct Userlist {
  std::vector<UserEntry> users;
  std::vector<std::string> mistakes;
};
[[nodiscard]] Userlist parse_userlist(std::string_view text);

// ---- what a conversation wants next --------------------------------------------------------------------------------

struct LoginStep {
  enum class Status { more, done, failed };
  Status status = Status::more;
  std::string send;       // bytes for the peer, may be empty
  std::string sqlstate;   // failed: five characters
  std::string message;    // failed: for the peer, never says whether the user exists
  std::string detail;     // failed: for our log only
  std::string raw_error;  // failed, server side: the server's own ErrorResponse body, to relay word for word
};

// ---- we are the server: a client logs in ---------------------------------------------------------------------------

enum class ClientMethod { trust, md5, scram_sha_256 };

class ClientLogin {
 public:
  struct Input {
    ClientMethod method = ClientMethod::trust;
    std::string user;
    std::optional<Secret> secret;  // absent: unknown user; the conversation runs on with a mock secret and fails
    std::string mock_key;          // secret of this process: makes the mock salt stable per user
    std::array<std::uint8_t, 18> nonce{};    // random
    std::array<std::uint8_t, 4> md5_salt{};  // random
    std::string channel_binding_data;  // tls-server-end-point hash of our certificate; empty = no TLS (no -PLUS offer)
  };
  explicit ClientLogin(Input input);
  [[nodiscard]] LoginStep start();  // trust: done with AuthenticationOk in send
  // Only PasswordMessage / SASLInitialResponse / SASLResponse ('p'). Done: send ends with AuthenticationOk.
  [[nodiscard]] LoginStep on_message(char type, Bytes body);
  // After done with scram: what is needed to log in to the server as this user without the password.
  [[nodiscard]] std::optional<Secret> learned() const;

 private:
  enum class State {
    fresh,           // start() has not been called
    md5_sent,        // salt sent, the digest is to come
    sasl_sent,       // mechanisms sent, the client's first message is to come
    challenge_sent,  // salt and nonce sent, the proof is to come
    done,
    failed,
  };
  LoginStep fail(std::string detail);
  LoginStep fail_protocol(std::string detail);
  LoginStep done(std::string send);
  LoginStep on_md5(Bytes body);
  LoginStep on_initial(Bytes body);
  std::optional<std::string> take_gs2_header(std::string_view& message);
  LoginStep on_final(Bytes body);
  Input input_;
  State state_ = State::fresh;
  std::string client_first_bare_, server_first_, gs2_header_, nonce_;
  std::array<std::uint8_t, 32> stored_key_{}, server_key_{}, client_key_{};
  bool plus_ = false, mock_ = false;
};

// ---- we are the client: log in to a server -------------------------------------------------------------------------

class ServerLogin {
 public:
  struct Input {
    std::string user;
    std::string database;
    std::vector<std::pair<std::string, std::string>> parameters;  // startup parameters besides user and database
    Secret secret;
    std::array<std::uint8_t, 18> nonce{};
    std::string channel_binding_data;  // tls-server-end-point of the server's certificate; empty = no TLS
    bool require_channel_binding = false;
    std::uint32_t scram_iterations_max = 1'000'000;  // a hostile server must not buy our CPU (CVE-2026-42198)
    std::uint32_t protocol_version = 196608;         // 3.0
  };
  explicit ServerLogin(Input input);
  [[nodiscard]] std::string startup_packet() const;
  // Every message until ReadyForQuery (status done). ParameterStatus, BackendKeyData, NegotiateProtocolVersion and
  // notices are taken on the way.
  [[nodiscard]] LoginStep on_message(char type, Bytes body);

  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& parameters() const { return parameters_; }
  [[nodiscard]] std::uint32_t protocol_version() const { return input_.protocol_version; }  // asked for, then agreed on
  [[nodiscard]] std::uint32_t backend_pid() const { return backend_pid_; }
  [[nodiscard]] const std::string& cancel_key() const { return cancel_key_; }  // 4 bytes in 3.0, up to 256 in 3.2

 private:
  enum class State {
    authenticating,  // the server may ask for anything, or let us in
    password_sent,   // only its yes or no
    sasl_first,      // our first SCRAM message sent, the challenge is to come
    sasl_final,      // our proof sent, the server's is to come
    proved,          // the server's proof was right, AuthenticationOk is to come
    authenticated,   // parameters, key, ReadyForQuery
    done,
    failed,
  };
  LoginStep fail(std::string sqlstate, std::string message);
  LoginStep fail_protocol(std::string_view what);
  LoginStep fail_secret(std::string_view method);
  LoginStep fail_no_binding();
  LoginStep on_error(Bytes body);
  LoginStep on_negotiate(Bytes body);
  LoginStep on_parameter(Bytes body);
  LoginStep on_key(Bytes body);
  LoginStep on_authentication(Bytes body);
  LoginStep on_authentication_ok(std::string_view payload);
  LoginStep answer_cleartext();
  LoginStep answer_md5(std::string_view salt_text);
  LoginStep answer_sasl(std::string_view mechanisms);
  LoginStep answer_challenge(std::string_view server_first);
  LoginStep check_signature(std::string_view server_final);
  Input input_;
  State state_ = State::authenticating;
  std::vector<std::pair<std::string, std::string>> parameters_;
  std::uint32_t backend_pid_ = 0;
  std::string cancel_key_;
  std::string client_first_bare_, gs2_header_, nonce_, expected_server_signature_;
  std::size_t messages_ = 0;
  bool plus_ = false;
};

}  // namespace turnout::protocol::pg
