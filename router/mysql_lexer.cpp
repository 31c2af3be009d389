#include "router/mysql_lexer.h"

#include <algorithm>

namespace turnout::router {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_word_byte(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// Of /*+ … */: quotes hide its end from MySQL, and SET_VAR sets what the statement runs with.
bool is_more_than_advice(std::string_view hint) {
  constexpr std::string_view names[] = {"set_var", "resource_group"};
  const auto begins = [](std::string_view text, std::string_view name) {
    return text.size() >= name.size() && is_same_word(text.substr(0, name.size()), name);
  };
  for (std::size_t i = 0; i < hint.size(); ++i) {
    if (hint[i] == '\'' || hint[i] == '"' || hint[i] == '`') return true;
    for (const auto name : names)
      if (begins(hint.substr(i), name)) return true;
  }
  return false;
}

bool may_split_a_letter(std::string_view sql) {
  for (std::size_t i = 0; i + 1 < sql.size(); ++i)
    if (static_cast<unsigned char>(sql[i]) >= 0x80 && (sql[i + 1] == '\\' || sql[i + 1] == '`')) return true;
  return false;
}

// Under latin1 and its kin 0xa0 is white space; in UTF-8 it never stands behind a byte of ASCII.
bool may_have_hard_space(std::string_view sql) {
  for (std::size_t i = 0; i < sql.size(); ++i)
    if (sql[i] == '\xa0' && (i == 0 || static_cast<unsigned char>(sql[i - 1]) < 0x80)) return true;
  return false;
}

}  // namespace

bool is_same_word(std::string_view word, std::string_view lower_case) {
  return std::equal(word.begin(), word.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
}

bool MysqlToken::is_word(std::string_view lower_case) const {
  return kind == Kind::word && is_same_word(text, lower_case);
}

MysqlLexer::MysqlLexer(std::string_view sql)
    : sql_(sql), is_unsure_(may_split_a_letter(sql) || may_have_hard_space(sql)) {}

MysqlToken MysqlLexer::take(MysqlToken::Kind kind, std::size_t begin, bool has_gap) {
  last_ = kind;
  return {kind, has_gap, sql_.substr(begin, at_ - begin)};
}

MysqlToken MysqlLexer::fail() {
  is_malformed_ = true;
  at_ = sql_.size();
  return {};
}

bool MysqlLexer::skip_blanks() {
  const std::size_t before = at_;
  while (at_ < sql_.size()) {
    if (is_blank(sql_[at_])) {
      ++at_;
    } else if (!skip_comment()) {
      break;
    }
  }
  return at_ != before;
}

// -- wants a blank or the end behind it; without one it is two operators.
bool MysqlLexer::skip_comment() {
  const char c = peek(0), next = peek(1);
  const bool is_dashes = c == '-' && next == '-' && (at_ + 2 >= sql_.size() || is_blank(sql_[at_ + 2]));
  if (c == '#' || is_dashes) {
    at_ = std::min(sql_.find('\n', at_), sql_.size());
    return true;
  }
  if (c != '/' || next != '*') return false;
  const std::string_view inside = sql_.substr(at_ + 2);
  if (inside.starts_with('!') || inside.starts_with("M!")) is_unsure_ = true;
  const std::size_t end = sql_.find("*/", at_ + 2);
  if (end == std::string_view::npos) {
    static_cast<void>(fail());
    return false;
  }
  if (inside.starts_with('+') && is_more_than_advice(sql_.substr(at_, end - at_))) is_unsure_ = true;
  at_ = end + 2;
  return true;
}

MysqlToken MysqlLexer::take_quoted(MysqlToken::Kind kind, char quote, bool has_gap) {
  const std::size_t begin = ++at_;
  for (; at_ < sql_.size(); ++at_) {
    if (sql_[at_] == '\0') return fail();
    if (sql_[at_] == '\\' && quote != '`') {
      if (quote == '"') is_unsure_ = true;  // in a name it would be a letter
      ++at_;
    } else if (sql_[at_] == quote) {
      if (peek(1) != quote) {
        MysqlToken token = take(kind, begin, has_gap);
        ++at_;
        return token;
      }
      ++at_;
    }
  }
  return fail();
}

// A bare name may begin with digits, and behind a point even look like a number.
MysqlToken MysqlLexer::take_number(bool has_gap) {
  const std::size_t begin = at_;
  while (is_digit(peek(0))) ++at_;
  if (peek(0) == '.') {
    ++at_;
    while (is_digit(peek(0))) ++at_;
  }
  const bool has_sign = peek(1) == '+' || peek(1) == '-';
  if ((peek(0) == 'e' || peek(0) == 'E') && is_digit(peek(has_sign ? 2 : 1))) {
    at_ += has_sign ? 2 : 1;
    while (is_digit(peek(0))) ++at_;
  }
  if (!is_word_byte(peek(0))) return take(MysqlToken::Kind::literal, begin, has_gap);
  is_odd_ = true;
  while (is_word_byte(peek(0))) ++at_;
  const std::string_view all = sql_.substr(begin, at_ - begin);
  const auto is_of = [all](std::string_view digits) {
    return all.size() > 2 && all.substr(2).find_first_not_of(digits) == std::string_view::npos;
  };
  const bool is_value =
      (all.starts_with("0x") && is_of("0123456789abcdefABCDEF")) || (all.starts_with("0b") && is_of("01"));
  if (!is_value) is_unsure_ = true;
  return take(is_value ? MysqlToken::Kind::literal : MysqlToken::Kind::word, begin, has_gap);
}

MysqlToken MysqlLexer::take_variable(bool has_gap) {
  const std::size_t begin = at_++;
  const bool is_system = peek(0) == '@';
  if (is_system) ++at_;
  return take(is_system ? MysqlToken::Kind::system_variable : MysqlToken::Kind::user_variable, begin, has_gap);
}

MysqlToken MysqlLexer::next() {
  const bool has_gap = skip_blanks();
  if (at_ >= sql_.size()) return {MysqlToken::Kind::end, has_gap, {}};
  const char c = sql_[at_];
  if (c == '\0') return fail();
  if (c == '\'') return take_quoted(MysqlToken::Kind::literal, c, has_gap);
  if (c == '"') return take_quoted(MysqlToken::Kind::either, c, has_gap);
  if (c == '`') return take_quoted(MysqlToken::Kind::name, c, has_gap);
  if (c == '@') return take_variable(has_gap);
  const bool is_behind_name = last_ == MysqlToken::Kind::word || last_ == MysqlToken::Kind::name;
  if (is_digit(c)) return take_number(has_gap);
  if (c == '.' && is_digit(peek(1))) {
    if (is_behind_name) is_unsure_ = is_odd_ = true;  // t.1st
    return take_number(has_gap);
  }
  const std::size_t begin = at_;
  if (is_word_byte(c)) {
    if (c == '$') is_unsure_ = true;  // of MySQL it may be $$text$$
    while (is_word_byte(peek(0))) ++at_;
    const bool is_prefix = at_ - begin == 1 && std::string_view("xXbBnN").find(c) != std::string_view::npos;
    if (is_prefix && peek(0) == '\'') return take_quoted(MysqlToken::Kind::literal, '\'', has_gap);
    return take(MysqlToken::Kind::word, begin, has_gap);
  }
  ++at_;
  return take(c == '?' ? MysqlToken::Kind::literal : MysqlToken::Kind::symbol, begin, has_gap);
}

}  // namespace turnout::router
