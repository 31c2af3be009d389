#include "protocol/mysql/state_words.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

namespace turnout::protocol::mysql {
namespace {

// What a byte outside of strings and comments may begin.
enum class ByteKind : std::uint8_t { nothing, word, special };

constexpr std::array<ByteKind, 256> byte_kinds = [] {
  std::array<ByteKind, 256> kinds{};
  for (std::size_t c = 0; c < kinds.size(); ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c >= 0x80)
      kinds[c] = ByteKind::word;
  }
  for (const char c : std::string_view("'\"`#-/*@;,")) kinds[static_cast<unsigned char>(c)] = ByteKind::special;
  return kinds;
}();

ByteKind kind_of(char c) {
  return byte_kinds[static_cast<unsigned char>(c)];
}

std::uint8_t tracking_of(std::string_view word) {
  if (word == "session_track_schema") return Tracking::schema;
  if (word == "session_track_system_variables") return Tracking::system_variables;
  if (word == "session_track_state_change") return Tracking::state_change;
  return word == "session_track_transaction_info" ? Tracking::transaction_info : Tracking::others;
}

constexpr std::size_t word_bytes_max = 32;  // longer ones are none of ours
constexpr std::string_view temporary = "temporary";

// What may have a parenthesis behind it and calls no function of a user's.
constexpr auto key_words = std::to_array<std::string_view>(
    {"all",       "and",    "any",   "as",       "between", "by",    "case",   "distinct", "else",  "exists", "from",
     "having",    "in",     "index", "interval", "is",      "join",  "key",    "like",     "not",   "on",     "or",
     "partition", "select", "some",  "then",     "union",   "using", "values", "when",     "where", "xor"});
// Only where it stands directly before the parenthesis, and has no schema before it.
constexpr auto functions = std::to_array<std::string_view>({"abs",
                                                            "avg",
                                                            "cast",
                                                            "ceil",
                                                            "char_length",
                                                            "coalesce",
                                                            "concat",
                                                            "convert",
                                                            "count",
                                                            "curdate",
                                                            "current_timestamp",
                                                            "date",
                                                            "date_add",
                                                            "date_sub",
                                                            "floor",
                                                            "greatest",
                                                            "if",
                                                            "ifnull",
                                                            "json_extract",
                                                            "json_value",
                                                            "least",
                                                            "length",
                                                            "lower",
                                                            "max",
                                                            "min",
                                                            "mod",
                                                            "now",
                                                            "nullif",
                                                            "rand",
                                                            "round",
                                                            "substring",
                                                            "sum",
                                                            "timestampdiff",
                                                            "trim",
                                                            "unix_timestamp",
                                                            "upper"});
static_assert(std::ranges::is_sorted(key_words) && std::ranges::is_sorted(functions));

bool may_be_waiting(std::string_view word) {
  const char first = static_cast<char>(word[0] | 0x20);
  return (word.size() == 6 && first == 'n') || (word.size() == 4 && first == 'w');
}

class Scan {
 public:
  Scan(std::string_view sql, bool has_backslash) : sql_(sql), has_backslash_(has_backslash) {}

  StateWords run() {
    while (at_ < sql_.size() && !found_.unsure) {
      const ByteKind kind = kind_of(sql_[at_]);
      if (kind == ByteKind::word)
        take_word();
      else if (kind == ByteKind::special)
        take_special();
      else
        ++at_;
    }
    if (is_in_executed_) found_.unsure = true;
    found_.waits = has_wait_ && !may_call_ && statements_ == 1 && !found_.unsure;
    // What else the text sets may be behind it, and is not told then.
    const bool tracks_variables = (found_.tracking & Tracking::system_variables) != 0;
    if (found_.tracking != 0 && (statements_ > 1 || (tracks_variables && has_comma_))) found_.untold = true;
    return found_;
  }

 private:
  void take_special() {
    const char c = sql_[at_];
    const char next = at_ + 1 < sql_.size() ? sql_[at_ + 1] : '\0';
    if (c == '\'' || c == '"' || c == '`') {
      skip_quoted(c);
      may_call_ = may_call_ || (c != '\'' && is_call_at(at_));
    } else if (c == '#' || (c == '-' && next == '-' && is_blank_at(at_ + 2))) {
      at_ = std::min(sql_.find('\n', at_), sql_.size());
    } else if (c == '/' && next == '*') {
      begin_comment();
    } else if (c == '*' && next == '/' && is_in_executed_) {
      is_in_executed_ = false;
      at_ += 2;
    } else if (c == '@') {
      take_variable();
    } else if (c == ';') {
      is_first_ = true;
      asks_ = is_set_ = is_system_ = false;
      at_ += 1;
    } else {
      has_comma_ = has_comma_ || c == ',';
      at_ += 1;
    }
  }

  [[nodiscard]] bool is_blank_at(std::size_t at) const {
    return at >= sql_.size() || static_cast<unsigned char>(sql_[at]) <= ' ';
  }

  // A comment may stand before the parenthesis.
  [[nodiscard]] bool is_call_at(std::size_t behind) const {
    while (behind < sql_.size() && static_cast<unsigned char>(sql_[behind]) <= ' ') ++behind;
    return behind < sql_.size() && std::string_view("(/#-").find(sql_[behind]) != std::string_view::npos;
  }

  [[nodiscard]] bool has_schema_before(std::size_t begin) const {
    while (begin != 0 && static_cast<unsigned char>(sql_[begin - 1]) <= ' ') --begin;
    return begin != 0 && (sql_[begin - 1] == '.' || sql_[begin - 1] == '/');  // or a comment, behind which it may stand
  }

  void skip_quoted(char quote) {
    for (++at_; at_ < sql_.size(); ++at_) {
      if (sql_[at_] == '\\' && has_backslash_ && quote != '`') {
        ++at_;
      } else if (sql_[at_] == quote) {
        ++at_;
        if (at_ >= sql_.size() || sql_[at_] != quote) return;  // doubled: part of it
      }
    }
    found_.unsure = true;
  }

  void begin_comment() {
    const bool is_executed = sql_.substr(at_ + 2).starts_with('!') || sql_.substr(at_ + 2).starts_with("M!");
    if (is_executed) {
      if (is_in_executed_) found_.unsure = true;
      is_in_executed_ = true;
      at_ = sql_.find('!', at_) + 1;
      while (at_ < sql_.size() && sql_[at_] >= '0' && sql_[at_] <= '9') ++at_;
      return;
    }
    const std::size_t end = sql_.find("*/", at_ + 2);
    if (end == std::string_view::npos) found_.unsure = true;
    at_ = end == std::string_view::npos ? sql_.size() : end + 2;
  }

  void take_variable() {
    ++at_;
    if (at_ >= sql_.size() || sql_[at_] != '@') {
      found_.user_variable = true;
      return;
    }
    ++at_;
    is_system_ = true;  // its name comes as a word, perhaps behind another one and a point
  }

  void take_word() {
    const std::size_t begin = at_;
    while (at_ < sql_.size() && kind_of(sql_[at_]) == ByteKind::word) ++at_;
    const std::string_view word = sql_.substr(begin, at_ - begin);
    if (word.size() > word_bytes_max) {
      is_first_ = previous_is_set_ = false;
      may_call_ = may_call_ || is_call_at(at_);
      return;
    }
    const bool is_call = is_call_at(at_);
    const bool is_system = std::exchange(is_system_, false);
    if (is_system && at_ < sql_.size() && sql_[at_] == '.') is_system_ = true;  // @@session.name
    // Where it stands none but this one means anything, and most words stand there.
    const bool may_matter = is_first_ || previous_is_set_ || is_set_ || asks_ || is_call || is_system;
    if (!may_matter && word.size() != temporary.size() && !may_be_waiting(word)) return;
    std::array<char, word_bytes_max> lower{};
    std::transform(word.begin(), word.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
    if (is_call) judge_call(begin, {lower.data(), word.size()});
    judge({lower.data(), word.size()}, is_call, is_system);
  }

  void judge_call(std::size_t begin, std::string_view word) {
    if (may_call_ || std::ranges::binary_search(key_words, word)) return;
    const bool is_of_server = sql_[at_] == '(' && std::ranges::binary_search(functions, word);
    may_call_ = !is_of_server || has_schema_before(begin);
  }

  void judge(std::string_view word, bool is_call, bool is_system) {
    const auto is_one_of = [word](std::initializer_list<std::string_view> words) {
      return std::find(words.begin(), words.end(), word) != words.end();
    };
    if (is_first_) {
      is_set_ = word == "set";
      const bool is_plain = is_one_of({"set", "use"});
      found_.plain_set = is_plain && (found_.plain_set || statements_ == 0);
      found_.calls = word == "call" && (found_.calls || statements_ == 0);
      if (is_one_of({"lock", "unlock", "flush", "backup"})) found_.table_lock = true;
      if (word == "handler") found_.handler = true;
      if (is_one_of({"prepare", "execute", "deallocate"})) found_.prepares = true;
      if (word == "kill") found_.kills = true;
      asks_ = is_one_of({"show", "get"});
      ++statements_;
    } else if (previous_is_set_ && is_one_of({"statement", "role", "resource"})) {
      found_.untold = true;
    }
    if (word == temporary) found_.temporary = true;
    if (is_one_of({"nowait", "wait"})) has_wait_ = true;
    if (is_set_ && word.starts_with("session_track_")) {
      found_.tracking = static_cast<std::uint8_t>(found_.tracking | tracking_of(word));
    }
    if (is_set_ && word == "collate") found_.collates = true;
    if (is_call &&
        is_one_of({"get_lock", "release_lock", "release_all_locks", "service_get_read_locks", "service_get_write_locks",
                   "version_tokens_lock_shared", "version_tokens_lock_exclusive"}))
      found_.lock = true;
    if (is_call && word == "found_rows") found_.found_rows = true;
    if ((is_call || asks_) && word == "row_count") found_.row_count = true;
    if (found_.found_rows || found_.row_count || (asks_ && is_one_of({"warnings", "errors", "diagnostics"})) ||
        (is_system && is_one_of({"warning_count", "error_count"})))
      found_.diagnostics = true;
    if ((is_call || is_system) && is_one_of({"last_insert_id", "identity"})) found_.last_insert_id = true;
    previous_is_set_ = is_first_ && word == "set";
    is_first_ = false;
  }

  const std::string_view sql_;
  const bool has_backslash_;
  std::size_t at_ = 0;
  std::size_t statements_ = 0;
  bool is_in_executed_ = false;
  bool is_first_ = true;  // the next word is the first of its statement
  bool asks_ = false;     // the statement is a SHOW or a GET
  bool is_set_ = false;   // the statement is a SET
  bool has_comma_ = false;
  bool has_wait_ = false;  // NOWAIT or WAIT
  bool may_call_ = false;  // a stored function, by its name
  bool previous_is_set_ = false;
  bool is_system_ = false;  // behind @@
  StateWords found_;
};

}  // namespace

StateWords state_words(std::string_view sql, bool has_backslash) {
  return Scan(sql, has_backslash).run();
}

}  // namespace turnout::protocol::mysql
