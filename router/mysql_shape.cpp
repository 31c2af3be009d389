#include "router/mysql_shape.h"

#include "router/mysql_lexer.h"

namespace turnout::router {

namespace {

using Kind = MysqlToken::Kind;

// Of a list of literals behind IN only the first one counts.
class Lists {
 public:
  // Is this token left out?
  bool drops(const MysqlToken& token) {
    const bool is_literal = token.kind == Kind::literal;
    switch (place_) {
      case Place::elsewhere:
        if (token.is_word("in")) place_ = Place::behind_in;
        return false;
      case Place::behind_in:
        place_ = token.is('(') ? Place::open : token.is_word("in") ? Place::behind_in : Place::elsewhere;
        return false;
      case Place::open:
        place_ = is_literal ? Place::element : token.is_word("in") ? Place::behind_in : Place::elsewhere;
        return false;
      case Place::element:
        if (token.is(',')) {
          place_ = Place::comma;
          return true;
        }
        place_ = token.is_word("in") ? Place::behind_in : Place::elsewhere;
        return false;
      case Place::comma:
        if (is_literal) {
          place_ = Place::element;
          return true;
        }
        place_ = token.is_word("in") ? Place::behind_in : Place::elsewhere;
        owes_comma_ = true;
        return false;
    }
    return false;
  }
  // The comma that was left out stood before something else.
  bool take_comma() {
    const bool owes = owes_comma_;
    owes_comma_ = false;
    return owes;
  }

 private:
  enum class Place { elsewhere, behind_in, open, element, comma };
  Place place_ = Place::elsewhere;
  bool owes_comma_ = false;
};

bool stands_for_a_value(const MysqlToken& token) {
  return token.kind == Kind::literal || token.kind == Kind::either;
}

std::uint64_t tag_of(const MysqlToken& token, bool is_behind_name) {
  const bool begins_call = token.is('(') && is_behind_name && !token.has_gap;
  return static_cast<std::uint64_t>(token.kind) << 1 | (begins_call ? 1U : 0U);
}

}  // namespace

Shape mysql_shape_of(std::string_view sql, const ShapeHash& start) {
  MysqlLexer lexer(sql);
  ShapeHash hash = start;
  Lists lists;
  std::uint32_t tokens = 0;
  bool is_behind_name = false;
  for (MysqlToken token = lexer.next(); token.kind != Kind::end; token = lexer.next()) {
    if (lists.drops(token)) continue;
    if (lists.take_comma()) {
      hash.mix(static_cast<std::uint64_t>(Kind::symbol) << 1);
      hash.mix_text(",");
    }
    ++tokens;
    hash.mix(tag_of(token, is_behind_name));
    if (!stands_for_a_value(token)) hash.mix_text(token.text);
    is_behind_name = token.kind == Kind::word || token.kind == Kind::name;
  }
  ShapeKind kind = ShapeKind::known;
  if (lexer.is_malformed())
    kind = ShapeKind::malformed;
  else if (lexer.is_unsure() || lexer.is_odd())
    kind = ShapeKind::own;
  return {kind, hash.low(), hash.high(), tokens};
}

// Digits in a quoted name are no number's. What else digits could mean (/*!50100 … */, 0x1F, 1st) makes the shape the
// text's own, and those are never remembered.
ShapeHash mysql_outline_of(std::string_view sql, const ShapeHash& start) {
  if (sql.find('`') == std::string_view::npos) return outline_of(sql, start);
  ShapeHash hash = start;
  hash.mix(2);
  hash.mix_bytes(sql);
  return hash;
}

std::string mysql_shape_text(std::string_view sql, std::size_t bytes_max) {
  MysqlLexer lexer(sql);
  Lists lists;
  std::string text;
  for (MysqlToken token = lexer.next(); token.kind != Kind::end && text.size() <= bytes_max; token = lexer.next()) {
    if (lists.drops(token)) continue;
    if (lists.take_comma()) text += ',';
    if (token.has_gap && !text.empty()) text += ' ';
    if (stands_for_a_value(token)) {
      text += '?';
    } else if (token.kind == Kind::name) {
      text.append(1, '`').append(token.text).append(1, '`');
    } else {
      text += token.text;
    }
  }
  if (text.size() > bytes_max) {
    text.resize(bytes_max);
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80U) != 0) text.pop_back();
    text += "…";
  }
  return text;
}

}  // namespace turnout::router
