// Does everything that is written arrive, soon enough, and could it flow back?

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "control/preflight_look.h"
#include "control/sampler.h"
#include "control/settle.h"

namespace turnout::control {

namespace {

using Clock = std::chrono::steady_clock;

void check_active(Look& look) {
  constexpr const char* name = "replication.active";
  const std::string bound = "every subscription enabled, its worker running and its walsender streaming";
  if (look.no_topology) {
    return look.fail(name, look.no_topology->message(), bound,
                     "create the publication and the subscription, and let them catch up");
  }
  std::vector<std::string> bad;
  for (const auto& stream : look.topology.streams) {
    const auto label = stream.database + "." + stream.subscription;
    if (!stream.enabled) {
      bad.push_back(label + " is disabled");
      continue;
    }
    const auto worker =
        look.ask(name, look.to, stream.database,
                 "SELECT 1 FROM pg_stat_subscription WHERE pid IS NOT NULL AND relid IS NULL AND subid = " +
                     std::to_string(stream.subscription_oid));
    if (!worker) return;
    if (worker->empty()) bad.push_back(label + " has no running apply worker");
    const auto sender = look.ask(name, look.from, stream.database,
                                 "SELECT r.state FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = "
                                 "s.active_pid WHERE s.slot_name = " +
                                     quote_literal(stream.slot));
    if (!sender) return;
    if (sender->empty() || sender->text(0, 0) != "streaming") {
      bad.push_back(label + " is not streaming (" + (sender->empty() ? "no walsender" : sender->text(0, 0)) + ')');
    }
  }
  look.verdict(name, Verdict::fail, bad, std::to_string(look.topology.streams.size()) + " streaming", bound,
               "ALTER SUBSCRIPTION … ENABLE, and look into both servers' logs for why it stops");
}

// Milliseconds until `sql` on `side` gives a row; less than 0 when it did not in time.
double wait_ms(Look& look, const char* name, router::Side side, const std::string& database, const std::string& sql,
               double give_up_ms) {
  const auto began = Clock::now();
  while (true) {
    const auto rows = look.ask(name, side, database, sql);
    if (!rows) return -2;
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - began).count();
    if (!rows->empty()) return ms;
    if (ms > give_up_ms) return -1;
    short_pause();
  }
}

// The lag of a row of our own that travels with the data: what a marker would need now.
std::optional<double> heartbeat_ms(Look& look, const char* name, const Stream& stream, double give_up_ms) {
  const auto carried =
      look.ask(name, look.to, stream.database,
               "SELECT 1 FROM pg_subscription_rel WHERE srrelid = to_regclass('turnout.heartbeat') AND srsubid = " +
                   std::to_string(stream.subscription_oid));
  if (!carried || carried->empty()) return std::nullopt;
  auto writer = look.context.shelf.take(look.from, stream.database, quiet_ms_max);
  if (!writer) return std::nullopt;
  const auto beat = (*writer)->query(
      "INSERT INTO turnout.heartbeat AS h (id, seq, at) VALUES (1, 1, clock_timestamp()) ON CONFLICT (id) DO UPDATE "
      "SET "
      "seq = h.seq + 1, at = excluded.at RETURNING seq",
      quiet_ms_max);
  if (!beat) return std::nullopt;  // fenced, or not ours to write: positions have to do
  return wait_ms(look, name, look.to, stream.database,
                 "SELECT 1 FROM turnout.heartbeat WHERE id = 1 AND seq >= " + beat->text(0, 0), give_up_ms);
}

// Before the first preparation: a position taken now. A subscriber whose commits are asynchronous reports log without
// data of its own only when it has flushed what came before, which may take some hundred milliseconds of idleness. The
// flushed end, because what an open transaction has inserted may stay unflushed, and unsent, until somebody commits.
double position_ms(Look& look, const char* name, const Stream& stream, double give_up_ms) {
  const auto position =
      look.ask(name, look.from, stream.database, "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint");
  if (!position) return -2;
  const auto wanted = static_cast<std::uint64_t>(position->integer(0, 0));
  return wait_ms(look, name, look.from, stream.database,
                 "SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE "
                 "r.replay_lsn - '0/0'::pg_lsn >= " +
                     std::to_string(wanted) + " AND s.slot_name = " + quote_literal(stream.slot),
                 give_up_ms);
}

// The best of a few, so that one late wake-up is not a lag.
void check_lag(Look& look) {
  constexpr const char* name = "replication.lag";
  constexpr int rounds = 5;
  constexpr double idle_report_ms = 1'000;
  const auto& limits = look.config.cutover;
  const auto bound = fmt::format("{} ms, {} bytes", limits.lag_ms_max, limits.lag_bytes_max);
  if (look.topology.streams.empty()) return look.fail(name, "unknown", bound, "mend replication.active first");
  const auto todo = "wait for it to catch up, or find what blocks its apply worker on " +
                    std::string(router::name(look.to)) + " (locks, a big transaction)";
  double worst_ms = 0, worst_bytes = 0;
  for (const auto& stream : look.topology.streams) {
    double best_ms = -1, bytes = 0, allowed_ms = limits.lag_ms_max;
    for (int round = 0; round < rounds; ++round) {
      const auto behind = look.ask(name, look.from, stream.database,
                                   "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), r.replay_lsn) FROM "
                                   "pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE "
                                   "s.slot_name = " +
                                       quote_literal(stream.slot));
      if (!behind) return;
      if (behind->empty()) {
        return look.fail(name, stream.database + ": unknown, nothing is streaming", bound,
                         "mend replication.active first");
      }
      bytes = std::max(0.0, behind->number(0, 0));
      const auto beat = heartbeat_ms(look, name, stream, limits.lag_ms_max * 2.0);
      if (!beat) allowed_ms = std::max(allowed_ms, idle_report_ms);
      const double ms = beat ? *beat : position_ms(look, name, stream, allowed_ms * 2);
      if (ms < -1) return;  // the question failed, and said so
      if (ms >= 0) best_ms = best_ms < 0 ? ms : std::min(best_ms, ms);
      if (ms < 0 && best_ms < 0) break;  // it was given twice the allowed time
      if (best_ms >= 0 && best_ms <= allowed_ms && bytes <= static_cast<double>(limits.lag_bytes_max)) break;
    }
    const auto measured = best_ms < 0
                              ? fmt::format("{}: {:.0f} bytes behind and not catching up", stream.database, bytes)
                              : fmt::format("{}: {:.1f} ms, {:.0f} bytes", stream.database, best_ms, bytes);
    if (best_ms < 0 || best_ms > allowed_ms || bytes > static_cast<double>(limits.lag_bytes_max)) {
      return look.fail(name, measured, bound, todo);
    }
    worst_ms = std::max(worst_ms, best_ms);
    worst_bytes = std::max(worst_bytes, bytes);
  }
  look.pass(name, fmt::format("{:.1f} ms, {:.0f} bytes", worst_ms, worst_bytes), bound);
}

void check_errors(Look& look) {
  constexpr const char* name = "replication.errors";
  std::vector<std::string> bad;
  for (const auto& stream : look.topology.streams) {
    const auto has_view = look.ask(name, look.to, stream.database,
                                   "SELECT 1 WHERE to_regclass('pg_catalog.pg_stat_subscription_stats') IS NOT NULL");
    if (!has_view) return;
    if (has_view->empty()) continue;
    const auto rows =
        look.ask(name, look.to, stream.database,
                 "SELECT apply_error_count, sync_error_count FROM pg_stat_subscription_stats WHERE subid = " +
                     std::to_string(stream.subscription_oid));
    if (!rows) return;
    if (!rows->empty() && rows->integer(0, 0) + rows->integer(0, 1) > 0) {
      bad.push_back(
          fmt::format("{}: {} apply and {} sync errors", stream.database, rows->integer(0, 0), rows->integer(0, 1)));
    }
  }
  look.verdict(name, Verdict::warn, bad, "none", "0 since the statistics were reset",
               "find them in the log; when they are mended: SELECT pg_stat_reset_subscription_stats(NULL)");
}

void check_tables_ready(Look& look) {
  constexpr const char* name = "replication.tables_ready";
  std::vector<std::string> bad;
  for (const auto& stream : look.topology.streams) {
    const auto rows = look.ask(
        name, look.to, stream.database,
        "SELECT srrelid::regclass::text || ' (' || srsubstate::text || ')' FROM pg_subscription_rel WHERE srsubstate "
        "<> 'r' AND srsubid = " +
            std::to_string(stream.subscription_oid));
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) bad.push_back(stream.database + ": " + rows->text(row, 0));
  }
  look.verdict(name, Verdict::fail, bad, "all ready", "every table in state r",
               "wait for the initial copy; on an idle server one more commit ends it");
}

// A table that is not carried is lost without a word. Leaves count; a parent that is published through its root covers
// them.
constexpr const char* uncovered_sql = R"(
WITH published AS (
  SELECT format('%I.%I', t.schemaname, t.tablename)::regclass AS oid FROM pg_publication_tables t JOIN pg_publication p USING (pubname)
   WHERE t.pubname = ANY (SELECT json_array_elements_text($1::json)) AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
     AND t.rowfilter IS NULL
     AND cardinality(t.attnames) >= (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = format('%I.%I', t.schemaname, t.tablename)::regclass
                                       AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''))
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_'
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
   AND NOT EXISTS (SELECT 1 FROM published p WHERE p.oid = c.oid OR p.oid IN (SELECT relid FROM pg_partition_ancestors(c.oid))) ORDER BY 1)";

void check_coverage(Look& look) {
  constexpr const char* name = "replication.coverage";
  std::vector<std::string> bad;
  for (const auto& whole : look.topology.merged()) {
    const auto rows = look.ask(name, look.from, whole.database, uncovered_sql, {json_list(whole.publications)});
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) bad.push_back(whole.database + ": " + rows->text(row, 0));
  }
  for (const auto& stream : look.topology.streams) {
    // Published, but the follower has not been told (no REFRESH since).
    const auto published = look.ask(
        name, look.from, stream.database,
        "SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE schemaname <> 'turnout' AND pubname = "
        "ANY (SELECT json_array_elements_text($1::json))",
        {json_list(stream.publications)});
    const auto followed =
        look.ask(name, look.to, stream.database,
                 "SELECT n.nspname, c.relname FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN "
                 "pg_namespace n ON n.oid = c.relnamespace WHERE r.srsubid = " +
                     std::to_string(stream.subscription_oid));
    if (!published || !followed) return;
    std::set<std::string> known;
    for (int row = 0; row < followed->size(); ++row)
      known.insert(followed->text(row, 0) + '.' + followed->text(row, 1));
    for (int row = 0; row < published->size(); ++row) {
      const auto table = published->text(row, 0) + '.' + published->text(row, 1);
      if (!known.contains(table)) bad.push_back(stream.database + ": " + table + " is published but not subscribed");
    }
  }
  if (look.topology.streams.empty()) return look.fail(name, "unknown", "", "mend replication.active first");
  look.verdict(
      name, Verdict::fail, bad, "every table is carried",
      "every table published with all rows, columns and operations, and subscribed",
      "ALTER PUBLICATION … ADD TABLE, then ALTER SUBSCRIPTION … REFRESH PUBLICATION; or drop what nobody needs");
}

void check_slots(Look& look) {
  std::vector<std::string> inactive, heavy;
  double most = 0;
  const auto bound = look.config.cutover.slot_retained_bytes_max;
  for (const auto side : {look.from, look.to}) {
    const auto rows = look.ask("slot.retained_wal", side,
                               "SELECT slot_name, active, coalesce(wal_status, ''), "
                               "coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn), 0) "
                               "FROM pg_replication_slots WHERE NOT temporary");
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) {
      const auto label = rows->text(row, 0) + " on " + router::name(side);
      const bool is_stream =
          side == look.from && std::any_of(look.topology.streams.begin(), look.topology.streams.end(),
                                           [&](const auto& stream) { return stream.slot == rows->text(row, 0); });
      if (is_stream && !rows->boolean(row, 1)) inactive.push_back(label);
      most = std::max(most, rows->number(row, 3));
      if (rows->text(row, 2) == "lost") heavy.push_back(label + " is lost");
      if (rows->number(row, 3) > static_cast<double>(bound))
        heavy.push_back(fmt::format("{} retains {:.0f} bytes", label, rows->number(row, 3)));
    }
  }
  look.verdict("slot.active", Verdict::fail, inactive, "active", "every stream's slot is in use",
               "see replication.active");
  look.verdict("slot.retained_wal", Verdict::fail, heavy, fmt::format("{:.0f} bytes at most", most),
               fmt::format("{} bytes", bound),
               "let the consumer catch up, or drop a slot that nobody reads; a lost one of turnout's own is made again "
               "by prepare");
}

void check_wal_level(Look& look) {
  constexpr const char* name = "wal_level";
  std::vector<std::string> bad;
  for (const auto side : {look.from, look.to}) {
    const auto rows = look.ask(name, side, "SHOW wal_level");
    if (!rows) return;
    if (rows->text(0, 0) != "logical") bad.push_back(std::string(router::name(side)) + " has " + rows->text(0, 0));
  }
  look.verdict(name, Verdict::fail, bad, "logical on both sides", "logical, for both directions",
               "ALTER SYSTEM SET wal_level = logical, and restart that server");
}

// Free places for what the way back needs, and a real attempt at its subscription, taken back at once.
void check_reverse(Look& look) {
  constexpr const char* name = "reverse.possible";
  const std::string bound = "free slots, walsenders and workers; the old writer can log in to the new one";
  const auto places = look.ask(
      name, look.to,
      "SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots WHERE "
      "slot_name !~ '^turnout_'), current_setting('max_wal_senders')::int - (SELECT count(*) FROM "
      "pg_stat_replication)");
  if (!places) return;
  const auto databases = look.topology.databases();
  const auto needed = static_cast<std::int64_t>(databases.size());
  if (places->integer(0, 0) < 2 * needed || places->integer(0, 1) < needed) {
    return look.fail(name,
                     fmt::format("{} slots and {} walsenders free on {}", places->integer(0, 0), places->integer(0, 1),
                                 router::name(look.to)),
                     bound, "raise max_replication_slots and max_wal_senders there, and restart it");
  }
  for (const auto& database : databases) {
    auto publisher = look.context.shelf.take(look.to, database, quiet_ms_max);
    if (!publisher) return look.fail(name, publisher.error().message(), bound, "see that this server answers");
    const auto publication = marker_publication(**publisher);
    auto subscriber = look.context.shelf.fresh(look.from, database, quiet_ms_max);
    if (!subscriber) return look.fail(name, subscriber.error().message(), bound, "see that this server answers");
    const std::string wanted = publication && !publication->empty() ? *publication : full_publication(look.to);
    const auto tried = subscriber->query(
        "BEGIN READ WRITE; CREATE SUBSCRIPTION turnout_check CONNECTION " +
            quote_literal(replication_conninfo(look.config, look.to, database)) + " PUBLICATION " +
            quote_identifier(wanted) +
            " WITH (enabled = false, create_slot = false, slot_name = NONE, copy_data = false); ROLLBACK",
        quiet_ms_max);
    if (!tried) {
      return look.fail(name, database + ": " + tried.error().message(), bound,
                       "the old writer must reach the new one: see replication.login and the two addresses, "
                       "pg_hba.conf and the role's REPLICATION. An admin who is no superuser: before 16 only what the "
                       "provider allows (rds_superuser, cloudsqlsuperuser, …); since 16 pg_create_subscription, and "
                       "replication.password_file");
    }
  }
  look.pass(name, "tried and taken back", bound);
}

}  // namespace

void check_streams(Look& look, bool quick) {
  check_active(look);
  check_lag(look);
  check_errors(look);
  check_tables_ready(look);
  check_coverage(look);
  check_slots(look);
  check_wal_level(look);
  if (!quick) check_reverse(look);
}

}  // namespace turnout::control
