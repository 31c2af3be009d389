// A SQL text for people: literals and numbers become "?", comments and line breaks go, the rest is as it was written.
// What a client has put into its values does not show.
#pragma once

#include <string>
#include <string_view>

namespace turnout::router {

[[nodiscard]] std::string query_shape(std::string_view sql, std::size_t bytes_max);

}  // namespace turnout::router
