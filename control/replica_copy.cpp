#include "control/replica_copy.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <thread>

namespace turnout::control {

namespace {

using Clock = std::chrono::steady_clock;
using router::Side;

constexpr auto look_every = std::chrono::milliseconds(200);
constexpr auto beat_every = std::chrono::seconds(1);

constexpr const char* sizes_sql =
    "SELECT n.nspname || '.' || c.relname, pg_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = "
    "c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_'";

// bytes_processed counts the rows' text; a server that has no such view of another backend shows none.
constexpr const char* copies_sql = R"(
SELECT n.nspname || '.' || c.relname, r.srsubstate::text, coalesce(p.bytes_processed, 0)
  FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_progress_copy p ON p.relid = r.srrelid AND p.datname = current_database() AND p.command = 'COPY FROM'
 WHERE r.srsubid = $1::oid)";

// A table of an idle server becomes ready with the next commit; so there is one now and then.
constexpr const char* beat_sql =
    "INSERT INTO turnout.heartbeat AS h (id, seq, at) VALUES (1, 1, clock_timestamp()) ON CONFLICT (id) DO UPDATE SET "
    "seq = h.seq + 1, at = excluded.at";

constexpr const char* unanalyzed_sql = R"(
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_'
   AND s.last_analyze IS NULL AND s.last_autoanalyze IS NULL
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY pg_total_relation_size(c.oid))";

class Copies {
 public:
  Copies(StepContext& context, ReplicaWatch& watch)
      : context_(context), watch_(watch), stall_(context.config().replicate.stall_ms_max) {}

  [[nodiscard]] std::string run() {
    watch_.phase(name(ReplicaStep::await_copy), "");
    const auto found = discover(context_.shelf, Side::blue, context_.config().databases);
    if (!found) return found.error().message();
    topology_ = *found;
    for (const auto& stream : topology_.streams) {
      if (!stream.enabled) return "subscription " + stream.subscription + " is disabled: enable it";
      if (!read_sizes(stream)) return error_;
    }
    auto moved = Clock::now();
    auto beaten = moved - beat_every;
    CopyProgress best;
    while (!watch_.cancelled()) {
      tables_.clear();
      failures_ = 0;
      for (const auto& stream : topology_.streams) {
        if (!look(stream)) return error_;
      }
      const auto now = progress_of(tables_);
      watch_.copy(now, failures_ == 0 ? "" : fmt::format("{} failures so far: see green's log", failures_));
      if (now.tables_ready == now.tables) return "";
      if (now.tables_ready > best.tables_ready || now.bytes_copied > best.bytes_copied) {
        best = now;
        moved = Clock::now();
      }
      if (Clock::now() - moved > stall_) return stalled(now);
      if (Clock::now() - beaten >= beat_every) {
        beaten = Clock::now();
        beat();
      }
      std::this_thread::sleep_for(look_every);
    }
    return "given up; the servers go on copying, and a second call goes on waiting";
  }

 private:
  std::optional<PgRows> ask(Side side, const std::string& database, const std::string& sql,
                            const std::vector<std::string>& parameters) {
    auto loan = context_.shelf.take(side, database, quiet_ms_max);
    auto rows = !loan ? PgOutcome<PgRows>(loan.error()) : (*loan)->query(sql, parameters, quiet_ms_max);
    if (rows) return std::move(*rows);
    error_ = rows.error().message();
    return std::nullopt;
  }

  bool read_sizes(const Stream& stream) {
    const auto rows = ask(Side::blue, stream.database, sizes_sql, {});
    if (!rows) return false;
    auto& sizes = sizes_[stream.database];
    for (int row = 0; row < rows->size(); ++row) sizes[rows->text(row, 0)] = rows->integer(row, 1);
    return true;
  }

  bool look(const Stream& stream) {
    const auto rows = ask(Side::green, stream.database, copies_sql, {std::to_string(stream.subscription_oid)});
    const auto failures = ask(Side::green, stream.database,
                              "SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats WHERE "
                              "subid = $1::oid",
                              {std::to_string(stream.subscription_oid)});
    if (!rows || !failures) return false;
    if (!failures->empty()) failures_ += failures->integer(0, 0);
    const auto& sizes = sizes_[stream.database];
    for (int row = 0; row < rows->size(); ++row) {
      const auto size = sizes.find(rows->text(row, 0));
      tables_.push_back({rows->text(row, 1).front(), size == sizes.end() ? 0 : size->second, rows->integer(row, 2)});
    }
    return true;
  }

  // A stream by hand may not carry it; then its owner's own commits have to do.
  void beat() {
    for (const auto& stream : topology_.streams) {
      auto loan = context_.shelf.take(Side::blue, stream.database, quiet_ms_max);
      if (loan) static_cast<void>((*loan)->query(beat_sql, quiet_ms_max));
    }
  }

  [[nodiscard]] std::string stalled(const CopyProgress& now) const {
    return fmt::format(
        "nothing has moved for {} s ({} of {} tables ready, {} failures): find in green's log why its workers do not "
        "go on, mend it and call again",
        std::chrono::duration_cast<std::chrono::seconds>(stall_).count(), now.tables_ready, now.tables, failures_);
  }

  StepContext& context_;
  ReplicaWatch& watch_;
  const std::chrono::milliseconds stall_;
  Topology topology_;
  std::map<std::string, std::map<std::string, std::int64_t>> sizes_;  // database → table → bytes on blue
  std::vector<TableProgress> tables_;
  std::int64_t failures_ = 0;
  std::string error_;
};

std::string analyze(StepContext& context, ReplicaWatch& watch, const std::string& database, boost::json::array& done) {
  auto client = context.shelf.fresh(Side::green, database, quiet_ms_max);
  if (!client) return client.error().message();
  const auto statement_ms = context.config().replicate.statement_ms_max;
  const auto tables = client->query(unanalyzed_sql, quiet_ms_max);
  if (!tables) return tables.error().message();
  // Whoever else analyzes it now makes us wait, and nobody waits for us.
  const auto patient = client->query(
      "SET default_transaction_read_only = off; SET lock_timeout = " + std::to_string(statement_ms), quiet_ms_max);
  if (!patient) return patient.error().message();
  for (int row = 0; row < tables->size(); ++row) {
    if (watch.cancelled()) return "given up";
    watch.begins(*client);
    const auto analyzed = client->query("ANALYZE " + tables->text(row, 0), statement_ms);
    watch.ended();
    if (!analyzed) return "ANALYZE " + tables->text(row, 0) + ": " + analyzed.error().message();
  }
  if (!tables->empty()) done.emplace_back(fmt::format("{}: {} tables analyzed on green", database, tables->size()));
  return "";
}

}  // namespace

std::string await_copies(StepContext& context, ReplicaWatch& watch) {
  return Copies(context, watch).run();
}

std::string analyze_copies(StepContext& context, ReplicaWatch& watch, boost::json::array& done) {
  const auto found = discover(context.shelf, Side::blue, context.config().databases);
  if (!found) return found.error().message();
  for (const auto& stream : found->streams) {
    watch.phase(name(ReplicaStep::analyze), stream.database);
    if (auto error = analyze(context, watch, stream.database, done); !error.empty()) return error;
  }
  return "";
}

}  // namespace turnout::control
