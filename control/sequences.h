// Sequences: their whole state (last value and whether it was given out), not max(id), copied when nobody can draw from
// them any more. Identity columns are sequences too. Thousands of them: nearly all is set, and read back, before the
// hold; on `to` nobody draws from them after that (the follower is read-only). So the window reads `from` alone, and
// sets what has moved since.
#pragma once

#include "control/step_context.h"

namespace turnout::control {

// Before the hold: reads both sides, sets `to` and reads it back, remembers what the window need not ask again.
[[nodiscard]] StepAnswer bring_sequences_near(StepContext& context, Attempt& attempt, router::Side from);
// Behind it, on each connection to `from` that the window uses: it asks once what it will be asked then. "" or what
// went wrong.
[[nodiscard]] std::string warm_sequence_reads(PgClient& client, Attempt& attempt, const std::string& database);
[[nodiscard]] StepAnswer read_sequences(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer copy_sequences(StepContext& context, Attempt& attempt, router::Side from);
// Names on `from` that do not exist on `to`, or differ in their step.
[[nodiscard]] std::vector<std::string> sequence_gaps(const std::vector<SequenceState>& from,
                                                     const std::vector<SequenceState>& to);
// Of `wanted`, what `now` does not have in the same state. Both by name, in order.
[[nodiscard]] std::vector<SequenceState> sequences_to_set(const std::vector<SequenceState>& now,
                                                          const std::vector<SequenceState>& wanted);
// Is `now` at or behind nothing of `wanted`, in the direction of its step?
[[nodiscard]] bool has_reached(const SequenceState& now, const SequenceState& wanted);

}  // namespace turnout::control
