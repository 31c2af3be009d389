// The named checks before a cutover or rollback. Reads both servers; writes nothing but its own heartbeat row.
//
// Always true: every check of the list answers, also when a server cannot be asked (then it is a FAIL that says so); a
// check that could not look never passes.
#pragma once

#include <atomic>
#include <vector>

#include "control/check.h"
#include "control/step_context.h"

namespace turnout::control {

// `from` is the side that owns writes now. `quick` leaves out what tries something out: logins, a subscription. Once
// `give_up` is set, what is left of the list fails at once.
[[nodiscard]] std::vector<Check> run_checks(StepContext& context, router::Side from, bool quick,
                                            const std::atomic<bool>& give_up);

}  // namespace turnout::control
