// Where a server's log ends, and whether the other one has applied it: the same two questions by GTID and by file and
// position.
//
// Always true: applied means committed. By file and position it is what the follower's own tables say, which change in
// the transactions that they tell of, so a crash takes back neither alone; SHOW REPLICA STATUS may be ahead of a
// commit, or of the appliers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/mysql_client.h"

namespace turnout::control {

// Nothing: it has none.
[[nodiscard]] MysqlOutcome<std::optional<std::string>> log_end(MysqlClient& server, PositionKind kind);
[[nodiscard]] MysqlOutcome<std::vector<LogFile>> log_files(MysqlClient& server);
// The low-water mark of all appliers. Nothing is known of a link that has never begun.
[[nodiscard]] MysqlOutcome<std::optional<LogPosition>> committed_position(MysqlClient& follower,
                                                                          const std::string& connection);
// How far the one of them is that is the furthest, while they run: they forget where they stood when they start. It
// proves what may be read now, and nothing else.
[[nodiscard]] MysqlOutcome<std::optional<LogPosition>> seen_position(MysqlClient& follower,
                                                                     const std::string& connection);
// What lies behind a position: with nothing, an applier that is further would tell of another link, or log.
enum class LogBehind : std::uint8_t { nothing, anything };
// False: not within `ms_max`. `position`: of the server that it follows by `connection`.
[[nodiscard]] MysqlOutcome<bool> await_applied(MysqlClient& follower, PositionKind kind, const std::string& connection,
                                               const std::string& position, LogBehind behind, std::uint32_t ms_max);

}  // namespace turnout::control
