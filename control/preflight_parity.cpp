// Do the two servers behave alike where no table shows it: settings, partitions, triggers, jobs, statistics?

#include <fmt/format.h>

#include <map>

#include "control/decision_store.h"
#include "control/preflight_look.h"
#include "control/proof.h"

namespace turnout::control {

namespace {

// Settings that change what a statement means or whether it works, and what is set for databases and roles. Not those
// of memory and disks: the new server may well be a bigger one.
constexpr const char* settings_sql = R"(
SELECT name, setting FROM pg_settings WHERE name IN (
  'TimeZone', 'DateStyle', 'IntervalStyle', 'bytea_output', 'xmloption', 'lc_monetary', 'lc_numeric', 'lc_time',
  'default_transaction_isolation', 'default_transaction_deferrable', 'standard_conforming_strings', 'backslash_quote', 'escape_string_warning',
  'transform_null_equals', 'array_nulls', 'quote_all_identifiers', 'row_security', 'session_replication_role', 'check_function_bodies',
  'default_text_search_config', 'default_tablespace', 'temp_tablespaces', 'extra_float_digits', 'lo_compat_privileges', 'search_path',
  'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'client_encoding',
  'max_prepared_transactions', 'synchronous_commit', 'session_preload_libraries', 'password_encryption')
UNION ALL
SELECT 'for ' || coalesce('database ' || d.datname, 'all databases') || coalesce(' role ' || r.rolname, '') || ': ' || split_part(line, '=', 1),
       substr(line, strpos(line, '=') + 1)
  FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) line
 WHERE line NOT LIKE 'default_transaction_read_only=%' AND (d.datname IS NULL OR d.datname = current_database()))";

constexpr const char* locale_sql = R"(
SELECT 'encoding', pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()
UNION ALL SELECT 'collation', datcollate || ' / ' || datctype FROM pg_database WHERE datname = current_database())";

std::vector<std::string> differences(const Names& here, const Names& there) {
  std::vector<std::string> found;
  for (const auto& [key, value] : here) {
    const auto other = there.find(key);
    if (other == there.end()) {
      found.push_back(key + " is '" + value + "' here, not set there");
    } else if (other->second != value) {
      found.push_back(key + " is '" + value + "' here, '" + other->second + "' there");
    }
  }
  for (const auto& [key, value] : there) {
    if (!here.contains(key)) found.push_back(key + " is not set here, '" + value + "' there");
  }
  return found;
}

void check_settings(Look& look) {
  constexpr const char* name = "settings.parity";
  std::vector<std::string> encodings, others;
  for (const auto& database : look.topology.databases()) {
    const auto here = look.names(name, look.from, database, settings_sql);
    const auto there = look.names(name, look.to, database, settings_sql);
    auto locale_here = look.names(name, look.from, database, locale_sql);
    auto locale_there = look.names(name, look.to, database, locale_sql);
    if (!here || !there || !locale_here || !locale_there) return;
    if ((*locale_here)["encoding"] != (*locale_there)["encoding"]) {
      encodings.push_back(database + ": encoding " + (*locale_here)["encoding"] + " here, " +
                          (*locale_there)["encoding"] + " there");
    }
    for (const auto& one : differences(*locale_here, *locale_there)) others.push_back(database + ": " + one);
    for (const auto& one : differences(*here, *there)) others.push_back(database + ": " + one);
  }
  const std::string bound = "the same encoding, collation, and settings that change what a statement means";
  if (!encodings.empty()) {
    return look.fail(name, some_of(encodings), bound, "make the database there anew, with this encoding");
  }
  look.verdict(name, Verdict::warn, others, "equal", bound,
               "set them there as they are here (ALTER SYSTEM, ALTER DATABASE, ALTER ROLE), or be sure that they are "
               "meant; another collation sorts otherwise and needs its own indexes");
}

constexpr const char* partitions_sql = R"(
SELECT format('%I.%I', n.nspname, c.relname), 'of ' || i.inhparent::regclass || ' ' || pg_get_expr(c.relpartbound, c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits i ON i.inhrelid = c.oid
 WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f') AND NOT i.inhdetachpending)";

// The follower's rows may be published through the root; a partition that is missing there shows when a row needs it.
void check_partitions(Look& look) {
  constexpr const char* name = "partitions";
  std::vector<std::string> bad;
  std::size_t count = 0;
  for (const auto& database : look.topology.databases()) {
    const auto here = look.names(name, look.from, database, partitions_sql);
    const auto there = look.names(name, look.to, database, partitions_sql);
    if (!here || !there) return;
    count += here->size();
    for (const auto& [partition, bounds] : *here) {
      const auto other = there->find(partition);
      if (other == there->end()) {
        bad.push_back(database + ": " + partition + " is missing");
      } else if (other->second != bounds) {
        bad.push_back(database + ": " + partition + " is " + bounds + " here, " + other->second + " there");
      }
    }
  }
  look.verdict(name, Verdict::fail, bad, std::to_string(count) + " partitions",
               "every partition of the writer is on the follower, with the same bounds",
               "create or attach it there, on both sides in the same way");
}

// Extensions that run statements by themselves: after the flip they run there, and perhaps still here.
constexpr const char* schedulers_sql =
    "SELECT extname, extversion FROM pg_extension WHERE extname IN ('pg_cron', 'pgagent', 'pg_timetable', "
    "'pg_partman', "
    "'timescaledb', 'pg_squeeze', 'pgl_ddl_deploy', 'pglogical')";

void check_jobs(Look& look) {
  constexpr const char* name = "jobs";
  std::vector<std::string> found;
  for (const auto side : {look.from, look.to}) {
    for (const auto& database : look.topology.databases()) {
      const auto schedulers = look.names(name, side, database, schedulers_sql);
      if (!schedulers) return;
      for (const auto& [extension, version] : *schedulers) {
        std::string text = extension + ' ' + version + " in " + database + " on " + router::name(side);
        if (extension == "pg_cron") {
          const auto jobs = look.ask(name, side, database, "SELECT count(*) FROM cron.job WHERE active");
          if (!jobs) return;
          text += ", " + jobs->text(0, 0) + " active jobs";
        }
        found.push_back(std::move(text));
      }
    }
  }
  look.verdict(name, Verdict::warn, found, "none", "no extension that runs statements by itself",
               "see that its jobs are paused on the follower until the flip, and on the former writer afterwards: they "
               "do not come through Turnout");
}

constexpr const char* triggers_sql = R"(
SELECT format('%I on %I.%I', t.tgname, n.nspname, c.relname), t.tgenabled::text
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT t.tgisinternal AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_'
UNION ALL SELECT 'event trigger ' || evtname, evtenabled::text FROM pg_event_trigger e
 WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e'))";

void check_triggers(Look& look) {
  constexpr const char* name = "green.triggers";
  std::vector<std::string> silent, applying;
  for (const auto& database : look.topology.databases()) {
    const auto here = look.names(name, look.from, database, triggers_sql);
    const auto there = look.names(name, look.to, database, triggers_sql);
    if (!here || !there) return;
    for (const auto& [trigger, enabled] : *here) {
      if (enabled == "D" || enabled == "R") continue;
      const auto other = there->find(trigger);
      if (other == there->end() || other->second == "D" || other->second == "R") {
        silent.push_back(trigger + (other == there->end() ? " is missing" : " is disabled"));
      }
    }
    for (const auto& [trigger, enabled] : *there) {
      if (enabled == "A" || enabled == "R") applying.push_back(trigger + " fires while rows are applied");
    }
  }
  const std::string bound = "every trigger of the writer fires there after the flip, none while rows are applied";
  if (!silent.empty()) return look.fail(name, some_of(silent), bound, "create it there, or ENABLE it");
  look.verdict(name, Verdict::warn, applying, "the same", bound,
               "ALTER TABLE … ENABLE TRIGGER (without ALWAYS or REPLICA), unless it is meant to act on copied rows");
}

// A copy brings rows, not statistics: the first plans after the flip would be guesses.
constexpr const char* unanalyzed_sql = R"(
SELECT format('%I.%I', s.schemaname, s.relname) FROM pg_stat_user_tables s
 WHERE s.last_analyze IS NULL AND s.last_autoanalyze IS NULL AND s.schemaname <> 'turnout' AND s.schemaname !~ '^pg_' AND pg_relation_size(s.relid) > 1048576
   AND NOT EXISTS (SELECT 1 FROM pg_stats p WHERE p.schemaname = s.schemaname AND p.tablename = s.relname)
 ORDER BY pg_relation_size(s.relid) DESC)";

void check_statistics(Look& look) {
  constexpr const char* name = "green.statistics";
  std::vector<std::string> found;
  for (const auto& database : look.topology.databases()) {
    const auto rows = look.ask(name, look.to, database, unanalyzed_sql);
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) found.push_back(database + ": " + rows->text(row, 0));
  }
  look.verdict(name, Verdict::warn, found, "every table above 1 MiB has them", "statistics for the planner",
               "vacuumdb --analyze-in-stages there, or ANALYZE the tables named");
}

// Since the preparation: a migration that ran on one side, or is about to run on the other.
void check_drift(Look& look) {
  constexpr const char* name = "schema.drift";
  const std::string bound = "the schema as it was when it was prepared";
  const auto records = look.context.store.records(look.context.deployment);
  const auto* facts = newest_with(records, RecordKind::facts, "schema");
  if (facts == nullptr) {
    return look.warn(name, "not prepared yet", bound, "turnout prepare " + look.context.deployment);
  }
  const auto& known = facts->data.at("schema").as_object();
  std::vector<std::string> changed;
  for (const auto side : {look.from, look.to}) {
    for (const auto& database : look.topology.databases()) {
      auto loan = look.context.shelf.take(side, database, quiet_ms_max);
      if (!loan) return look.fail(name, loan.error().message(), bound, "see that this server answers");
      const auto now = schema_fingerprint(**loan);
      if (!now) return look.fail(name, now.error().message(), bound, "turnout's admin must read the catalogs");
      const auto key = std::string(router::name(side)) + '/' + database;
      if (text_of(known, key) != *now) changed.push_back(database + " on " + router::name(side));
    }
  }
  look.verdict(name, Verdict::warn, changed, "unchanged", bound,
               "bring both sides to the same schema, then turnout prepare " + look.context.deployment +
                   "; a cutover prepares by itself");
}

// A consumer that reads through pgoutput names a publication, and which one only it knows.
constexpr const char* publications_sql =
    "SELECT pubname, '' FROM pg_publication WHERE pubname NOT IN (SELECT pubname FROM pg_publication_tables WHERE "
    "schemaname = 'turnout')";

void check_anchors(Look& look) {
  constexpr const char* name = "cdc.anchors";
  const std::string bound = "every consumer's slot is on the writer, and its publication on both sides";
  std::vector<std::string> missing, unsure;
  for (const auto& consumer : look.config.cdc) {
    const auto slot = anchor_slot(look.from, consumer);
    const auto rows =
        look.ask(name, look.from,
                 "SELECT database, plugin FROM pg_replication_slots WHERE slot_type = 'logical' AND slot_name = " +
                     quote_literal(slot));
    if (!rows) return;
    const auto* stream = rows->empty() ? nullptr : look.topology.find(rows->text(0, 0));
    if (stream == nullptr) {
      missing.push_back(rows->empty() ? "no logical slot " + slot
                                      : slot + " reads " + rows->text(0, 0) + ", which does not move");
      continue;
    }
    if (rows->text(0, 1) != "pgoutput") continue;
    const auto here = look.names(name, look.from, stream->database, publications_sql);
    const auto there = look.names(name, look.to, stream->database, publications_sql);
    if (!here || !there) return;
    for (const auto& [publication, nothing] : *here) {
      if (!there->contains(publication)) unsure.push_back("publication " + publication + " of " + stream->database);
    }
  }
  if (!missing.empty()) return look.fail(name, some_of(missing), bound, "correct the list cdc in the configuration");
  look.verdict(name, Verdict::warn, unsure, std::to_string(look.config.cdc.size()) + " consumers", bound,
               "create on " + std::string(router::name(look.to)) +
                   " the publications that are named and that a consumer reads, before turnout prepare");
}

}  // namespace

void check_parity(Look& look) {
  check_settings(look);
  check_partitions(look);
  check_jobs(look);
  check_triggers(look);
  check_statistics(look);
  check_drift(look);
  check_anchors(look);
}

}  // namespace turnout::control
