// Who is connected, since when, and what of it would stand in the way.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "control/own_sockets.h"
#include "control/preflight_look.h"

namespace turnout::control {

namespace {

// A login that lasts shorter than this is somebody's one-off question, not a client.
constexpr double passing_s = 1.0;

// An idle backend that hears a notification, or catches up with the catalogs' changes, is shown for that moment with a
// transaction as old as its latest statement (ProcessIncomingNotify sets no statement timestamp): it has none.
void check_long_transactions(Look& look) {
  constexpr const char* name = "long_transactions";
  const auto bound = look.config.cutover.transaction_ms_max;
  const auto rows = look.ask(name, look.from,
                             "SELECT pid, coalesce(usename, ''), coalesce(host(client_addr), 'local'), (extract(epoch "
                             "FROM clock_timestamp() - xact_start) * 1000)::bigint "
                             "FROM pg_stat_activity WHERE xact_start IS NOT NULL AND state IS DISTINCT FROM 'idle' AND "
                             "pid <> pg_backend_pid() AND backend_type IN ('client backend', 'background worker') "
                             "AND (backend_xid IS NOT NULL OR datname = ANY (SELECT json_array_elements_text(" +
                                 quote_literal(json_list(look.databases())) + "::json))) ORDER BY xact_start");
  if (!rows) return;
  std::vector<std::string> old;
  std::int64_t oldest = 0;
  for (int row = 0; row < rows->size(); ++row) {
    oldest = std::max(oldest, rows->integer(row, 3));
    if (rows->integer(row, 3) > bound) {
      old.push_back(fmt::format("pid {} of {} from {} for {:.1f} s", rows->integer(row, 0), rows->text(row, 1),
                                rows->text(row, 2), static_cast<double>(rows->integer(row, 3)) / 1000));
    }
  }
  look.verdict(name, Verdict::fail, old, fmt::format("{} ms the oldest", oldest), fmt::format("{} ms", bound),
               "wait for it, or end it: SELECT pg_terminate_backend(pid); the drain would wait for it to its deadline");
}

void check_prepared(Look& look) {
  constexpr const char* name = "prepared_transactions";
  const auto rows = look.ask(
      name, look.from,
      "SELECT quote_literal(gid) || ' of ' || owner || ' in ' || database FROM pg_prepared_xacts ORDER BY prepared");
  if (!rows) return;
  std::vector<std::string> open;
  for (int row = 0; row < rows->size(); ++row) open.push_back(rows->text(row, 0));
  look.verdict(name, Verdict::fail, open, "none", "none: COMMIT PREPARED passes every fence",
               "COMMIT PREPARED or ROLLBACK PREPARED each of them");
}

// What changes tables while it runs; the locks say so, whoever the statement was sent by.
void check_ddl(Look& look) {
  constexpr const char* name = "running_ddl";
  std::vector<std::string> running;
  for (const auto& database : look.topology.databases()) {
    const auto rows = look.ask(
        name, look.from, database,
        "SELECT DISTINCT format('pid %s of %s holds %s on %s', a.pid, a.usename, l.mode, l.relation::regclass) FROM "
        "pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON "
        "n.oid = c.relnamespace WHERE l.locktype = 'relation' AND l.granted AND a.backend_type = 'client backend' AND "
        "l.mode IN ('AccessExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock') AND c.relkind IN ('r', 'p', 'm', 'v') "
        "AND n.nspname <> 'turnout' AND n.nspname !~ '^pg_' AND "
        "l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "UNION ALL SELECT format('pid %s builds an index on %s', pid, relid::regclass) FROM "
        "pg_stat_progress_create_index WHERE datname = current_database()");
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) running.push_back(database + ": " + rows->text(row, 0));
  }
  look.verdict(name, Verdict::fail, running, "none", "no migration, no index being built",
               "wait for it to end; then see that the follower has the same change");
}

struct Strangers {
  std::vector<std::string> ordinary, super;
  std::vector<std::string> consumers;  // of the log, in the midst of a slot's stream
};

// Slots that carry the move, and those of consumers that the configuration names.
bool is_expected(Look& look, const std::string& slot, const std::string& application) {
  const auto& cdc = look.config.cdc;
  if (std::any_of(cdc.begin(), cdc.end(), [&](const auto& name) {
        return slot == name || slot == anchor_slot(router::Side::blue, name) ||
               slot == anchor_slot(router::Side::green, name);
      }))
    return true;
  const auto& streams = look.topology.streams;
  return std::any_of(streams.begin(), streams.end(),
                     [&](const auto& stream) { return slot == stream.slot || application == stream.subscription; });
}

// Everybody on that side who does not come through Turnout.
std::optional<Strangers> strangers(Look& look, const char* name, router::Side side) {
  const auto sockets = OwnSockets::look(look.context.proxy.addresses_so_far(look.context.index, side));
  std::set<std::int64_t> ours;
  for (const auto pid : look.context.shelf.pids(side)) ours.insert(pid);
  for (const auto pid : look.context.proxy.write_pids(look.context.index, side)) ours.insert(pid);
  for (const auto pid : look.context.proxy.listening_pids(look.context.index, side)) ours.insert(pid);
  for (const auto pid : look.context.proxy.shadow_pids(look.context.index, side)) ours.insert(pid);
  for (const auto& client : look.context.proxy.clients(look.context.index)) {
    if (client.side == router::name(side)) ours.insert(client.server_pid);
  }
  const auto rows = look.ask(
      name, side,
      "SELECT a.pid, a.usename, coalesce(host(a.client_addr), ''), coalesce(a.client_port, -1), "
      "a.application_name, r.rolsuper, "
      "extract(epoch FROM clock_timestamp() - a.backend_start)::float8, a.backend_type = "
      "'walsender', coalesce(s.slot_name, '') FROM pg_stat_activity a "
      "JOIN pg_roles r ON r.oid = a.usesysid LEFT JOIN pg_replication_slots s ON s.active_pid = "
      "a.pid WHERE a.backend_type IN ('client backend', 'walsender') AND a.pid <> pg_backend_pid() AND a.datname = ANY "
      "(SELECT json_array_elements_text(" +
          quote_literal(json_list(look.databases())) + "::json))");
  if (!rows) return std::nullopt;
  Strangers found;
  for (int row = 0; row < rows->size(); ++row) {
    const bool is_ours = ours.contains(rows->integer(row, 0)) ||
                         sockets.contains(rows->text(row, 2), static_cast<int>(rows->integer(row, 3)));
    const auto slot = rows->text(row, 8);
    const bool is_walsender = rows->boolean(row, 7);
    if (is_ours || rows->number(row, 6) < passing_s) continue;
    if (is_walsender && is_expected(look, slot, rows->text(row, 4))) continue;
    auto text = fmt::format("pid {} {} from {} ({})", rows->integer(row, 0), rows->text(row, 1),
                            rows->text(row, 2).empty() ? "local" : rows->text(row, 2), rows->text(row, 4));
    if (is_walsender && !slot.empty())
      found.consumers.push_back(text + " reads slot " + slot);
    else
      (rows->boolean(row, 5) ? found.super : found.ordinary).push_back(std::move(text));
  }
  return found;
}

// On the writer the fence will end them and keep them out. Gives the consumers of its log.
std::vector<std::string> check_strangers(Look& look) {
  const auto here = strangers(look, "bypassing_clients", look.from);
  if (!here) {
    look.fail("superuser_sessions", "could not look", "", "see bypassing_clients");
    return {};
  }
  look.verdict("bypassing_clients", Verdict::fail, here->ordinary, "none",
               "every client of these databases comes through Turnout",
               "point them at Turnout; waived: the fence ends them and they cannot come back to this server");
  look.verdict("superuser_sessions", Verdict::fail, here->super, "none",
               "no superuser logged in beside Turnout: a fence does not hold superusers",
               "let them log out, or waive it if you know what they do");
  const auto there = strangers(look, "green.connections", look.to);
  if (!there) return here->consumers;
  auto all = there->ordinary;
  all.insert(all.end(), there->super.begin(), there->super.end());
  look.verdict("green.connections", Verdict::warn, all, "none", "nobody uses the follower beside Turnout",
               "a read-only default does not hold who says READ WRITE: see green.no_writes, and who they are");
  return here->consumers;
}

// Through Turnout, and past it: `consumers`.
void check_unmovable(Look& look, const std::vector<std::string>& consumers) {
  constexpr const char* name = "unmovable_sessions";
  const auto takes_locks = fences_server(look, name, look.to);
  if (!takes_locks) return;
  std::vector<std::string> pinned, streams;
  for (const auto& client : look.context.proxy.clients(look.context.index)) {
    const bool is_replication = client.pinned_by == "replication";
    if (is_replication) streams.push_back(fmt::format("client {} {} from {}", client.id, client.user, client.address));
    const bool has_locks_only = client.pinned_by == "advisory_lock" && *takes_locks;  // … on the other side
    if (client.pinned_by.empty() || client.in_transaction || is_replication || has_locks_only) continue;
    pinned.push_back(
        fmt::format("client {} {} from {} ({})", client.id, client.user, client.address, client.pinned_by));
  }
  look.verdict(name, Verdict::fail, pinned, "none", "every session can change its server",
               "let them end or drop what pins them (temporary tables, held cursors, …): turnout clients shows them; "
               "the drain would wait for them");
  streams.insert(streams.end(), consumers.begin(), consumers.end());
  look.verdict(
      "replication_clients", Verdict::warn, streams, "none", "no stream is cut by the flip",
      "they are not waited for, and are ended when the writer has moved (beside Turnout: when it is fenced by "
      "database): a position in one server's log means nothing to the other one; begin them anew there, or name "
      "their slots in cdc");
}

}  // namespace

void check_sessions(Look& look) {
  check_long_transactions(look);
  check_ddl(look);
  check_prepared(look);
  check_unmovable(look, check_strangers(look));
}

}  // namespace turnout::control
