// Are these the two servers we think they are, and is the follower fit to take over?

#include <fmt/format.h>

#include <algorithm>

#include "control/decision_store.h"
#include "control/practice.h"
#include "control/preflight_look.h"

namespace turnout::control {

namespace {

constexpr int oldest_version = 140000;  // the first that reports read-only to its clients

// A stale name that now points at the other server is the very accident to be prevented.
void check_identity(Look& look) {
  constexpr const char* name = "identity";
  const std::string bound = "two servers, the same two as ever";
  std::string seen[2];
  for (const auto side : {router::Side::blue, router::Side::green}) {
    const auto rows = look.ask(name, side,
                               "SELECT system_identifier::text || CASE WHEN pg_is_in_recovery() THEN ' in recovery' "
                               "ELSE '' END FROM pg_control_system()");
    if (!rows) return;
    seen[index(side)] = rows->text(0, 0);
    if (seen[index(side)].ends_with(" in recovery")) {
      return look.fail(name, std::string(router::name(side)) + " is a standby", bound,
                       "point the configuration at its primary");
    }
  }
  if (seen[0] == seen[1]) {
    return look.fail(name, "blue and green are the same server, " + seen[0], bound,
                     "correct the addresses: " + look.config.blue.text() + " and " +
                         (look.config.green ? look.config.green->text() : ""));
  }
  const auto records = look.context.store.records(look.context.deployment);
  const auto* bound_to = newest(records, RecordKind::binding);
  if (bound_to != nullptr && text_of(bound_to->data, "finished").empty() && text_of(bound_to->data, "writer").empty()) {
    for (const auto side : {router::Side::blue, router::Side::green}) {
      const auto known = text_of(bound_to->data, router::name(side));
      if (!known.empty() && known != seen[index(side)]) {
        return look.fail(name, std::string(router::name(side)) + " is " + seen[index(side)] + ", but was " + known,
                         bound, "correct the address; if the server was really replaced, use a new state_dir");
      }
    }
  }
  look.pass(name, "blue " + seen[0] + ", green " + seen[1], bound);
}

void check_version(Look& look) {
  constexpr const char* name = "version";
  int version[2] = {0, 0};
  for (const auto side : {look.from, look.to}) {
    const auto rows = look.ask(name, side, "SHOW server_version_num");
    if (!rows) return;
    version[side == look.from ? 0 : 1] = static_cast<int>(rows->integer(0, 0));
  }
  const auto measured = fmt::format("{} → {}", version[0] / 10000, version[1] / 10000);
  for (const int one : version) {
    if (one < oldest_version)
      return look.fail(name, measured, "14 or newer on both sides", "upgrade that one by other means first");
  }
  look.pass(name,
            version[1] / 10000 < version[0] / 10000
                ? measured + ", an older one: nothing only the newer knows may have been used"
                : measured,
            "14 or newer on both sides");
}

void check_read_only(Look& look) {
  constexpr const char* name = "green.read_only";
  auto client = look.context.shelf.fresh(look.to, look.any_database(), quiet_ms_max);
  if (!client) return look.fail(name, client.error().message(), "", "see that this server answers");
  if (client->parameter("default_transaction_read_only") == "on") return look.pass(name, "on", "on until the decision");
  look.warn(name, "off: whoever logs in to " + std::string(router::name(look.to)) + " can write",
            "on until the decision", "turnout prepare " + look.context.deployment + " does it; so does a cutover");
}

void check_no_writes(Look& look) {
  constexpr const char* name = "green.no_writes";
  std::vector<std::string> found, unguarded;
  for (const auto& database : look.topology.databases()) {
    const auto slot = quote_literal(guard_slot(database));
    const auto there = look.ask(
        name, look.to, database,
        "SELECT 1 FROM pg_replication_slots WHERE NOT active AND wal_status <> 'lost' AND slot_name = " + slot);
    if (!there) return;
    if (there->empty()) {
      unguarded.push_back(database);
      continue;
    }
    const auto rows = look.ask(
        name, look.to, database,
        "SELECT left(data, 120) FROM pg_logical_slot_peek_changes(" + slot +
            ", NULL, 1000, 'only-local', '1', 'skip-empty-xacts', '1') "
            "WHERE data NOT LIKE 'BEGIN%' AND data NOT LIKE 'COMMIT%' AND data NOT LIKE 'table turnout.%' LIMIT 20");
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) found.push_back(rows->text(row, 0));
  }
  const std::string bound = "nothing was written on the follower itself";
  if (!found.empty()) {
    return look.fail(
        name, some_of(found, 3), bound,
        "compare these rows with the writer's and repair them; then drop the slot turnout_guard_… and prepare again");
  }
  look.verdict(name, Verdict::warn, unguarded, "the guard saw nothing", bound,
               "no guard slot there: turnout prepare makes one where the server has the test_decoding plugin");
}

void check_capacity(Look& look) {
  constexpr const char* name = "green.capacity";
  const auto rows = look.ask(
      name, look.to,
      "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, "
      "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')");
  if (!rows) return;
  std::int64_t now = 0;
  for (const auto& pool : look.context.proxy.pools(look.context.index)) {
    if (pool.side == look.from) now += pool.servers_active + pool.servers_idle + pool.servers_opening;
  }
  const auto accounts = static_cast<std::int64_t>(look.context.proxy.accounts(look.context.index).size());
  const auto most = accounts * std::int64_t{look.config.pool.size};
  const auto room = rows->integer(0, 0);
  const auto measured = fmt::format("{} connections now, {} at most, room for {}", now, most, room);
  const std::string bound = "the pools' present connections fit into max_connections";
  if (now > room) return look.fail(name, measured, bound, "raise max_connections there, or make the pools smaller");
  if (most > room)
    return look.warn(name, measured, bound, "raise max_connections there, or pool.size × accounts may not fit");
  look.pass(name, measured, bound);
}

// ALTER SYSTEM fences the whole server; a fence by database leaves the others alone.
void check_outside(Look& look) {
  constexpr const char* name = "databases.outside";
  const auto whole_server = fences_server(look, name, look.from);
  if (!whole_server) return;
  if (!*whole_server) return look.pass(name, "the fence goes by database, others stay writable");
  const auto rows = look.ask(
      name, look.from,
      "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres' ORDER BY 1");
  if (!rows) return;
  std::vector<std::string> outside;
  for (int row = 0; row < rows->size(); ++row) {
    if (look.topology.find(rows->text(row, 0)) == nullptr) outside.push_back(rows->text(row, 0));
  }
  look.verdict(
      name, Verdict::fail, outside, "none", "every database of the server moves",
      "let them be followed too, or move them away, or set cutover.fence: database, which leaves them writable; "
      "waived: they become read-only with the fence, and stay so after the decision");
}

// Apply stops where it must call nextval, or where an ALWAYS trigger writes, on a server that is read-only by default.
void check_owner(Look& look) {
  constexpr const char* name = "subscription.owner";
  std::vector<std::string> risky;
  for (const auto& stream : look.topology.streams) {
    const auto exempt =
        look.ask(name, look.to, stream.database,
                 "SELECT 1 FROM pg_db_role_setting s, unnest(s.setconfig) line WHERE s.setrole = to_regrole(" +
                     quote_literal(stream.owner) + ") AND line = 'default_transaction_read_only=off'");
    if (!exempt) return;
    if (!exempt->empty()) continue;
    const auto triggers = look.ask(name, look.to, stream.database,
                                   "SELECT t.tgname || ' on ' || t.tgrelid::regclass FROM pg_trigger t JOIN "
                                   "pg_subscription_rel r ON r.srrelid = t.tgrelid WHERE "
                                   "t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal AND r.srsubid = " +
                                       std::to_string(stream.subscription_oid));
    if (!triggers) return;
    for (int row = 0; row < triggers->size(); ++row) risky.push_back("trigger " + triggers->text(row, 0));
    constexpr const char* serial_sql =
        "SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) FROM pg_attrdef d JOIN pg_attribute a ON "
        "a.attrelid = d.adrelid AND a.attnum = d.adnum JOIN "
        "pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname <> 'turnout' "
        "AND pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%' "
        "UNION ALL SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) FROM pg_attribute a JOIN pg_class c ON "
        "c.oid = a.attrelid JOIN pg_namespace n ON n.oid = "
        "c.relnamespace WHERE a.attidentity <> '' AND NOT a.attisdropped";
    const auto there = look.ask(name, look.to, stream.database, serial_sql);
    const auto here = look.ask(name, look.from, stream.database,
                               "SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) FROM pg_attribute a JOIN "
                               "pg_class c ON c.oid = a.attrelid JOIN pg_namespace n "
                               "ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN "
                               "('r', 'p') AND n.nspname !~ '^pg_'");
    if (!there || !here) return;
    std::vector<std::string> columns;
    for (int row = 0; row < here->size(); ++row) columns.push_back(here->text(row, 0));
    for (int row = 0; row < there->size(); ++row) {
      if (std::find(columns.begin(), columns.end(), there->text(row, 0)) == columns.end())
        risky.push_back("sequence default of " + there->text(row, 0));
    }
  }
  look.verdict(name, Verdict::warn, risky, "nothing on the follower needs to write while it applies",
               "no ALWAYS trigger, no sequence default that only the follower has",
               "give the subscription to a role of its own that nobody logs in with, and ALTER ROLE … SET "
               "default_transaction_read_only = off for it");
}

}  // namespace

void check_servers(Look& look) {
  check_identity(look);
  check_version(look);
  check_read_only(look);
  check_no_writes(look);
  check_capacity(look);
  check_outside(look);
  check_owner(look);
  check_practice(look, look.context, look.config, look.to);
}

}  // namespace turnout::control
