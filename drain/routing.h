// From a named routing state of the cutover to the table that workers obey. Pure; the only place that knows both.
#pragma once

#include "drain/cutover.h"
#include "router/routing_table.h"

namespace turnout::drain {

// The table that follows `before` (its version + 1). The ramp is kept in normal and warm, and off (reads on the writer)
// from the hold on, until control publishes another.
[[nodiscard]] router::RoutingTable routing_table(const Action& action, const router::RoutingTable& before);

}  // namespace turnout::drain
