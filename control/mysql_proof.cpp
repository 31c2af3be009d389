#include "control/mysql_proof.h"

#include "control/mysql_fence.h"
#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

// One look: long enough not to be a poll, short enough that an abort is heard.
constexpr const char* look_s = "0.1";

// Why the follower will not get there by itself; "" = it is under way.
std::string stalled(MysqlClient& client, const std::string& connection) {
  const auto server = look_at(client);
  if (!server) return server.error().message();
  for (const auto& link : server->links) {
    if (link.connection != connection) continue;
    if (link.runs()) return "";
    return "replication has stopped" + (link.error.empty() ? "" : ": " + link.error);
  }
  return "the replication connection is gone";
}

}  // namespace

StepAnswer read_fence_position(MysqlContext& context, Attempt& attempt, router::Side from) {
  auto loan = context.shelf.take(from);
  if (!loan) return failed(loan.error());
  const auto& dialect = (*loan)->dialect();
  const auto rows = (*loan)->query(std::string("SELECT @@global.") + dialect.position);
  if (!rows) return failed(rows.error());
  auto position = rows->text(0);
  std::erase(position, '\n');
  if (!is_position(dialect, position))
    return StepAnswer::failed(std::string("the old writer's ") + dialect.position + " cannot be read: '" + position +
                              "'");
  const std::lock_guard guard(attempt.mutex);
  attempt.fence_position[server_position] = position;
  return StepAnswer::done();
}

StepAnswer await_fence_position(MysqlContext& context, Attempt& attempt, router::Side to,
                                const std::atomic<bool>& cancelled) {
  std::string position, connection;
  {
    const std::lock_guard guard(attempt.mutex);
    position = attempt.fence_position[server_position];
    connection = attempt.mysql.connection;
  }
  if (position.empty()) return StepAnswer::failed("the old writer's last position is not known");
  auto loan = context.shelf.take(to);
  if (!loan) return failed(loan.error());
  while (!cancelled) {
    const auto waited = (*loan)->query(wait_sql((*loan)->dialect(), mysql_literal(position), look_s));
    if (!waited) return failed(waited.error());
    if (!waited->is_null(0, 0) && waited->integer(0) == 0) {
      const auto flushed = (*loan)->query("FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS");
      if (!flushed) return failed(flushed.error());
      // One that was restarted meanwhile may have taken somebody's writes.
      const auto closed = (*loan)->query("SELECT @@global.read_only");
      if (!closed) return failed(closed.error());
      if (!says_read_only(closed->text(0)))
        return StepAnswer::failed(std::string(router::name(to)) +
                                  " takes writes: was it restarted without read_only=1?");
      return still_fenced(attempt, router::other(to));
    }
    if (const auto why = stalled(**loan, connection); !why.empty()) return StepAnswer::failed(why);
  }
  return StepAnswer::failed(std::string(router::name(to)) + " has not applied " + position);
}

}  // namespace turnout::control
