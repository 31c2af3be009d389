#include "control/mysql_own_writes.h"

#include <algorithm>

#include "control/mysql_position.h"
#include "control/mysql_proof.h"

namespace turnout::control {

namespace {

constexpr std::uint64_t bytes_max = 4 << 20;  // it comes over whole, and is asked for again and again
constexpr std::uint64_t first_offset = 4;     // of a file

// What each transaction begins with.
bool begins_transaction(const std::string& type) {
  return type == "Anonymous_Gtid" || type == "Gtid" || type == "Gtid_tagged";
}

// Where the log of the side ended that the decision has ended as the writer.
std::optional<LogPosition> fence_of(const Record& decision) {
  const auto* const positions = decision.data.if_contains("fence_positions");
  if (positions == nullptr || !positions->is_object()) return std::nullopt;
  return parse_log_position(text_of(positions->get_object(), server_position));
}

}  // namespace

std::optional<LogPosition> closed_at(const std::vector<Record>& records, router::Side side) {
  std::optional<LogPosition> found;
  auto writer = router::Side::blue;  // of the attempt that is being read
  for (const auto& record : records) {
    if (record.kind == RecordKind::begin)
      writer = text_of(record.data, "direction") == "rollback" ? router::Side::green : router::Side::blue;
    // The sides are other servers from here on.
    if (record.kind == RecordKind::binding && !text_of(record.data, "writer").empty()) found.reset();
    if (record.kind != RecordKind::decision || text_of(record.data, "decision") != "commit") continue;
    if (writer == side) found = fence_of(record);
  }
  return found;
}

LogReach reach_of(const std::vector<LogFile>& log, const std::optional<LogPosition>& since, std::uint64_t most) {
  LogReach reach;
  std::uint64_t bytes = 0;
  for (auto file = log.rbegin(); file != log.rend(); ++file) {
    const bool is_first = since && file->name == since->file;
    const auto begin = is_first ? std::min(since->offset, file->bytes) : first_offset;
    bytes += file->bytes - std::min(begin, file->bytes);
    reach.is_whole = bytes <= most;
    if (!reach.is_whole) break;
    reach.begins.push_back({file->name, begin});
    if (is_first) break;
    reach.is_whole = !since;  // purged, if the loop ends here
  }
  std::ranges::reverse(reach.begins);
  return reach;
}

void find_own_writes(const MysqlRows& events, std::uint32_t own_id, OwnWrites& found) {
  for (std::size_t row = 0; row < events.size(); ++row) {
    if (!begins_transaction(events.text(row, "Event_type"))) continue;
    if (events.integer(row, 3) != own_id)
      found.has_replicated = true;
    else
      (found.has_replicated ? found.behind : found.before)
          .push_back(events.text(row, "Log_name") + ':' + events.text(row, "Pos"));
  }
}

MysqlOutcome<OwnWrites> look_for_own_writes(MysqlClient& follower, const std::optional<LogPosition>& since) {
  const auto id = follower.query("SELECT @@global.server_id");
  if (!id) return id.error();
  const auto log = log_files(follower);
  if (!log) return log.error();
  const auto reach = reach_of(*log, since, bytes_max);
  OwnWrites found;
  found.is_whole = reach.is_whole;
  found.has_replicated = since.has_value();
  if (!reach.begins.empty()) found.since = reach.begins.front().text();
  for (const auto& begin : reach.begins) {
    const auto events =
        follower.query("SHOW BINLOG EVENTS IN " + mysql_literal(begin.file) + " FROM " + std::to_string(begin.offset));
    if (!events) return events.error();
    find_own_writes(*events, static_cast<std::uint32_t>(id->integer(0)), found);
  }
  return found;
}

}  // namespace turnout::control
