// What Turnout calls a setting that people know by another name: PgBouncer's, or one of ours in the wrong section.
#pragma once

#include <string_view>

namespace turnout::conf {

// Completes "unknown key; …". Empty when the name says nothing to us.
[[nodiscard]] std::string_view hint_for(std::string_view key);

}  // namespace turnout::conf
