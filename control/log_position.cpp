#include "control/log_position.h"

#include <charconv>

namespace turnout::control {

namespace {

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t value = 0;
  const auto* const end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, value);
  if (digits.empty() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

struct FileName {
  std::string_view base;
  std::uint64_t number = 0;
};

std::optional<FileName> parse_file(std::string_view name) {
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  const auto number = number_of(name.substr(dot + 1));
  return number ? std::optional(FileName{name.substr(0, dot), *number}) : std::nullopt;
}

}  // namespace

std::string LogPosition::text() const {
  return file + ':' + std::to_string(offset);
}

std::optional<LogPosition> log_position_of(std::string_view file, std::string_view offset) {
  const auto number = number_of(offset);
  if (!number || !parse_file(file)) return std::nullopt;
  return LogPosition{std::string(file), *number};
}

std::optional<LogPosition> parse_log_position(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return log_position_of(text.substr(0, colon), text.substr(colon + 1));
}

bool reaches(const LogPosition& applied, const LogPosition& position) {
  const auto here = parse_file(applied.file), there = parse_file(position.file);
  if (!here || !there || here->base != there->base) return false;
  if (here->number != there->number) return here->number > there->number;
  return applied.offset >= position.offset;
}

std::optional<std::uint64_t> bytes_behind(const std::vector<LogFile>& log, const LogPosition& position) {
  std::optional<std::uint64_t> behind;
  for (const auto& file : log) {
    if (behind) {
      *behind += file.bytes;
    } else if (file.name == position.file) {
      if (position.offset > file.bytes) return std::nullopt;
      behind = file.bytes - position.offset;
    }
  }
  return behind;
}

}  // namespace turnout::control
