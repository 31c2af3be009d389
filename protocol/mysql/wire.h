// Packets and fields of the MySQL client/server protocol: reading without trusting a length, building our own packets.
//
// A packet is: length (3 bytes, little endian), number (1 byte), payload. A payload of 16 777 215 bytes goes on in the
// next packet; the last part is shorter, and may be empty. All parts together are one message. Numbers count packets
// from 0 in each command, through the answer, and wrap at 255.
// Source: MySQL "Client/Server Protocol", Protocol Basics; MariaDB "0 - Packet"; golden files
// tests/golden/{mariadb10,mysql97}. Nothing here allocates from a declared length; readers return nothing instead of
// reading past the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/bytes.h"

namespace turnout::protocol::mysql {

using protocol::Bytes;
using protocol::bytes_of;
using protocol::text;

inline constexpr std::size_t header_bytes = 4;
inline constexpr std::uint32_t payload_bytes_max = 0xff'ffff;  // of one packet; exactly so many: the message goes on

[[nodiscard]] inline std::uint16_t load_u16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] | at[1] << 8);
}
[[nodiscard]] inline std::uint32_t load_u24(const std::uint8_t* at) {
  return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
         static_cast<std::uint32_t>(at[2]) << 16;
}
[[nodiscard]] inline std::uint32_t load_u32(const std::uint8_t* at) {
  return load_u24(at) | static_cast<std::uint32_t>(at[3]) << 24;
}

struct Header {
  std::uint32_t payload = 0;  // bytes after the header
  std::uint8_t number = 0;
  [[nodiscard]] std::size_t total() const { return header_bytes + std::size_t{payload}; }
  [[nodiscard]] bool goes_on() const { return payload == payload_bytes_max; }  // the next packet is of the same message
};

// False: fewer than four bytes. Any four bytes are a header; what a length is worth is for its reader to say.
[[nodiscard]] inline bool read_header(Bytes data, Header& header) {
  if (data.size() < header_bytes) return false;
  header = {load_u24(data.data()), data[3]};
  return true;
}

// Follows the packets of one direction: which of them begin a message, and whether their numbers are right.
class PacketTrack {
 public:
  // The next message begins with this number (0: a command; for an answer, how many packets the command had).
  void expect(std::uint8_t number) {
    next_ = number;
    is_inside_ = false;
  }
  // False: the number is not the one that follows; the connection has to end.
  [[nodiscard]] bool take(const Header& header) {
    if (header.number != next_) return false;
    ++next_;
    begins_ = !is_inside_;
    is_inside_ = header.goes_on();
    return true;
  }
  [[nodiscard]] bool begins() const { return begins_; }        // the packet taken last is the first of its message
  [[nodiscard]] bool is_inside() const { return is_inside_; }  // the message of the packet taken last goes on
  [[nodiscard]] std::uint8_t next() const { return next_; }

 private:
  std::uint8_t next_ = 0;
  bool begins_ = false;
  bool is_inside_ = false;
};

// Walks a payload. Every getter returns nothing once the payload is too short, and from then on. Inline, what every
// answer is read with.
class Reader {
 public:
  explicit Reader(Bytes payload) : left_(payload) {}
  [[nodiscard]] std::optional<std::uint8_t> u8();
  [[nodiscard]] std::optional<std::uint16_t> u16();
  [[nodiscard]] std::optional<std::uint32_t> u24();
  [[nodiscard]] std::optional<std::uint32_t> u32();
  [[nodiscard]] std::optional<std::uint64_t> u64();
  [[nodiscard]] std::optional<std::uint64_t> length();            // length-encoded integer; 0xfb and 0xff are none
  [[nodiscard]] std::optional<std::string_view> counted();        // length-encoded string
  [[nodiscard]] std::optional<std::string_view> short_counted();  // one byte of length, then the string
  [[nodiscard]] std::optional<std::string_view> cstring();        // without its zero, which must be there
  [[nodiscard]] std::optional<Bytes> take(std::uint64_t count);
  [[nodiscard]] Bytes rest() const { return left_; }
  [[nodiscard]] bool is_empty() const { return left_.empty(); }

 private:
  template <typename Number>
  std::optional<Number> number(std::size_t bytes);

  Bytes left_;
};

inline std::optional<Bytes> Reader::take(std::uint64_t count) {
  if (left_.size() < count) {
    left_ = {};
    return std::nullopt;
  }
  const Bytes taken = left_.first(static_cast<std::size_t>(count));
  left_ = left_.subspan(static_cast<std::size_t>(count));
  return taken;
}

template <typename Number>
std::optional<Number> Reader::number(std::size_t bytes) {
  const auto taken = take(bytes);
  if (!taken) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = value << 8 | (*taken)[i];
  return static_cast<Number>(value);
}

inline std::optional<std::uint8_t> Reader::u8() {
  return number<std::uint8_t>(1);
}

inline std::optional<std::uint16_t> Reader::u16() {
  return number<std::uint16_t>(2);
}

inline std::optional<std::uint32_t> Reader::u24() {
  return number<std::uint32_t>(3);
}

inline std::optional<std::uint32_t> Reader::u32() {
  return number<std::uint32_t>(4);
}

inline std::optional<std::uint64_t> Reader::u64() {
  return number<std::uint64_t>(8);
}

inline std::optional<std::uint64_t> Reader::length() {
  const auto first = u8();
  if (!first) return std::nullopt;
  if (*first < 0xfb) return *first;
  switch (*first) {
    case 0xfc:
      return number<std::uint64_t>(2);
    case 0xfd:
      return number<std::uint64_t>(3);
    case 0xfe:
      return number<std::uint64_t>(8);
    default:  // 0xfb: NULL in a row; 0xff: an error
      left_ = {};
      return std::nullopt;
  }
}

inline std::optional<std::string_view> Reader::counted() {
  const auto size = length();
  if (!size) return std::nullopt;
  const auto bytes = take(*size);
  return bytes ? std::optional(text(*bytes)) : std::nullopt;
}

// Appends fields to a payload.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  Writer& u8(std::uint8_t value);
  Writer& u16(std::uint16_t value);
  Writer& u24(std::uint32_t value);
  Writer& u32(std::uint32_t value);
  Writer& u64(std::uint64_t value);
  Writer& length(std::uint64_t value);
  Writer& counted(std::string_view value);
  Writer& short_counted(std::string_view value);  // at most 255 bytes
  Writer& cstring(std::string_view value);        // up to its first zero, if it has one
  Writer& raw(std::string_view value);
  Writer& zeros(std::size_t count);

 private:
  Writer& little(std::uint64_t value, std::size_t bytes);
  std::string& out_;
};

// Appends a whole message as one packet or more; returns the number that comes next.
std::uint8_t put_message(std::string& out, std::uint8_t number, std::string_view payload);

}  // namespace turnout::protocol::mysql
