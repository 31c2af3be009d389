// The named checks before a cutover or rollback. Reads both servers; writes nothing but its own heartbeat row.
//
// Always true: every check of the list answers, also when a server cannot be asked (then it is a FAIL that says so); a
// check that could not look never passes.
#pragma once

#include <vector>

#include "control/check.h"
#include "control/step_context.h"

namespace turnout::control {

// `from` is the side that owns writes now. `quick` leaves out what asks for logins.
[[nodiscard]] std::vector<Check> run_checks(StepContext& context, router::Side from, bool quick);

}  // namespace turnout::control
