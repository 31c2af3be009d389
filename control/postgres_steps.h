// The steps of drain/plan.h on two Postgres servers. Each is idempotent, and over when run() returns: a backend whose
// connection was lost on the way has been ended first, so that a failed fence cannot rise after it was lowered.
#pragma once

#include <atomic>

#include "control/step_context.h"

namespace turnout::control {

class PostgresSteps {
 public:
  explicit PostgresSteps(StepContext context) : context_(std::move(context)) {}

  // Everything but preflight, reports and the records of begin and end, which are the deployment's.
  [[nodiscard]] StepAnswer run(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled);
  [[nodiscard]] StepContext& context() { return context_; }

 private:
  [[nodiscard]] StepAnswer dispatch(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled);
  void end_lost(router::Side side, const std::atomic<bool>& cancelled);

  StepContext context_;
};

}  // namespace turnout::control
