// The wait for the initial copies, with what is seen of them, and the statistics afterwards.
#pragma once

#include <boost/json/array.hpp>
#include <string>

#include "control/replicate.h"

namespace turnout::control {

// Until every table of every subscription on green is ready. "" or why not.
[[nodiscard]] std::string await_copies(StepContext& context, ReplicaWatch& watch);
// Tables of green that have no statistics get them.
[[nodiscard]] std::string analyze_copies(StepContext& context, ReplicaWatch& watch, boost::json::array& done);

}  // namespace turnout::control
