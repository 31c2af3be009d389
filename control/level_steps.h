// Steps that only look at the data path's levels, and the decision: the same for servers of every protocol.
#pragma once

#include <atomic>
#include <optional>

#include "control/step_context.h"

namespace turnout::control {

// Nothing: it is a step of the servers, or a publication.
[[nodiscard]] std::optional<StepAnswer> run_level_step(StepContext& context, const drain::Action& action,
                                                       Attempt& attempt, const std::atomic<bool>& cancelled);
// Of await_open, when the server itself takes writes: no connection is left that has not said so.
[[nodiscard]] StepAnswer await_proven(StepContext& context, Attempt& attempt, router::Side to,
                                      const std::atomic<bool>& cancelled);

}  // namespace turnout::control
