#include "control/anchors.h"

#include "control/fence.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;

struct Place {
  std::string slot, position;
};

// In the words of the two best-known consumers; others have the same three things under other names.
boost::json::object instructions(const Consumer& consumer, const Place& old_place, const Place& new_place,
                                 const std::string& address) {
  return {
      {"general", "read slot " + old_place.slot + " up to " + old_place.position + ", stop, and go on with slot " +
                      new_place.slot + " on " + address + " from " + new_place.position},
      {"debezium", "when the connector's committed offset (lsn) has reached " + old_place.position +
                       ", stop it; set database.hostname and database.port to " + address + ", slot.name to " +
                       new_place.slot + ", plugin.name as before (" + consumer.plugin +
                       "), snapshot.mode to no_data, remove its stored offsets, and start it"},
      {"dms", "stop the task when it has applied " + old_place.position + "; make a CDC-only task with the source " +
                  address + ", slotName=" + new_place.slot + " and CdcStartPosition " + new_place.position},
  };
}

}  // namespace

PgOutcome<Consumer> find_consumer(PgClient& writer, const std::string& slot) {
  const auto rows =
      writer.query("SELECT database, plugin FROM pg_replication_slots WHERE slot_type = 'logical' AND slot_name = " +
                       quote_literal(slot),
                   quiet_ms_max);
  if (!rows) return rows.error();
  if (rows->empty()) return Consumer{};
  return Consumer{slot, rows->text(0, 0), rows->text(0, 1)};
}

std::string prepare_anchors(StepContext& context, PgClient& writer, PgClient& follower, const Stream& stream,
                            boost::json::array& done) {
  const auto to = follower.target().side;
  if (to == router::Side::blue) return "";  // the consumers' own slots are still there
  for (const auto& name : context.config().cdc) {
    const auto consumer = find_consumer(writer, anchor_slot(router::other(to), name));
    if (!consumer) return consumer.error().message();
    if (consumer->slot.empty()) {
      return "there is no logical slot " + name + " on " + router::name(router::other(to)) +
             ": cdc in the configuration names slots of the writer";
    }
    if (consumer->database != stream.database) continue;
    const auto anchor = quote_literal(anchor_slot(to, name));
    const auto there = follower.query(
        "SELECT active, coalesce(wal_status, '') = 'lost' FROM pg_replication_slots WHERE slot_name = " + anchor,
        quiet_ms_max);
    if (!there) return there.error().message();
    if (!there->empty() && there->boolean(0, 0)) {
      return "slot " + anchor + " on " + router::name(to) +
             " is being read already: its consumer must wait for the report";
    }
    const bool is_lost = !there->empty() && there->boolean(0, 1);
    std::string sql = "SELECT pg_replication_slot_advance(" + anchor + ", pg_current_wal_flush_lsn())";
    if (there->empty() || is_lost) {
      sql = (is_lost ? "SELECT pg_drop_replication_slot(" + anchor + "); " : std::string()) +
            "SELECT pg_create_logical_replication_slot(" + anchor + ", " + quote_literal(consumer->plugin) + ')';
      done.emplace_back(stream.database + ": slot " + anchor_slot(to, name) + " on " + router::name(to) +
                        " for the consumer of " + name);
    }
    const auto made = follower.query(sql, quiet_ms_max);
    if (!made) return made.error().message();
  }
  return "";
}

StepAnswer set_anchors(StepContext& context, Attempt& attempt, router::Side from) {
  const auto to = router::other(from);
  const auto config = context.config();
  const auto address = to == router::Side::blue ? config.blue.text() : config.green.value_or(conf::Address{}).text();
  boost::json::array anchors;
  for (const auto& name : config.cdc) {
    auto writer = context.shelf.take(to, databases_of(context, attempt).front(), connect_ms_max);
    if (!writer) return StepAnswer::failed(writer.error().message());
    const Place new_slot{anchor_slot(to, name), ""};
    const auto consumer = find_consumer(**writer, new_slot.slot);
    if (!consumer) return StepAnswer::failed(consumer.error().message());
    boost::json::object one{{"consumer", name}};
    if (consumer->slot.empty()) {
      one["problem"] = "there is no slot " + new_slot.slot + " on " + router::name(to);
      anchors.push_back(std::move(one));
      continue;
    }
    Place until{anchor_slot(from, name), ""}, then{new_slot.slot, ""};
    {
      const std::lock_guard guard(attempt.mutex);
      until.position = attempt.fence_position[consumer->database];
      then.position = attempt.slot_target[consumer->database];
    }
    if (to == router::Side::green && !then.position.empty()) {
      auto there = context.shelf.take(to, consumer->database, connect_ms_max);  // only there can it be moved
      if (!there) return StepAnswer::failed(there.error().message());
      const auto moved =
          (*there)->query("SELECT pg_replication_slot_advance(slot_name, " + quote_literal(then.position) +
                              ") FROM pg_replication_slots WHERE NOT active AND confirmed_flush_lsn < " +
                              quote_literal(then.position) + "::pg_lsn AND slot_name = " + quote_literal(then.slot),
                          quiet_ms_max);
      if (!moved) return StepAnswer::failed(moved.error().message());
    }
    one["database"] = consumer->database;
    one["plugin"] = consumer->plugin;
    one["until"] =
        boost::json::object{{"side", router::name(from)}, {"slot", until.slot}, {"position", until.position}};
    one["then"] = boost::json::object{{"side", router::name(to)}, {"slot", then.slot}, {"position", then.position}};
    one["instructions"] = instructions(*consumer, until, then, address);
    anchors.push_back(std::move(one));
  }
  const std::lock_guard guard(attempt.mutex);
  attempt.anchors = std::move(anchors);
  return StepAnswer::done();
}

}  // namespace turnout::control
