#include "protocol/mysql/greeting.h"

#include <algorithm>

namespace turnout::protocol::mysql {
namespace {

constexpr std::uint8_t protocol_10 = 10;
constexpr std::size_t first_nonce_bytes = 8;
constexpr std::uint8_t change_user_command = 0x11;

bool has(Capabilities set, Capabilities one) {
  return (set & one) != 0;
}

// A string at the very end of a message, which some clients do not end with a zero.
std::string_view last_cstring(Reader& reader) {
  const std::string_view rest = text(reader.rest());
  if (rest.find('\0') == std::string_view::npos) {
    static_cast<void>(reader.take(rest.size()));
    return rest;
  }
  return *reader.cstring();
}

// False: they are there, but damaged.
bool take_attributes(Reader& reader, Attributes& attributes) {
  if (reader.is_empty()) return true;
  const auto block = reader.counted();
  if (!block) return false;
  Reader pairs(bytes_of(*block));
  while (!pairs.is_empty()) {
    const auto name = pairs.counted();
    const auto value = pairs.counted();
    if (!name || !value) return false;
    attributes.emplace_back(*name, *value);
  }
  return true;
}

void put_attributes(Writer& writer, const Attributes& attributes) {
  std::string block;
  Writer pairs(block);
  for (const auto& [name, value] : attributes) pairs.counted(name).counted(value);
  writer.counted(block);
}

}  // namespace

std::optional<Greeting> parse_greeting(Bytes payload) {
  Reader reader(payload);
  if (reader.u8() != protocol_10) return std::nullopt;
  Greeting greeting;
  const auto version = reader.cstring();
  const auto connection_id = reader.u32();
  const auto nonce = reader.take(first_nonce_bytes);
  const auto filler = reader.u8();
  const auto low = reader.u16();
  if (!version || !connection_id || !nonce || !filler || !low) return std::nullopt;
  greeting.server_version = *version;
  greeting.connection_id = *connection_id;
  greeting.nonce = text(*nonce);
  greeting.capabilities = *low;
  if (reader.is_empty()) return greeting;  // of before 4.1: its capabilities say so

  const auto collation = reader.u8();
  const auto status = reader.u16();
  const auto high = reader.u16();
  const auto nonce_size = reader.u8();
  const auto reserved = reader.take(6);
  const auto extended = reader.u32();
  if (!collation || !status || !high || !nonce_size || !reserved || !extended) return std::nullopt;
  greeting.collation = *collation;
  greeting.status = *status;
  greeting.capabilities |= Capabilities{*high} << 16;
  if (!has(greeting.capabilities, capability::long_password)) greeting.capabilities |= Capabilities{*extended} << 32;
  if (has(greeting.capabilities, capability::secure_connection)) {
    const std::size_t size = std::max<std::size_t>(13, *nonce_size > 8 ? *nonce_size - 8U : 0U);
    const auto more = reader.take(size);
    if (!more) return std::nullopt;
    greeting.nonce += text(*more);
    if (greeting.nonce.back() == '\0') greeting.nonce.pop_back();
  }
  if (has(greeting.capabilities, capability::plugin_auth)) greeting.plugin = last_cstring(reader);
  return greeting;
}

void put_greeting(std::string& payload, const Greeting& greeting) {
  std::string nonce = greeting.nonce;
  nonce.resize(nonce_bytes, '\0');
  const Capabilities capabilities = greeting.capabilities;
  Writer writer(payload);
  writer.u8(protocol_10).cstring(greeting.server_version).u32(greeting.connection_id);
  writer.raw(std::string_view(nonce).substr(0, first_nonce_bytes)).u8(0);
  writer.u16(static_cast<std::uint16_t>(capabilities)).u8(greeting.collation).u16(greeting.status);
  writer.u16(static_cast<std::uint16_t>(capabilities >> 16)).u8(nonce_bytes + 1).zeros(6);
  writer.u32(has(capabilities, capability::long_password) ? 0 : static_cast<std::uint32_t>(capabilities >> 32));
  writer.raw(std::string_view(nonce).substr(first_nonce_bytes)).u8(0).cstring(greeting.plugin);
}

std::optional<HandshakeResponse> parse_handshake_response(Bytes payload) {
  Reader reader(payload);
  const auto low = reader.u32();
  const auto message_bytes_max = reader.u32();
  const auto collation = reader.u8();
  const auto reserved = reader.take(19);
  const auto extended = reader.u32();
  if (!low || !message_bytes_max || !collation || !reserved || !extended) return std::nullopt;
  HandshakeResponse response;
  response.capabilities = *low;
  if (!has(*low, capability::protocol_41)) return std::nullopt;
  if (!has(*low, capability::long_password)) response.capabilities |= Capabilities{*extended} << 32;
  response.message_bytes_max = *message_bytes_max;
  response.collation = *collation;
  if (reader.is_empty()) {
    response.asks_for_tls = has(*low, capability::tls);
    return response.asks_for_tls ? std::optional(response) : std::nullopt;
  }
  const auto user = reader.cstring();
  if (!user) return std::nullopt;
  response.user = *user;
  const bool is_counted = has(*low, capability::secure_connection);
  const auto auth = has(*low, capability::long_auth_response) ? reader.counted()
                    : is_counted                              ? reader.short_counted()
                                                              : reader.cstring();
  if (!auth) return std::nullopt;
  response.auth = *auth;
  if (has(*low, capability::connect_with_db) && !reader.is_empty()) {
    const auto database = reader.cstring();
    if (!database) return std::nullopt;
    response.database = *database;
  }
  if (has(*low, capability::plugin_auth)) response.plugin = last_cstring(reader);
  if (has(*low, capability::connect_attributes) && !take_attributes(reader, response.attributes)) return std::nullopt;
  return response;
}

void put_handshake_response(std::string& payload, const HandshakeResponse& response) {
  const Capabilities capabilities = response.capabilities;
  Writer writer(payload);
  writer.u32(static_cast<std::uint32_t>(capabilities)).u32(response.message_bytes_max).u8(response.collation).zeros(19);
  writer.u32(has(capabilities, capability::long_password) ? 0 : static_cast<std::uint32_t>(capabilities >> 32));
  if (response.asks_for_tls) return;
  writer.cstring(response.user);
  if (has(capabilities, capability::long_auth_response))
    writer.counted(response.auth);
  else
    writer.short_counted(response.auth);
  if (has(capabilities, capability::connect_with_db)) writer.cstring(response.database);
  if (has(capabilities, capability::plugin_auth)) writer.cstring(response.plugin);
  if (has(capabilities, capability::connect_attributes)) put_attributes(writer, response.attributes);
}

std::optional<ChangeUser> parse_change_user(Bytes payload, Capabilities capabilities) {
  Reader reader(payload);
  if (reader.u8() != change_user_command) return std::nullopt;
  const auto user = reader.cstring();
  const auto auth = has(capabilities, capability::secure_connection) ? reader.short_counted() : reader.cstring();
  if (!user || !auth) return std::nullopt;
  ChangeUser change;
  change.user = *user;
  change.auth = *auth;
  const auto database = reader.cstring();
  if (!database) return std::nullopt;
  change.database = *database;
  if (reader.is_empty()) return change;
  const auto collation = reader.u16();
  if (!collation) return std::nullopt;
  change.collation = *collation;
  if (has(capabilities, capability::plugin_auth)) change.plugin = last_cstring(reader);
  if (has(capabilities, capability::connect_attributes) && !take_attributes(reader, change.attributes))
    return std::nullopt;
  return change;
}

void put_change_user(std::string& payload, const ChangeUser& change, Capabilities capabilities) {
  Writer writer(payload);
  writer.u8(change_user_command).cstring(change.user).short_counted(change.auth).cstring(change.database);
  writer.u16(change.collation);
  if (has(capabilities, capability::plugin_auth)) writer.cstring(change.plugin);
  if (has(capabilities, capability::connect_attributes)) put_attributes(writer, change.attributes);
}

std::optional<AuthSwitch> parse_auth_switch(Bytes payload) {
  Reader reader(payload);
  if (reader.u8() != auth_switch_byte) return std::nullopt;
  const auto plugin = reader.cstring();
  if (!plugin || plugin->empty()) return std::nullopt;
  return AuthSwitch{*plugin, text(reader.rest())};
}

void put_auth_switch(std::string& payload, const AuthSwitch& change) {
  Writer(payload).u8(auth_switch_byte).cstring(change.plugin).raw(change.data);
}

void put_auth_more(std::string& payload, std::string_view data) {
  Writer(payload).u8(auth_more_byte).raw(data);
}

}  // namespace turnout::protocol::mysql
