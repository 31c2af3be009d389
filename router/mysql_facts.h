// shadow_facts.h for texts of MySQL and MariaDB: by their tokens.
#pragma once

#include <string_view>

#include "router/shadow_facts.h"

namespace turnout::router {

[[nodiscard]] ShadowFacts mysql_shadow_facts(std::string_view sql);

}  // namespace turnout::router
