#include "router/query_shape.h"

#include "protocol/pg/sql_lexer.h"

namespace turnout::router {

namespace pg = protocol::pg;

std::string query_shape(std::string_view sql, std::size_t bytes_max) {
  std::string shape;
  pg::SqlLexer lexer(sql);
  const char* behind = sql.data();  // the previous token
  for (pg::Token token = lexer.next(); token.kind != pg::TokenKind::end; token = lexer.next()) {
    if (token.text.data() > behind && !shape.empty()) shape += ' ';
    behind = token.text.data() + token.text.size();
    const bool is_parameter = token.kind == pg::TokenKind::number && !shape.empty() && shape.back() == '$';
    const bool is_value = (token.kind == pg::TokenKind::number && !is_parameter) ||
                          token.kind == pg::TokenKind::literal || token.kind == pg::TokenKind::unterminated;
    if (is_value)
      shape += '?';
    else
      shape += token.text;
    if (shape.size() > bytes_max) {
      std::size_t end = bytes_max;
      while (end > 0 && (static_cast<unsigned char>(shape[end]) & 0xC0U) == 0x80U) --end;
      shape.resize(end);
      return shape + "…";
    }
  }
  return shape;
}

}  // namespace turnout::router
