// Does what the shadow has found end a ramp? Two looks in, a step back out.
//
// Only what is proven counts (shadow_match.h): lag, live writes, what is explained or never the same do not. An error
// counts where only the other side gives it; one of the writer alone is no reason to take reads from the other side.
#pragma once

#include <optional>

#include "router/analysis.h"
#include "router/shadow_book.h"

namespace turnout::router {

// `news`: what one look has brought of a shape; `known`: all of it, `news` included.
[[nodiscard]] std::optional<StepBack> find_step_back(const ShadowShape& news, const ShadowShape& known);

}  // namespace turnout::router
