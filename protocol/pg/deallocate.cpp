#include "protocol/pg/deallocate.h"

#include "protocol/pg/sql_lexer.h"

namespace turnout::protocol::pg {

std::vector<DeallocatedName> deallocated_names(std::string_view sql) {
  std::vector<DeallocatedName> found;
  SqlLexer lexer(sql);
  bool at_start = true;
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    if (!at_start || !token.is_word("deallocate")) {
      at_start = token.is_symbol(';');
      continue;
    }
    token = lexer.next();
    if (token.is_word("prepare")) token = lexer.next();
    if (std::string name = token.name(); !name.empty() && !token.is_word("all"))
      found.push_back({token.text, std::move(name)});
    if (token.kind == TokenKind::end) break;
    at_start = token.is_symbol(';');
  }
  return found;
}

}  // namespace turnout::protocol::pg
