#include "control/replica_look.h"

#include "control/preflight_look.h"
#include "control/settle.h"

namespace turnout::control {

namespace {

using router::Side;

constexpr const char* server_database = "postgres";  // for what belongs to no database of the pair
constexpr int major_factor = 10'000;

constexpr const char* server_sql = R"(
SELECT current_setting('server_version_num')::int, (SELECT system_identifier::text FROM pg_control_system()), current_setting('wal_level'), pg_is_in_recovery(),
       coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false),
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots WHERE slot_name !~ '^turnout_'),
       current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),
       coalesce(current_setting('max_active_replication_origins', true), current_setting('max_replication_slots'))::int - (SELECT count(*) FROM pg_replication_origin),
       current_setting('max_logical_replication_workers')::int - (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL),
       current_setting('max_sync_workers_per_subscription')::int)";

// Encoding, and what makes the same database on green; the locale's columns have changed their names over the versions.
constexpr const char* database_sql = R"(
SELECT pg_encoding_to_char(d.encoding),
       format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L', d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype)
       || CASE WHEN to_jsonb(d) ->> 'datlocprovider' = 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')) ELSE '' END
  FROM pg_database d WHERE d.datname = $1 AND d.datallowconn)";

// Anything of a user's own that the copied schema, or the copied rows, could meet.
constexpr const char* objects_sql = R"(
WITH own AS (SELECT oid FROM pg_namespace WHERE nspname NOT IN ('information_schema', 'turnout') AND nspname !~ '^pg_'),
     of_extensions AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'table ' END || c.oid::regclass::text
  FROM pg_class c WHERE c.relnamespace IN (SELECT oid FROM own) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
   AND NOT EXISTS (SELECT 1 FROM of_extensions e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
UNION ALL
SELECT 'function ' || p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace IN (SELECT oid FROM own)
   AND NOT EXISTS (SELECT 1 FROM of_extensions e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
UNION ALL
SELECT 'type ' || t.oid::regtype::text FROM pg_type t WHERE t.typnamespace IN (SELECT oid FROM own) AND t.typtype IN ('e', 'd')
   AND NOT EXISTS (SELECT 1 FROM of_extensions e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
UNION ALL
SELECT 'schema ' || quote_ident(n.nspname) FROM pg_namespace n WHERE n.oid IN (SELECT oid FROM own) AND n.nspname <> 'public'
   AND NOT EXISTS (SELECT 1 FROM of_extensions e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid)
 LIMIT 100)";

// The schema is ours and no subscription has filled it: then rows are somebody's, or of a copy that was taken down.
constexpr const char* filled_sql = R"(
SELECT 'rows in ' || c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_' AND pg_relation_size(c.oid) > 0
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 LIMIT 100)";

// The first error ends it; every question goes through ask().
class Looking {
 public:
  explicit Looking(StepContext& context) : context_(context), config_(context.config()) {}

  [[nodiscard]] PgOutcome<ReplicaLook> run() {
    if (!server(Side::blue, look_.facts.blue) || !server(Side::green, look_.facts.green)) return *error_;
    for (const auto& name : names()) {
      if (error_) return *error_;
      DatabaseFacts facts;
      facts.name = name;
      if (!database(facts)) return *error_;
      look_.facts.databases.push_back(std::move(facts));
    }
    if (error_) return *error_;
    dump();
    return std::move(look_);
  }

 private:
  std::optional<PgRows> ask(Side side, const std::string& database, const std::string& sql,
                            const std::vector<std::string>& parameters = {}) {
    auto loan = context_.shelf.take(side, database, quiet_ms_max);
    auto rows = !loan ? PgOutcome<PgRows>(loan.error()) : (*loan)->query(sql, parameters, quiet_ms_max);
    if (rows) return std::move(*rows);
    error_ = rows.error();
    return std::nullopt;
  }

  std::optional<std::vector<std::string>> list(Side side, const std::string& database, const std::string& sql,
                                               const std::vector<std::string>& parameters = {}) {
    const auto rows = ask(side, database, sql, parameters);
    if (!rows) return std::nullopt;
    std::vector<std::string> items;
    for (int row = 0; row < rows->size(); ++row) items.push_back(rows->text(row, 0));
    return items;
  }

  // False when a question failed.
  bool fill(std::vector<std::string>& into, Side side, const std::string& database, const std::string& sql) {
    auto items = list(side, database, sql);
    if (items) into = std::move(*items);
    return items.has_value();
  }

  bool server(Side side, ServerFacts& facts) {
    const auto rows = ask(side, server_database, server_sql);
    if (!rows) return false;
    facts.version = static_cast<int>(rows->integer(0, 0));
    facts.system_identifier = rows->text(0, 1);
    facts.wal_level = rows->text(0, 2);
    facts.is_standby = rows->boolean(0, 3);
    facts.is_superuser = rows->boolean(0, 4);
    facts.slots_free = rows->integer(0, 5);
    facts.senders_free = rows->integer(0, 6);
    facts.origins_free = rows->integer(0, 7);
    facts.workers_free = rows->integer(0, 8);
    facts.sync_workers = rows->integer(0, 9);
    return fill(facts.roles, side, server_database,
                "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1") &&
           fill(facts.tablespaces, side, server_database, "SELECT spcname FROM pg_tablespace ORDER BY 1");
  }

  // Those of the configuration, else all that hold something of somebody's.
  std::vector<std::string> names() {
    if (!config_.databases.empty()) return config_.databases;
    auto all = list(Side::blue, server_database,
                    "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> "
                    "'postgres' ORDER BY 1");
    return all ? std::move(*all) : std::vector<std::string>{};
  }

  bool database(DatabaseFacts& facts) {
    const auto blue = ask(Side::blue, server_database, database_sql, {facts.name});
    const auto green = ask(Side::green, server_database, database_sql, {facts.name});
    const auto followed = ask(Side::green, server_database,
                              "SELECT 1 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE "
                              "d.datname = $1",
                              {facts.name});
    if (!blue || !green || !followed) return false;
    facts.is_on_blue = !blue->empty();
    facts.is_on_green = !green->empty();
    facts.is_followed = !followed->empty();
    if (facts.is_followed || !facts.is_on_blue) return true;
    facts.blue_encoding = blue->text(0, 0);
    facts.create_sql = blue->text(0, 1);
    if (facts.is_on_green) facts.green_encoding = green->text(0, 0);
    return on_blue(facts) && (!facts.is_on_green || on_green(facts));
  }

  bool on_blue(DatabaseFacts& facts) {
    const auto published =
        ask(Side::blue, facts.name, "SELECT 1 FROM pg_publication WHERE pubname = $1", {own_publication(Side::blue)});
    const auto slot = ask(Side::blue, facts.name,
                          "SELECT active, coalesce(wal_status, ''), coalesce(plugin, '') = 'pgoutput' AND database = "
                          "$2 FROM pg_replication_slots WHERE slot_name = $1",
                          {own_slot(Side::blue, facts.name), facts.name});
    if (!published || !slot) return false;
    facts.is_published = !published->empty();
    if (!slot->empty()) {
      facts.slot = !slot->boolean(0, 2)         ? SlotState::foreign
                   : slot->boolean(0, 0)        ? SlotState::active
                   : slot->text(0, 1) == "lost" ? SlotState::lost
                                                : SlotState::idle;
    }
    return fill(facts.without_identity, Side::blue, facts.name, no_identity_sql) &&
           fill(facts.extensions, Side::blue, facts.name, "SELECT extname FROM pg_extension ORDER BY 1");
  }

  bool on_green(DatabaseFacts& facts) {
    const auto copied =
        ask(Side::green, facts.name, "SELECT 1 FROM pg_class WHERE oid = to_regclass('turnout.replica')");
    if (!copied) return false;
    facts.is_schema_copied = !copied->empty();
    if (!fill(facts.objects_on_green, Side::green, facts.name, facts.is_schema_copied ? filled_sql : objects_sql) ||
        !fill(facts.available, Side::green, facts.name, "SELECT name FROM pg_available_extensions ORDER BY 1")) {
      return false;
    }
    auto client = context_.shelf.fresh(Side::green, facts.name, quiet_ms_max);
    if (!client) {
      error_ = client.error();
      return false;
    }
    const auto tried =
        client->query("BEGIN READ WRITE; CREATE SUBSCRIPTION turnout_check CONNECTION " +
                          quote_literal(replication_conninfo(config_, Side::blue, facts.name)) + " PUBLICATION " +
                          quote_identifier(own_publication(Side::blue)) +
                          " WITH (enabled = false, create_slot = false, slot_name = NONE, copy_data = false); ROLLBACK",
                      quiet_ms_max);
    if (!tried) facts.unreachable = tried.error().message();
    return true;
  }

  void dump() {
    const auto found = find_dump(config_.replicate.pg_dump, look_.facts.blue.version / major_factor,
                                 look_.facts.green.version / major_factor);
    look_.facts.no_dump = found.error;
    if (found.program) look_.dump = *found.program;
  }

  StepContext& context_;
  const conf::Deployment config_;
  ReplicaLook look_;
  std::optional<PgError> error_;
};

}  // namespace

PgOutcome<ReplicaLook> look_for_replica(StepContext& context) {
  return Looking(context).run();
}

}  // namespace turnout::control
