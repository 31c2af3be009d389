// Where the readers of the writer's log (change data capture: Debezium, AWS DMS, …) go on after a move. A position in
// one server's log means nothing in the other's. So for each consumer that the configuration names (key `cdc`, by its
// slot) there is a slot on green from before green's first own write: what is behind the anchor has come from blue, and
// the consumer has read it there up to the fence; what comes after it is new. Nothing twice, nothing missed.
//
// Always true: an anchor is moved to one fixed position, the one taken after the proof's flush, and only by the attempt
// that was committed; the consumers' own slots are looked at, never moved.
#pragma once

#include <string>

#include "control/step_context.h"

namespace turnout::control {

// A consumer's slot on the writer.
struct Consumer {
  std::string slot, database, plugin;
};
// "" = there is none of that name.
[[nodiscard]] PgOutcome<Consumer> find_consumer(PgClient& writer, const std::string& slot);

// In `prepare`, of the consumers that read `stream`'s database: makes the anchors on the side that follows, or moves
// them up, so that they retain little. "" or what is in the way; `done` gets a line for each that was made.
[[nodiscard]] std::string prepare_anchors(StepContext& context, PgClient& writer, PgClient& follower,
                                          const Stream& stream, boost::json::array& done);
// After the flip: the anchors go to the proof's position, and the report gets what each consumer has to do.
[[nodiscard]] StepAnswer set_anchors(StepContext& context, Attempt& attempt, router::Side from);

}  // namespace turnout::control
