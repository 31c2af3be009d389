// The report of one attempt: what happened, how long everybody waited, and the proof of it. Values in, JSON and
// Markdown out; where it is kept is the deployment's business.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "control/attempt.h"
#include "control/executor.h"
#include "proxy/proxy.h"

namespace turnout::control {

struct ReportInput {
  std::string deployment;
  drain::State state;
  proxy::HoldTimes hold;
  std::uint64_t client_errors = 0;  // that Turnout made during the attempt
  std::vector<StepTime> steps;
  double ended_ms = 0;  // the executor's clock
  std::string ended_at;
  boost::json::object comparison;  // the newest one, {} = there was none
};

// Locks the attempt. Keys: epoch, direction, outcome, reason, pause_ms, phases_ms, held_sessions, client_errors,
// fence_position, writer and what led to them.
[[nodiscard]] boost::json::object build_report(const ReportInput& input, Attempt& attempt);
[[nodiscard]] std::string markdown(const boost::json::object& report);
// committed, reverted, rehearsed, refused, planned or unknown.
[[nodiscard]] std::string outcome_text(const drain::State& state);

}  // namespace turnout::control
