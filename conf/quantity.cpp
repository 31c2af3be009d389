#include "conf/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>

namespace turnout::conf {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Longest factor first, so that the text functions find the shortest spelling; the first name of a factor is printed.
constexpr std::array duration_units = {Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                                       Unit{"min", 60'000},   Unit{"s", 1'000},     Unit{"ms", 1}};
constexpr std::array size_units = {Unit{"TiB", 1ULL << 40},
                                   Unit{"TB", 1ULL << 40},
                                   Unit{"GiB", 1ULL << 30},
                                   Unit{"GB", 1ULL << 30},
                                   Unit{"MiB", 1ULL << 20},
                                   Unit{"MB", 1ULL << 20},
                                   Unit{"KiB", 1ULL << 10},
                                   Unit{"kiB", 1ULL << 10},
                                   Unit{"kB", 1ULL << 10},
                                   Unit{"KB", 1ULL << 10},
                                   Unit{"B", 1}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

std::string_view leading_digits(std::string_view text) {
  return text.substr(0, static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin()));
}

// `expected` completes "… is not"; digits are decimal whatever they begin with, so a leading zero is refused: other
// readers of the same file would take 010 for eight.
Parsed<std::uint64_t> read_digits(std::string_view digits, std::string_view whole, std::string_view expected) {
  if (digits.empty()) return {0, quoted(whole) + " is not " + std::string(expected)};
  if (digits.size() > 1 && digits.front() == '0') {
    const auto first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
    return {0, quoted(whole) + " begins with 0, which some readers take for octal; write " +
                   std::string(whole.substr(first))};
  }
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc{} || end != digits.data() + digits.size()) return {0, quoted(whole) + " is too large"};
  return {value, {}};
}

Parsed<std::uint64_t> scale(std::uint64_t number, std::uint64_t factor, std::string_view whole) {
  if (number > std::numeric_limits<std::uint64_t>::max() / factor) return {0, quoted(whole) + " is too large"};
  return {number * factor, {}};
}

std::string text_of(std::uint64_t value, std::span<const Unit> units) {
  for (const auto& unit : units) {
    if (value >= unit.factor && value % unit.factor == 0) {
      return std::to_string(value / unit.factor) + std::string(unit.name);
    }
  }
  return "0";
}

}  // namespace

Parsed<std::uint64_t> parse_count(std::string_view text) {
  constexpr std::string_view expected = "a whole number; write decimal digits only, such as 20";
  if (leading_digits(text).size() != text.size()) return {0, quoted(text) + " is not " + std::string(expected)};
  return read_digits(text, text, expected);
}

Parsed<std::uint64_t> parse_duration_ms(std::string_view text) {
  constexpr std::string_view expected = "a duration; write a whole number and ms, s, m, h or d, such as 100ms or 5s";
  const auto digits = leading_digits(text);
  auto number = read_digits(digits, text, expected);
  if (!number.is_ok()) return number;
  const auto suffix = text.substr(digits.size());
  if (suffix.empty()) {
    if (number.value == 0) return number;
    const std::string written(text);
    return {0, quoted(text) + " has no unit; write " + written + "s for seconds or " + written + "ms for milliseconds"};
  }
  const auto unit = std::ranges::find(duration_units, suffix, &Unit::name);
  if (unit == duration_units.end()) return {0, quoted(text) + " is not " + std::string(expected)};
  return scale(number.value, unit->factor, text);
}

Parsed<std::uint64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view expected = "a size; write a whole number and B, kB, MiB or GiB, such as 64MiB";
  const auto digits = leading_digits(text);
  auto number = read_digits(digits, text, expected);
  if (!number.is_ok()) return number;
  const auto suffix = text.substr(digits.size());
  if (suffix.empty()) return number;
  const auto unit = std::ranges::find(size_units, suffix, &Unit::name);
  if (unit == size_units.end()) return {0, quoted(text) + " is not " + std::string(expected)};
  return scale(number.value, unit->factor, text);
}

std::string duration_text(std::uint64_t ms) {
  return text_of(ms, duration_units);
}

std::string bytes_text(std::uint64_t bytes) {
  return text_of(bytes, size_units);
}

}  // namespace turnout::conf
