// Positions of MariaDB's binary log, as global transaction ids tell them: "0-1-100,1-1-7". Pure.
//
// Two notations look alike. A position (gtid_binlog_pos, gtid_slave_pos) has one id a domain, the last one; a state
// (gtid_binlog_state) has the last one of each server in each domain.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::control {

struct Gtid {
  std::uint32_t domain = 0;
  std::uint32_t server = 0;
  std::uint64_t sequence = 0;
  friend bool operator==(const Gtid&, const Gtid&) = default;
  [[nodiscard]] std::string text() const;
};

// Nothing: it is not one.
[[nodiscard]] std::optional<std::vector<Gtid>> parse_gtids(std::string_view text);

// What the follower's state has that the writer's has not: written on the follower itself. Read the follower's first,
// else what the writer does in between looks like it.
[[nodiscard]] std::vector<Gtid> errant(const std::vector<Gtid>& follower_state, const std::vector<Gtid>& writer_state);

// Has a follower that is at `applied` all that the writer had at `position`? Both have one id a domain.
[[nodiscard]] bool covers(const std::vector<Gtid>& applied, const std::vector<Gtid>& position);
// How many transactions it lacks of that.
[[nodiscard]] std::uint64_t lacking(const std::vector<Gtid>& applied, const std::vector<Gtid>& position);

}  // namespace turnout::control
