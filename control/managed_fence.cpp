#include "control/managed_fence.h"

#include <algorithm>
#include <set>

namespace turnout::control {

namespace {

constexpr int grants_of_parameters_since = 150000;

constexpr const char* may_fence_sql =
    "SELECT has_parameter_privilege('default_transaction_read_only', 'ALTER SYSTEM') AND "
    "has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE') AND "
    "has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE') AND "
    "has_table_privilege('pg_catalog.pg_file_settings', 'SELECT')";

// A pid may be used again at once; together with its transaction it is one start.
constexpr const char* starting_sql = R"(
SELECT l.pid || ' ' || l.virtualtransaction FROM pg_locks l
 WHERE l.locktype = 'object' AND l.database = 0 AND l.classid = 'pg_catalog.pg_database'::regclass AND l.granted
   AND l.mode = 'RowExclusiveLock' AND l.pid <> pg_backend_pid()
   AND l.objid IN (SELECT oid FROM pg_database WHERE datname = ANY (SELECT json_array_elements_text($1::json))))";

PgOutcome<std::set<std::string>> starting(PgClient& client, const std::string& databases) {
  const auto rows = client.query(starting_sql, {databases}, window_ms_max);
  if (!rows) return rows.error();
  std::set<std::string> found;
  for (int row = 0; row < rows->size(); ++row) found.insert(rows->text(row, 0));
  return found;
}

}  // namespace

PgOutcome<bool> may_fence_server(PgClient& client) {
  if (client.parameter("is_superuser") == "on") return true;
  if (client.server_version() < grants_of_parameters_since) return false;
  const auto rows = client.query(may_fence_sql, window_ms_max);
  if (!rows) return rows.error();
  return rows->boolean(0, 0);
}

PgOutcome<bool> fences_server(PgClient& client, conf::Fence wanted) {
  switch (wanted) {
    case conf::Fence::server:
      return true;
    case conf::Fence::database:
      return false;
    case conf::Fence::automatic:
      break;
  }
  return may_fence_server(client);
}

bool is_by_database(const std::vector<Record>& records, router::Side side) {
  const auto* last = newest(records, RecordKind::undo, "side", router::name(side));
  return last != nullptr && !settings_of(last->data).whole_server;
}

StepAnswer await_started(PgClient& client, const std::string& databases, const std::atomic<bool>& cancelled) {
  auto before = starting(client, databases);
  if (!before) return StepAnswer::failed(before.error().message());
  while (!before->empty()) {
    if (cancelled) return StepAnswer::failed("a session that was being started is neither up nor gone");
    medium_pause();
    const auto now = starting(client, databases);
    if (!now) return StepAnswer::failed(now.error().message());
    std::erase_if(*before, [&](const auto& one) { return !now->contains(one); });
  }
  return StepAnswer::done();
}

std::string who_still_connects(PgClient& client, const std::vector<std::string>& databases,
                               const std::vector<std::string>& keep) {
  const auto now = read_settings(client, databases, keep, false);
  if (!now) return now.error().message();
  std::string who;
  for (const auto& one : now->databases) {
    for (const auto& role : one.connect)
      who += (who.empty() ? "" : ", ") + (role.empty() ? std::string("PUBLIC") : role) + " to " + one.database;
  }
  return who.empty() ? "" : "CONNECT could not be revoked: " + who;
}

}  // namespace turnout::control
