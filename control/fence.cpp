#include "control/fence.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <set>
#include <thread>

#include "control/own_sockets.h"
#include "control/server_settings.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;
constexpr std::uint32_t probe_ms_max = 1'000;  // how long raising may wait to see itself
constexpr int looks_max = 100;                 // a setting of our own role may outrank the server's for ever
constexpr std::uint32_t no_limit = 0;          // the caller is cancelled instead

// Everybody on the databases who is neither this session, nor replication, nor a server process.
// $1 databases as a JSON list, $2 the moment since which nothing may write.
constexpr const char* sessions_sql = R"(
SELECT pid, usename, coalesce(host(client_addr), ''), coalesce(client_port, -1), application_name, state,
       backend_xid IS NOT NULL OR xact_start < $2::timestamptz OR (state = 'active' AND query_start < $2::timestamptz),
       coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0), left(query, 200)
  FROM pg_stat_activity
 WHERE datname = ANY (SELECT json_array_elements_text($1::json)) AND pid <> pg_backend_pid()
   AND backend_type IN ('client backend', 'background worker', 'parallel worker')
   AND NOT (backend_type = 'parallel worker' AND leader_pid IS NOT NULL))";

constexpr const char* prepared_sql =
    "SELECT gid FROM pg_prepared_xacts WHERE database = ANY (SELECT json_array_elements_text($1::json)) LIMIT 5";

struct Session {
  std::int32_t pid = 0;
  std::string user, address, application, state, query;
  int port = -1;
  bool writes = false;
};

// Whose backends are these?
struct Ours {
  std::set<std::int32_t> control;  // this side's connections of the control part
  std::set<std::int32_t> writing;  // pools' write connections: must all be gone, or
  std::set<std::int32_t> sealed;   // out of use and idle
  std::set<std::int32_t> leased;   // sessions' present server connections, and those that only listen
  OwnSockets sockets;

  [[nodiscard]] bool reads(const Session& session) const {
    if (writing.contains(session.pid)) return false;
    return leased.contains(session.pid) || sockets.contains(session.address, session.port);
  }
};

Ours find_ours(StepContext& context, router::Side side) {
  Ours ours;
  for (const auto pid : context.shelf.pids(side)) ours.control.insert(pid);
  for (const auto pid : context.proxy.write_pids(context.index, side))
    ours.writing.insert(static_cast<std::int32_t>(pid));
  for (const auto pid : context.proxy.sealed_pids(context.index, side))
    ours.sealed.insert(static_cast<std::int32_t>(pid));
  for (const auto pid : context.proxy.listening_pids(context.index, side))
    ours.leased.insert(static_cast<std::int32_t>(pid));
  ours.sockets = OwnSockets::look();
  return ours;
}

void add_leased(StepContext& context, router::Side side, Ours& ours) {
  for (const auto& client : context.proxy.clients(context.index)) {
    if (client.side == router::name(side) && client.server_pid != 0) {
      ours.leased.insert(static_cast<std::int32_t>(client.server_pid));
    }
  }
}

PgOutcome<std::vector<Session>> list_sessions(PgClient& client, const std::string& databases,
                                              const std::string& since) {
  const auto rows = client.query(sessions_sql, {databases, since}, window_ms_max);
  if (!rows) return rows.error();
  std::vector<Session> sessions;
  for (int row = 0; row < rows->size(); ++row) {
    sessions.push_back({static_cast<std::int32_t>(rows->integer(row, 0)), rows->text(row, 1), rows->text(row, 2),
                        rows->text(row, 4), rows->text(row, 5), rows->text(row, 8),
                        static_cast<int>(rows->integer(row, 3)), rows->boolean(row, 6)});
  }
  return sessions;
}

StepAnswer failed(const PgError& error) {
  return StepAnswer::failed(error.message());
}

// A session that the fence must not leave behind: ended, and remembered for the report.
void end_session(StepContext&, Attempt& attempt, PgClient& client, const Session& session) {
  if (!client.query("SELECT pg_terminate_backend(" + std::to_string(session.pid) + ")", window_ms_max)) return;
  const std::lock_guard guard(attempt.mutex);
  for (const auto& seen : attempt.ended_sessions) {
    if (seen.as_object().at("pid") == session.pid) return;
  }
  attempt.ended_sessions.push_back(boost::json::object{{"pid", session.pid},
                                                       {"user", session.user},
                                                       {"address", session.address},
                                                       {"application", session.application},
                                                       {"state", session.state},
                                                       {"query", session.query}});
}

// A connection opened after the reload that is told "read-only": the postmaster has read the file, and it signals its
// children before it can start a new one, so every later statement of anybody sees the fence.
PgOutcome<PgClient> fenced_connection(StepContext& context, router::Side side, const std::string& database,
                                      const std::atomic<bool>& cancelled, const char* wanted, std::uint32_t ms_max) {
  const auto began = std::chrono::steady_clock::now();
  while (true) {
    auto client = context.shelf.fresh(side, database, connect_ms_max);
    if (!client) return client;
    std::string told = client->parameter("default_transaction_read_only");
    if (told.empty()) {  // before 14 it is not reported
      const auto shown = client->query("SHOW default_transaction_read_only", window_ms_max);
      if (!shown) return shown.error();
      told = shown->text(0, 0);
    }
    if (told == wanted) return client;
    const bool late =
        ms_max != no_limit && std::chrono::steady_clock::now() - began > std::chrono::milliseconds(ms_max);
    if (cancelled || late)
      return PgError{side, client->target().text(), "", "not told " + std::string(wanted), false, 0};
    medium_pause();
  }
}

// The server's default, and the connection that proves it: it is needed anyway, and here it overlaps with the drain.
StepAnswer raise_system(StepContext& context, Attempt& attempt, router::Side from, const std::string& database,
                        const std::atomic<bool>& cancelled) {
  {
    auto loan = context.shelf.take(from, database, connect_ms_max);
    if (!loan) return failed(loan.error());
    const auto set = set_system_read_only(**loan);
    if (!set) return failed(set.error());
    // The postmaster tells its children after it has read the file itself. Asking one of them is cheap; a connection
    // that comes too early would be a backend started for nothing.
    for (int looks = 0; looks < looks_max && !cancelled; ++looks) {
      const auto shown = (*loan)->query("SHOW default_transaction_read_only", window_ms_max);
      if (!shown || shown->text(0, 0) == "on") break;
      short_pause();
    }
  }
  // Not seeing it is no failure of raising: verify_fence goes on looking.
  auto probe = fenced_connection(context, from, database, cancelled, "on", probe_ms_max);
  const std::lock_guard guard(attempt.mutex);
  if (probe) attempt.probe = std::move(*probe);
  return StepAnswer::done();
}

PgOutcome<PgClient> take_probe(StepContext& context, Attempt& attempt, router::Side from, const std::string& database,
                               const std::atomic<bool>& cancelled) {
  {
    const std::lock_guard guard(attempt.mutex);
    if (attempt.probe && attempt.probe->is_usable()) {
      auto probe = std::move(*attempt.probe);
      attempt.probe.reset();
      return probe;
    }
  }
  return fenced_connection(context, from, database, cancelled, "on", no_limit);
}

}  // namespace

std::vector<std::string> databases_of(StepContext& context, Attempt& attempt) {
  {
    const std::lock_guard guard(attempt.mutex);
    std::vector<std::string> names;
    for (const auto& stream : attempt.topology.streams) names.push_back(stream.database);
    if (!names.empty()) return names;
  }
  // After a crash before the facts were stored: nothing was changed then, the configuration's names are enough.
  const auto records = context.store.records(context.deployment);
  if (const auto* facts = newest(records, RecordKind::facts)) {
    std::vector<std::string> names;
    for (const auto& stream : topology_of(facts->data).streams) names.push_back(stream.database);
    if (!names.empty()) return names;
  }
  auto names = context.config().databases;
  if (names.empty()) names.emplace_back("postgres");
  return names;
}

std::vector<std::string> kept_roles(const conf::Deployment& config) {
  std::vector<std::string> roles{config.admin.user};
  const auto& replication = config.replication.login.user;
  if (!replication.empty() && replication != config.admin.user) roles.push_back(replication);
  return roles;
}

StepAnswer record_undo(StepContext& context, Attempt& attempt, router::Side from) {
  const auto databases = databases_of(context, attempt);
  if (unrestored(context.store.records(context.deployment), from)) return StepAnswer::done();
  auto loan = context.shelf.take(from, databases.front(), connect_ms_max);
  if (!loan) return failed(loan.error());
  const auto former = read_settings(**loan, databases, kept_roles(context.config()));
  if (!former) return failed(former.error());
  const auto error = context.store.append({context.deployment, attempt.epoch, RecordKind::undo, to_json(*former)});
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

StepAnswer raise_fence(StepContext& context, Attempt& attempt, router::Side from, const std::atomic<bool>& cancelled) {
  const auto databases = databases_of(context, attempt);
  const auto former = unrestored(context.store.records(context.deployment), from);
  if (!former) return StepAnswer::failed("the former settings are not in the store");
  // Side by side: a file that is synced, and a transaction that is.
  std::string closing_error;
  std::thread closing([&] {
    auto loan = context.shelf.take(from, databases.front(), connect_ms_max);
    if (!loan) {
      closing_error = loan.error().message();
      return;
    }
    const auto closed = close_databases(**loan, *former, kept_roles(context.config()));
    if (!closed) closing_error = closed.error().message();
  });
  auto system = raise_system(context, attempt, from, databases.front(), cancelled);
  closing.join();
  if (!system.ok) return system;
  return closing_error.empty() ? StepAnswer::done() : StepAnswer::failed(closing_error);
}

StepAnswer verify_fence(StepContext& context, Attempt& attempt, router::Side from, const std::atomic<bool>& cancelled) {
  const auto databases = databases_of(context, attempt);
  const auto list = json_list(databases);
  auto probe = take_probe(context, attempt, from, databases.front(), cancelled);
  if (!probe) return failed(probe.error());
  const auto moment = probe->query("SELECT clock_timestamp()", window_ms_max);  // the server's clock, never ours
  if (!moment) return failed(moment.error());
  auto ours = find_ours(context, from);
  bool looked_at_leases = false;
  while (!cancelled) {
    const auto sessions = list_sessions(*probe, list, moment->text(0, 0));
    if (!sessions) return failed(sessions.error());
    bool clear = true;
    for (const auto& session : *sessions) {
      if (ours.control.contains(session.pid) || session.pid == probe->pid()) continue;
      if (ours.reads(session) || (ours.sealed.contains(session.pid) && !session.writes)) continue;
      clear = false;
      if (!looked_at_leases) break;  // ask the data path once before anybody is ended
      if (!ours.writing.contains(session.pid)) end_session(context, attempt, *probe, session);
    }
    if (clear) break;
    if (!looked_at_leases) {
      add_leased(context, from, ours);
      looked_at_leases = true;
      continue;
    }
    medium_pause();
    ours = find_ours(context, from);
    add_leased(context, from, ours);
  }
  if (cancelled) return StepAnswer::failed("given up");
  const auto prepared = probe->query(prepared_sql, {list}, window_ms_max);
  if (!prepared) return failed(prepared.error());
  if (!prepared->empty()) {
    return StepAnswer::failed("prepared transaction '" + prepared->text(0, 0) +
                              "' is open, and COMMIT PREPARED passes a fence: commit it or roll it back");
  }
  return StepAnswer::done();
}

StepAnswer lower_fence(StepContext& context, Attempt& attempt, router::Side from) {
  const auto former = unrestored(context.store.records(context.deployment), from);
  if (!former) return StepAnswer::done();
  auto loan = context.shelf.take(from, databases_of(context, attempt).front(), connect_ms_max);
  if (!loan) return failed(loan.error());
  // The databases first: whoever comes in when the server's default has fallen must find them as they were.
  if (const auto reopened = reopen_databases(**loan, *former); !reopened) return failed(reopened.error());
  if (const auto restored = restore_system(**loan, *former, false); !restored) return failed(restored.error());
  const auto now = read_settings(**loan, databases_of(context, attempt), kept_roles(context.config()));
  if (!now) return failed(now.error());
  const auto before_text = boost::json::serialize(to_json(*former));
  const auto after_text = boost::json::serialize(to_json(*now));
  {
    const std::lock_guard guard(attempt.mutex);
    attempt.undo_proof = {
        {"identical", before_text == after_text}, {"before", to_json(*former)}, {"after", to_json(*now)}};
  }
  const auto error =
      context.store.append({context.deployment, attempt.epoch, RecordKind::restored, {{"side", router::name(from)}}});
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

StepAnswer await_writable(StepContext& context, Attempt& attempt, router::Side side,
                          const std::atomic<bool>& cancelled) {
  const auto client =
      fenced_connection(context, side, databases_of(context, attempt).front(), cancelled, "off", no_limit);
  return client ? StepAnswer::done() : failed(client.error());
}

StepAnswer await_read_only(StepContext& context, Attempt& attempt, router::Side side,
                           const std::atomic<bool>& cancelled) {
  const auto client = fenced_connection(context, side, databases_of(context, attempt).front(), cancelled, "on", 5'000);
  return client ? StepAnswer::done() : failed(client.error());
}

StepAnswer open_side(StepContext& context, Attempt& attempt, router::Side side) {
  auto former = unrestored(context.store.records(context.deployment), side);
  const bool ours = former.has_value();
  if (!former) {
    former.emplace();  // somebody else made it read-only, or nobody: it must write now
    former->side = side;
  }
  auto loan = context.shelf.take(side, databases_of(context, attempt).front(), connect_ms_max);
  if (!loan) return failed(loan.error());
  if (const auto restored = restore_system(**loan, *former, true); !restored) return failed(restored.error());
  if (!former->databases.empty()) {
    if (const auto reopened = reopen_databases(**loan, *former); !reopened) return failed(reopened.error());
  }
  if (!ours) return StepAnswer::done();
  const auto error =
      context.store.append({context.deployment, attempt.epoch, RecordKind::restored, {{"side", router::name(side)}}});
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

StepAnswer end_former(StepContext& context, Attempt& attempt, router::Side side, const std::atomic<bool>& cancelled) {
  auto loan = context.shelf.take(side, databases_of(context, attempt).front(), connect_ms_max);
  if (!loan) return failed(loan.error());
  const auto list = json_list(databases_of(context, attempt));
  while (!cancelled) {
    const auto backends = (*loan)->query(
        "SELECT pid, coalesce(host(client_addr), ''), coalesce(client_port, -1) FROM pg_stat_activity WHERE "
        "application_name = 'turnout' AND usename = current_user AND backend_type = 'client backend' AND datname = ANY "
        "(SELECT json_array_elements_text($1::json))",
        {list}, window_ms_max);
    if (!backends) return failed(backends.error());
    // Asked for after the list: whoever of ours is on it is known by now.
    const auto known = context.shelf.pids(side);
    const auto sockets = OwnSockets::look();
    bool none_left = true;
    for (int row = 0; row < backends->size(); ++row) {
      const auto pid = static_cast<std::int32_t>(backends->integer(row, 0));
      const bool ours = std::find(known.begin(), known.end(), pid) != known.end() ||
                        sockets.contains(backends->text(row, 1), static_cast<int>(backends->integer(row, 2)));
      if (ours) continue;
      none_left = false;
      const auto ended = (*loan)->query("SELECT pg_terminate_backend(" + std::to_string(pid) + ")", window_ms_max);
      if (!ended) return failed(ended.error());
    }
    if (none_left) return StepAnswer::done();
    long_pause();
  }
  return StepAnswer::failed("given up");
}

}  // namespace turnout::control
