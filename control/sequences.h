// Sequences: their whole state (last value and whether it was given out), not max(id), copied when nobody can draw from
// them any more. Identity columns are sequences too. Thousands of them: nearly all is set before the hold, so that the
// window reads both sides, compares, and sets what has moved since.
#pragma once

#include "control/step_context.h"

namespace turnout::control {

// By name, in order.
[[nodiscard]] PgOutcome<std::vector<SequenceState>> read_all_sequences(PgClient& client);
// On this connection's session, so that its next read plans nothing.
[[nodiscard]] PgOutcome<bool> plan_sequence_reads(PgClient& client);
// Before the hold: reads the one side, sets the other.
[[nodiscard]] StepAnswer bring_sequences_near(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer read_sequences(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer copy_sequences(StepContext& context, Attempt& attempt, router::Side from);
// Names on `from` that do not exist on `to`, or differ in their step.
[[nodiscard]] std::vector<std::string> sequence_gaps(const std::vector<SequenceState>& from,
                                                     const std::vector<SequenceState>& to);
// Of `wanted`, what `now` does not have in the same state.
[[nodiscard]] std::vector<SequenceState> sequences_to_set(const std::vector<SequenceState>& now,
                                                          const std::vector<SequenceState>& wanted);
// Is `now` at or behind nothing of `wanted`, in the direction of its step?
[[nodiscard]] bool has_reached(const SequenceState& now, const SequenceState& wanted);

}  // namespace turnout::control
