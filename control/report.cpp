#include "control/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

#include "control/decision_store.h"

namespace turnout::control {

namespace {

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

boost::json::object phases_of(const Attempt& attempt, double ended_ms) {
  boost::json::object out;
  for (std::size_t i = 0; i < attempt.phases.size(); ++i) {
    const auto& [name, began_ms] = attempt.phases[i];
    if (name == "idle" || name == "cooling" || name == "finished") continue;
    const double until_ms = i + 1 < attempt.phases.size() ? attempt.phases[i + 1].second : ended_ms;
    const auto* before = out.if_contains(name);
    out[name] = rounded((before == nullptr ? 0 : before->to_number<double>()) + until_ms - began_ms);
  }
  return out;
}

boost::json::array steps_of(const std::vector<StepTime>& steps) {
  boost::json::array out;
  const double origin = steps.empty() ? 0 : steps.front().began_ms;
  for (const auto& step : steps) {
    boost::json::object one{{"step", drain::name(step.step)}, {"at_ms", rounded(step.began_ms - origin)}};
    if (step.ended_ms >= 0) one["took_ms"] = rounded(step.ended_ms - step.began_ms);
    if (step.attempt > 1) one["attempt"] = step.attempt;
    if (!step.reason.empty()) one["failed"] = step.reason;
    out.push_back(std::move(one));
  }
  return out;
}

// What the steps lacked that a deadline ended: "" when none did.
std::string waited_for(const ReportInput& input) {
  if (!input.state.reason.ends_with("_deadline")) return "";
  std::string text;
  for (const auto& step : input.steps) {
    if (step.step == drain::Step::decide_abort) break;
    if (!step.reason.empty())
      text += (text.empty() ? ": " : "; ") + std::string(drain::name(step.step)) + ": " + step.reason;
  }
  return text;
}

boost::json::object sequences_of(const Attempt& attempt) {
  boost::json::object out;
  for (const auto& [database, states] : attempt.sequences) {
    boost::json::object list;
    for (const auto& state : states) {
      list[state.name] = boost::json::object{{"last_value", state.last_value}, {"is_called", state.is_called}};
    }
    out[database] = std::move(list);
  }
  return out;
}

std::string first_position(const Attempt& attempt) {
  return attempt.fence_position.empty() ? "" : attempt.fence_position.begin()->second;
}

// What a consumer of the former writer's log has to do now.
std::string anchor_text(const boost::json::object& anchor) {
  std::string out = "## change data capture: " + text_of(anchor, "consumer") + "\n\n";
  if (const auto problem = text_of(anchor, "problem"); !problem.empty()) return out + problem + "\n";
  if (const auto* words = anchor.if_contains("instructions"); words != nullptr && words->is_object()) {
    for (const auto& [kind, text] : words->get_object()) {
      if (text.is_string()) out += "- " + std::string(kind) + ": " + std::string(text.get_string()) + '\n';
    }
  }
  return out;
}

}  // namespace

std::string outcome_text(const drain::State& state) {
  if (state.road == drain::Road::commit) return "committed";
  switch (state.outcome) {
    case drain::Outcome::planned:
      return "planned";
    case drain::Outcome::refused:
      return "refused";
    case drain::Outcome::committed:
      return "committed";
    case drain::Outcome::reverted:
      return "reverted";
    case drain::Outcome::aborted:
      return "reverted";  // the reason says by whom
    case drain::Outcome::rehearsed:
      return "rehearsed";
    case drain::Outcome::none:
      return "unknown";
  }
  return "unknown";
}

boost::json::object build_report(const ReportInput& input, Attempt& attempt) {
  const auto& state = input.state;
  const std::lock_guard guard(attempt.mutex);
  boost::json::object positions;
  for (const auto& [database, position] : attempt.fence_position) positions[database] = position;
  boost::json::object first_positions;
  for (const auto& [database, position] : attempt.slot_target) first_positions[database] = position;
  const std::string outcome = outcome_text(state);
  const bool committed = outcome == "committed";
  std::string reason = state.reason + waited_for(input);
  if (state.outcome == drain::Outcome::aborted) reason = "aborted by an operator";
  boost::json::object report{
      {"deployment", input.deployment},
      {"epoch", state.epoch},
      {"direction", drain::name(state.direction)},
      {"outcome", outcome},
      {"reason", reason},
      {"who", attempt.who},
      {"started_at", attempt.started_at},
      {"ended_at", input.ended_at},
      {"writer", router::name(committed ? state.to() : state.from)},
      {"pause_ms", boost::json::object{{"p50", rounded(input.hold.p50_ms)},
                                       {"p99", rounded(input.hold.p99_ms)},
                                       {"max", rounded(input.hold.max_ms)}}},
      {"held_sessions", std::max<std::uint64_t>(attempt.held_sessions, input.hold.held)},
      {"client_errors", input.client_errors},
      {"fence_position", first_position(attempt)},
      {"fence_positions", positions},
      {"first_positions", first_positions},
      {"phases_ms", phases_of(attempt, input.ended_ms)},
      {"steps", steps_of(input.steps)},
      {"sequences", sequences_of(attempt)},
      {"ended_sessions", attempt.ended_sessions},
      {"guards", attempt.guards},
      {"cdc", attempt.anchors},
      {"checks", to_json(attempt.checks)},
      {"notes", attempt.notes},
  };
  if (!input.comparison.empty()) report["comparison"] = input.comparison;
  if (!attempt.undo_proof.empty()) report["undo"] = attempt.undo_proof;
  return report;
}

std::string markdown(const boost::json::object& report) {
  const auto text = [&](const char* key) {
    const auto* value = report.if_contains(key);
    if (value == nullptr) return std::string("-");
    return value->is_string() ? std::string(value->get_string()) : boost::json::serialize(*value);
  };
  std::string out = fmt::format("# {} of {}, epoch {}: {}\n\n", text("direction"), text("deployment"), text("epoch"),
                                text("outcome"));
  if (!text("reason").empty()) out += "Reason: " + text("reason") + "\n\n";
  out += fmt::format("Asked for by {} at {}, ended {}. The writer is **{}**.\n\n", text("who"), text("started_at"),
                     text("ended_at"), text("writer"));
  out += "| | |\n|---|---|\n";
  for (const char* key : {"pause_ms", "held_sessions", "client_errors", "fence_positions", "first_positions", "guards",
                          "ended_sessions", "comparison", "undo"}) {
    out += fmt::format("| {} | {} |\n", key, text(key));
  }
  const auto table = [&](const char* key) {
    const auto* value = report.if_contains(key);
    if (value == nullptr || !value->is_object()) return;
    out += fmt::format("\n## {}\n\n| | |\n|---|---|\n", key);
    for (const auto& [name, inner] : value->get_object()) {
      out += fmt::format("| {} | {} |\n", std::string_view(name), boost::json::serialize(inner));
    }
  };
  table("phases_ms");
  table("sequences");
  if (const auto* anchors = report.if_contains("cdc"); anchors != nullptr && anchors->is_array()) {
    for (const auto& anchor : anchors->get_array()) out += "\n" + anchor_text(anchor.get_object());
  }
  const auto* checks = report.if_contains("checks");
  if (checks != nullptr && checks->is_array()) {
    out += "\n## checks\n\n| check | verdict | measured | bound |\n|---|---|---|---|\n";
    for (const auto& check : checks->get_array()) {
      const auto& one = check.get_object();
      out += fmt::format("| {} | {} | {} | {} |\n", text_of(one, "name"), text_of(one, "verdict"),
                         text_of(one, "measured"), text_of(one, "bound"));
    }
  }
  return out;
}

}  // namespace turnout::control
