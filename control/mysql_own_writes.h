// What a follower without GTIDs has written itself: in its own binary log each transaction bears the server_id of the
// server where it was written first.
//
// Always true: only what has been read is judged, and `since` says where that began; a long log is not read to its
// beginning. A server's own transactions in front of everything that it has replicated may have made the copy; behind
// that, or behind the place where its log ended when it was the writer last, they are nobody's but its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/decision_store.h"
#include "control/mysql_client.h"

namespace turnout::control {

struct OwnWrites {
  std::string since;                // "binlog.000003:4"
  bool is_whole = true;             // false: of what lies in front of that nobody knows
  bool has_replicated = false;      // there is something of another server's
  std::vector<std::string> behind;  // what is its own, and nobody else has
  std::vector<std::string> before;  // what is its own, and may have made the copy
};

// Where the log of `side` ended when it stopped to be the writer: what is its own in front of that is on both sides.
// Nothing: it has not been the writer, or not by file and position. Pure.
[[nodiscard]] std::optional<LogPosition> closed_at(const std::vector<Record>& records, router::Side side);

// Where to read on, a place a file, newest last. Pure.
struct LogReach {
  std::vector<LogPosition> begins;
  bool is_whole = true;
};
[[nodiscard]] LogReach reach_of(const std::vector<LogFile>& log, const std::optional<LogPosition>& since,
                                std::uint64_t bytes_max);
// `events`: of SHOW BINLOG EVENTS. Pure.
void find_own_writes(const MysqlRows& events, std::uint32_t own_id, OwnWrites& found);

[[nodiscard]] MysqlOutcome<OwnWrites> look_for_own_writes(MysqlClient& follower,
                                                          const std::optional<LogPosition>& since);

}  // namespace turnout::control
