// Frames and fields of the Postgres v3 protocol: reading without trusting a length, building our own messages.
//
// A message after start-up is: type (1 byte), length (4 bytes, big endian, counts itself but not the type), body.
// Source: PostgreSQL manual 55.7 "Message Formats"; golden files tests/golden/pg15.
// Nothing here allocates from a declared length; readers return nothing instead of reading past the end.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/bytes.h"

namespace turnout::protocol::pg {

using protocol::Bytes;
using protocol::bytes_of;
using protocol::text;

inline constexpr std::size_t header_bytes = 5;
inline constexpr std::uint32_t protocol_3_0 = 3U << 16;
inline constexpr std::uint32_t protocol_3_2 = 3U << 16 | 2U;  // PostgreSQL 18; it adds cancel keys of 4 to 256 bytes
inline constexpr std::uint32_t ssl_request_code = 80877103;
inline constexpr std::uint32_t gss_request_code = 80877104;
inline constexpr std::uint32_t cancel_request_code = 80877102;

[[nodiscard]] inline std::uint32_t load_u32(const std::uint8_t* at) {
  return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
         static_cast<std::uint32_t>(at[2]) << 8 | static_cast<std::uint32_t>(at[3]);
}
[[nodiscard]] inline std::uint16_t load_u16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

enum class Framing { complete, incomplete, malformed };

struct Header {
  char type = 0;
  std::uint32_t body = 0;  // bytes after the header
  [[nodiscard]] std::size_t total() const { return header_bytes + std::size_t{body}; }
};

// incomplete: fewer than five bytes. malformed: a length below 4 or above length_max.
[[nodiscard]] inline Framing read_header(Bytes data, std::uint64_t length_max, Header& header) {
  if (data.size() < header_bytes) return Framing::incomplete;
  const std::uint32_t length = load_u32(data.data() + 1);
  if (length < 4 || length > length_max) return Framing::malformed;
  header = {static_cast<char>(data[0]), length - 4};
  return Framing::complete;
}

// Walks a body. Every getter returns nothing once the body is too short, and from then on.
class Reader {
 public:
  explicit Reader(Bytes body) : left_(body) {}
  [[nodiscard]] std::optional<std::uint8_t> u8();
  [[nodiscard]] std::optional<std::uint16_t> u16();
  [[nodiscard]] std::optional<std::uint32_t> u32();
  [[nodiscard]] std::optional<std::string_view> cstring();  // without its zero
  [[nodiscard]] std::optional<Bytes> take(std::size_t count);
  [[nodiscard]] Bytes rest() const { return left_; }
  [[nodiscard]] bool is_empty() const { return left_.empty(); }

 private:
  Bytes left_;
};

// Appends messages to a string. begin() … end() frames one; the length is filled in by end().
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  Writer& begin(char type);
  Writer& u8(std::uint8_t value);
  Writer& u16(std::uint16_t value);
  Writer& u32(std::uint32_t value);
  Writer& cstring(std::string_view value);
  Writer& raw(std::string_view value);
  void end();

 private:
  std::string& out_;
  std::size_t start_ = 0;
};

// ---- messages we make ----------------------------------------------------------------------------------------------
struct ErrorFields {
  std::string severity = "ERROR";
  std::string sqlstate = "XX000";
  std::string message;
  std::string detail;
  std::string hint;
};
void put_error(std::string& out, const ErrorFields& fields);
// An ErrorResponse body of a server, sent on as it is.
void put_raw_error(std::string& out, std::string_view body);
void put_ready_for_query(std::string& out, char status);
void put_parameter_status(std::string& out, std::string_view name, std::string_view value);
void put_backend_key_data(std::string& out, std::uint32_t pid, std::string_view key);
void put_command_complete(std::string& out, std::string_view tag);
void put_empty_message(std::string& out, char type);  // ParseComplete, CloseComplete, Sync, …
void put_query(std::string& out, std::string_view sql);
void put_close_statement(std::string& out, std::string_view name);
void put_cancel_request(std::string& out, std::uint32_t pid, std::string_view key);
// `version` is the whole number, major included: the manual says "minor", servers and libpq mean this.
void put_negotiate_version(std::string& out, std::uint32_t version, const std::vector<std::string>& unknown);

// ---- messages we read ----------------------------------------------------------------------------------------------
// Never throws; absent fields are empty (CVE-2026-6666: an ErrorResponse may lack its SQLSTATE).
[[nodiscard]] ErrorFields parse_error(Bytes body);

struct StartupPacket {
  enum class Kind { incomplete, malformed, ssl_request, gss_request, cancel, startup, unsupported_version };
  Kind kind = Kind::incomplete;
  std::size_t consumed = 0;  // bytes of the packet
  std::uint32_t version = 0;
  std::uint32_t cancel_pid = 0;
  std::string cancel_key;
  std::vector<std::pair<std::string, std::string>> parameters;  // as sent, _pq_. options included
};
[[nodiscard]] StartupPacket parse_startup(Bytes data, std::uint32_t bytes_max);

}  // namespace turnout::protocol::pg
