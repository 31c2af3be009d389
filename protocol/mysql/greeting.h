// The messages of the login: the server's greeting, the client's response, change of plugin and what plugins say.
//
// Parsed values are views into the payload, or copies where they outlive it. A message that is cut short, or whose
// lengths do not fit, is nothing; what old and careless clients leave out at the end is forgiven as servers do.
// Source: MySQL "HandshakeV10", "HandshakeResponse41", "SSLRequest", "AuthSwitchRequest", "COM_CHANGE_USER"; MariaDB
// "Connection"; golden files login_….
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/mysql/capabilities.h"
#include "protocol/mysql/wire.h"

namespace turnout::protocol::mysql {

inline constexpr std::size_t nonce_bytes = 20;
using Nonce = std::array<std::uint8_t, nonce_bytes>;  // no byte of it is zero: old clients read it as a string

struct Greeting {
  std::string_view server_version;  // MariaDB's begin with "5.5.5-" so that old replicas believe in them
  std::uint32_t connection_id = 0;
  Capabilities capabilities = 0;
  std::uint8_t collation = 0;  // low byte of its number
  std::uint16_t status = 0;
  std::string nonce;  // without the zero behind it
  std::string_view plugin;
  [[nodiscard]] bool is_mariadb() const { return server_version.find("MariaDB") != std::string_view::npos; }
};
[[nodiscard]] std::optional<Greeting> parse_greeting(Bytes payload);
void put_greeting(std::string& payload, const Greeting& greeting);

using Attributes = std::vector<std::pair<std::string, std::string>>;

struct HandshakeResponse {
  Capabilities capabilities = 0;
  std::uint32_t message_bytes_max = 0;
  std::uint8_t collation = 0;
  bool asks_for_tls = false;  // an SSLRequest: nothing follows; the client says it all again inside TLS
  std::string user;
  std::string auth;
  std::string database;
  std::string plugin;  // empty: mysql_native_password
  Attributes attributes;
};
// What only its first half says (capabilities …) is right even when it asks for TLS.
[[nodiscard]] std::optional<HandshakeResponse> parse_handshake_response(Bytes payload);
// With `asks_for_tls` only its first half.
void put_handshake_response(std::string& payload, const HandshakeResponse& response);

struct ChangeUser {
  std::string user;
  std::string auth;
  std::string database;
  std::uint16_t collation = 0;  // 0: the client did not say
  std::string plugin;
  Attributes attributes;
};
[[nodiscard]] std::optional<ChangeUser> parse_change_user(Bytes payload, Capabilities capabilities);
void put_change_user(std::string& payload, const ChangeUser& change, Capabilities capabilities);

struct AuthSwitch {
  std::string_view plugin;
  std::string_view data;  // the nonce and a zero, mostly
};
inline constexpr std::uint8_t auth_switch_byte = 0xfe;
inline constexpr std::uint8_t auth_more_byte = 0x01;
// Nothing also for the form without a plugin, which asks for passwords of before 4.1.
[[nodiscard]] std::optional<AuthSwitch> parse_auth_switch(Bytes payload);
void put_auth_switch(std::string& payload, const AuthSwitch& change);
void put_auth_more(std::string& payload, std::string_view data);

}  // namespace turnout::protocol::mysql
