#include "control/mysql_position.h"

#include <algorithm>
#include <chrono>

#include "control/step_context.h"

namespace turnout::control {

namespace {

using Clock = std::chrono::steady_clock;

// An applier that commits in the writer's order has everybody's transactions before its own behind it.
MysqlOutcome<std::vector<LogPosition>> appliers_in_order(MysqlClient& follower, const std::string& connection) {
  const auto rows = follower.query(follower.dialect().committed_in_order_sql + mysql_literal(connection));
  if (!rows) return rows.error();
  std::vector<LogPosition> places;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    if (auto place = log_position_of(rows->text(row, 0), rows->text(row, 1))) places.push_back(std::move(*place));
  }
  return places;
}

MysqlOutcome<bool> has_committed(MysqlClient& follower, const std::string& connection, const LogPosition& position,
                                 LogBehind behind) {
  const auto committed = committed_position(follower, connection);
  if (!committed) return committed.error();
  if (*committed && reaches(**committed, position)) return true;
  const auto appliers = appliers_in_order(follower, connection);
  if (!appliers) return appliers.error();
  return std::ranges::any_of(*appliers, [&](const LogPosition& place) {
    return behind == LogBehind::nothing ? place == position : reaches(place, position);
  });
}

}  // namespace

MysqlOutcome<std::optional<std::string>> log_end(MysqlClient& server, PositionKind kind) {
  const auto& dialect = server.dialect();
  if (kind == PositionKind::file) {
    const auto rows = server.query(dialect.log_sql);
    if (!rows) return rows.error();
    const auto end = log_position_of(rows->text(0, "File"), rows->text(0, "Position"));
    return end ? std::optional(end->text()) : std::nullopt;
  }
  const auto rows = server.query(std::string("SELECT @@global.") + dialect.position);
  if (!rows) return rows.error();
  auto end = rows->text(0);
  std::erase(end, '\n');
  return std::optional(std::move(end));
}

MysqlOutcome<std::vector<LogFile>> log_files(MysqlClient& server) {
  const auto rows = server.query("SHOW BINARY LOGS");
  if (!rows) return rows.error();
  std::vector<LogFile> files;
  for (std::size_t row = 0; row < rows->size(); ++row)
    files.push_back({rows->text(row, 0), static_cast<std::uint64_t>(rows->integer(row, 1))});
  return files;
}

MysqlOutcome<std::optional<LogPosition>> committed_position(MysqlClient& follower, const std::string& connection) {
  const auto rows = follower.query(follower.dialect().committed_sql + mysql_literal(connection));
  if (!rows) return rows.error();
  return log_position_of(rows->text(0, 0), rows->text(0, 1));
}

MysqlOutcome<std::optional<LogPosition>> seen_position(MysqlClient& follower, const std::string& connection) {
  auto furthest = committed_position(follower, connection);
  if (!furthest || !*furthest) return furthest;
  const auto appliers = appliers_in_order(follower, connection);
  if (!appliers) return appliers.error();
  for (const auto& place : *appliers) {
    if (reaches(place, **furthest)) *furthest = place;
  }
  return furthest;
}

MysqlOutcome<bool> await_applied(MysqlClient& follower, PositionKind kind, const std::string& connection,
                                 const std::string& position, LogBehind behind, std::uint32_t ms_max) {
  if (kind == PositionKind::gtid) {
    const auto seconds = std::to_string(ms_max / 1000) + '.' + std::to_string(1000 + ms_max % 1000).substr(1);
    const auto waited = follower.query(wait_sql(follower.dialect(), mysql_literal(position), seconds));
    if (!waited) return waited.error();
    return !waited->is_null(0, 0) && waited->integer(0) == 0;
  }
  const auto wanted = parse_log_position(position);
  if (!wanted) return false;
  for (const auto deadline = Clock::now() + std::chrono::milliseconds(ms_max);;) {
    auto committed = has_committed(follower, connection, *wanted, behind);
    if (!committed || *committed || Clock::now() > deadline) return committed;
    medium_pause();
  }
}

}  // namespace turnout::control
