#include "control/mysql_events.h"

#include "control/mysql_fence.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t settle_ms_max = 10'000;
constexpr unsigned no_such_event = 1539;

constexpr const char* enabled_sql =
    "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, SQL_MODE, TIME_ZONE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION FROM "
    "information_schema.EVENTS WHERE STATUS = 'ENABLED' ORDER BY 1, 2";

std::string quoted_name(std::string_view name) {
  std::string out = "`";
  for (const char c : name) {
    if (c == '`') out += c;
    out += c;
  }
  return out + "`";
}

std::string session_sql(const MysqlEvent& event) {
  return "SET SESSION sql_mode = " + mysql_literal(event.sql_mode) + ", time_zone = " + mysql_literal(event.time_zone) +
         ", character_set_client = " + mysql_literal(event.character_set) +
         ", collation_connection = " + mysql_literal(event.collation);
}

// "" or why not.
std::string enable(MysqlClient& client, const MysqlEvent& event) {
  if (const auto set = client.query(session_sql(event)); !set) return set.error().message();
  const auto enabled = client.query(enable_sql(event));
  return enabled || enabled.error().number == no_such_event ? "" : enabled.error().message();
}

// From the record that was written before the fence.
struct Stored {
  std::vector<MysqlEvent> events;
  bool runs = false;
};

Stored stored_events(const std::vector<Record>& records, router::Side from) {
  const Record* const record = newest(records, RecordKind::undo, "side", router::name(from));
  if (record == nullptr) return {};
  Stored found;
  found.runs = mysql_settings_of(record->data).runs_events;
  const auto* const list = record->data.if_contains("events");
  if (list == nullptr || !list->is_array()) return found;
  for (const auto& item : list->get_array()) {
    if (!item.is_object()) continue;
    const auto& one = item.get_object();
    found.events.push_back({text_of(one, "schema"), text_of(one, "name"), text_of(one, "definer"),
                            text_of(one, "sql_mode"), text_of(one, "time_zone"), text_of(one, "character_set"),
                            text_of(one, "collation")});
  }
  return found;
}

void note(Attempt& attempt, std::string text) {
  const std::lock_guard guard(attempt.mutex);
  attempt.notes.emplace_back(std::move(text));
}

}  // namespace

MysqlOutcome<std::vector<MysqlEvent>> enabled_events(MysqlClient& client) {
  const auto rows = client.query(enabled_sql);
  if (!rows) return rows.error();
  std::vector<MysqlEvent> out;
  for (std::size_t row = 0; row < rows->size(); ++row)
    out.push_back({rows->text(row, 0), rows->text(row, 1), rows->text(row, 2), rows->text(row, 3), rows->text(row, 4),
                   rows->text(row, 5), rows->text(row, 6)});
  return out;
}

boost::json::array to_json(const std::vector<MysqlEvent>& events) {
  boost::json::array out;
  for (const auto& event : events)
    out.push_back(boost::json::object{{"schema", event.schema},
                                      {"name", event.name},
                                      {"definer", event.definer},
                                      {"sql_mode", event.sql_mode},
                                      {"time_zone", event.time_zone},
                                      {"character_set", event.character_set},
                                      {"collation", event.collation}});
  return out;
}

std::string enable_sql(const MysqlEvent& event) {
  const auto at = event.definer.rfind('@');
  std::string definer = quoted_name(std::string_view(event.definer).substr(0, at));
  if (at != std::string::npos && at + 1 < event.definer.size())
    definer += "@" + quoted_name(std::string_view(event.definer).substr(at + 1));
  return "ALTER DEFINER = " + definer + " EVENT " + quoted_name(event.schema) + "." + quoted_name(event.name) +
         " ENABLE";
}

StepAnswer move_events(MysqlContext& context, Attempt& attempt, router::Side from) {
  auto& step = context.step;
  const auto to = router::other(from);
  const auto stored = stored_events(step.store.records(step.deployment), from);
  if (!stored.runs && stored.events.empty()) return StepAnswer::done();
  auto client = context.shelf.fresh(to, settle_ms_max);  // its session's settings are changed
  if (!client) return failed(client.error());
  for (const auto& event : stored.events) {
    const auto error = enable(*client, event);
    if (!client->is_usable()) return StepAnswer::failed(error);
    if (!error.empty())
      note(attempt,
           "event " + event.schema + "." + event.name + " is not enabled on " + router::name(to) + ": " + error);
  }
  if (!stored.runs) return StepAnswer::done();
  const auto on = client->query("SET GLOBAL event_scheduler = ON");
  if (!on && !client->is_usable()) return failed(on.error());
  if (!on) note(attempt, std::string("the events do not run on ") + router::name(to) + ": " + on.error().message());
  return StepAnswer::done();
}

}  // namespace turnout::control
