#include "control/schema_script.h"

#include "protocol/pg/sql_lexer.h"

namespace turnout::control {

namespace {

using protocol::pg::SqlLexer;
using protocol::pg::Token;
using protocol::pg::TokenKind;

constexpr std::size_t shown_bytes_max = 80;

// Is a semicolon here the end of the statement?
class Nesting {
 public:
  void take(const Token& token) {
    if (token.is_symbol('(')) ++parentheses_;
    if (token.is_symbol(')') && parentheses_ > 0) --parentheses_;
    if (token.kind != TokenKind::word) return;
    take_word(token);
    ++words_;
  }
  [[nodiscard]] bool is_outermost() const { return parentheses_ == 0 && blocks_ == 0; }

 private:
  // CREATE [OR REPLACE] FUNCTION or PROCEDURE; only there does BEGIN open a block.
  void take_word(const Token& token) {
    if (words_ == 0) is_create_ = token.is_word("create");
    if (is_create_ && (words_ == 1 || words_ == 3) && (token.is_word("function") || token.is_word("procedure")))
      is_routine_ = true;
    if (!is_routine_ || parentheses_ > 0) return;
    if (token.is_word("begin") || (blocks_ > 0 && token.is_word("case"))) ++blocks_;
    if (blocks_ > 0 && token.is_word("end")) --blocks_;
  }

  int words_ = 0, parentheses_ = 0, blocks_ = 0;
  bool is_create_ = false, is_routine_ = false;
};

std::string_view line_at(std::string_view text, std::size_t at) {
  const auto end = text.find('\n', at);
  return text.substr(at, end == std::string_view::npos ? end : end - at);
}

bool is_for_psql_alone(std::string_view line) {
  return line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
}

}  // namespace

SchemaScript split_script(std::string_view text) {
  SchemaScript script;
  SqlLexer lexer(text);
  Nesting nesting;
  std::size_t begin = std::string_view::npos;  // of the statement; npos = none yet
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    const auto at = static_cast<std::size_t>(token.text.data() - text.data());
    if (token.kind == TokenKind::unterminated) {
      script.error = "the script ends in the middle of: " + std::string(token.text.substr(0, shown_bytes_max));
      return script;
    }
    if (begin == std::string_view::npos && token.is_symbol('\\')) {
      const auto line = line_at(text, at);
      if (!is_for_psql_alone(line)) {
        script.error = "a command for psql that is not known: " + std::string(line.substr(0, shown_bytes_max));
        return script;
      }
      lexer = SqlLexer(text.substr(at + line.size()));
      continue;
    }
    if (begin == std::string_view::npos) {
      if (token.is_symbol(';')) continue;
      begin = at;
      nesting = Nesting();
    }
    nesting.take(token);
    if (!token.is_symbol(';') || !nesting.is_outermost()) continue;
    script.statements.push_back(text.substr(begin, at + 1 - begin));
    begin = std::string_view::npos;
  }
  if (begin != std::string_view::npos) script.statements.push_back(text.substr(begin));
  return script;
}

}  // namespace turnout::control
