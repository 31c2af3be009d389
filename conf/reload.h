// What a reload may not change: what a running process is built around. Pure.
#pragma once

#include <string>

#include "conf/config.h"

namespace turnout::conf {

// Every key that would have to change, one a line with the file and what to do; "" = the reload may go on.
[[nodiscard]] std::string refused_by_reload(const Config& running, const Config& fresh);

}  // namespace turnout::conf
