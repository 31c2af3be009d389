#include "protocol/mysql/kill.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <type_traits>

namespace turnout::protocol::mysql {
namespace {

bool is_blank(char c) {
  return static_cast<unsigned char>(c) <= ' ';
}

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// Blanks and comments; a comment that is executed stays, and is no word.
void skip(std::string_view& sql) {
  while (!sql.empty()) {
    std::size_t bytes = 0;
    if (is_blank(sql[0])) {
      bytes = 1;
    } else if (sql[0] == '#' || (sql.starts_with("--") && (sql.size() == 2 || is_blank(sql[2])))) {
      bytes = std::min(sql.find('\n'), sql.size());
    } else if (sql.starts_with("/*") && !sql.starts_with("/*!") && !sql.starts_with("/*M!")) {
      const std::size_t end = sql.find("*/", 2);
      if (end == std::string_view::npos) return;
      bytes = end + 2;
    } else {
      return;
    }
    sql.remove_prefix(bytes);
  }
}

std::string_view take_word(std::string_view& sql) {
  skip(sql);
  const auto end = std::find_if_not(sql.begin(), sql.end(), is_word_byte);
  const std::string_view word = sql.substr(0, static_cast<std::size_t>(end - sql.begin()));
  sql.remove_prefix(word.size());
  return word;
}

bool is_word(std::string_view word, std::string_view wanted) {
  return std::equal(word.begin(), word.end(), wanted.begin(), wanted.end(),
                    [](char a, char b) { return lower(a) == b; });
}

constexpr std::uint64_t nobodys = UINT64_MAX;

// Connector/J holds the number of a connection in 32 bits with a sign.
std::optional<std::uint64_t> of_negative(std::uint64_t magnitude) {
  if (magnitude == 0 || magnitude > 1ULL << 31U) return std::nullopt;
  return (1ULL << 32U) - magnitude;
}

std::optional<std::uint64_t> parse_number(std::string_view digits) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc::invalid_argument || end != digits.data() + digits.size()) return std::nullopt;
  return error == std::errc::result_out_of_range ? nobodys : number;
}

std::optional<std::uint64_t> parse_signed(std::string_view text) {
  if (!text.starts_with('-')) return parse_number(text);
  const auto magnitude = parse_number(text.substr(1));
  return magnitude ? of_negative(*magnitude) : std::nullopt;
}

std::optional<std::uint64_t> of_double(double value) {
  if (value != std::trunc(value) || value < -0x1p31) return std::nullopt;  // NaN as well
  if (value >= 0x1p64) return nobodys;
  return value < 0 ? of_negative(static_cast<std::uint64_t>(-value)) : static_cast<std::uint64_t>(value);
}

template <typename Number>
std::optional<std::uint64_t> of_integer(std::optional<Number> number, bool is_unsigned) {
  if (!number) return std::nullopt;
  const auto value = static_cast<std::int64_t>(static_cast<std::make_signed_t<Number>>(*number));
  if (is_unsigned || value >= 0) return *number;
  return of_negative(std::uint64_t{0} - static_cast<std::uint64_t>(value));
}

// Source: MySQL "Binary Protocol Value".
std::optional<std::uint64_t> number_of(Reader values, std::uint8_t type, bool is_unsigned) {
  switch (type) {
    case 0x01:  // TINY
      return of_integer(values.u8(), is_unsigned);
    case 0x02:  // SHORT
      return of_integer(values.u16(), is_unsigned);
    case 0x03:  // LONG
    case 0x09:  // INT24
      return of_integer(values.u32(), is_unsigned);
    case 0x08:  // LONGLONG
      return of_integer(values.u64(), is_unsigned);
    case 0x05: {  // DOUBLE
      const auto bits = values.u64();
      return bits ? of_double(std::bit_cast<double>(*bits)) : std::nullopt;
    }
    case 0x00:  // DECIMAL
    case 0x0f:  // VARCHAR
    case 0xf6:  // NEWDECIMAL
    case 0xf9:  // blobs and strings
    case 0xfa:
    case 0xfb:
    case 0xfc:
    case 0xfd:
    case 0xfe: {
      const auto text = values.counted();
      return text ? parse_signed(*text) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::uint64_t> killed_by(Bytes payload, const Execute& execute, std::string_view types) {
  const std::size_t bitmap_bytes = (execute.parameters + 7) / 8;
  if (types.size() < 2 || execute.flag_at < bitmap_bytes || execute.flag_at >= payload.size()) return std::nullopt;
  const bool is_null = (payload[execute.flag_at - bitmap_bytes] & 1U) != 0;
  if (is_null || execute.values_at > payload.size()) return std::nullopt;
  const auto flags = static_cast<std::uint8_t>(types[1]);
  return number_of(Reader(payload.subspan(execute.values_at)), static_cast<std::uint8_t>(types[0]),
                   (flags & 0x80U) != 0);
}

bool has_process_kill(bool is_mariadb, std::string_view version) {
  if (is_mariadb) return true;
  unsigned major = 0, minor = 0;
  const char* const end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc{} || dot == end || *dot != '.') return true;
  std::from_chars(dot + 1, end, minor);
  return major < 8 || (major == 8 && minor < 3);
}

std::optional<Kill> parse_kill(std::string_view sql) {
  skip(sql);
  if (sql.empty() || lower(sql[0]) != 'k' || !is_word(take_word(sql), "kill")) return std::nullopt;
  std::string_view word = take_word(sql);
  if (is_word(word, "hard") || is_word(word, "soft")) word = take_word(sql);
  Kill kill;
  kill.is_query_only = is_word(word, "query");
  if (kill.is_query_only || is_word(word, "connection")) word = take_word(sql);
  skip(sql);
  if (word.empty() && sql.starts_with('?')) {
    sql.remove_prefix(1);
    kill.is_parameter = true;
  } else {
    const bool is_negative = word.empty() && sql.starts_with('-');
    if (is_negative) {
      sql.remove_prefix(1);
      word = take_word(sql);
    }
    auto number = parse_number(word);
    if (number && is_negative) number = of_negative(*number);
    if (!number) return std::nullopt;
    kill.connection = *number;
  }
  skip(sql);
  if (sql.starts_with(';')) {
    sql.remove_prefix(1);
    skip(sql);
  }
  if (!sql.empty() && sql != std::string_view("\0", 1)) return std::nullopt;
  return kill;
}

}  // namespace turnout::protocol::mysql
