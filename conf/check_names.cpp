#include "conf/check_names.h"

#include <algorithm>

#include "conf/nearest.h"

namespace turnout::conf {

bool is_check_name(std::string_view name) {
  return std::ranges::find(check_names, name) != check_names.end() ||
         std::ranges::find(mysql_check_names, name) != mysql_check_names.end();
}

std::string no_such_check(std::string_view name) {
  std::string out = "there is no check \"" + std::string(name) + '"';
  const auto meant = nearest(name, check_names);
  if (!meant.empty()) return out + "; did you mean " + std::string(meant) + "?";
  return out + "; turnout preflight lists them";
}

}  // namespace turnout::conf
