// Cuts a SQL text into tokens as the server's own lexer does (PostgreSQL manual 4.1), as far as finding words needs it:
// comments vanish, literals and quoted identifiers are one token each, so that a word in them is not taken for a word.
// Assumes standard_conforming_strings = on and an encoding in which no byte of a multi-byte character is ASCII.
// Tokens are slices of the text, which must outlive them. Never allocates, never looks behind the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turnout::protocol::pg {

enum class TokenKind : std::uint8_t {
  end,
  word,            // key word or unquoted identifier, as written
  quoted,          // "identifier", with its quotes
  unicode_quoted,  // U&"identifier", whose name depends on escapes
  literal,         // '…', E'…', $tag$…$tag$, with its quotes
  number,          // digits, also of $1
  symbol,          // one character of anything else
  unterminated,    // a literal, quoted identifier or comment without its end; the last token
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;

  // `lower` is in lower case. Only unquoted words are key words.
  [[nodiscard]] bool is_word(std::string_view lower) const;
  [[nodiscard]] bool is_symbol(char c) const { return kind == TokenKind::symbol && text.front() == c; }
  // What an identifier names: unquoted in lower case, quoted as it is. Empty for other tokens.
  [[nodiscard]] std::string name() const;
};

class SqlLexer {
 public:
  explicit SqlLexer(std::string_view sql) : sql_(sql) {}
  [[nodiscard]] Token next();

 private:
  [[nodiscard]] char at(std::size_t index) const { return index < sql_.size() ? sql_[index] : '\0'; }
  [[nodiscard]] bool skip_blanks_and_comments();
  [[nodiscard]] bool skip_block_comment();
  [[nodiscard]] bool skip_doubled(char quote);
  [[nodiscard]] bool skip_escaped();
  [[nodiscard]] bool skip_to_continuation();
  [[nodiscard]] bool skip_dollar_quote();
  Token slice(TokenKind kind, std::size_t begin) const { return {kind, sql_.substr(begin, at_ - begin)}; }
  Token word(std::size_t begin);

  std::string_view sql_;
  std::size_t at_ = 0;
};

// In lower case as the server folds names: of ASCII letters only.
[[nodiscard]] std::string lowered(std::string_view text);
[[nodiscard]] bool is_equal_ignoring_case(std::string_view text, std::string_view lower);

}  // namespace turnout::protocol::pg
