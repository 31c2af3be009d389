#include "control/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace turnout::control {
namespace {

namespace json = boost::json;

struct Shown {
  std::string_view key;
  std::string_view title;
  Align align = Align::left;
};

bool all_same(const json::array& list, std::string_view key) {
  return std::all_of(list.begin(), list.end(),
                     [&](const json::value& row) { return value_at(row, key) == value_at(list.front(), key); });
}

// One row an object, one column a key that any of them has something under.
std::string list_table(const json::array& list, std::initializer_list<Shown> shown, std::string_view empty) {
  std::vector<Column> columns;
  std::vector<std::string_view> keys;
  for (const Shown& each : shown) {
    const bool used =
        std::any_of(list.begin(), list.end(), [&](const json::value& row) { return !text_at(row, each.key).empty(); });
    // The name of the only deployment there is says nothing, and the others need the room.
    if (!used || (each.key == "deployment" && all_same(list, each.key))) continue;
    columns.push_back({std::string(each.title), each.align});
    keys.push_back(each.key);
  }
  std::vector<std::vector<std::string>> rows;
  if (!keys.empty()) {
    for (const json::value& row : list) {
      std::vector<std::string> cells;
      for (const std::string_view key : keys) cells.push_back(text_at(row, key));
      rows.push_back(std::move(cells));
    }
  }
  return table(columns, rows, empty);
}

// "key: value" lines, deeper ones indented.
std::string tree(const json::object& object, std::size_t indent) {
  std::size_t widest = 0;
  for (const auto& [key, value] : object) widest = std::max(widest, columns_of(std::string_view(key)));
  std::string text;
  for (const auto& [key, value] : object) {
    if (one_line(value).empty()) continue;
    const std::string name = harmless(std::string_view(key));
    const auto* inner = value.if_object();
    const bool deep = inner != nullptr && one_line(value).size() + widest + indent > screen_columns - 2;
    text.append(indent, ' ');
    if (deep) {
      text += name + "\n" + tree(*inner, indent + 2);
      continue;
    }
    const std::string line = one_line(value);
    const std::size_t at = indent + widest + 2;
    // A value that is too long for its place goes below its key.
    if (at + columns_of(line) <= screen_columns) {
      text += fmt::format("{:<{}}{}\n", name, widest + 2, line);
    } else {
      text += name + "\n" + wrapped(line, indent + 2);
    }
  }
  return text;
}

// blue and green of a status: an address, or an object that says more.
std::string side_text(const json::value& side) {
  if (!side.is_object()) return one_line(side);
  for (const std::string_view key : {"state", "status", "address"}) {
    if (const std::string text = text_at(side, key); !text.empty()) return text;
  }
  return one_line(side);
}

std::string number_text(double number) {
  std::string text = fmt::format("{:.3f}", number);
  text.erase(text.find_last_not_of('0') + 1);
  if (!text.empty() && text.back() == '.') text.pop_back();
  return text;
}

std::string percent_text(const json::value& value) {
  const std::string text = one_line(value);
  return text.empty() ? "" : text + " %";
}

enum class Which { all, only_not_passed };

void add_checks(const json::array& checks, Which which, std::string& text) {
  for (const json::value& check : checks) {
    const std::string verdict = text_at(check, "verdict");
    if (which == Which::only_not_passed && verdict == "PASS") continue;
    std::string line = fmt::format("{:<5} {}", verdict, text_at(check, "name"));
    const std::string measured = text_at(check, "measured"), bound = text_at(check, "bound");
    if (!measured.empty()) line += ": " + measured;
    if (!bound.empty()) line += " (bound: " + bound + ")";
    if (columns_of(line) <= screen_columns) {
      text += line + "\n";
    } else {
      const std::string head = fmt::format("{:<5} {}\n", verdict, text_at(check, "name"));
      text += head + wrapped(line.substr(head.size() + 1), 6);
    }
    if (text_at(check, "waived") == "true") text += "      waived\n";
    if (verdict != "PASS") text += wrapped(text_at(check, "todo"), 6);
  }
}

std::string count_of_verdicts(const json::array& checks) {
  std::size_t passed = 0, warned = 0, failed = 0, other = 0;
  for (const json::value& check : checks) {
    const std::string verdict = text_at(check, "verdict");
    ++(verdict == "PASS" ? passed : verdict == "WARN" ? warned : verdict == "FAIL" ? failed : other);
  }
  std::string text = fmt::format("{} passed, {} warned, {} failed", passed, warned, failed);
  if (other != 0) text += fmt::format(", {} other", other);
  return text + "\n";
}

// "app: ready for a cutover", "app: not ready for a cutover: replication.lag (…), jobs (…)"; nothing while not known.
std::string readiness_line(std::string_view name, const json::value& readiness) {
  const auto* ready = value_at(readiness, "ready").if_bool();
  if (ready == nullptr) return "";
  std::string text = harmless(name) + (*ready ? ": ready for a " : ": not ready for a ") + text_at(readiness, "verb");
  std::string separator = ": ";
  for (const auto& one : list_at(readiness, "because")) {
    text += separator + text_at(one, "check") + " (" + text_at(one, "measured") + ')';
    separator = ", ";
  }
  return wrapped(text, 0);
}

}  // namespace

const json::value& value_at(const json::value& object, std::string_view key) {
  static const json::value nothing;
  const auto* map = object.if_object();
  const auto* found = map == nullptr ? nullptr : map->if_contains(key);
  return found == nullptr ? nothing : *found;
}

std::string text_at(const json::value& object, std::string_view key) {
  return one_line(value_at(object, key));
}

double number_at(const json::value& body, std::string_view key) {
  const auto& value = value_at(body, key);
  return value.is_number() ? value.to_number<double>() : 0;
}

const json::array& list_at(const json::value& body, std::string_view key) {
  static const json::array nothing;
  if (const auto* list = body.if_array()) return *list;
  const auto* list = value_at(body, key).if_array();
  return list == nullptr ? nothing : *list;
}

std::string one_line(const json::value& value) {
  if (value.is_null()) return "";
  if (const auto* text = value.if_string()) return harmless(std::string_view(*text));
  if (const auto* number = value.if_double()) return number_text(*number);
  std::string line;
  if (const auto* list = value.if_array()) {
    for (const json::value& item : *list) line += (line.empty() ? "" : ", ") + one_line(item);
    return line;
  }
  if (const auto* object = value.if_object()) {
    for (const auto& [key, item] : *object) {
      line += (line.empty() ? "" : " ") + harmless(std::string_view(key)) + "=" + one_line(item);
    }
    return line;
  }
  return json::serialize(value);
}

std::string replication_line(const json::value& body) {
  std::string line = text_at(body, "phase");
  if (const auto database = text_at(body, "database"); !database.empty()) line += " of " + database;
  const auto& copied = value_at(body, "bytes_copied");
  const auto& total = value_at(body, "bytes_total");
  if (copied.is_number() && total.is_number()) {
    constexpr double mib = 1024.0 * 1024.0;
    line += fmt::format(": {} of {} tables, {:.1f} of {:.1f} MiB", text_at(body, "tables_ready"),
                        text_at(body, "tables"), copied.to_number<double>() / mib, total.to_number<double>() / mib);
  }
  for (const std::string_view key : {"note", "error"}) {
    if (const auto text = text_at(body, key); !text.empty()) line += "; " + text;
  }
  return line;
}

std::string render_status(const json::value& body) {
  std::vector<std::vector<std::string>> rows;
  std::string notes;
  const auto add = [&](std::string_view name, const json::value& state) {
    rows.push_back({harmless(name), text_at(state, "writer"), text_at(state, "phase"), text_at(state, "epoch"),
                    percent_text(value_at(state, "ramp_percent")), percent_text(value_at(state, "ramp_actual_percent")),
                    side_text(value_at(state, "blue")), side_text(value_at(state, "green"))});
    if (text_at(state, "paused") == "true") notes += harmless(name) + ": paused, all new work waits\n";
    notes += readiness_line(name, value_at(state, "readiness"));
    if (const auto& copy = value_at(state, "replication"); copy.is_object() && text_at(copy, "phase") != "done")
      notes += wrapped(harmless(name) + ": replicate: " + replication_line(copy), 0);
    if (const auto waits = text_at(state, "ramp_waiting_for"); !waits.empty()) {
      notes += wrapped(harmless(name) + ": the ramp waits: " + waits, 0);
    }
    if (text_at(state, "ramp_phase") == "stepped_back") {
      notes += wrapped(harmless(name) + ": the ramp stepped back: " + text_at(state, "ramp_step_back"), 0);
    }
    notes += shadow_line(name, value_at(state, "shadow"));
    notes += comparison_line(name, value_at(state, "comparison"));
    for (const std::string_view key : {"why", "reason", "note", "alarm", "rollback"}) {
      const std::string note = text_at(state, key);
      if (!note.empty()) notes += wrapped(harmless(name) + ": " + note, 0);
    }
  };
  if (const auto* deployments = value_at(body, "deployments").if_object()) {
    for (const auto& [name, state] : *deployments) add(name, state);
  } else if (body.is_object() && body.get_object().contains("writer")) {
    add(text_at(body, "name").empty() ? text_at(body, "deployment") : text_at(body, "name"), body);
  }
  return table({{"DEPLOYMENT"},
                {"WRITER"},
                {"PHASE"},
                {"EPOCH", Align::right},
                {"RAMP", Align::right},
                {"ACTUAL", Align::right},
                {"BLUE"},
                {"GREEN"}},
               rows, "no deployments") +
         notes;
}

std::string render_ramp(const json::value& body) {
  std::string out = text_at(body, "phase") + ", " + percent_text(value_at(body, "percent")) + " of the reads";
  const std::string actual = percent_text(value_at(body, "actual_percent"));
  if (!actual.empty()) out += " (green serves " + actual + ")";
  out += "; ladder " + one_line(value_at(body, "ladder")) + "\n";
  if (const std::string waits = text_at(body, "waiting_for"); !waits.empty()) out += wrapped("waits: " + waits, 0);
  const auto& back = value_at(body, "last_step_back");
  if (back.is_object()) {
    out += wrapped("stepped back from " + percent_text(value_at(back, "percent")) + " at " + text_at(back, "at") +
                       ": " + text_at(back, "why") + ": " + text_at(back, "shape"),
                   0);
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& shape : list_at(body, "shapes")) {
    const auto& green = value_at(shape, "green");
    const auto& control = value_at(shape, "control");
    rows.push_back({text_at(green, "reads"), text_at(green, "p95_ms"), text_at(green, "errors"),
                    text_at(control, "reads"), text_at(control, "p95_ms"), text_at(control, "errors"),
                    shortened(harmless(text_at(shape, "shape")), 30)});
  }
  const auto right = Align::right;
  return out + table({{"GREEN", right},
                      {"P95 MS", right},
                      {"ERR", right},
                      {"BLUE", right},
                      {"P95 MS", right},
                      {"ERR", right},
                      {"SHAPE"}},
                     rows, "nothing measured yet");
}

std::string render_pools(const json::value& body) {
  const auto right = Align::right;
  return list_table(list_at(body, "pools"),
                    {{"deployment", "DEPLOYMENT"},
                     {"database", "DATABASE"},
                     {"user", "USER"},
                     {"side", "SIDE"},
                     {"access", "ACCESS"},
                     {"mode", "MODE"},
                     {"clients_active", "CL", right},
                     {"clients_waiting", "WAIT", right},
                     {"servers_active", "SV", right},
                     {"servers_idle", "IDLE", right},
                     {"servers_opening", "OPEN", right},
                     {"servers_closing", "CLOSE", right},
                     {"longest_wait_s", "MAX S", right},
                     {"waits_for", "WAITS FOR"}},
                    "no pools");
}

std::string render_clients(const json::value& body) {
  const auto right = Align::right;
  return list_table(list_at(body, "clients"),
                    {{"id", "ID", right},
                     {"deployment", "DEPLOYMENT"},
                     {"address", "ADDRESS"},
                     {"user", "USER"},
                     {"database", "DATABASE"},
                     {"application", "APPLICATION"},
                     {"state", "STATE"},
                     {"side", "SIDE"},
                     {"state_s", "FOR S", right},
                     {"pinned_by", "PINNED BY"}},
                    "no clients");
}

std::string render_blockers(const json::value& body) {
  const auto right = Align::right;
  return list_table(list_at(body, "blockers"),
                    {{"kind", "KIND"},
                     {"client", "CLIENT", right},
                     {"gid", "GID"},
                     {"address", "ADDRESS"},
                     {"user", "USER"},
                     {"database", "DATABASE"},
                     {"application", "APPLICATION"},
                     {"state", "STATE"},
                     {"pid", "PID", right},
                     {"age_s", "AGE S", right},
                     {"state_s", "FOR S", right},
                     {"reason", "REASON"},
                     {"pinned_by", "PINNED BY"},
                     {"query", "QUERY"}},
                    "no blockers");
}

std::string render_preflight(const json::value& body) {
  const json::array& checks = list_at(body, "checks");
  std::string text;
  add_checks(checks, Which::all, text);
  if (!checks.empty()) text += count_of_verdicts(checks);
  const json::array& plan = body.is_array() ? json::array() : list_at(body, "plan");
  if (!plan.empty()) text += "\nPlan\n";
  std::size_t step = 0;
  for (const json::value& each : plan) {
    const std::string line = wrapped(one_line(each), 4);
    text += fmt::format("{:>2}. ", ++step) + line.substr(4);
  }
  return text.empty() ? render_done(body) : text;
}

std::string render_explain(const json::value& body) {
  return render_done(body);
}

std::string render_report(const json::value& body) {
  const auto* report = body.if_object();
  if (report == nullptr) return one_line(body) + "\n";
  std::string text = fmt::format("{} {} of {}: {}\n", text_at(body, "direction"), text_at(body, "epoch"),
                                 text_at(body, "deployment"), text_at(body, "outcome"));
  if (text_at(body, "deployment").empty()) {
    text = fmt::format("{} {}: {}\n", text_at(body, "direction"), text_at(body, "epoch"), text_at(body, "outcome"));
  }
  if (const std::string reason = text_at(body, "reason"); !reason.empty()) text += wrapped(reason, 2);
  const auto add = [&](std::string_view title, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<16}{}\n", title, value);
  };
  add("writer", text_at(body, "writer"));
  const json::value& pause = value_at(body, "pause_ms");
  if (pause.is_object()) {
    add("pause", fmt::format("p50 {} ms, p99 {} ms, longest {} ms", text_at(pause, "p50"), text_at(pause, "p99"),
                             text_at(pause, "max")));
  }
  add("held sessions", text_at(body, "held_sessions"));
  add("client errors", text_at(body, "client_errors"));
  add("fence position", text_at(body, "fence_position"));
  if (const auto* phases = value_at(body, "phases_ms").if_object()) {
    text += "  phases\n";
    for (const auto& [name, ms] : *phases) {
      text += fmt::format("    {:<14}{:>10} ms\n", harmless(std::string_view(name)), one_line(ms));
    }
  }
  json::object rest;
  for (const auto& [key, value] : *report) {
    constexpr std::string_view told[] = {"direction",     "epoch",          "deployment", "outcome",
                                         "reason",        "writer",         "pause_ms",   "held_sessions",
                                         "client_errors", "fence_position", "phases_ms"};
    const bool is_told = std::find(std::begin(told), std::end(told), std::string_view(key)) != std::end(told);
    if (!is_told && !value.is_null() && !one_line(value).empty() && key != "checks") rest[key] = value;
  }
  text += tree(rest, 2);
  const json::value& checks = value_at(body, "checks");
  if (checks.is_array()) add_checks(checks.get_array(), Which::only_not_passed, text);
  return text;
}

std::string render_reports(const json::value& body) {
  if (const auto* epochs = value_at(body, "epochs").if_array(); epochs != nullptr && !epochs->empty()) {
    std::string text = "EPOCH\n";
    for (const json::value& epoch : *epochs) text += one_line(epoch) + "\n";
    return text;
  }
  const auto right = Align::right;
  return list_table(list_at(body, "reports"),
                    {{"epoch", "EPOCH", right},
                     {"direction", "DIRECTION"},
                     {"outcome", "OUTCOME"},
                     {"writer", "WRITER"},
                     {"started", "STARTED"},
                     {"who", "WHO"},
                     {"reason", "REASON"}},
                    "no reports");
}

std::string render_audit(const json::value& body) {
  const json::array& lines = list_at(body, body.is_object() && body.get_object().contains("lines") ? "lines" : "audit");
  std::string text;
  for (const json::value& line : lines) text += one_line(line) + "\n";
  return text.empty() ? "nothing yet\n" : text;
}

std::string render_done(const json::value& body) {
  const auto* object = body.if_object();
  if (object == nullptr) return body.is_null() ? "done\n" : one_line(body) + "\n";
  return object->empty() ? "done\n" : tree(*object, 0);
}

std::string render_problem(const json::value& body) {
  const std::string title = text_at(body, "title"), detail = text_at(body, "detail");
  if (title.empty() && detail.empty()) return render_done(body);
  std::string text = title + "\n" + wrapped(detail, 2);
  const json::value& checks = value_at(body, "checks");
  if (checks.is_array()) add_checks(checks.get_array(), Which::only_not_passed, text);
  return text;
}

}  // namespace turnout::control
