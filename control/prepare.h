// What a cutover needs and is missing, made on both sides; run twice, it changes nothing the second time. Its opposite
// is in take_down.h.
//
// Always true: nothing here touches the writer's settings; the side that follows becomes read-only only after its
// former setting is in the store; the opposite direction's slot is made after its publication (a slot decodes with the
// publications of its own time).
#pragma once

#include <boost/json/array.hpp>
#include <string>

#include "control/step_context.h"

namespace turnout::control {

// "" or what is in the way. `done` gets one line for each thing that was made or changed.
[[nodiscard]] std::string prepare_pair(StepContext& context, Attempt& attempt, router::Side from,
                                       boost::json::array& done);
// Schema turnout with the tables that a cutover needs. True: it was not there.
[[nodiscard]] PgOutcome<bool> make_own_schema(PgClient& client);
// Opens and warms the connections that the window uses.
[[nodiscard]] std::string warm_connections(StepContext& context, Attempt& attempt, router::Side from);

}  // namespace turnout::control
