#include "control/take_down.h"

#include <algorithm>
#include <optional>

#include "control/replica_plan.h"

namespace turnout::control {

namespace {

using router::Side;

constexpr int looks_max = 1000;  // of 5 ms, at a slot whose walsender is ending

class TakeDown {
 public:
  TakeDown(StepContext& context, Side writer) : context_(context), writer_(writer), follower_(router::other(writer)) {}

  [[nodiscard]] PgOutcome<boost::json::array> finish() {
    const auto found = discover(context_.shelf, writer_, context_.config().databases);
    if (found) {
      for (const auto& stream : found->streams) {
        if (!drop_stream(stream)) return *error_;
      }
    }  // else nothing follows any more
    for (const auto& database : databases(found ? &*found : nullptr)) {
      if (!clear(writer_, database)) return *error_;
      // What follows no more may have been switched off: then it keeps what is of no use to anybody.
      if (!clear(follower_, database)) not_reached(database);
    }
    return close();
  }

  [[nodiscard]] PgOutcome<boost::json::array> undo() {
    const auto made = still_made(context_.store.records(context_.deployment));
    for (const auto& one : made) {
      if (one.what != "subscription") continue;
      if (!drop_subscription(one.database, one.name) || !drop_slot(one.database, own_slot(writer_, one.database)))
        return *error_;
    }
    for (const auto& one : made) {
      // A slot whose subscription was never made, or not in time.
      if (one.what == "slot" && !drop_slot(one.database, one.name)) return *error_;
    }
    for (const auto& one : made) {
      if (one.what != "publication") continue;
      if (!clear(follower_, one.database) || !clear(writer_, one.database)) return *error_;
      removed_.emplace_back(one.database + ": the tables on green stay; drop that database before another copy");
    }
    return close();
  }

 private:
  bool fail(PgError error) {
    error_ = std::move(error);
    return false;
  }

  std::optional<PgRows> ask(Side side, const std::string& database, const std::string& sql) {
    auto loan = context_.shelf.take(side, database, quiet_ms_max);
    auto rows = !loan ? PgOutcome<PgRows>(loan.error()) : (*loan)->query(sql, quiet_ms_max);
    if (rows) return std::move(*rows);
    error_ = rows.error();
    return std::nullopt;
  }

  // Nothing = it could not be asked.
  std::optional<bool> is_there(Side side, const std::string& database, const std::string& sql) {
    const auto rows = ask(side, database, sql);
    if (!rows) return std::nullopt;
    return !rows->empty();
  }

  void removed(const std::string& database, const std::string& what, Side side) {
    removed_.emplace_back(database + ": " + what + " on " + router::name(side));
  }

  void not_reached(const std::string& database) {
    removed_.emplace_back(database + ": not on " + router::name(follower_) +
                          ", which does not answer as it should: " + error_->message());
    error_.reset();
  }

  bool drop_stream(const Stream& stream) {
    return drop_subscription(stream.database, stream.subscription) &&
           (stream.slot.empty() || drop_slot(stream.database, stream.slot));
  }

  bool drop_subscription(const std::string& database, const std::string& subscription) {
    const auto there = ask(follower_, database,
                           "SELECT oid FROM pg_subscription WHERE subname = " + quote_literal(subscription) +
                               " AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())");
    if (!there) return false;
    if (there->empty()) return true;
    // Without its slot first: so it needs nobody else to go.
    const auto name = quote_identifier(subscription);
    if (!ask(follower_, database,
             writing("ALTER SUBSCRIPTION " + name + " DISABLE; ALTER SUBSCRIPTION " + name +
                     " SET (slot_name = NONE); DROP SUBSCRIPTION " + name))) {
      return false;
    }
    removed(database, "subscription " + subscription, follower_);
    // Of tables that were being copied; the server drops them itself when it reaches the writer.
    return ask(writer_, database, drop_slots_sql("slot_name ~ '^pg_" + there->text(0, 0) + "_sync_'")).has_value();
  }

  // On the writer.
  bool drop_slot(const std::string& database, const std::string& slot) {
    const auto there = "SELECT 1 FROM pg_replication_slots WHERE slot_name = " + quote_literal(slot);
    const auto known = is_there(writer_, database, there);
    if (!known) return false;
    if (!*known) return true;
    for (int looks = 0; looks < looks_max; ++looks) {
      const auto active = is_there(writer_, database, there + " AND active");
      if (!active) return false;
      if (!*active) break;
      long_pause();
    }
    if (!ask(writer_, database, drop_slots_sql("slot_name = " + quote_literal(slot)))) return false;
    removed(database, "slot " + slot, writer_);
    return true;
  }

  static std::string drop_slots_sql(const std::string& which) {
    return "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND " + which;
  }

  bool drop_publication(Side side, const std::string& database, const std::string& name) {
    const auto there = is_there(side, database, "SELECT 1 FROM pg_publication WHERE pubname = " + quote_literal(name));
    if (!there) return false;
    if (!*there) return true;
    if (!ask(side, database, writing("DROP PUBLICATION IF EXISTS " + quote_identifier(name)))) return false;
    removed(database, "publication " + name, side);
    return true;
  }

  // All of ours in one database of one server that is no stream any more.
  bool clear(Side side, const std::string& database) {
    const auto slots = ask(side, database,
                           drop_slots_sql("slot_name IN (" + quote_literal(own_slot(side, database)) + ", " +
                                          quote_literal(guard_slot(database)) + ')'));
    if (!slots) return false;
    if (!slots->empty()) removed(database, "slots", side);
    if (!drop_publication(side, database, full_publication(side))) return false;
    if (is_ours(side, database) && !drop_publication(side, database, own_publication(side))) return false;
    const auto tables = is_there(side, database, "SELECT 1 WHERE to_regclass('turnout.marker') IS NOT NULL");
    if (!tables) return false;
    if (!*tables) return true;
    if (!ask(side, database, writing("DROP TABLE IF EXISTS turnout.marker, turnout.heartbeat, turnout.replica")))
      return false;
    removed(database, "tables of schema turnout", side);
    return true;
  }

  // What green publishes is always ours; the forward publication may have been made by hand.
  bool is_ours(Side side, const std::string& database) {
    if (side == Side::green) return true;
    const auto made = still_made(context_.store.records(context_.deployment));
    return std::any_of(made.begin(), made.end(),
                       [&](const Made& one) { return one.what == "publication" && one.database == database; });
  }

  [[nodiscard]] std::vector<std::string> databases(const Topology* topology) {
    auto names = context_.config().databases;
    const auto records = context_.store.records(context_.deployment);
    const auto* facts = newest_with(records, RecordKind::facts, "streams");
    const auto add = [&](const Topology& more) {
      for (const auto& stream : more.streams) {
        if (std::find(names.begin(), names.end(), stream.database) == names.end()) names.push_back(stream.database);
      }
    };
    if (topology != nullptr) add(*topology);
    if (facts != nullptr) add(topology_of(facts->data));
    return names;
  }

  // The log knows that it is gone.
  [[nodiscard]] PgOutcome<boost::json::array> close() {
    for (const auto& one : still_made(context_.store.records(context_.deployment))) {
      auto data = to_json(one);
      data["undone"] = "yes";
      const auto error = context_.store.append({context_.deployment, 0, RecordKind::made, std::move(data)});
      if (!error.empty()) return PgError{writer_, "state_dir", "", error, false, 0};
    }
    return std::move(removed_);
  }

  StepContext& context_;
  const Side writer_, follower_;
  boost::json::array removed_;
  std::optional<PgError> error_;
};

}  // namespace

PgOutcome<boost::json::array> finish_pair(StepContext& context, router::Side writer) {
  return TakeDown(context, writer).finish();
}

PgOutcome<boost::json::array> undo_prepare(StepContext& context) {
  return TakeDown(context, Side::blue).undo();
}

}  // namespace turnout::control
