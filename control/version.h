// The version this binary answers with; tests/control compares it with the build's project version.
#pragma once

#include <string_view>

namespace turnout::control {

inline constexpr std::string_view version_text = "0.1.0";

}  // namespace turnout::control
