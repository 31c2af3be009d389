// Where a binary log ends, or how far it is applied, where there are no GTIDs: a file and an offset in it,
// "binlog.000012:345". Pure.
//
// Always true: a log has one base name and its files are counted upwards, so positions of one log have an order, which
// is that of the numbers (binlog.999999 is followed by binlog.1000000); positions of two logs have none. They mean
// nothing on another server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::control {

struct LogPosition {
  std::string file;
  std::uint64_t offset = 0;
  friend bool operator==(const LogPosition&, const LogPosition&) = default;
  [[nodiscard]] std::string text() const;
};

// Nothing: it is not one.
[[nodiscard]] std::optional<LogPosition> parse_log_position(std::string_view text);
[[nodiscard]] std::optional<LogPosition> log_position_of(std::string_view file, std::string_view offset);

// Has somebody who is at `applied` all of the log up to `position`?
[[nodiscard]] bool reaches(const LogPosition& applied, const LogPosition& position);

// A file of a log, as SHOW BINARY LOGS lists it.
struct LogFile {
  std::string name;
  std::uint64_t bytes = 0;
};
// How much of the log lies behind `position`. Nothing: it is not a place in that log, whose files have been purged, or
// which has lost its end.
[[nodiscard]] std::optional<std::uint64_t> bytes_behind(const std::vector<LogFile>& log, const LogPosition& position);

}  // namespace turnout::control
