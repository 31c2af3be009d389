#include "control/routes.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "control/access.h"
#include "control/version.h"

namespace turnout::control {
namespace {

constexpr std::size_t name_length_max = 128;
constexpr std::int64_t sql_length_max = 32 * 1024;

bool flag(const Call& call, std::string_view name) {
  const auto* value = call.arguments.if_contains(name);
  return value != nullptr && value->as_bool();
}

std::int64_t number(const Call& call, std::string_view name, std::int64_t otherwise) {
  const auto* value = call.arguments.if_contains(name);
  return value == nullptr ? otherwise : value->as_int64();
}

std::string text(const Call& call, std::string_view name) {
  const auto* value = call.arguments.if_contains(name);
  return value == nullptr ? std::string() : std::string(value->as_string());
}

Answer start_cutover(Backend& backend, const Call& call, bool rollback) {
  CutoverOptions options;
  options.rollback = rollback;
  options.dry_run = flag(call, "dry_run");
  options.rehearse = flag(call, "rehearse");
  options.window_ms_max = static_cast<std::uint32_t>(number(call, "timeout_ms", 0));
  options.who = call.who;
  if (const auto* waive = call.arguments.if_contains("waive")) {
    for (const auto& check : waive->as_array()) options.waive.emplace_back(check.as_string());
  }
  if (options.dry_run && options.rehearse) {
    return problem(400, "bad_argument", "Contradicting arguments",
                   "dry_run touches nothing, rehearse opens the real window: choose one.");
  }
  return backend.cutover(call.deployment, options);
}

Answer prepare(Backend& backend, const Call& call) {
  const bool replicate = flag(call, "replicate"), undo = flag(call, "undo");
  if (replicate && undo)
    return problem(400, "bad_argument", "Contradicting arguments", "replicate makes, undo removes: choose one.");
  if (replicate) return backend.replicate(call.deployment, call.who);
  return undo ? backend.undo_prepare(call.deployment, call.who) : backend.prepare(call.deployment, call.who);
}

Answer compare(Backend& backend, const Call& call) {
  const auto action = text(call, "action");
  if (action == "stop") return backend.stop_compare(call.deployment, call.who);
  if (!action.empty() && action != "start") {
    return problem(422, "action", "Not an order", "Give start or stop.");
  }
  CompareOptions options;
  options.anew = flag(call, "anew");
  options.rows_per_second = static_cast<std::uint64_t>(number(call, "rows_per_second", 0));
  options.who = call.who;
  if (const auto* tables = call.arguments.if_contains("tables")) {
    for (const auto& table : tables->as_array()) options.tables.emplace_back(table.as_string());
  }
  return backend.compare(call.deployment, options);
}

Answer report(Backend& backend, const Call& call) {
  if (call.epoch == "latest") return backend.report(call.deployment, std::nullopt);
  std::uint64_t epoch = 0;
  const char* const end = call.epoch.data() + call.epoch.size();
  const auto [stop, error] = std::from_chars(call.epoch.data(), end, epoch);
  if (error != std::errc{} || stop != end) {
    return problem(400, "bad_argument", "Not an epoch", "An epoch is a number, or the word latest.");
  }
  return backend.report(call.deployment, epoch);
}

Answer readiness(Backend& backend, const Call&) {
  if (backend.ready()) return {200, 0, boost::json::object{{"ready", true}}};
  Answer answer =
      problem(503, "not_ready", "Not ready",
              "Starting, stopping, a deployment holds because its writer is not decided, or no address of its writer "
              "is known yet: see status.");
  answer.body.as_object()["ready"] = false;
  return answer;
}

std::vector<Field> cutover_fields() {
  return {{"dry_run", FieldType::boolean, false, 0, 0, "Preflight and the ordered plan only; touches nothing."},
          {"rehearse", FieldType::boolean, false, 0, 0, "The real window, then resume on the old writer."},
          {"timeout_ms", FieldType::integer, false, 1, 3'600'000, "Hold to resume; then everything is reverted."},
          {"waive", FieldType::texts, false, 0, 64, "Names of preflight checks to waive for this attempt."}};
}

const Field rollback_direction = {"rollback", FieldType::boolean, false, 0, 0, "Check the way back instead."};

std::vector<Route> make_routes() {
  using B = Backend&;
  using C = const Call&;
  std::vector<Route> table = {
      {"GET", "/livez", "The process answers",
       [](B, C) {
         return Answer{200, 0, boost::json::object{{"live", true}}};
       },
       Kind::json, Pace::quick, true},
      {"GET", "/readyz", "Every deployment has a route and a known writer", readiness, Kind::json, Pace::quick, true},
      {"GET", "/metrics", "Prometheus text format", nullptr, Kind::metrics},
      {"GET", "/v1/openapi.json", "This description",
       [](B, C) {
         return Answer{200, 0, openapi()};
       }},
      {"GET", "/v1/version", "Version of the running process",
       [](B, C) {
         return Answer{200, 0, boost::json::object{{"version", version_text}}};
       }},
      {"GET",
       "/v1/events",
       "Progress as server-sent events; Last-Event-ID or after continues a stream",
       nullptr,
       Kind::events,
       Pace::quick,
       false,
       {{"after", FieldType::integer, false, 0, INT64_MAX, "Only events with a greater number."}}},
      {"GET", "/v1/clients", "Client connections", [](B b, C) { return b.clients(); }},
      {"GET", "/v1/pools", "Pools of server connections", [](B b, C) { return b.pools(); }},
      {"GET",
       "/v1/audit",
       "Who changed what, newest last",
       [](B b, C c) { return b.audit(static_cast<std::size_t>(number(c, "lines", 100))); },
       Kind::json,
       Pace::quick,
       false,
       {{"lines", FieldType::integer, false, 1, 10'000, "At most so many."}}},
      {"POST", "/v1/reload", "Read the configuration file again; a mistake in it changes nothing",
       [](B b, C c) { return b.reload(c.who); }, Kind::json, Pace::slow},
      {"GET", "/v1/deployments", "State of all deployments", [](B b, C) { return b.status(); }},
      {"GET", "/v1/deployments/{d}", "State of one deployment", [](B b, C c) { return b.status(c.deployment); }},
      {"GET", "/v1/deployments/{d}/blockers", "Sessions that cannot move, or that a drain would wait for",
       [](B b, C c) { return b.blockers(c.deployment); }},
      {"GET",
       "/v1/deployments/{d}/preflight",
       "The checks before a cutover",
       [](B b, C c) { return b.preflight(c.deployment, flag(c, "rollback")); },
       Kind::json,
       Pace::slow,
       false,
       {rollback_direction}},
      {"POST",
       "/v1/deployments/{d}/preflight",
       "The checks before a cutover",
       [](B b, C c) { return b.preflight(c.deployment, flag(c, "rollback")); },
       Kind::json,
       Pace::slow,
       false,
       {rollback_direction}},
      {"GET", "/v1/deployments/{d}/prepare", "How far the copy of prepare with replicate is",
       [](B b, C c) { return b.replication(c.deployment); }},
      {"POST",
       "/v1/deployments/{d}/prepare",
       "Create what a cutover needs and what is missing",
       prepare,
       Kind::json,
       Pace::slow,
       false,
       {{"replicate", FieldType::boolean, false, 0, 0, "Also green's copy; answers 202 when its checks are over."},
        {"undo", FieldType::boolean, false, 0, 0, "Remove what replicate made, before any cutover."}}},
      {"POST",
       "/v1/deployments/{d}/shift",
       "Share of the reads that green serves",
       [](B b, C c) { return b.shift(c.deployment, static_cast<int>(number(c, "percent", 0)), c.who); },
       Kind::json,
       Pace::slow,
       false,
       {{"percent", FieldType::integer, true, 0, 100, "0 = none."}}},
      {"GET", "/v1/deployments/{d}/ramp", "The ramp: its step, what it waits for, both sides' numbers by shape",
       [](B b, C c) { return b.ramp(c.deployment); }},
      {"POST",
       "/v1/deployments/{d}/ramp",
       "The ramp that climbs by itself: start, pause, resume or abort it",
       [](B b, C c) { return b.ramp(c.deployment, text(c, "action"), c.who); },
       Kind::json,
       Pace::slow,
       false,
       {{"action", FieldType::text, true, 0, 16, "start, pause, resume or abort."}}},
      {"GET", "/v1/deployments/{d}/shadow",
       "Reads run on both sides: what differed, what failed, what is slower, by shape",
       [](B b, C c) { return b.shadow(c.deployment); }},
      {"POST",
       "/v1/deployments/{d}/shadow",
       "Share of the writer's reads that is run on the other side as well, and compared",
       [](B b, C c) { return b.shadow(c.deployment, static_cast<int>(number(c, "percent", 0)), c.who); },
       Kind::json,
       Pace::slow,
       false,
       {{"percent", FieldType::integer, true, 0, 100, "Of the proven reads; 0 = off."}}},
      {"GET", "/v1/deployments/{d}/compare", "The row-level comparison: progress, and the rows that differ",
       [](B b, C c) { return b.compare(c.deployment); }},
      {"POST",
       "/v1/deployments/{d}/compare",
       "Compare the tables of both sides row by row, in the background; goes on where one was broken off",
       compare,
       Kind::json,
       Pace::slow,
       false,
       {{"action", FieldType::text, false, 0, 16, "start (default) or stop."},
        {"tables", FieldType::texts, false, 0, 1'000, "Only these: table, schema.table or database.schema.table."},
        {"rows_per_second", FieldType::integer, false, 1, 1'000'000'000, "Read no more than this on either side."},
        {"anew", FieldType::boolean, false, 0, 0, "Begin again although one was broken off."}}},
      {"POST", "/v1/deployments/{d}/cutover", "Move the writes; answers at once with the epoch to follow",
       [](B b, C c) { return start_cutover(b, c, false); }, Kind::json, Pace::slow, false, cutover_fields()},
      {"POST", "/v1/deployments/{d}/rollback", "Move the writes back; answers at once with the epoch to follow",
       [](B b, C c) { return start_cutover(b, c, true); }, Kind::json, Pace::slow, false, cutover_fields()},
      {"POST", "/v1/deployments/{d}/abort", "Stop an attempt before its decision; nothing is changed",
       [](B b, C c) { return b.abort(c.deployment, c.who); }},
      {"POST", "/v1/deployments/{d}/finish", "Give up the way back and remove what it needed",
       [](B b, C c) { return b.finish(c.deployment, c.who); }, Kind::json, Pace::slow},
      {"POST", "/v1/deployments/{d}/pause", "Hold all new work", [](B b, C c) { return b.pause(c.deployment, c.who); }},
      {"POST", "/v1/deployments/{d}/resume", "Release what pause holds",
       [](B b, C c) { return b.resume(c.deployment, c.who); }},
      {"POST",
       "/v1/deployments/{d}/explain-route",
       "Where would this text run, and why?",
       [](B b, C c) { return b.explain_route(c.deployment, text(c, "database"), text(c, "sql")); },
       Kind::json,
       Pace::quick,
       false,
       {{"sql", FieldType::text, true, 0, sql_length_max, "One or more statements."},
        {"database", FieldType::text, false, 0, 63, "Whose catalog; default: the deployment's first."}}},
      {"GET", "/v1/deployments/{d}/reports", "Reports of past attempts",
       [](B b, C c) { return b.reports(c.deployment); }},
      {"GET", "/v1/deployments/{d}/reports/{epoch}", "One report; latest = the newest; 404 while it runs", report},
  };
  return table;
}

int hex_digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded.push_back(text[at]);
      continue;
    }
    if (at + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[at + 1]), low = hex_digit(text[at + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    decoded.push_back(static_cast<char>(high * 16 + low));
    at += 2;
  }
  return decoded;
}

const std::vector<Route>& routes() {
  static const std::vector<Route> table = make_routes();
  return table;
}

bool matches(const Route& route, std::string_view path, Call& call) {
  std::string_view pattern = route.path;
  while (!pattern.empty() && !path.empty()) {
    // Both start with '/'; compare up to the next one.
    const auto pattern_end = std::min(pattern.find('/', 1), pattern.size());
    const auto path_end = std::min(path.find('/', 1), path.size());
    const std::string_view wanted = pattern.substr(1, pattern_end - 1);
    if (path.front() != '/') return false;
    const std::string_view segment = path.substr(1, path_end - 1);
    if (wanted == "{d}" || wanted == "{epoch}") {
      const auto decoded = percent_decoded(segment);
      if (!decoded || decoded->empty() || decoded->size() > name_length_max) return false;
      (wanted == "{d}" ? call.deployment : call.epoch) = *decoded;
    } else if (wanted != segment) {
      return false;
    }
    pattern.remove_prefix(pattern_end);
    path.remove_prefix(path_end);
  }
  return pattern.empty() && path.empty();
}

}  // namespace turnout::control
