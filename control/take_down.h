// The opposite of `prepare`: what `finish` takes down when the way back is given up, and `prepare --undo` when the
// whole undertaking is.
//
// Always true: a subscription goes before its slot, and both before the publication; no table of anybody's goes, nor
// turnout.journal (without it a lost state_dir would not be noticed); undo leaves alone what was made by hand; the
// writer's part must succeed, the other server may be gone already. Run twice, the second time finds nothing.
#pragma once

#include <boost/json/array.hpp>

#include "control/step_context.h"

namespace turnout::control {

// What was removed, a line each.
[[nodiscard]] PgOutcome<boost::json::array> finish_pair(StepContext& context, router::Side writer);
// Before any cutover: what Turnout itself has made of a replica on green, and for the way back.
[[nodiscard]] PgOutcome<boost::json::array> undo_prepare(StepContext& context);

}  // namespace turnout::control
