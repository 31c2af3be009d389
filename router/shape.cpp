#include "router/shape.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace turnout::router {

namespace {

using Byte = unsigned char;

enum class Char : std::uint8_t { other, zero, space, word, digit, quote, double_quote, dollar, dot, op };

constexpr std::array<Char, 256> classes = [] {
  std::array<Char, 256> table{};
  for (const char c : std::string_view(" \t\n\r\f")) table[static_cast<Byte>(c)] = Char::space;
  for (const char c : std::string_view("+-*/<>=~!@#%^&|`?:")) table[static_cast<Byte>(c)] = Char::op;
  for (unsigned c = 'a'; c <= 'z'; ++c) table[c] = table[c - 32] = Char::word;
  for (unsigned c = 0x80; c <= 0xff; ++c) table[c] = Char::word;
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = Char::digit;
  table['_'] = Char::word;
  table['\''] = Char::quote;
  table['"'] = Char::double_quote;
  table['$'] = Char::dollar;
  table['.'] = Char::dot;
  table[0] = Char::zero;
  return table;
}();

// 'A' → 'a'; 0 for a byte that ends an unquoted word, so one lookup does both.
constexpr std::array<Byte, 256> folded = [] {
  std::array<Byte, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    if (classes[c] == Char::word || classes[c] == Char::digit || c == '$') table[c] = static_cast<Byte>(c);
  }
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = static_cast<Byte>(c + 32);
  return table;
}();

constexpr Char class_of(Byte c) {
  return classes[c];
}

// A token is one or more words for the hash: seven bytes below, and on top what it is and how many bytes count. So no
// two different token sequences give the same words.
enum class Tag : std::uint64_t { more = 1, word, quoted, op, mark, literal, param, junk, text };
constexpr std::uint64_t packed(Tag tag, std::uint64_t bytes, unsigned count) {
  return bytes | (static_cast<std::uint64_t>(tag) << 3 | count) << 56;
}

class Packer {
 public:
  explicit Packer(ShapeHash& hash) : hash_(hash) {}
  void add(Byte c) {
    bytes_ |= static_cast<std::uint64_t>(c) << bits_;
    bits_ += 8;
    if (bits_ == 56) {
      hash_.mix(packed(Tag::more, bytes_, 7));
      bytes_ = 0;
      bits_ = 0;
    }
  }
  void finish(Tag tag) { hash_.mix(packed(tag, bytes_, bits_ / 8)); }
  [[nodiscard]] std::uint64_t tail() const { return bytes_; }

 private:
  ShapeHash& hash_;
  std::uint64_t bytes_ = 0;
  unsigned bits_ = 0;
};

class Lexer {
 public:
  // `shown`: where the tokens are written down as well, or null.
  Lexer(std::string_view sql, const ShapeHash& start, std::string* shown = nullptr)
      // NOLINTNEXTLINE: bytes are bytes
      : at_(reinterpret_cast<const Byte*>(sql.data())), end_(at_ + sql.size()), hash_(start), shown_(shown) {}

  Shape run(std::size_t shown_max = 0) {
    while (kind_ != ShapeKind::malformed && at_ != end_) {
      step();
      if (shown_ != nullptr && shown_->size() > shown_max) break;
    }
    leave_list();
    return {kind_, hash_.low(), hash_.high(), tokens_};
  }

 private:
  void step();
  void take_word();
  void take_number();
  void take_quoted(Byte quote, bool backslashes);
  void take_quoted_name();
  void take_dollar();
  void take_operator();
  void take_block_comment();
  bool take_prefixed_literal();
  [[nodiscard]] bool is_quote_next() const;

  [[nodiscard]] Byte peek(std::ptrdiff_t ahead) const { return end_ - at_ > ahead ? at_[ahead] : Byte{0}; }
  [[nodiscard]] bool is_digit_at(std::ptrdiff_t ahead) const { return class_of(peek(ahead)) == Char::digit; }
  void skip_digits() {
    while (at_ != end_ && class_of(*at_) == Char::digit) ++at_;
  }

  // ---- lists: IN (1, 2, 3) has the shape of IN (1)
  enum class List : std::uint8_t { none, after_in, open, element, comma };
  void begin_token() {
    leave_list();
    ++tokens_;
  }
  void leave_list() {
    if (list_ == List::comma) {
      hash_.mix(packed(Tag::mark, ',', 1));
      if (shown_ != nullptr) show(",");
    }
    list_ = List::none;
  }
  // A gap in the text is one space between two tokens.
  void show(std::string_view token) {
    if (gap_ && !shown_->empty()) *shown_ += ' ';
    gap_ = false;
    *shown_ += token;
  }
  void literal(Tag tag);
  void mark(Byte c);
  static std::string_view raw(const Byte* begin, const Byte* end) {
    return {reinterpret_cast<const char*>(begin), static_cast<std::size_t>(end - begin)};
  }

  const Byte* at_;
  const Byte* end_;
  ShapeHash hash_;
  std::string* shown_;
  bool gap_ = false;
  std::uint32_t tokens_ = 0;
  List list_ = List::none;
  ShapeKind kind_ = ShapeKind::known;
};

void Lexer::literal(Tag tag) {
  if (list_ == List::comma) {
    list_ = List::element;  // neither the comma nor this element shows
    gap_ = false;
    return;
  }
  const bool starts_list = list_ == List::open;
  if (!starts_list) leave_list();
  hash_.mix(packed(tag, 0, 0));
  if (shown_ != nullptr) show(tag == Tag::param ? "$?" : "?");
  if (starts_list) list_ = List::element;
}

void Lexer::mark(Byte c) {
  if (c == ',') {
    if (list_ == List::element) {
      list_ = List::comma;
      return;
    }
    leave_list();
  } else {
    const bool opens = c == '(' && list_ == List::after_in;
    begin_token();
    if (opens) list_ = List::open;
  }
  hash_.mix(packed(Tag::mark, c, 1));
  if (shown_ != nullptr) show(std::string_view(reinterpret_cast<const char*>(&c), 1));
}

void Lexer::step() {
  const Byte c = *at_;
  switch (class_of(c)) {
    case Char::space:
      ++at_;
      gap_ = true;
      return;
    case Char::word:
      if (!take_prefixed_literal()) take_word();
      return;
    case Char::digit:
      take_number();
      return;
    case Char::quote:
      take_quoted('\'', false);
      literal(Tag::literal);
      return;
    case Char::double_quote:
      take_quoted_name();
      return;
    case Char::dollar:
      take_dollar();
      return;
    case Char::dot:
      if (is_digit_at(1)) return take_number();
      break;
    case Char::op:
      take_operator();
      return;
    case Char::zero:
      kind_ = ShapeKind::malformed;
      return;
    case Char::other:
      break;
  }
  ++at_;
  mark(c);
}

void Lexer::take_word() {
  begin_token();
  const Byte* const start = at_;
  Packer packer(hash_);
  for (; at_ != end_; ++at_) {
    const Byte c = folded[*at_];
    if (c == 0) break;
    packer.add(c);
  }
  packer.finish(Tag::word);
  if (shown_ != nullptr) {
    show("");
    for (const Byte* c = start; c != at_; ++c) *shown_ += static_cast<char>(folded[*c]);
  }
  if (at_ - start == 2 && packer.tail() == ('i' | 'n' << 8)) list_ = List::after_in;
}

// E'…' b'…' X'…' N'…' U&'…' and U&"…"; false if the word is only a word.
bool Lexer::take_prefixed_literal() {
  const Byte letter = folded[*at_];
  if (letter == 'u') {
    if (peek(1) != '&' || (peek(2) != '\'' && peek(2) != '"')) return false;
    at_ += 2;
    if (*at_ == '"') {
      kind_ = ShapeKind::own;
      take_quoted_name();
      return true;
    }
  } else {
    if (peek(1) != '\'' || (letter != 'e' && letter != 'b' && letter != 'x' && letter != 'n')) return false;
    ++at_;
  }
  take_quoted('\'', letter == 'e');
  literal(Tag::literal);
  // 'a' on one line and 'b' on the next are one literal, and the backslashes of E'…' then count in its second part too,
  // which this lexer would read as a literal without them.
  if (letter == 'e' && is_quote_next()) kind_ = ShapeKind::own;
  return true;
}

// Is a quote the next thing behind white space and line comments?
bool Lexer::is_quote_next() const {
  const Byte* c = at_;
  while (c != end_) {
    if (class_of(*c) == Char::space) {
      ++c;
    } else if (*c == '-' && end_ - c > 1 && c[1] == '-') {
      while (c != end_ && *c != '\n' && *c != '\r') ++c;
    } else {
      return *c == '\'';
    }
  }
  return false;
}

// 12  1.5  .5  1.  1e5  1.5E-3. A letter right behind is no part of it and gets a mark of its own: servers before 15
// read `1from` as two tokens.
void Lexer::take_number() {
  skip_digits();
  if (at_ != end_ && *at_ == '.' && peek(1) != '.') {
    ++at_;
    skip_digits();
  }
  if (at_ != end_ && folded[*at_] == 'e') {
    const std::ptrdiff_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
    if (is_digit_at(1 + sign)) {
      at_ += 1 + sign;
      skip_digits();
    }
  }
  literal(Tag::literal);
  if (at_ != end_ && folded[*at_] != 0) {
    leave_list();
    hash_.mix(packed(Tag::junk, 0, 0));
  }
}

// Leaves at_ behind the closing quote. A doubled quote is one quote within.
void Lexer::take_quoted(Byte quote, bool backslashes) {
  for (++at_; at_ != end_; ++at_) {
    if (backslashes && *at_ == '\\') {
      if (++at_ == end_) break;
    } else if (*at_ == quote) {
      if (peek(1) != quote) {
        ++at_;
        return;
      }
      ++at_;
    } else if (*at_ == 0) {
      break;
    }
  }
  kind_ = ShapeKind::malformed;
}

void Lexer::take_quoted_name() {
  begin_token();
  const Byte* const start = at_ + 1;
  take_quoted('"', false);
  if (kind_ == ShapeKind::malformed) return;
  Packer packer(hash_);
  for (const Byte* c = start; c != at_ - 1; ++c) packer.add(*c);
  packer.finish(Tag::quoted);
  if (shown_ != nullptr) show(raw(start - 1, at_));
}

// $1, $$…$$, $tag$…$tag$
void Lexer::take_dollar() {
  if (is_digit_at(1)) {
    ++at_;
    skip_digits();
    literal(Tag::param);
    if (at_ != end_ && folded[*at_] != 0) {
      leave_list();
      hash_.mix(packed(Tag::junk, 0, 0));
    }
    return;
  }
  const Byte* tag_end = at_ + 1;
  while (tag_end != end_ && (class_of(*tag_end) == Char::word || class_of(*tag_end) == Char::digit)) ++tag_end;
  if (tag_end == end_ || *tag_end != '$') {
    ++at_;
    mark('$');
    return;
  }
  const auto tag_size = static_cast<std::size_t>(tag_end + 1 - at_);
  for (const Byte* c = tag_end + 1; static_cast<std::size_t>(end_ - c) >= tag_size; ++c) {
    if (*c == 0) break;
    if (*c == '$' && std::memcmp(c, at_, tag_size) == 0) {
      at_ = c + tag_size;
      literal(Tag::literal);
      return;
    }
  }
  kind_ = ShapeKind::malformed;
}

// A run of operator characters, as far as no comment begins in it.
void Lexer::take_operator() {
  const auto begins_comment = [&] { return (*at_ == '-' && peek(1) == '-') || (*at_ == '/' && peek(1) == '*'); };
  if (begins_comment()) {
    gap_ = true;
    if (*at_ == '/') return take_block_comment();
    while (at_ != end_ && *at_ != '\n' && *at_ != '\r') {
      if (*at_++ == 0) kind_ = ShapeKind::malformed;
    }
    return;
  }
  // The sign of a number in a list is part of the number.
  if ((list_ == List::open || list_ == List::comma) && *at_ == '-' && is_digit_at(1)) {
    ++at_;
    return;
  }
  begin_token();
  const Byte* const start = at_;
  Packer packer(hash_);
  for (; at_ != end_ && class_of(*at_) == Char::op && !begins_comment(); ++at_) packer.add(*at_);
  packer.finish(Tag::op);
  if (shown_ != nullptr) show(raw(start, at_));
}

// Comments nest.
void Lexer::take_block_comment() {
  std::uint32_t depth = 1;
  for (at_ += 2; at_ != end_; ++at_) {
    if (*at_ == 0) break;
    if (*at_ == '*' && peek(1) == '/') {
      ++at_;
      if (--depth == 0) {
        ++at_;
        return;
      }
    } else if (*at_ == '/' && peek(1) == '*') {
      ++at_;
      ++depth;
    }
  }
  kind_ = ShapeKind::malformed;
}

// ---- outlines

// Bytes as a number, the first one lowest.
std::uint64_t word_of(const char* at, std::size_t count) {
  static_assert(std::endian::native == std::endian::little);
  std::uint64_t word = 0;
  if (count >= sizeof word)
    std::memcpy(&word, at, sizeof word);
  else
    std::memcpy(&word, at, count);
  return word;
}

// How many bytes stand before the first digit. Bytes that differ from '0' by less than ten are found by a borrow; what
// a borrow spoils stands behind the first one.
std::size_t before_digit(std::uint64_t word) {
  constexpr std::uint64_t each = 0x0101010101010101U;
  const std::uint64_t from_zero = word ^ (each * '0');
  const std::uint64_t found = (from_zero - each * 10) & ~from_zero & (each * 0x80);
  return static_cast<std::size_t>(std::countr_zero(found)) / 8;
}

std::uint64_t spread(std::uint64_t value) {
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ULL ^ 0x5bd1e995ULL;
  value ^= value >> 29;
  value *= 0x94d049bb133111ebULL ^ 0x9e3779b9ULL;
  return value ^ value >> 32;
}

}  // namespace

ShapeHash::ShapeHash(std::uint64_t seed)
    : key_low_(spread(seed + 0x1234567) | 1),
      key_high_(spread(~seed + 0x89abcdef) | 1),
      low_(spread(seed ^ 0x5555555555555555ULL)),
      high_(spread(seed ^ 0xaaaaaaaaaaaaaaaaULL)) {}

void ShapeHash::mix_text(std::string_view text) {
  Packer packer(*this);
  for (const char c : text) packer.add(static_cast<Byte>(c));
  packer.finish(Tag::text);
}

void ShapeHash::mix_bytes(std::string_view bytes) {
  mix(bytes.size());
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t))
    mix(word_of(bytes.data() + at, bytes.size() - at));
}

// Digits are a number's where no letter stands before them; within a quoted name they never are, and where one begins
// only the whole lexer knows. A word with less than eight bytes is followed by a number or by digits of a name, or is
// the last one: so no two different outlines give the same words.
ShapeHash outline_of(std::string_view sql, const ShapeHash& start) {
  constexpr std::uint64_t number = 0;  // digits of a name tell their length, which is more
  ShapeHash hash = start;
  const bool has_quoted_names = !sql.empty() && std::memchr(sql.data(), '"', sql.size()) != nullptr;
  hash.mix(has_quoted_names ? 1 : 0);
  if (has_quoted_names) {
    hash.mix_bytes(sql);
    return hash;
  }
  const char* at = sql.data();
  const char* const end = at + sql.size();
  while (at != end) {
    const auto left = static_cast<std::size_t>(end - at);
    const std::uint64_t word = word_of(at, left);
    const std::size_t before = before_digit(word);
    if (before >= std::min(left, sizeof word)) {
      hash.mix(word);
      at += std::min(left, sizeof word);
      continue;
    }
    hash.mix(before == 0 ? 0 : word & (~std::uint64_t{0} >> (64 - 8 * before)));
    at += before;
    const char* const digits = at;
    while (at != end && *at >= '0' && *at <= '9') ++at;
    const bool is_of_a_word = digits != sql.data() && folded[static_cast<Byte>(digits[-1])] != 0;
    if (is_of_a_word)
      hash.mix_bytes({digits, static_cast<std::size_t>(at - digits)});
    else
      hash.mix(number);
  }
  return hash;
}

Shape shape_of(std::string_view sql, const ShapeHash& start) {
  return Lexer(sql, start).run();
}

std::string shape_text(std::string_view sql, std::size_t bytes_max) {
  std::string text;
  Lexer(sql, ShapeHash(0), &text).run(bytes_max);
  if (text.size() > bytes_max) {
    text.resize(bytes_max);
    while (!text.empty() && (static_cast<Byte>(text.back()) & 0x80U) != 0) text.pop_back();  // no half of a letter
    text += "…";
  }
  return text;
}

}  // namespace turnout::router
