#include "control/prepare.h"

#include <algorithm>

#include "control/anchors.h"
#include "control/fence.h"
#include "control/identity.h"
#include "control/proof.h"
#include "control/sequences.h"
#include "control/settle.h"

namespace turnout::control {

namespace {

constexpr std::size_t warm_connections_per_side = 4;  // as many steps as run at the same time on one side

constexpr const char* schema_sql =
    "CREATE SCHEMA IF NOT EXISTS turnout; "
    "CREATE TABLE IF NOT EXISTS turnout.marker (epoch bigint, sub text, token uuid NOT NULL, "
    "at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (epoch, sub)); "
    "CREATE TABLE IF NOT EXISTS turnout.heartbeat (id int PRIMARY KEY, seq bigint NOT NULL, at timestamptz NOT NULL); "
    "CREATE TABLE IF NOT EXISTS turnout.journal (epoch bigint, side text, decision text NOT NULL, direction text NOT "
    "NULL, "
    "by_whom text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (epoch, side))";

constexpr int row_filters_since = 150000;

// One stream's preparation, and that of its database (what another stream of it has done already is left alone); the
// first thing that goes wrong ends it.
class StreamPreparation {
 public:
  StreamPreparation(StepContext& context, Attempt& attempt, const Topology& topology, const Stream& stream,
                    boost::json::array& done)
      : context_(context),
        attempt_(attempt),
        from_(topology.from),
        to_(topology.to()),
        stream_(stream),
        is_one_of_several_(topology.has_several(stream.database)),
        is_first_(topology.find(stream.database) == &stream),
        done_(done) {
    for (const auto& whole : topology.merged()) {
      if (whole.database == stream.database) publications_ = whole.publications;
    }
  }

  [[nodiscard]] std::string run() {
    auto writer = context_.shelf.fresh(from_, stream_.database, quiet_ms_max);
    if (!writer) return writer.error().message();
    auto follower = context_.shelf.fresh(to_, stream_.database, quiet_ms_max);
    if (!follower) return follower.error().message();
    writer_ = &*writer;
    follower_ = &*follower;
    // This session, and no other, may write on the follower, whose default is read-only by now: REFRESH and the like
    // cannot stand in a transaction that says so. It ends with the preparation.
    if (!run_on(follower_, "SET default_transaction_read_only = off")) return error_;
    using Step = bool (StreamPreparation::*)();
    for (const Step step : {&StreamPreparation::schemas, &StreamPreparation::marker_travels,
                            &StreamPreparation::opposite_publication, &StreamPreparation::opposite_slot,
                            &StreamPreparation::guard, &StreamPreparation::anchors, &StreamPreparation::fingerprints}) {
      if (!(this->*step)()) return error_;
    }
    return "";
  }

 private:
  bool fail(std::string text) {
    error_ = std::move(text);
    return false;
  }
  bool run_on(PgClient* client, const std::string& sql) {
    const auto outcome = client->query(sql, quiet_ms_max);
    return outcome ? true : fail(outcome.error().message());
  }
  std::optional<PgRows> ask(PgClient* client, const std::string& sql) {
    auto outcome = client->query(sql, quiet_ms_max);
    if (outcome) return std::move(*outcome);
    error_ = outcome.error().message();
    return std::nullopt;
  }
  void made(const std::string& text) { done_.emplace_back(stream_.database + ": " + text); }

  bool schemas() {
    for (auto* client : {writer_, follower_}) {
      const auto new_one = make_own_schema(*client);
      if (!new_one) return fail(new_one.error().message());
      if (*new_one) made(std::string("schema turnout on ") + router::name(client->target().side));
    }
    // The apply worker of 16+ acts as the owner of the table; older ones as the owner of the subscription.
    const auto admin = context_.config().admin.user;
    if (stream_.owner.empty() || stream_.owner == quote_identifier(admin) || stream_.owner == admin) return true;
    return run_on(follower_, "GRANT USAGE ON SCHEMA turnout TO " + stream_.owner +
                                 "; GRANT ALL ON turnout.marker, turnout.heartbeat, turnout.journal TO " +
                                 stream_.owner);
  }

  // The marker must come through the stream that carries the data, whoever made its publication. Of several streams of
  // a database each lets its own rows through only: what two of them brought would be a conflict.
  bool marker_travels() {
    if (stream_.publications.empty()) return fail("subscription " + stream_.subscription + " names no publication");
    if (is_one_of_several_ && writer_->server_version() < row_filters_since) {
      return fail("database " + stream_.database +
                  " has several subscriptions, which needs row filters of PostgreSQL 15 on " + router::name(from_) +
                  ": let one subscription carry all");
    }
    const auto carried = ask(writer_, carrying("marker", stream_.publications));
    if (!carried) return false;
    bool travels = false;
    for (int row = 0; row < carried->size(); ++row) {
      const bool lets_all_through = carried->boolean(row, 1);
      travels = travels || !is_one_of_several_ || !lets_all_through;
      if (is_one_of_several_ && lets_all_through &&
          !run_on(writer_, writing("ALTER PUBLICATION " + quote_identifier(carried->text(row, 0)) +
                                   " DROP TABLE turnout.marker"))) {
        return false;
      }
    }
    if (!travels && !publish_marker()) return false;
    const auto subscribed = ask(follower_,
                                "SELECT 1 FROM pg_subscription_rel WHERE srrelid = 'turnout.marker'::regclass AND "
                                "srsubid = " +
                                    std::to_string(stream_.subscription_oid));
    if (!subscribed) return false;
    if (!subscribed->empty()) return true;
    made("subscription " + stream_.subscription + " refreshed");
    return run_on(follower_, "ALTER SUBSCRIPTION " + quote_identifier(stream_.subscription) +
                                 " REFRESH PUBLICATION WITH (copy_data = false)");
  }

  // Publications among `which` that carry that table of ours, and whether with all of its rows.
  static std::string carrying(const char* table, const std::vector<std::string>& which) {
    return "SELECT pubname, to_jsonb(t) ->> 'rowfilter' IS NULL FROM pg_publication_tables t WHERE schemaname = "
           "'turnout' AND "
           "tablename = " +
           quote_literal(table) + " AND pubname = ANY (SELECT json_array_elements_text(" +
           quote_literal(json_list(which)) + "::json))";
  }
  bool publish_marker() {
    const auto publication = stream_.publications.front();
    std::string tables = "turnout.marker";
    if (is_one_of_several_) tables += " WHERE (sub = " + quote_literal(stream_.subscription) + ')';
    if (is_first_) {
      // It has one row, so only one stream of a database may carry it.
      const auto beats = ask(writer_, carrying("heartbeat", publications_));
      if (!beats) return false;
      if (beats->empty()) tables += ", turnout.heartbeat";
    }
    made("turnout.marker added to publication " + publication + " on " + router::name(from_));
    return run_on(writer_, writing("ALTER PUBLICATION " + quote_identifier(publication) + " ADD TABLE " + tables));
  }

  // On the follower, for the way back: every table that comes forward, and the marker.
  bool opposite_publication() {
    const auto tables = carried_tables(*follower_, stream_);
    if (!tables) return fail(tables.error().message());
    const auto found = marker_publication(*follower_);
    if (!found) return fail(found.error().message());
    std::string list = "turnout.marker, turnout.heartbeat";
    if (found->empty()) {
      for (const auto& table : *tables) list += ", " + table.quoted();
      const auto name = full_publication(to_);
      made("publication " + name + " on " + router::name(to_));
      const auto root = publishes_via_root();
      if (!root) return false;
      return run_on(follower_, writing("CREATE PUBLICATION " + quote_identifier(name) + " FOR TABLE " + list +
                                       (*root ? " WITH (publish_via_partition_root = true)" : "")));
    }
    return add_missing(*found, *tables);
  }

  std::optional<bool> publishes_via_root() {
    const auto rows = ask(writer_, "SELECT bool_or(pubviaroot) FROM pg_publication WHERE pubname = " +
                                       quote_literal(stream_.publications.front()));
    if (!rows) return std::nullopt;
    return !rows->empty() && rows->boolean(0, 0);
  }

  bool add_missing(const std::string& publication, const std::vector<TableName>& tables) {
    const auto rows = ask(follower_, "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = " +
                                         quote_literal(publication));
    if (!rows) return false;
    std::vector<TableName> have;
    for (int row = 0; row < rows->size(); ++row) have.push_back({rows->text(row, 0), rows->text(row, 1)});
    std::string missing;
    for (const auto& table : tables) {
      if (std::find(have.begin(), have.end(), table) == have.end())
        missing += (missing.empty() ? "" : ", ") + table.quoted();
    }
    if (missing.empty()) return true;
    made("added to publication " + publication + " on " + router::name(to_) + ": " + missing);
    return run_on(follower_, writing("ALTER PUBLICATION " + quote_identifier(publication) + " ADD TABLE " + missing));
  }

  // Made early, because making one waits for every running transaction of the server; moved up, because moving it over
  // much log takes long. In the window only the last step is left.
  bool opposite_slot() {
    const auto slot = own_slot(to_, stream_.database);
    const auto found =
        ask(follower_, "SELECT coalesce(wal_status, ''), active FROM pg_replication_slots WHERE slot_name = " +
                           quote_literal(slot));
    if (!found) return false;
    if (!found->empty() && found->boolean(0, 1)) {
      return fail("the slot " + slot + " on " + router::name(to_) + " is in use: something already follows " +
                  router::name(to_) + "; drop that subscription first");
    }
    if (!found->empty() && found->text(0, 0) == "lost") {
      if (!run_on(follower_, "SELECT pg_drop_replication_slot(" + quote_literal(slot) + ')')) return false;
    }
    if (found->empty() || found->text(0, 0) == "lost") {
      made("slot " + slot + " on " + router::name(to_));
      return run_on(follower_, "SELECT pg_create_logical_replication_slot(" + quote_literal(slot) + ", 'pgoutput')");
    }
    return run_on(follower_,
                  "SELECT pg_replication_slot_advance(" + quote_literal(slot) + ", pg_current_wal_flush_lsn())");
  }

  // Sees what is written on the follower itself. Without the plugin there is no guard, and preflight says so.
  bool guard() {
    const auto slot = quote_literal(guard_slot(stream_.database));
    const auto found =
        ask(follower_, "SELECT coalesce(wal_status, '') FROM pg_replication_slots WHERE slot_name = " + slot);
    if (!found) return false;
    if (!found->empty() && found->text(0, 0) != "lost") return true;
    if (!found->empty() && !run_on(follower_, "SELECT pg_drop_replication_slot(" + slot + ')')) return false;
    const auto created =
        follower_->query("SELECT pg_create_logical_replication_slot(" + slot + ", 'test_decoding')", quiet_ms_max);
    if (created) {
      made("guard slot " + guard_slot(stream_.database) + " on " + router::name(to_));
      return true;
    }
    if (created.error().lost) return fail(created.error().message());
    made(std::string("no guard slot on ") + router::name(to_) + ": " + created.error().text);
    return true;
  }

  bool anchors() {
    auto error = prepare_anchors(context_, *writer_, *follower_, stream_, done_);
    return error.empty() || fail(std::move(error));
  }

  bool fingerprints() {
    for (auto* client : {writer_, follower_}) {
      const auto print = schema_fingerprint(*client);
      if (!print) return fail(print.error().message());
      const std::lock_guard lock(attempt_.mutex);
      attempt_.schema[std::string(router::name(client->target().side)) + '/' + stream_.database] = *print;
    }
    return true;
  }

  StepContext& context_;
  Attempt& attempt_;
  const router::Side from_, to_;
  const Stream& stream_;
  const bool is_one_of_several_, is_first_;
  std::vector<std::string> publications_;  // of all streams of this database
  boost::json::array& done_;
  PgClient* writer_ = nullptr;
  PgClient* follower_ = nullptr;
  std::string error_;
};

// For the check schema.drift, and for the proof after a crash.
std::string remember_schema(StepContext& context, Attempt& attempt, const Topology& topology) {
  boost::json::object prints;
  {
    const std::lock_guard guard(attempt.mutex);
    for (const auto& [place, print] : attempt.schema) prints[place] = print;
  }
  auto facts = to_json(topology);
  facts["schema"] = std::move(prints);
  return context.store.append({context.deployment, attempt.epoch, RecordKind::facts, std::move(facts)});
}

std::string bind_both(StepContext& context, const Topology& topology) {
  boost::json::object data;
  for (const auto side : {router::Side::blue, router::Side::green}) {
    auto loan = context.shelf.take(side, topology.streams.front().database, quiet_ms_max);
    if (!loan) return loan.error().message();
    const auto rows = (*loan)->query("SELECT system_identifier::text FROM pg_control_system()", quiet_ms_max);
    if (!rows) return rows.error().message();
    data[router::name(side)] = rows->text(0, 0);
  }
  return bind_identities(context.store, context.deployment, std::move(data));
}

}  // namespace

PgOutcome<bool> make_own_schema(PgClient& client) {
  // Of an earlier undertaking only the journal may be left.
  const auto there = client.query(
      "SELECT 1 WHERE to_regclass('turnout.journal') IS NOT NULL AND to_regclass('turnout.marker') IS NOT NULL AND "
      "to_regclass('turnout.heartbeat') IS NOT NULL",
      quiet_ms_max);
  if (!there) return there.error();
  if (!there->empty()) return false;
  const auto created = client.query(writing(schema_sql), quiet_ms_max);
  if (!created) return created.error();
  return true;
}

std::string prepare_pair(StepContext& context, Attempt& attempt, router::Side from, boost::json::array& done) {
  auto found = discover(context.shelf, from, context.config().databases);
  if (!found) return found.error().message();
  for (const auto& stream : found->streams) {
    if (!stream.enabled) return "subscription " + stream.subscription + " is disabled: enable it";
  }
  {
    const std::lock_guard guard(attempt.mutex);
    attempt.topology = *found;
  }
  // Facts first: what follows leaves things behind that a later process must be able to name.
  const auto facts_error =
      context.store.append({context.deployment, attempt.epoch, RecordKind::facts, to_json(*found)});
  if (!facts_error.empty()) return facts_error;
  if (auto error = bind_both(context, *found); !error.empty()) return error;
  for (const auto& stream : found->streams) {
    if (auto error = StreamPreparation(context, attempt, *found, stream, done).run(); !error.empty()) return error;
  }
  if (auto error = remember_schema(context, attempt, *found); !error.empty()) return error;
  return keep_read_only(context, attempt, router::other(from), done);
}

std::string warm_connections(StepContext& context, Attempt& attempt, router::Side from) {
  if (const auto near = bring_sequences_near(context, attempt, from); !near.ok) return near.reason;
  const auto list = json_list(databases_of(context, attempt));
  for (const auto side : {from, router::other(from)}) {
    for (const auto& database : databases_of(context, attempt)) {
      if (auto error = context.shelf.warm(side, database, warm_connections_per_side, quiet_ms_max); !error.empty())
        return error;
      // Each session runs once what it will be asked in the window: catalogs read, plans made.
      std::vector<Shelf::Loan> all;
      for (std::size_t i = 0; i < warm_connections_per_side; ++i) {
        auto loan = context.shelf.take(side, database, quiet_ms_max);
        if (!loan) return loan.error().message();
        if (const auto print = schema_fingerprint(**loan); !print) return print.error().message();
        const auto looked = (*loan)->query(
            "SELECT count(*) FROM turnout.marker WHERE epoch = 0; SELECT count(*) FROM pg_replication_slots",
            quiet_ms_max);
        if (!looked) return looked.error().message();
        if (side == from) {
          if (auto error = warm_sequence_reads(**loan, attempt, database); !error.empty()) return error;
          if (auto error = warm_fence_questions(**loan, list); !error.empty()) return error;
        }
        // Not everybody may look there; then it is not asked in the window either.
        const auto file = (*loan)->query(
            "SELECT count(*) FROM pg_file_settings WHERE name = 'default_transaction_read_only'", quiet_ms_max);
        if (!file && file.error().lost) return file.error().message();
        all.push_back(std::move(*loan));
      }
    }
  }
  return "";
}

}  // namespace turnout::control
