// The lines of a users file, in PgBouncer's userlist format whatever the protocol: "user" "secret" a line, "" is a
// quote inside quotes, ';' or '#' begins a comment line. What a secret may be is the protocol's business.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::protocol {

struct UserLine {
  std::string name;
  std::string secret;  // as written, quotes resolved
};

struct UserLines {
  std::vector<UserLine> users;
  std::vector<std::string> mistakes;  // "line:column: text"
};

// `find_mistake` says what is wrong with a secret, or nothing.
[[nodiscard]] UserLines parse_user_lines(std::string_view text,
                                         const std::function<std::string(std::string_view)>& find_mistake);

}  // namespace turnout::protocol
