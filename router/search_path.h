// The schemas in which an unqualified name is looked for, in order.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::router {

struct SearchPath {
  std::vector<std::string> schemas;  // pg_catalog is in it, first unless the session put it elsewhere
  bool has_user_schema = false;      // "$user": the schema with the session user's name, whoever that is

  // As SHOW search_path or a SET would have it: `"$user", public`. "" = that default. nullopt: not a list of names.
  [[nodiscard]] static std::optional<SearchPath> read(std::string_view text);
};

}  // namespace turnout::router
