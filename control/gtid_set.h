// MySQL's sets of global transaction ids: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,…". Pure.
//
// A tag behind the server's uuid (MySQL 8.3 and later, "uuid:tag:1-3") counts by itself. Source: MySQL "GTID Format and
// Storage".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::control {

struct GtidSpan {
  std::uint64_t first = 0, last = 0;  // both belong to it
  friend bool operator==(const GtidSpan&, const GtidSpan&) = default;
};
// "uuid" or "uuid:tag" → its spans, in order and apart.
using GtidSet = std::map<std::string, std::vector<GtidSpan>>;

// Nothing: it is not one.
[[nodiscard]] std::optional<GtidSet> parse_gtid_set(std::string_view text);
// @@gtid_owned: what sessions hold that is not executed yet, "uuid:5#33:6#34", several servers' parts in a row.
[[nodiscard]] std::optional<GtidSet> parse_owned_gtids(std::string_view text);
// What is in `set` and not in `known`.
[[nodiscard]] GtidSet subtract(const GtidSet& set, const GtidSet& known);
[[nodiscard]] GtidSet unite(GtidSet set, const GtidSet& more);
// One text an origin: "uuid:1-5:7".
[[nodiscard]] std::vector<std::string> texts_of(const GtidSet& set);

}  // namespace turnout::control
