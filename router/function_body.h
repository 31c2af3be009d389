// The names in the body of a stable function of the user's, which say what it can reach.
//
// A body is cut into tokens and not parsed: it may be PL/pgSQL. So a name is only a name, wherever it stands (a column,
// a variable, a key word): whoever asks takes it for the worst that is called so. What a stable function reaches
// without naming it, it can only reach by a statement that it puts together.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace turnout::router {

struct BodyNames {
  std::vector<std::string> names;  // sorted, each once, as are
  std::vector<std::string> calls;  // those with a parenthesis behind them, or a dot before: x.f is f(x)
  std::string refusal;             // why they do not say what it reaches; "" = they do
};
[[nodiscard]] BodyNames names_in_body(std::string_view body);

}  // namespace turnout::router
