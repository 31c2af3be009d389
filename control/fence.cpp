#include "control/fence.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <set>
#include <thread>

#include "control/managed_fence.h"
#include "control/own_sockets.h"
#include "control/server_settings.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;
constexpr std::uint32_t probe_ms_max = 1'000;  // how long raising may wait to see itself
constexpr int looks_max = 100;                 // a setting of our own role may outrank the server's for ever
constexpr std::uint32_t no_limit = 0;          // the caller is cancelled instead

// Everybody on the databases who is neither this session, nor one of the streams that carry the move, nor a server
// process. $1 databases as a JSON list, $2 the moment since which nothing may write, $3 slots and $4 subscriptions of
// those streams. A walsender of theirs that has just come back has no slot yet.
constexpr const char* sessions_sql = R"(
SELECT a.pid, a.usename, coalesce(host(a.client_addr), ''), coalesce(a.client_port, -1), a.application_name, a.state,
       a.backend_xid IS NOT NULL OR a.xact_start < $2::timestamptz OR (a.state = 'active' AND a.query_start < $2::timestamptz),
       left(a.query, 200), a.backend_type = 'walsender' AND s.slot_name IS NOT NULL
  FROM pg_stat_activity a LEFT JOIN pg_replication_slots s ON s.active_pid = a.pid
 WHERE a.datname = ANY (SELECT json_array_elements_text($1::json)) AND a.pid <> pg_backend_pid()
   AND a.backend_type IN ('client backend', 'background worker', 'parallel worker', 'walsender')
   AND NOT (a.backend_type = 'parallel worker' AND a.leader_pid IS NOT NULL)
   AND NOT (a.backend_type = 'walsender' AND (coalesce(s.slot_name, '') = ANY (SELECT json_array_elements_text($3::json))
                                              OR a.application_name = ANY (SELECT json_array_elements_text($4::json)))))";

constexpr const char* prepared_sql =
    "SELECT gid FROM pg_prepared_xacts WHERE database = ANY (SELECT json_array_elements_text($1::json)) LIMIT 5";

struct Session {
  std::int32_t pid = 0;
  std::string user, address, application, state, query;
  int port = -1;
  bool writes = false;
  bool streams = false;  // a walsender in the midst of its slot's stream: it runs no SQL
};

// What a walsender may be there for.
struct OwnStreams {
  std::string slots, subscriptions;  // JSON lists
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
  ours.sockets = OwnSockets::look(context.proxy.addresses_so_far(context.index, side));
  return ours;
}

void add_leased(StepContext& context, router::Side side, Ours& ours) {
  for (const auto& client : context.proxy.clients(context.index)) {
    if (client.side == router::name(side) && client.server_pid != 0) {
      ours.leased.insert(static_cast<std::int32_t>(client.server_pid));
    }
  }
}

OwnStreams own_streams(StepContext& context, Attempt& attempt) {
  // Consumers that the configuration names read on to the end of what was written before the fence.
  std::vector<std::string> slots = context.config().cdc, subscriptions;
  const std::lock_guard guard(attempt.mutex);
  for (const auto& stream : attempt.topology.streams) {
    if (!stream.slot.empty()) slots.push_back(stream.slot);
    subscriptions.push_back(stream.subscription);
  }
  const auto from = attempt.topology.from;
  for (const auto& name : context.config().cdc) slots.push_back(anchor_slot(from, name));
  return {json_list(slots), json_list(subscriptions)};
}

PgOutcome<std::vector<Session>> list_sessions(PgClient& client, const std::string& databases, const std::string& since,
                                              const OwnStreams& streams) {
  const auto rows = client.query(sessions_sql, {databases, since, streams.slots, streams.subscriptions}, window_ms_max);
  if (!rows) return rows.error();
  std::vector<Session> sessions;
  for (int row = 0; row < rows->size(); ++row) {
    sessions.push_back({static_cast<std::int32_t>(rows->integer(row, 0)), rows->text(row, 1), rows->text(row, 2),
                        rows->text(row, 4), rows->text(row, 5), rows->text(row, 7),
                        static_cast<int>(rows->integer(row, 3)), rows->boolean(row, 6), rows->boolean(row, 8)});
  }
  return sessions;
}

// A session that the fence must not leave behind: ended, and remembered for the report. "" or why it cannot be.
std::string end_session(Attempt& attempt, PgClient& client, const Session& session) {
  const auto ended = client.query("SELECT pg_terminate_backend(" + std::to_string(session.pid) + ")", window_ms_max);
  if (!ended) return ended.error().message();
  const std::lock_guard guard(attempt.mutex);
  for (const auto& seen : attempt.ended_sessions) {
    if (seen.as_object().at("pid") == session.pid) return "";
  }
  attempt.ended_sessions.push_back(boost::json::object{{"pid", session.pid},
                                                       {"user", session.user},
                                                       {"address", session.address},
                                                       {"application", session.application},
                                                       {"state", session.state},
                                                       {"query", session.query}});
  return "";
}

// Whoever waives this check answers for what superusers do; one that writes at this moment is waited for all the same.
bool answers_for_superusers(StepContext& context, Attempt& attempt) {
  const auto names = [](const std::vector<std::string>& list) {
    return std::find(list.begin(), list.end(), "superuser_sessions") != list.end();
  };
  return names(context.config().waive) || names(attempt.waive);
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

// Each database's default and its doors. REVOKE is silent about what it could not take, except to who looks.
std::string raise_databases(StepContext& context, router::Side from, const ServerSettings& former,
                            const std::vector<std::string>& databases) {
  auto loan = context.shelf.take(from, databases.front(), connect_ms_max);
  if (!loan) return loan.error().message();
  const auto keep = kept_roles(context.config());
  const auto closed = close_databases(**loan, former, keep);
  if (!closed) return closed.error().message();
  return former.whole_server ? "" : who_still_connects(**loan, databases, keep);
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

// Until nobody is left on the databases but we, our read connections, and the streams. `by_database`: a default that
// has changed is nothing to those who are there, so a stranger's stream ends too.
StepAnswer await_alone(StepContext& context, Attempt& attempt, router::Side from, PgClient& client,
                       std::int32_t probe_pid, const std::string& since, bool by_database,
                       const std::atomic<bool>& cancelled) {
  const auto list = json_list(databases_of(context, attempt));
  const auto streams = own_streams(context, attempt);
  const bool leaves_superusers = answers_for_superusers(context, attempt);
  auto ours = find_ours(context, from);
  bool looked_at_leases = false;
  std::string still_there;
  while (!cancelled) {
    const auto sessions = list_sessions(client, list, since, streams);
    if (!sessions) return failed(sessions.error());
    bool clear = true;
    for (const auto& session : *sessions) {
      if (ours.control.contains(session.pid) || session.pid == probe_pid) continue;
      if (ours.reads(session) || (ours.sealed.contains(session.pid) && !session.writes)) continue;
      if (session.streams && !by_database) continue;
      const bool is_ours = ours.writing.contains(session.pid);
      // The data path is asked once before anybody is ended.
      const auto error = is_ours || !looked_at_leases ? "" : end_session(attempt, client, session);
      if (!error.empty() && !leaves_superusers) {
        return StepAnswer::failed("the session of " + session.user + " (pid " + std::to_string(session.pid) + ") on " +
                                  router::name(from) + " cannot be ended: " + error);
      }
      if (error.empty() || session.writes) {
        clear = false;
        still_there = session.user + " (pid " + std::to_string(session.pid) + ", " + session.application + ")";
      }
      if (!looked_at_leases) break;
    }
    if (clear) return StepAnswer::done();
    if (looked_at_leases) {
      medium_pause();
      ours = find_ours(context, from);
    }
    add_leased(context, from, ours);
    looked_at_leases = true;
  }
  return StepAnswer::failed("not alone on " + std::string(router::name(from)) + ": " + still_there);
}

// Of a side whose CONNECT nobody takes away: then there is nothing to give back.
void leave_doors(ServerSettings& former) {
  for (auto& one : former.databases) {
    one.connect.clear();
    one.grants.clear();
    one.acl.reset();
  }
}

// Only what has come since: a new database, a new role that outranks it.
void leave_known(ServerSettings& now, const ServerSettings& known) {
  std::erase_if(now.databases, [&](DatabaseSettings& one) {
    const auto same = std::find_if(known.databases.begin(), known.databases.end(),
                                   [&](const auto& other) { return other.database == one.database; });
    if (same == known.databases.end()) return false;
    std::erase_if(one.roles, [&](const auto& role) {
      return std::any_of(same->roles.begin(), same->roles.end(),
                         [&](const auto& other) { return other.role == role.role; });
    });
    return one.roles.empty();
  });
}

std::string default_of_server(PgClient& client, boost::json::array& done) {
  const auto shown = client.query(
      "SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only' AND "
      "sourcefile LIKE '%postgresql.auto.conf' AND setting = 'on'",
      quiet_ms_max);
  if (!shown) return shown.error().message();
  if (!shown->empty()) return "";
  const auto set = set_system_read_only(client);
  if (!set) return set.error().message();
  done.emplace_back(std::string(router::name(client.target().side)) + " is read-only by default (ALTER SYSTEM)");
  return "";
}

std::string default_of_databases(PgClient& client, const ServerSettings& former, boost::json::array& done) {
  std::vector<std::string> names;
  for (const auto& one : former.databases) names.push_back(one.database);
  const auto now = read_settings(client, names, {}, false);
  if (!now) return now.error().message();
  const bool is_on = std::all_of(now->databases.begin(), now->databases.end(), [](const auto& one) {
    return one.read_only && says_on(*one.read_only) && std::all_of(one.roles.begin(), one.roles.end(), [](auto& role) {
             return role.read_only && says_on(*role.read_only);
           });
  });
  if (is_on) return "";
  const auto set = set_databases_read_only(client, former);
  if (!set) return set.error().message();
  for (const auto& name : names) {
    done.emplace_back("database " + name + " on " + router::name(client.target().side) +
                      " is read-only by default (ALTER DATABASE)");
  }
  return "";
}

PgOutcome<ServerSettings> read_former(StepContext& context, PgClient& client,
                                      const std::vector<std::string>& databases) {
  const auto config = context.config();
  const auto whole_server = fences_server(client, config.cutover.fence);
  if (!whole_server) return whole_server.error();
  return read_settings(client, databases, kept_roles(config), *whole_server);
}

}  // namespace

std::vector<std::string> databases_of(StepContext& context, Attempt& attempt) {
  {
    const std::lock_guard guard(attempt.mutex);
    if (auto names = attempt.topology.databases(); !names.empty()) return names;
  }
  // After a crash before the facts were stored: nothing was changed then, the configuration's names are enough.
  const auto records = context.store.records(context.deployment);
  if (const auto* facts = newest(records, RecordKind::facts)) {
    if (auto names = topology_of(facts->data).databases(); !names.empty()) return names;
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

std::string append_restored(StepContext& context, const Attempt& attempt, router::Side side) {
  return context.store.append(
      {context.deployment, attempt.epoch, RecordKind::restored, {{"side", router::name(side)}}});
}

StepAnswer record_undo(StepContext& context, Attempt& attempt, router::Side from) {
  const auto databases = databases_of(context, attempt);
  const auto records = context.store.records(context.deployment);
  if (has_undo(records, attempt.epoch, router::name(from))) return StepAnswer::done();
  auto loan = context.shelf.take(from, databases.front(), connect_ms_max);
  if (!loan) return failed(loan.error());
  const auto former = read_former(context, **loan, databases);
  if (!former) return failed(former.error());
  if (unrestored(records, from)) {  // of an attempt that is over: `from` is the writer, as it wants to be
    if (const auto error = append_restored(context, attempt, from); !error.empty()) return StepAnswer::failed(error);
  }
  const auto error = context.store.append({context.deployment, attempt.epoch, RecordKind::undo, to_json(*former)});
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

StepAnswer raise_fence(StepContext& context, Attempt& attempt, router::Side from, const std::atomic<bool>& cancelled) {
  const auto databases = databases_of(context, attempt);
  const auto former = unrestored(context.store.records(context.deployment), from);
  if (!former) return StepAnswer::failed("the former settings are not in the store");
  if (!former->whole_server) {
    const auto error = raise_databases(context, from, *former, databases);
    return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
  }
  // Side by side: a file that is synced, and a transaction that is.
  std::string closing_error;
  std::thread closing([&] { closing_error = raise_databases(context, from, *former, databases); });
  auto system = raise_system(context, attempt, from, databases.front(), cancelled);
  closing.join();
  if (!system.ok) return system;
  return closing_error.empty() ? StepAnswer::done() : StepAnswer::failed(closing_error);
}

std::string warm_fence_questions(PgClient& client, const std::string& databases) {
  const std::atomic<bool> given_up{true};  // who is being started now is of no interest
  static_cast<void>(await_started(client, databases, given_up));
  if (const auto sessions = list_sessions(client, databases, "infinity", {"[]", "[]"}); !sessions)
    return sessions.error().message();
  const auto prepared = client.query(prepared_sql, {databases}, quiet_ms_max);
  return prepared ? "" : prepared.error().message();
}

StepAnswer verify_fence(StepContext& context, Attempt& attempt, router::Side from, const std::atomic<bool>& cancelled) {
  const auto databases = databases_of(context, attempt);
  const auto list = json_list(databases);
  const bool by_database = is_by_database(context.store.records(context.deployment), from);
  const auto probe = take_probe(context, attempt, from, databases.front(), cancelled);
  if (!probe) return failed(probe.error());
  auto asked = context.shelf.take(from, databases.front(), connect_ms_max);
  if (!asked) return failed(asked.error());
  auto& client = **asked;
  // CONNECT is revoked, but not for who had already asked for it and is not listed yet: a READ WRITE of theirs passes
  // any default.
  if (auto started = await_started(client, list, cancelled); !started.ok) return started;
  const auto moment = client.query("SELECT clock_timestamp()", window_ms_max);  // the server's clock, never ours
  if (!moment) return failed(moment.error());
  auto alone = await_alone(context, attempt, from, client, probe->pid(), moment->text(0, 0), by_database, cancelled);
  if (!alone.ok) return alone;
  const auto prepared = client.query(prepared_sql, {list}, window_ms_max);
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
  const auto keep = kept_roles(context.config());
  // The databases first: whoever comes in when the server's default has fallen must find them as they were.
  if (const auto reopened = reopen_databases(**loan, *former, keep, false); !reopened) return failed(reopened.error());
  if (former->whole_server) {
    if (const auto restored = restore_system(**loan, *former, false); !restored) return failed(restored.error());
  }
  const auto now = read_settings(**loan, databases_of(context, attempt), keep, former->whole_server);
  if (!now) return failed(now.error());
  {
    const std::lock_guard guard(attempt.mutex);
    attempt.undo_proof = {
        {"identical", same_effect(*former, *now)}, {"before", to_json(*former)}, {"after", to_json(*now)}};
  }
  const auto error = append_restored(context, attempt, from);
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

std::string keep_read_only(StepContext& context, Attempt& attempt, router::Side to, boost::json::array& done) {
  const auto databases = databases_of(context, attempt);
  auto loan = context.shelf.take(to, databases.front(), quiet_ms_max);
  if (!loan) return loan.error().message();
  auto former = unrestored(context.store.records(context.deployment), to);
  if (!former || !former->whole_server) {
    auto now = former ? read_settings(**loan, databases, kept_roles(context.config()), false)
                      : read_former(context, **loan, databases);
    if (!now) return now.error().message();
    // The server's default, or the databases' own: nothing else is ours to change here.
    if (now->whole_server) now->databases.clear();
    leave_doors(*now);
    if (former) leave_known(*now, *former);
    if (!former || !now->databases.empty()) {
      const auto error = context.store.append({context.deployment, attempt.epoch, RecordKind::undo, to_json(*now)});
      if (!error.empty()) return error;
      former = unrestored(context.store.records(context.deployment), to);
    }
  }
  if (auto error = former->whole_server ? default_of_server(**loan, done) : default_of_databases(**loan, *former, done);
      !error.empty())
    return error;
  const std::atomic<bool> never{false};
  const auto told = await_read_only(context, attempt, to, never);
  if (!told.ok) return told.reason;
  if (former->databases.empty()) return "";
  const auto keep = kept_roles(context.config());
  // Beside ALTER SYSTEM the databases' own defaults go: who begins under one would keep it after the server's has
  // fallen.
  const auto reopened =
      former->whole_server ? reopen_databases(**loan, *former, keep, false) : let_in(**loan, *former, keep);
  return reopened ? "" : reopened.error().message();
}

bool may_have_closed_doors(const std::vector<Record>& records, router::Side side) {
  const auto former = unrestored(records, side);
  return former && std::any_of(former->databases.begin(), former->databases.end(),
                               [&](const auto& one) { return former->whole_server || !one.grants.empty(); });
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
  const auto databases = databases_of(context, attempt);
  auto loan = context.shelf.take(side, databases.front(), connect_ms_max);
  if (!loan) return failed(loan.error());
  if (!former) {  // somebody else made it read-only, or nobody: it must write now
    auto now = read_former(context, **loan, databases);
    if (!now) return failed(now.error());
    former = std::move(*now);
    if (former->whole_server) former->databases.clear();
    leave_doors(*former);
  }
  if (former->whole_server) {
    if (const auto restored = restore_system(**loan, *former, true); !restored) return failed(restored.error());
  }
  if (!former->databases.empty()) {
    const auto reopened = reopen_databases(**loan, *former, kept_roles(context.config()), true);
    if (!reopened) return failed(reopened.error());
  }
  if (!ours) return StepAnswer::done();
  const auto error = append_restored(context, attempt, side);
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
    const auto sockets = OwnSockets::look(context.proxy.addresses_so_far(context.index, side));
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
