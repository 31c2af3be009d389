// The tree → Config: every key, its type, its range, its default (config.h). One function a mapping of the file.
#pragma once

#include "conf/config.h"
#include "conf/section.h"

namespace turnout::conf {

// Mistakes go to the walker, which afterwards knows where each key stood.
[[nodiscard]] Config read_config(const TreeNode& root, Walker& walker);

}  // namespace turnout::conf
