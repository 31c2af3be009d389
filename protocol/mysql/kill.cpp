#include "protocol/mysql/kill.h"

#include <algorithm>
#include <charconv>

namespace turnout::protocol::mysql {
namespace {

bool is_blank(char c) {
  return static_cast<unsigned char>(c) <= ' ';
}

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// Blanks and comments; a comment that is executed stays, and is no word.
void skip(std::string_view& sql) {
  while (!sql.empty()) {
    std::size_t bytes = 0;
    if (is_blank(sql[0])) {
      bytes = 1;
    } else if (sql[0] == '#' || (sql.starts_with("--") && (sql.size() == 2 || is_blank(sql[2])))) {
      bytes = std::min(sql.find('\n'), sql.size());
    } else if (sql.starts_with("/*") && !sql.starts_with("/*!") && !sql.starts_with("/*M!")) {
      const std::size_t end = sql.find("*/", 2);
      if (end == std::string_view::npos) return;
      bytes = end + 2;
    } else {
      return;
    }
    sql.remove_prefix(bytes);
  }
}

std::string_view take_word(std::string_view& sql) {
  skip(sql);
  const auto end = std::find_if_not(sql.begin(), sql.end(), is_word_byte);
  const std::string_view word = sql.substr(0, static_cast<std::size_t>(end - sql.begin()));
  sql.remove_prefix(word.size());
  return word;
}

bool is_word(std::string_view word, std::string_view wanted) {
  return std::equal(word.begin(), word.end(), wanted.begin(), wanted.end(),
                    [](char a, char b) { return lower(a) == b; });
}

}  // namespace

std::optional<Kill> parse_kill(std::string_view sql) {
  skip(sql);
  if (sql.empty() || lower(sql[0]) != 'k' || !is_word(take_word(sql), "kill")) return std::nullopt;
  std::string_view word = take_word(sql);
  if (is_word(word, "hard") || is_word(word, "soft")) word = take_word(sql);
  Kill kill;
  kill.is_query_only = is_word(word, "query");
  if (kill.is_query_only || is_word(word, "connection")) word = take_word(sql);
  // Connector/J holds the number of a connection in 32 bits with a sign.
  skip(sql);
  const bool is_negative = word.empty() && sql.starts_with('-');
  if (is_negative) {
    sql.remove_prefix(1);
    word = take_word(sql);
  }
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), kill.connection);
  if (error == std::errc::invalid_argument || end != word.data() + word.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) kill.connection = UINT64_MAX;  // nobody's
  if (is_negative) {
    if (kill.connection == 0 || kill.connection > 1ULL << 31U) return std::nullopt;
    kill.connection = (1ULL << 32U) - kill.connection;
  }
  skip(sql);
  if (sql.starts_with(';')) {
    sql.remove_prefix(1);
    skip(sql);
  }
  if (!sql.empty() && sql != std::string_view("\0", 1)) return std::nullopt;
  return kill;
}

}  // namespace turnout::protocol::mysql
