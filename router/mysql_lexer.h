// The tokens of a text in the dialect of MySQL and MariaDB, for verdicts and shapes.
//
// One pass, no allocation; tokens are views into the text. Where the server's settings decide what a piece means, the
// token says so and whoever asks takes the worse case: "…" is a string or a name (ANSI_QUOTES), so it is a kind of its
// own; a text in which a comment is executed (/*! … */) is `unsure`, because the server's version decides; so is one
// with a hint that sets something, or in which a backslash or backtick stands behind a byte above 0x7f, because in some
// character sets it is half of a letter. Backslashes in strings quote (NO_BACKSLASH_ESCAPES off): with it on, texts
// that hold one are not to be asked about. Source: MySQL manual 9.1 to 9.6, MariaDB's "Comment Syntax"; measured on
// MariaDB 10.11.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace turnout::router {

struct MysqlToken {
  enum class Kind : std::uint8_t {
    end,
    word,     // a keyword or a bare name, as written
    name,     // `name`, without its backticks, doubled ones as they are
    either,   // "…": a string, or a name
    literal,  // a string, a number, ?
    user_variable,
    system_variable,  // @@…: its name follows as words
    symbol,           // one character
  };
  Kind kind = Kind::end;
  bool has_gap = false;  // white space or a comment stands before it
  std::string_view text;

  [[nodiscard]] bool is(char symbol) const { return kind == Kind::symbol && text.front() == symbol; }
  [[nodiscard]] bool is_word(std::string_view lower_case) const;
};

class MysqlLexer {
 public:
  explicit MysqlLexer(std::string_view sql);
  [[nodiscard]] MysqlToken next();

  // A literal or comment that does not end, a zero byte: no server takes it.
  [[nodiscard]] bool is_malformed() const { return is_malformed_; }
  // What it means hangs on more than the text.
  [[nodiscard]] bool is_unsure() const { return is_unsure_; }
  // Digits of it are more than a number's value (0x1F, 1st): no other text has the same meaning.
  [[nodiscard]] bool is_odd() const { return is_odd_; }

 private:
  [[nodiscard]] char peek(std::size_t ahead) const { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0'; }
  bool skip_blanks();  // white space and comments; was there any?
  bool skip_comment();
  MysqlToken take(MysqlToken::Kind kind, std::size_t begin, bool has_gap);
  MysqlToken take_quoted(MysqlToken::Kind kind, char quote, bool has_gap);
  MysqlToken take_number(bool has_gap);
  MysqlToken take_variable(bool has_gap);
  MysqlToken fail();

  const std::string_view sql_;
  std::size_t at_ = 0;
  MysqlToken::Kind last_ = MysqlToken::Kind::end;
  bool is_malformed_ = false;
  bool is_unsure_ = false;
  bool is_odd_ = false;
};

[[nodiscard]] bool is_same_word(std::string_view word, std::string_view lower_case);

}  // namespace turnout::router
