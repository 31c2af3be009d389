// The start-up parameter `options`: what a client would write on a server's command line, as settings of its session.
//
// Always true: nothing of it is ever passed on as it is; what is not understood, or cannot be had from a connection
// that others use as well, is refused in words that name it. Source: PostgreSQL manual, postgres(1) and libpq
// "options"; the splitting is that of the server.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace turnout::protocol::pg {

struct StartupRefusal {
  std::string sqlstate;
  std::string message;
};

struct StartupOptions {
  std::vector<std::pair<std::string, std::string>> settings;  // in their order; the last of a name counts
  std::optional<StartupRefusal> refusal;
};

// "-c name=value --other=value"; a backslash makes the next character ordinary. Also the switches that are short for a
// setting: -e, -f, -s, -S, -t.
[[nodiscard]] StartupOptions parse_options(std::string_view options);

// Of a setting in a start-up packet, also outside `options`: a name that no setting has, or one that only a new
// server connection can take.
[[nodiscard]] std::optional<StartupRefusal> refuse_setting(std::string_view name);

// The elements of a value that SET wants as a list of names (search_path and its like), as the server splits them:
// folded to lower case unless in double quotes. Nothing: not such a setting, one literal will do.
struct ListValue {
  std::vector<std::string> names;
  bool is_malformed = false;
};
[[nodiscard]] std::optional<ListValue> split_list_value(std::string_view name, std::string_view value);

}  // namespace turnout::protocol::pg
