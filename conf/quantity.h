// The scalar values of a configuration: whole numbers, durations and sizes, read without the traps of YAML.
//
// No octal, no hexadecimal, no sign, no exponent, no fraction, no silent wrap-around: what is not plain digits (and a
// unit, where one is due) is refused with the spelling that would have been right. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turnout::conf {

template <typename Value>
struct Parsed {
  Value value{};
  std::string error;  // empty = value holds
  [[nodiscard]] bool is_ok() const { return error.empty(); }
};

[[nodiscard]] Parsed<std::uint64_t> parse_count(std::string_view text);
// Milliseconds. "100ms", "5s", "10m" or "10min", "72h", "3d"; a bare 0 is the only number without a unit.
[[nodiscard]] Parsed<std::uint64_t> parse_duration_ms(std::string_view text);
// Bytes. "512", "512B", "16kB", "64MB", "64MiB", "8GiB": every unit counts in 1024s, as in postgresql.conf.
[[nodiscard]] Parsed<std::uint64_t> parse_bytes(std::string_view text);

// The shortest exact spelling that the parsers above read back.
[[nodiscard]] std::string duration_text(std::uint64_t ms);
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

}  // namespace turnout::conf
