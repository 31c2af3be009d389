#include "router/function_body.h"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/pg/sql_lexer.h"
#include "router/builtins.h"

namespace turnout::router {

namespace pg = protocol::pg;

namespace {

// Key words that speak of the session without being the name of anything.
constexpr auto session_words = std::to_array<std::string_view>(
    {"current_catalog", "current_role", "current_schema", "current_user", "session_user", "system_user", "user"});
// Of a longer one the server takes the beginning (NAMEDATALEN), so it would not be found by what stands here.
constexpr std::size_t name_bytes_max = 63;
static_assert(std::ranges::is_sorted(session_words));

}  // namespace

BodyNames names_in_body(std::string_view body) {
  BodyNames found;
  pg::SqlLexer lexer(body);
  std::string before;  // a name just before this token
  bool is_behind_dot = false;
  for (pg::Token token = lexer.next(); token.kind != pg::TokenKind::end; token = lexer.next()) {
    if (token.kind == pg::TokenKind::unterminated || token.kind == pg::TokenKind::unicode_quoted) {
      found.refusal = "has a body that is not understood";
      return found;
    }
    if (token.is_symbol('(') && !before.empty()) found.calls.push_back(before);
    before.clear();
    const bool was_behind_dot = std::exchange(is_behind_dot, token.is_symbol('.'));
    const bool is_word = token.kind == pg::TokenKind::word;
    if (!is_word && token.kind != pg::TokenKind::quoted) continue;
    std::string name = token.name();
    if (is_word && name == "execute") found.refusal = "puts statements together (EXECUTE)";
    if (is_word && std::ranges::binary_search(session_words, name))
      found.refusal = "speaks of the session (" + name + ")";
    if (name.size() > name_bytes_max) found.refusal = "has a name that the server cuts short";
    if (!found.refusal.empty()) return found;
    if (was_behind_dot && !takes_no_argument(name)) found.calls.push_back(name);
    before = name;
    found.names.push_back(std::move(name));
  }
  for (auto* const list : {&found.names, &found.calls}) {
    std::ranges::sort(*list);
    list->erase(std::ranges::unique(*list).begin(), list->end());
  }
  return found;
}

}  // namespace turnout::router
