#include "router/shadow_alarm.h"

#include <string>

namespace turnout::router {

namespace {

std::uint64_t count(const ShadowShape& shape, ShadowOutcome outcome) {
  return shape.outcomes[index(outcome)];
}

SideNumbers numbers(const ShadowShape& shape, bool is_other) {
  const LatencyBins& bins = shape.latency[is_other ? 1 : 0];
  SideNumbers side;
  for (const ShapeErrors& error : shape.errors) side.errors += is_other ? error.green : error.blue;
  side.count = bins.count() + side.errors;
  side.p50_ms = bins.percentile_ms(0.5);
  side.p95_ms = bins.percentile_ms(0.95);
  return side;
}

}  // namespace

std::optional<StepBack> find_step_back(const ShadowShape& news, const ShadowShape& known) {
  StepBack back;
  if (count(news, ShadowOutcome::different) != 0) {
    back.kind = StepBackKind::shadow_difference;
    back.why = "the shadow has proven another answer: " + known.different;
  } else if (count(news, ShadowOutcome::failed) != 0) {
    const auto error = find_step_back(known.errors);
    if (!error) return std::nullopt;
    back.kind = StepBackKind::shadow_error;
    back.sqlstate = error->sqlstate;
    back.why = "the shadow has proven an error: " + error->why;
  } else {
    return std::nullopt;
  }
  back.shape = known.shape;
  back.text = known.text;
  back.control = numbers(known, false);
  back.green = numbers(known, true);
  return back;
}

}  // namespace turnout::router
