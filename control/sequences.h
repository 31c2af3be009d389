// Sequences: their whole state (last value and whether it was given out), not max(id), copied when nobody can draw from
// them any more. Identity columns are sequences too. Names are prepared before the hold, so that the window runs one
// planned query a side.
#pragma once

#include "control/step_context.h"

namespace turnout::control {

// Prepares the reading query on this connection's session and runs it once. "" or what is wrong.
[[nodiscard]] PgOutcome<std::vector<SequenceState>> read_all_sequences(PgClient& client);
[[nodiscard]] StepAnswer read_sequences(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer copy_sequences(StepContext& context, Attempt& attempt, router::Side from);
// Names on `from` that do not exist on `to`, or differ in their step.
[[nodiscard]] std::vector<std::string> sequence_gaps(const std::vector<SequenceState>& from,
                                                     const std::vector<SequenceState>& to);
// Is `now` at or behind nothing of `wanted`, in the direction of its step?
[[nodiscard]] bool has_reached(const SequenceState& now, const SequenceState& wanted);

}  // namespace turnout::control
