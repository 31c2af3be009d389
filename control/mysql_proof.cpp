#include "control/mysql_proof.h"

#include "control/mysql_fence.h"
#include "control/mysql_position.h"
#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

// One look: long enough not to be a poll, short enough that an abort is heard.
constexpr std::uint32_t look_ms = 100;

// Why the follower will not get there by itself; "" = it is under way.
std::string stalled(MysqlClient& client, const std::string& connection) {
  const auto links = links_of(client);
  if (!links) return links.error().message();
  for (const auto& link : *links) {
    if (link.connection != connection) continue;
    if (link.runs()) return "";
    return "replication has stopped" + (link.error.empty() ? "" : ": " + link.error);
  }
  return "the replication connection is gone";
}

// One that was restarted meanwhile may have taken somebody's writes; where GTIDs do not tell whose, its admins' too.
StepAnswer still_closed(MysqlClient& follower, PositionKind kind) {
  const char* const closed_by = kind == PositionKind::gtid ? "read_only" : follower.dialect().fence;
  const auto closed = follower.query(std::string("SELECT @@global.") + closed_by);
  if (!closed) return failed(closed.error());
  if (says_read_only(closed->text(0))) return StepAnswer::done();
  return StepAnswer::failed(std::string(router::name(follower.target().side)) +
                            " takes writes: was it restarted without " + follower.dialect().fence + "=1?");
}

// A position in another server's log would look the same.
StepAnswer still_follows(MysqlClient& follower, const MysqlTopology& topology) {
  const auto links = links_of(follower);
  if (!links) return failed(links.error());
  const auto chosen = choose_link(*links, topology.from_id);
  if (chosen.link && chosen.link->connection == topology.connection) return StepAnswer::done();
  return StepAnswer::failed("the replication connection has been changed meanwhile: " + chosen.why_not);
}

StepAnswer note_begin_of_reverse(Attempt& attempt, MysqlClient& follower) {
  const auto end = log_end(follower, PositionKind::file);
  if (!end) return failed(end.error());
  if (!*end) return StepAnswer::failed("the new writer has no binary log");
  const std::lock_guard guard(attempt.mutex);
  attempt.slot_target[server_position] = **end;
  return StepAnswer::done();
}

}  // namespace

StepAnswer read_fence_position(MysqlContext& context, Attempt& attempt, router::Side from) {
  auto loan = context.shelf.take(from);
  if (!loan) return failed(loan.error());
  const auto kind = mysql_topology_of(attempt).kind;
  const auto position = log_end(**loan, kind);
  if (!position) return failed(position.error());
  if (!*position || !is_position((*loan)->dialect(), kind, **position))
    return StepAnswer::failed("where the old writer's log ends cannot be read: '" + position->value_or("") + "'");
  const std::lock_guard guard(attempt.mutex);
  attempt.fence_position[server_position] = **position;
  return StepAnswer::done();
}

StepAnswer await_fence_position(MysqlContext& context, Attempt& attempt, router::Side to,
                                const std::atomic<bool>& cancelled) {
  const auto topology = mysql_topology_of(attempt);
  std::string position;
  {
    const std::lock_guard guard(attempt.mutex);
    position = attempt.fence_position[server_position];
  }
  if (position.empty()) return StepAnswer::failed("the old writer's last position is not known");
  auto loan = context.shelf.take(to);
  if (!loan) return failed(loan.error());
  while (!cancelled) {
    const auto applied =
        await_applied(**loan, topology.kind, topology.connection, position, LogBehind::nothing, look_ms);
    if (!applied) return failed(applied.error());
    if (*applied) {
      const auto flushed = (*loan)->query("FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS");
      if (!flushed) return failed(flushed.error());
      if (topology.kind == PositionKind::file) {
        if (auto follows = still_follows(**loan, topology); !follows.ok) return follows;
        if (auto noted = note_begin_of_reverse(attempt, **loan); !noted.ok) return noted;
      }
      if (auto closed = still_closed(**loan, topology.kind); !closed.ok) return closed;
      return still_fenced(attempt, router::other(to));
    }
    if (const auto why = stalled(**loan, topology.connection); !why.empty()) return StepAnswer::failed(why);
  }
  return StepAnswer::failed(std::string(router::name(to)) + " has not applied " + position);
}

}  // namespace turnout::control
