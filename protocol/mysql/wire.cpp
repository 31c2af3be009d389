#include "protocol/mysql/wire.h"

#include <array>

namespace turnout::protocol::mysql {

std::optional<std::string_view> Reader::short_counted() {
  const auto size = u8();
  if (!size) return std::nullopt;
  const auto bytes = take(*size);
  return bytes ? std::optional(text(*bytes)) : std::nullopt;
}

std::optional<std::string_view> Reader::cstring() {
  const std::string_view all = text(left_);
  const std::size_t zero = all.find('\0');
  if (zero == std::string_view::npos) {
    left_ = {};
    return std::nullopt;
  }
  left_ = left_.subspan(zero + 1);
  return all.substr(0, zero);
}

Writer& Writer::little(std::uint64_t value, std::size_t bytes) {
  std::array<char, sizeof value> digits{};
  for (std::size_t i = 0; i < digits.size(); ++i) digits[i] = static_cast<char>(value >> (8 * i));
  out_.append(digits.data(), bytes);
  return *this;
}

Writer& Writer::u8(std::uint8_t value) {
  return little(value, 1);
}

Writer& Writer::u16(std::uint16_t value) {
  return little(value, 2);
}

Writer& Writer::u24(std::uint32_t value) {
  return little(value, 3);
}

Writer& Writer::u32(std::uint32_t value) {
  return little(value, 4);
}

Writer& Writer::u64(std::uint64_t value) {
  return little(value, 8);
}

Writer& Writer::length(std::uint64_t value) {
  if (value < 0xfb) return u8(static_cast<std::uint8_t>(value));
  if (value <= 0xffff) return u8(0xfc).little(value, 2);
  if (value <= 0xff'ffff) return u8(0xfd).little(value, 3);
  return u8(0xfe).u64(value);
}

Writer& Writer::counted(std::string_view value) {
  return length(value.size()).raw(value);
}

Writer& Writer::short_counted(std::string_view value) {
  const std::string_view part = value.substr(0, 255);
  return u8(static_cast<std::uint8_t>(part.size())).raw(part);
}

Writer& Writer::cstring(std::string_view value) {
  return raw(value.substr(0, value.find('\0'))).u8(0);
}

Writer& Writer::raw(std::string_view value) {
  out_.append(value);
  return *this;
}

Writer& Writer::zeros(std::size_t count) {
  out_.append(count, '\0');
  return *this;
}

std::uint8_t put_message(std::string& out, std::uint8_t number, std::string_view payload) {
  Writer writer(out);
  for (;;) {
    const std::string_view part = payload.substr(0, payload_bytes_max);
    writer.u32(static_cast<std::uint32_t>(part.size()) | std::uint32_t{number++} << 24).raw(part);
    payload.remove_prefix(part.size());
    if (part.size() < payload_bytes_max) return number;
  }
}

}  // namespace turnout::protocol::mysql
