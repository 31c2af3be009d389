// What happens to replication around the flip: the opposite slot is moved up to the proof before the decision; after
// the release the forward stream ends, and only when its worker and its walsender are gone the opposite one begins. (A
// forward stream that still runs would carry the new writer's rows back to it.)
#pragma once

#include <atomic>

#include "control/step_context.h"

namespace turnout::control {

// Before the hold: the slots for the way back go as far as they can, so that the window has little left to decode.
[[nodiscard]] StepAnswer bring_slots_near(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer advance_slots(StepContext& context, Attempt& attempt, router::Side from);
// First of what nobody waits for: it gives way to the clients that come back.
[[nodiscard]] StepAnswer disable_forward(StepContext& context, Attempt& attempt, router::Side from,
                                         const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer await_forward_gone(StepContext& context, Attempt& attempt, router::Side from,
                                            const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer start_reverse(StepContext& context, Attempt& attempt, router::Side from,
                                       const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer drop_forward(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer read_guards(StepContext& context, Attempt& attempt, router::Side from);

// How the side that follows reaches the writer.
[[nodiscard]] std::string replication_conninfo(const conf::Deployment& config, router::Side writer,
                                               const std::string& database);
// The publication through which every marker travels, whoever made it; "" = there is none yet. One of several of a
// database lets only its own through.
[[nodiscard]] PgOutcome<std::string> marker_publication(PgClient& client);

}  // namespace turnout::control
