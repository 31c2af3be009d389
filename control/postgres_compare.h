// A PostgreSQL pair for the comparison: what the publications carry, through the streams that carry it. A marker is the
// comparison's own row in turnout.marker.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/compare_pair.h"
#include "control/shelf.h"

namespace turnout::control {

// `databases`: of the configuration as it is now.
[[nodiscard]] std::unique_ptr<ComparePair> postgres_compare_pair(std::string deployment, Shelf& shelf,
                                                                 std::function<std::vector<std::string>()> databases);

}  // namespace turnout::control
