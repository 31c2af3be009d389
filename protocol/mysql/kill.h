// The text of a KILL that names a connection by its number, which is what clients send to end a statement or another
// connection. Pure.
// Source: MariaDB "KILL [CONNECTION | QUERY]", MySQL "KILL Statement".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace turnout::protocol::mysql {

inline constexpr std::size_t kill_bytes_max = 1024;  // longer texts are not looked at

struct Kill {
  std::uint64_t connection = 0;
  bool is_query_only = false;  // what it runs now, else the connection
  friend bool operator==(const Kill&, const Kill&) = default;
};
// Nothing: another statement, or a KILL by a user, an expression, the number of a query, or one of several statements.
[[nodiscard]] std::optional<Kill> parse_kill(std::string_view sql);

}  // namespace turnout::protocol::mysql
