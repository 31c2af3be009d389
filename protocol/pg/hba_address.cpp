// Numeric addresses, by the forms of RFC 4291 section 2.2. Our own few lines, because the C library's are in a header
// that also opens sockets.
#include <algorithm>
#include <charconv>
#include <string_view>

#include "protocol/pg/hba.h"

namespace turnout::protocol::pg {
namespace {

// A number of `digits_max` digits at most, at the front.
std::optional<unsigned> take_number(std::string_view& text, int base, std::size_t digits_max) {
  unsigned value = 0;
  const std::size_t length = std::min(text.size(), digits_max);
  const auto [end, error] = std::from_chars(text.data(), text.data() + length, value, base);
  if (error != std::errc{} || text.starts_with('-')) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// Four bytes to `out`; leading zeros are refused, because some programs read them as octal.
bool read_ipv4(std::string_view text, std::uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    if (i != 0) {
      if (!text.starts_with('.')) return false;
      text.remove_prefix(1);
    }
    const bool has_leading_zero = text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9';
    const auto value = take_number(text, 10, 3);
    if (!value || *value > 255 || has_leading_zero) return false;
    out[i] = static_cast<std::uint8_t>(*value);
  }
  return text.empty();
}

// Groups of two bytes up to `::` or the end; `text` keeps what is behind `::`. nullopt: no address.
std::optional<std::size_t> read_groups(std::string_view& text, std::uint8_t* out, std::size_t bytes_max) {
  std::size_t bytes = 0;
  while (!text.empty() && !text.starts_with("::")) {
    if (bytes != 0) {
      if (!text.starts_with(':')) return std::nullopt;
      text.remove_prefix(1);
    }
    const bool is_ipv4 = text.find(':') == std::string_view::npos && text.find('.') != std::string_view::npos;
    if (is_ipv4) {
      if (bytes + 4 > bytes_max || !read_ipv4(text, out + bytes)) return std::nullopt;
      text = {};
      return bytes + 4;
    }
    const auto group = take_number(text, 16, 4);
    if (!group || bytes + 2 > bytes_max) return std::nullopt;
    out[bytes++] = static_cast<std::uint8_t>(*group >> 8);
    out[bytes++] = static_cast<std::uint8_t>(*group);
  }
  return bytes;
}

}  // namespace

std::optional<AddressBytes> parse_address(std::string_view text) {
  AddressBytes bytes{};
  if (text.find(':') == std::string_view::npos) {
    bytes[10] = bytes[11] = 0xff;
    return read_ipv4(text, bytes.data() + 12) ? std::optional(bytes) : std::nullopt;
  }
  const auto before = read_groups(text, bytes.data(), bytes.size());
  if (!before) return std::nullopt;
  if (text.empty()) return *before == bytes.size() ? std::optional(bytes) : std::nullopt;
  text.remove_prefix(2);
  AddressBytes tail{};
  const auto after = read_groups(text, tail.data(), bytes.size() - *before);
  // `::` stands for at least one group, and only once.
  if (!after || !text.empty() || *before + *after > bytes.size() - 2) return std::nullopt;
  std::copy_n(tail.begin(), *after, bytes.end() - static_cast<std::ptrdiff_t>(*after));
  return bytes;
}

}  // namespace turnout::protocol::pg
