#include "protocol/mysql/wire.h"

namespace turnout::protocol::mysql {

std::optional<Bytes> Reader::take(std::uint64_t count) {
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

std::optional<std::uint8_t> Reader::u8() {
  return number<std::uint8_t>(1);
}

std::optional<std::uint16_t> Reader::u16() {
  return number<std::uint16_t>(2);
}

std::optional<std::uint32_t> Reader::u24() {
  return number<std::uint32_t>(3);
}

std::optional<std::uint32_t> Reader::u32() {
  return number<std::uint32_t>(4);
}

std::optional<std::uint64_t> Reader::u64() {
  return number<std::uint64_t>(8);
}

std::optional<std::uint64_t> Reader::length() {
  const auto first = u8();
  if (!first) return std::nullopt;
  switch (*first) {
    case 0xfc:
      return number<std::uint64_t>(2);
    case 0xfd:
      return number<std::uint64_t>(3);
    case 0xfe:
      return number<std::uint64_t>(8);
    case 0xfb:  // NULL in a row
    case 0xff:  // an error
      left_ = {};
      return std::nullopt;
    default:
      return *first;
  }
}

std::optional<std::string_view> Reader::counted() {
  const auto size = length();
  if (!size) return std::nullopt;
  const auto bytes = take(*size);
  return bytes ? std::optional(text(*bytes)) : std::nullopt;
}

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
  for (std::size_t i = 0; i < bytes; ++i) out_.push_back(static_cast<char>(value >> (8 * i)));
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
    writer.u24(static_cast<std::uint32_t>(part.size())).u8(number++).raw(part);
    payload.remove_prefix(part.size());
    if (part.size() < payload_bytes_max) return number;
  }
}

}  // namespace turnout::protocol::mysql
