#include "control/replicate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "control/prepare.h"
#include "control/replica_copy.h"
#include "control/schema_script.h"
#include "control/settle.h"

namespace turnout::control {

namespace {

using router::Side;

constexpr std::size_t shown_bytes_max = 2'000;  // of a statement that fails
constexpr int lock_tries = 10;                  // of 2 s each: an autovacuum gives way after one
constexpr const char* lock_not_available = "55P03";

// Root tables, so that partitions made later are carried too; unlogged ones cannot be.
constexpr const char* tables_sql = R"(
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_'
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
   AND NOT EXISTS (SELECT 1 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid AND p.pubname = $1)
   AND NOT EXISTS (SELECT 1 FROM pg_publication p WHERE p.pubname = $1 AND p.puballtables)
 ORDER BY 1)";

// One database's copy up to the subscription; the first thing that goes wrong ends it.
class ReplicaMaking {
 public:
  ReplicaMaking(StepContext& context, const ReplicaLook& look, const DatabaseFacts& database, std::uint64_t epoch,
                ReplicaWatch& watch, boost::json::array& done)
      : context_(context),
        config_(context.config()),
        look_(look),
        facts_(database),
        epoch_(epoch),
        watch_(watch),
        done_(done) {}

  [[nodiscard]] std::string run() {
    for (const auto step : steps_for(facts_)) {
      if (step == ReplicaStep::await_copy) break;  // of all databases together
      watch_.phase(name(step), facts_.name);
      if (watch_.cancelled()) return "given up";
      if (!take(step)) return facts_.name + ": " + error_;
    }
    return "";
  }

 private:
  bool take(ReplicaStep step) {
    switch (step) {
      case ReplicaStep::copy_schema:
        return copy_schema();
      case ReplicaStep::make_publication:
        return make_publication();
      case ReplicaStep::drop_lost_slot:
        return on(Side::blue, "SELECT pg_drop_replication_slot(" + quote_literal(slot()) + ')');
      case ReplicaStep::make_slot:
        return make_slot();
      case ReplicaStep::make_subscription:
        return make_subscription();
      case ReplicaStep::await_copy:
      case ReplicaStep::analyze:
        return true;
    }
    return true;
  }

  bool fail(std::string text) {
    error_ = std::move(text);
    return false;
  }
  [[nodiscard]] std::string slot() const { return own_slot(Side::blue, facts_.name); }
  void made(const std::string& text) { done_.emplace_back(facts_.name + ": " + text); }

  // A session of its own: with settings of ours, and gone afterwards.
  std::optional<PgClient> session(Side side) {
    auto client = context_.shelf.fresh(side, facts_.name, quiet_ms_max);
    if (!client) {
      error_ = client.error().message();
      return std::nullopt;
    }
    // Green may be read-only already, by an earlier preparation.
    if (side == Side::green && !ask(*client, "SET default_transaction_read_only = off")) return std::nullopt;
    return std::move(*client);
  }

  bool ask(PgClient& client, const std::string& sql) {
    watch_.begins(client);
    const auto outcome = client.query(sql, config_.replicate.statement_ms_max);
    watch_.ended();
    if (outcome) return true;
    sqlstate_ = outcome.error().sqlstate;
    return fail(outcome.error().message());
  }

  bool on(Side side, const std::string& sql) {
    auto client = session(side);
    return client && ask(*client, sql);
  }

  // In front of each effect.
  bool recorded(const std::string& what, const std::string& name, Side side, const std::string& undo) {
    const Made one{what, facts_.name, name, router::name(side), undo};
    const auto error = context_.store.append({context_.deployment, epoch_, RecordKind::made, to_json(one)});
    return error.empty() || fail(error);
  }

  bool copy_schema() {
    auto target = context_.shelf.target(Side::blue, facts_.name);
    const auto dump = dump_schema(look_.dump, target, config_.replicate, watch_.cancelled());
    if (!dump.error.empty()) return fail("the schema of blue could not be read: " + dump.error);
    const auto script = split_script(dump.script);
    if (!script.error.empty()) return fail(look_.dump.path + " wrote what cannot be used: " + script.error);
    auto green = session(Side::green);
    // Nothing undoes it but hands: after the cutover these are production's own tables.
    if (!green || !recorded("schema", facts_.name, Side::green, "")) return false;
    if (!ask(*green, "BEGIN")) return false;
    for (std::size_t at = 0; at < script.statements.size(); ++at) {
      if (watch_.cancelled()) return fail("given up");
      const std::string statement(script.statements[at]);
      if (ask(*green, statement)) continue;
      return fail(fmt::format("green refuses statement {} of {} of blue's schema, and has none of it: {}\n{}", at + 1,
                              script.statements.size(), error_, statement.substr(0, shown_bytes_max)));
    }
    if (!ask(*green,
             "CREATE SCHEMA IF NOT EXISTS turnout; CREATE TABLE turnout.replica (at timestamptz PRIMARY KEY "
             "DEFAULT now(), tool text NOT NULL); INSERT INTO turnout.replica (tool) VALUES (" +
                 quote_literal(look_.dump.path) + "); COMMIT")) {
      return false;
    }
    made(fmt::format("schema copied to green, {} statements ({} of version {})", script.statements.size(),
                     look_.dump.path, look_.dump.major));
    return true;
  }

  bool own_schema(PgClient& client) {
    const auto is_new = make_own_schema(client);
    if (!is_new) return fail(is_new.error().message());
    if (*is_new) made(std::string("schema turnout on ") + router::name(client.target().side));
    return true;
  }

  bool make_publication() {
    auto blue = session(Side::blue);
    if (!blue) return false;
    auto green = session(Side::green);
    if (!green || !own_schema(*blue) || !own_schema(*green)) return false;
    const auto publication = own_publication(Side::blue);
    const auto rows = blue->query(tables_sql, {publication}, quiet_ms_max);
    if (!rows) return fail(rows.error().message());
    std::string tables;
    for (int row = 0; row < rows->size(); ++row) tables += (row == 0 ? "" : ", ") + rows->text(row, 0);
    const auto quoted = quote_identifier(publication);
    if (facts_.is_published) {
      if (tables.empty()) return true;
      made("added to publication " + publication + " on blue: " + tables);
      return patiently(*blue, writing("ALTER PUBLICATION " + quoted + " ADD TABLE " + tables));
    }
    if (!recorded("publication", publication, Side::blue, "DROP PUBLICATION IF EXISTS " + quoted)) return false;
    made(fmt::format("publication {} on blue, {} tables", publication, rows->size()));
    return patiently(*blue, writing("CREATE PUBLICATION " + quoted + " FOR TABLE turnout.marker, turnout.heartbeat" +
                                    (tables.empty() ? "" : ", " + tables)));
  }

  // What locks tables of production waits 2 s for a lock, for others queue behind it; and tries again.
  bool patiently(PgClient& blue, const std::string& sql) {
    for (int tries = 1;; ++tries) {
      if (ask(blue, sql)) return true;
      if (sqlstate_ != lock_not_available || tries == lock_tries || watch_.cancelled()) return false;
      const auto ended = blue.query("ROLLBACK", quiet_ms_max);
      if (!ended) return fail(ended.error().message());
    }
  }

  // Waits for every transaction of the server that writes now; nobody queues behind that.
  bool make_slot() {
    auto blue = session(Side::blue);
    if (!blue) return false;
    const auto limit = std::to_string(config_.replicate.statement_ms_max);
    if (!ask(*blue, "SET lock_timeout = " + limit) ||
        !recorded("slot", slot(), Side::blue,
                  "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND slot_name "
                  "= " +
                      quote_literal(slot()))) {
      return false;
    }
    if (!ask(*blue, "SELECT pg_create_logical_replication_slot(" + quote_literal(slot()) + ", 'pgoutput')")) {
      return fail("the slot on blue waits for every transaction that writes, and got no further: " + error_ +
                  "; see turnout blockers " + context_.deployment);
    }
    made("slot " + slot() + " on blue");
    return true;
  }

  bool make_subscription() {
    const auto name = quote_identifier(own_subscription(Side::blue));
    // Without its slot it needs nobody else to go.
    if (!recorded("subscription", own_subscription(Side::blue), Side::green,
                  "ALTER SUBSCRIPTION " + name + " DISABLE; ALTER SUBSCRIPTION " + name +
                      " SET (slot_name = NONE); DROP SUBSCRIPTION " + name)) {
      return false;
    }
    if (!on(Side::green, "CREATE SUBSCRIPTION " + name + " CONNECTION " +
                             quote_literal(replication_conninfo(config_, Side::blue, facts_.name)) + " PUBLICATION " +
                             quote_identifier(own_publication(Side::blue)) +
                             " WITH (copy_data = true, create_slot = false, slot_name = " + quote_literal(slot()) +
                             ')')) {
      return false;
    }
    made("subscription " + own_subscription(Side::blue) + " on green");
    return true;
  }

  StepContext& context_;
  const conf::Deployment config_;
  const ReplicaLook& look_;
  const DatabaseFacts& facts_;
  const std::uint64_t epoch_;
  ReplicaWatch& watch_;
  boost::json::array& done_;
  std::string error_, sqlstate_;
};

}  // namespace

std::string make_replica(StepContext& context, const ReplicaLook& look, std::uint64_t epoch, ReplicaWatch& watch,
                         boost::json::array& done) {
  for (const auto& database : look.facts.databases) {
    if (auto error = ReplicaMaking(context, look, database, epoch, watch, done).run(); !error.empty()) return error;
  }
  if (auto error = await_copies(context, watch); !error.empty()) return error;
  return analyze_copies(context, watch, done);
}

}  // namespace turnout::control
