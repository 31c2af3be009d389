// Login conversations of the MySQL protocol as step-by-step state machines, both roles. No I/O, no clock; random bytes
// and keys are arguments. Messages come in whole, with the number of their packet; what goes out is packets, ready to
// be sent.
//
// Secrets are compared in a time that does not depend on them, and wiped where they were only passing. A password in
// clear leaves, and is accepted, only inside TLS or encrypted with RSA.
// Source: MySQL "Connection Phase", "Caching_sha2_password information", "sha256_password information", "Native
// Authentication"; MariaDB "Connection"; golden files login_…, client_….
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/mysql/greeting.h"
#include "protocol/mysql/password.h"
#include "protocol/secret_bytes.h"

namespace turnout::protocol::mysql {

inline constexpr std::string_view native_plugin = "mysql_native_password";
inline constexpr std::string_view sha2_plugin = "caching_sha2_password";
inline constexpr std::string_view sha256_plugin = "sha256_password";
inline constexpr std::string_view ed25519_plugin = "client_ed25519";

// No honest message of a login is longer: attributes of a connection may have 64 KB.
inline constexpr std::uint32_t login_bytes_max = 70'000;

// ---- secrets -------------------------------------------------------------------------------------------------------

// What the users file says of a user, or what a login taught us.
struct Secret {
  enum class Kind : std::uint8_t {
    empty,        // an empty password
    plain,        // text: the password
    native_hash,  // text: 20 bytes, SHA1(SHA1(password)): verifies mysql_native_password
    native_once,  // text: 20 bytes, SHA1(password): learned; logs in with mysql_native_password
    sha2_once,    // text: 32 bytes, SHA256(password): learned; logs in where the server remembers the user
    crypt,        // text: "$A$005$…" or "$5$…": verifies a password that was sent whole
    // Pass-through: any password but an empty one, sent whole, is accepted and learned(); a server has to prove it
    // then. text: the one that was proven last, "" = none; it is learned() without being sent whole, and its use ends
    // nothing: whoever does not know it is asked for a whole one.
    unproven,
  };
  Kind kind = Kind::empty;
  SecretBytes text;

  // Does it log in to a server that may ask for the password itself?
  [[nodiscard]] bool is_whole() const { return kind == Kind::plain || kind == Kind::empty; }
};

// As in a users file or in mysql.user: "" is an empty password, "*" and 40 hex digits is a hash, "$A$…" and "$5$…" are
// kept passwords, also in hexadecimal ("0x24…", as SHOW CREATE USER prints them), everything else is a password.
// Nothing: it begins like a hash and is none; `mistake` says so.
[[nodiscard]] std::optional<Secret> parse_secret(std::string_view text, std::string& mistake);

struct UserEntry {
  std::string name;
  Secret secret;
};
// The users file (protocol/user_lines.h).
struct Users {
  std::vector<UserEntry> users;
  std::vector<std::string> mistakes;
};
[[nodiscard]] Users parse_users(std::string_view text);

// ---- what a conversation wants next --------------------------------------------------------------------------------

struct LoginStep {
  enum class Status : std::uint8_t {
    more,       // send, then wait for the peer
    start_tls,  // send, then TLS begins; towards servers tls_started() goes on, towards clients their next message
    user,       // towards clients: user() is known; look for the secret, then answer_for()
    done,       // towards clients: send, then the OK, which is the caller's, with next_number(); to servers: logged in
    failed,     // towards clients: send, the error is in it; both: the connection has to end
  };
  Status status = Status::more;
  std::string send;
  std::uint16_t error_number = 0;
  std::string sqlstate;
  std::string message;  // for the peer, or from it; never says whether a user exists
  std::string detail;   // for our log only
};

// ---- we are the server: a client logs in ---------------------------------------------------------------------------

class ClientLogin {
 public:
  struct Input {
    std::string server_version;
    std::uint32_t connection_id = 0;
    Capabilities offered = 0;  // offer(); with TLS it is in there
    std::uint8_t collation = 45;
    std::uint16_t status = 2;           // autocommit
    std::string plugin{sha2_plugin};    // which the greeting names, and unknown users are asked for
    std::string client_host;            // for the error: Access denied for user 'u'@'host'
    Nonce nonce{};                      // random, no zeros: of the greeting
    Nonce switch_nonce{};               // the same, for a change of plugin
    std::shared_ptr<const RsaKey> key;  // without one, whole passwords come only inside TLS
    bool is_private = false;            // inside TLS already, or a socket of this machine
    bool requires_tls = false;
    bool learns_passwords = false;  // asks for whole passwords where it could do without, to log in with them elsewhere
  };
  explicit ClientLogin(Input input);
  // COM_CHANGE_USER on a connection that is logged in: the nonce of the greeting is not used again. `number`: of its
  // packet. Ends as a login does.
  ClientLogin(Input input, const ChangeUser& change, Capabilities agreed, std::uint8_t number);

  // The greeting; for a change of user: status `user`.
  [[nodiscard]] LoginStep start();
  [[nodiscard]] LoginStep on_message(std::uint8_t number, Bytes payload);
  // After status `user`. Absent: no such user; the conversation runs on as for others, and fails.
  [[nodiscard]] LoginStep answer_for(std::optional<Secret> secret);

  [[nodiscard]] const HandshakeResponse& response() const { return response_; }  // user, database, attributes …
  [[nodiscard]] const std::string& user() const { return response_.user; }
  [[nodiscard]] Capabilities agreed() const { return agreed_; }
  [[nodiscard]] std::uint8_t next_number() const { return number_; }
  // After done: what logs in to a server as this user, if the conversation taught us more than we had; of an unproven
  // one always.
  [[nodiscard]] const std::optional<Secret>& learned() const { return learned_; }

 private:
  enum class State : std::uint8_t {
    fresh,          // start() has not been called
    greeted,        // the response, or the wish for TLS, is to come
    awaiting_user,  // the caller looks for the secret
    switched,       // another plugin asked for, its response is to come
    whole_asked,    // the whole password is to come, or the wish for our public key
    key_sent,       // the password, encrypted, is to come
    done,
    failed,
  };
  LoginStep fail(std::string detail);
  LoginStep fail_with(std::uint16_t number, std::string_view sqlstate, std::string message);
  LoginStep fail_protocol(std::string message);
  LoginStep fail_without_tls();
  LoginStep say(std::string_view payload);
  LoginStep succeed(std::string send = {});
  LoginStep on_response(Bytes payload);
  LoginStep check(std::string_view response);
  LoginStep check_native(std::string_view response);
  LoginStep check_sha2(std::string_view response);
  LoginStep check_sha256(std::string_view response);
  LoginStep check_whole(std::string password);
  LoginStep take_whole(std::string_view bytes);
  LoginStep send_key();
  LoginStep switch_plugin();
  LoginStep not_remembered();
  LoginStep ask_whole();
  LoginStep on_whole(Bytes payload);
  LoginStep on_encrypted(std::string_view bytes);
  [[nodiscard]] bool keeps_old_nonce() const;
  [[nodiscard]] std::string_view plugin_for_secret() const;
  [[nodiscard]] bool can_take_whole() const { return is_private_ || input_.key; }
  [[nodiscard]] bool can_do(std::string_view plugin) const;

  Input input_;
  State state_ = State::fresh;
  HandshakeResponse response_;
  std::optional<Secret> secret_;
  std::optional<Secret> learned_;
  std::string plugin_;  // of the response that is being checked
  std::string nonce_;
  Capabilities agreed_ = 0;
  std::uint8_t number_ = 0;  // of the next packet, whoever's
  bool is_change_ = false;
  bool is_private_ = false;
  bool has_begun_tls_ = false;
};

// ---- we are the client: log in to a server -------------------------------------------------------------------------

class ServerLogin {
 public:
  enum class Tls : std::uint8_t { never, if_offered, required };
  struct Input {
    std::string user;
    std::string database;
    Secret secret;
    Capabilities dialect = 0;  // of the sessions it is for (capabilities.h)
    std::uint8_t collation = 45;
    std::uint32_t message_bytes_max = 1U << 30;
    Attributes attributes;
    Tls tls = Tls::if_offered;
    bool is_local = false;       // a socket of this machine: as good as TLS
    bool may_fetch_key = false;  // RSA with a key that the server sends in clear: who is in between can send his own
    std::string server_key_pem;  // RSA with a key known before
  };
  explicit ServerLogin(Input input);
  [[nodiscard]] LoginStep on_message(std::uint8_t number, Bytes payload);
  [[nodiscard]] LoginStep tls_started();  // after status start_tls

  // Of the greeting, once it came.
  [[nodiscard]] bool is_mariadb() const { return is_mariadb_; }
  [[nodiscard]] const std::string& server_version() const { return server_version_; }
  [[nodiscard]] std::uint8_t collation() const { return collation_; }
  [[nodiscard]] std::uint32_t connection_id() const { return connection_id_; }
  [[nodiscard]] Capabilities server_capabilities() const { return server_capabilities_; }
  // After done: what both agreed on, and the payload of the OK, for its status and its session state changes.
  [[nodiscard]] Capabilities capabilities() const { return capabilities_; }
  [[nodiscard]] const std::string& ok_payload() const { return ok_payload_; }

 private:
  enum class State : std::uint8_t {
    greeting,    // to come
    tls,         // asked for
    responded,   // the server may switch, ask for more, or decide
    whole_sent,  // only its decision is to come
    key_asked,   // its public key is to come
    done,
    failed,
  };
  LoginStep fail(std::string message);
  LoginStep on_greeting(Bytes payload);
  LoginStep respond();
  LoginStep on_switch(Bytes payload);
  LoginStep on_more(std::string_view data);
  LoginStep on_error(Bytes payload);
  LoginStep on_ok(Bytes payload);
  LoginStep on_key(std::string_view pem);
  LoginStep send_whole(std::uint8_t key_request);
  LoginStep say(std::string_view payload, State next);
  [[nodiscard]] std::optional<std::string> response_of(std::string_view plugin, std::string& mistake);
  [[nodiscard]] std::string handshake_response(bool asks_for_tls, std::string_view auth) const;
  [[nodiscard]] bool is_private() const { return input_.is_local || is_tls_; }

  Input input_;
  State state_ = State::greeting;
  std::string server_version_, plugin_, nonce_, ok_payload_;
  std::uint32_t connection_id_ = 0;
  Capabilities server_capabilities_ = 0, capabilities_ = 0;
  std::uint8_t number_ = 0;
  std::uint8_t switches_ = 0;
  std::uint8_t collation_ = 0;  // the server's own
  bool is_mariadb_ = false, is_tls_ = false;
};

}  // namespace turnout::protocol::mysql
