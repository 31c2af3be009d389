#include "protocol/pg/sql_lexer.h"

#include <algorithm>

#include <array>

namespace turnout::protocol::pg {
namespace {

enum Class : std::uint8_t { other = 0, blank = 1, word_start = 2, word_part = 4, digit = 8, tag_part = 16 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    const bool is_digit = c >= '0' && c <= '9';
    // Vertical tab is a blank since PostgreSQL 16; before, it is a syntax error.
    const bool is_blank = c == ' ' || (c >= '\t' && c <= '\r');
    classes[c] = static_cast<std::uint8_t>((is_blank ? blank : 0) | (is_letter ? word_start : 0) |
                                           (is_letter || is_digit || c == '$' ? word_part : 0) |
                                           (is_digit ? digit : 0) | (is_letter || is_digit ? tag_part : 0));
  }
  return classes;
}
constexpr auto classes = make_classes();

bool is(char c, Class wanted) {
  return (classes[static_cast<std::uint8_t>(c)] & wanted) != 0;
}
char lowered(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
bool is_newline(char c) {
  return c == '\n' || c == '\r';
}

}  // namespace

bool is_equal_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (lowered(text[i]) != lower[i]) return false;
  }
  return true;
}

bool Token::is_word(std::string_view lower) const {
  return kind == TokenKind::word && is_equal_ignoring_case(text, lower);
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lowered(c); });
  return out;
}

std::string Token::name() const {
  if (kind == TokenKind::word) return lowered(text);
  std::string out;
  if (kind == TokenKind::quoted) {
    const std::string_view inner = text.substr(1, text.size() - 2);
    for (std::size_t i = 0; i < inner.size(); ++i) {
      out += inner[i];
      if (inner[i] == '"') ++i;  // "" is one quote
    }
  }
  return out;
}

// Nested, unlike in most languages. At "/*" on entry, behind the end on exit.
bool SqlLexer::skip_block_comment() {
  std::size_t depth = 0;
  do {
    if (at(at_) == '/' && at(at_ + 1) == '*') {
      ++depth;
      at_ += 2;
    } else if (at(at_) == '*' && at(at_ + 1) == '/') {
      --depth;
      at_ += 2;
    } else {
      ++at_;
    }
  } while (depth > 0 && at_ < sql_.size());
  return depth == 0;
}

bool SqlLexer::skip_blanks_and_comments() {
  while (at_ < sql_.size()) {
    const char c = sql_[at_];
    if (is(c, blank)) {
      ++at_;
    } else if (c == '-' && at(at_ + 1) == '-') {
      while (at_ < sql_.size() && !is_newline(sql_[at_])) ++at_;
    } else if (c == '/' && at(at_ + 1) == '*') {
      if (!skip_block_comment()) return false;
    } else {
      break;
    }
  }
  return true;
}

// 'a''b' or "a""b": doubling is the only escape. At the opening quote on entry.
bool SqlLexer::skip_doubled(char quote) {
  for (++at_; at_ < sql_.size(); ++at_) {
    at_ = sql_.find(quote, at_);
    if (at_ == std::string_view::npos) break;
    if (at(at_ + 1) != quote) return ++at_, true;
    ++at_;
  }
  at_ = sql_.size();
  return false;
}

// E'a\'b''c' and its continuation on a further line, where backslashes still escape. At the opening quote on entry.
bool SqlLexer::skip_escaped() {
  for (++at_; at_ < sql_.size(); ++at_) {
    if (sql_[at_] == '\\') {
      ++at_;
    } else if (sql_[at_] == '\'') {
      if (at(at_ + 1) == '\'') {
        ++at_;
        continue;
      }
      ++at_;
      if (!skip_to_continuation()) return true;
    }
  }
  at_ = sql_.size();
  return false;
}

// Two literals with nothing but blanks, a line end and -- comments between them are one literal (manual 4.1.2.1).
bool SqlLexer::skip_to_continuation() {
  bool has_newline = false;
  std::size_t i = at_;
  while (i < sql_.size()) {
    if (is(sql_[i], blank)) {
      has_newline = has_newline || is_newline(sql_[i]);
      ++i;
    } else if (sql_[i] == '-' && at(i + 1) == '-') {
      while (i < sql_.size() && !is_newline(sql_[i])) ++i;
    } else {
      break;
    }
  }
  if (!has_newline || at(i) != '\'') return false;
  at_ = i;
  return true;
}

// True when at a complete $tag$…$tag$, or at one that has no end (then the rest of the text is gone).
bool SqlLexer::skip_dollar_quote() {
  std::size_t i = at_ + 1;
  if (is(at(i), word_start)) {
    while (is(at(i), tag_part)) ++i;
  }
  if (at(i) != '$') return false;
  const std::string_view tag = sql_.substr(at_, i + 1 - at_);
  const std::size_t close = sql_.find(tag, i + 1);
  at_ = close == std::string_view::npos ? sql_.size() + 1 : close + tag.size();
  return true;
}

Token SqlLexer::word(std::size_t begin) {
  while (at_ < sql_.size() && is(sql_[at_], word_part)) ++at_;
  const std::size_t size = at_ - begin;
  const char first = lowered(sql_[begin]);
  if (size == 1 && first == 'e' && at(at_) == '\'') {
    return slice(skip_escaped() ? TokenKind::literal : TokenKind::unterminated, begin);
  }
  if (size == 1 && first == 'u' && at(at_) == '&' && at(at_ + 1) == '"') {
    ++at_;
    return slice(skip_doubled('"') ? TokenKind::unicode_quoted : TokenKind::unterminated, begin);
  }
  // B'', X'', N'' and U&'' end where a plain literal ends: the word and the literal may come as two tokens.
  return slice(TokenKind::word, begin);
}

Token SqlLexer::next() {
  const std::size_t before = at_;
  if (!skip_blanks_and_comments()) return slice(TokenKind::unterminated, before);
  if (at_ >= sql_.size()) return {};
  const std::size_t begin = at_;
  const char c = sql_[at_];
  if (is(c, word_start)) return word(begin);
  if (is(c, digit)) {
    // What follows may be an exponent or, before PostgreSQL 15, a word: a word either way does no harm.
    while (is(at(at_), digit)) ++at_;
    return slice(TokenKind::number, begin);
  }
  if (c == '\'') return slice(skip_doubled('\'') ? TokenKind::literal : TokenKind::unterminated, begin);
  if (c == '"') return slice(skip_doubled('"') ? TokenKind::quoted : TokenKind::unterminated, begin);
  if (c == '$' && skip_dollar_quote()) {
    const bool is_closed = at_ <= sql_.size();
    if (!is_closed) at_ = sql_.size();
    return slice(is_closed ? TokenKind::literal : TokenKind::unterminated, begin);
  }
  ++at_;
  return slice(TokenKind::symbol, begin);
}

}  // namespace turnout::protocol::pg
