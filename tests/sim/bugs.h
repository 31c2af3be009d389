// Known mistakes of cutovers, put back one at a time: each must be found by the walk or the simulation.
#pragma once

#include <array>
#include <cstdint>

#include "drain/plan.h"

namespace turnout::sim {

enum class Bug : std::uint8_t {
  none,
  marker_before_drain,
  marker_in_another_subscription,
  own_connection_keeps_off,
  resume_before_all_acknowledgements,
  unfence_by_timer,
  unfence_overtakes_fence,
  reverse_before_forward_is_gone,
  sequences_before_fence,
  stale_epoch_accepted,
  commit_replayed,
  token_across_epochs,
  slots_before_flush,  // not in the list of the design, cheap to have
  open_before_decision,
  former_backends_ignored,  // a crashed process left an ALTER SYSTEM on its way
};
inline constexpr std::array all_bugs = {Bug::marker_before_drain,
                                        Bug::marker_in_another_subscription,
                                        Bug::own_connection_keeps_off,
                                        Bug::resume_before_all_acknowledgements,
                                        Bug::unfence_by_timer,
                                        Bug::unfence_overtakes_fence,
                                        Bug::reverse_before_forward_is_gone,
                                        Bug::sequences_before_fence,
                                        Bug::stale_epoch_accepted,
                                        Bug::commit_replayed,
                                        Bug::token_across_epochs,
                                        Bug::slots_before_flush,
                                        Bug::open_before_decision,
                                        Bug::former_backends_ignored};
[[nodiscard]] const char* name(Bug bug);

// The standard plan with the bug's line changed. Bugs of the executor or the data path leave the plan alone.
[[nodiscard]] drain::Plan plan_with(Bug bug);

}  // namespace turnout::sim
