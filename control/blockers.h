// What a cutover would have to wait for now: old transactions on the writer, prepared transactions, sessions that
// cannot change server, each with who they are and why.
#pragma once

#include <boost/json/array.hpp>

#include "control/step_context.h"

namespace turnout::control {

// Our own clients among them; `query` is still empty.
[[nodiscard]] boost::json::array list_blocking_clients(const StepContext& context);
[[nodiscard]] boost::json::array list_blockers(StepContext& context, router::Side writer);

}  // namespace turnout::control
