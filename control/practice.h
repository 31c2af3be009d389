// The checks that ask no server but what Turnout itself has seen of this pair: rehearsal.recent, green.warm. Of both
// protocols.
#pragma once

#include "conf/config.h"
#include "control/check.h"
#include "control/step_context.h"

namespace turnout::control {

void check_practice(CheckList& list, const StepContext& context, const conf::Deployment& config, router::Side to);

}  // namespace turnout::control
