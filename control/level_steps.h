// Steps that only look at the data path's levels, and the decision: the same for servers of every protocol.
#pragma once

#include <atomic>
#include <optional>
#include <vector>

#include "control/step_context.h"

namespace turnout::control {

// Nothing: it is a step of the servers, or a publication.
[[nodiscard]] std::optional<StepAnswer> run_level_step(StepContext& context, const drain::Action& action,
                                                       Attempt& attempt, const std::atomic<bool>& cancelled);
// Whose lost statements a failed step has to wait for. What happens on `from` alone must not wait for a `to` that has
// gone quiet: the way back needs its answer.
[[nodiscard]] std::vector<router::Side> sides_of(const drain::Action& action);
// Of await_open, when the server itself takes writes: no connection is left that has not said so.
[[nodiscard]] StepAnswer await_proven(StepContext& context, Attempt& attempt, router::Side to,
                                      const std::atomic<bool>& cancelled);

}  // namespace turnout::control
