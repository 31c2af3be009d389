#include "protocol/pg/canonical.h"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/pg/sql_lexer.h"

namespace turnout::protocol::pg {
namespace {

std::string date_style(std::string_view wish, std::string_view told) {
  const std::size_t comma = told.find(", ");
  std::string style(told.substr(0, comma));
  std::string order(comma == std::string_view::npos ? "MDY" : told.substr(comma + 2));
  bool has_order = false;
  const std::string wanted = lowered(wish);
  for (std::size_t at = 0; at < wanted.size();) {
    const std::size_t begin = wanted.find_first_not_of(" ,\t\"", at);
    if (begin == std::string::npos) break;
    const std::size_t end = std::min(wanted.find_first_of(" ,\t\"", begin), wanted.size());
    const std::string_view word = std::string_view(wanted).substr(begin, end - begin);
    at = end;
    if (word == "iso") {
      style = "ISO";
    } else if (word == "sql") {
      style = "SQL";
    } else if (word.starts_with("postgres")) {
      style = "Postgres";
    } else if (word == "german") {
      style = "German";
      if (!has_order) order = "DMY";
    } else {
      has_order = true;
      if (word == "ymd") order = "YMD";
      if (word == "dmy" || word.starts_with("euro")) order = "DMY";
      if (word == "mdy" || word == "us" || word.starts_with("noneuro")) order = "MDY";
    }
  }
  return style + ", " + order;
}

std::string encoding(std::string_view wish) {
  std::string key = lowered(wish);
  std::erase_if(key, [](char c) { return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')); });
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 34> names = {{
      {"utf8", "UTF8"},           {"unicode", "UTF8"},        {"sqlascii", "SQL_ASCII"},
      {"latin1", "LATIN1"},       {"iso88591", "LATIN1"},     {"latin2", "LATIN2"},
      {"iso88592", "LATIN2"},     {"latin3", "LATIN3"},       {"iso88593", "LATIN3"},
      {"latin4", "LATIN4"},       {"iso88594", "LATIN4"},     {"latin5", "LATIN5"},
      {"iso88599", "LATIN5"},     {"latin9", "LATIN9"},       {"iso885915", "LATIN9"},
      {"win1250", "WIN1250"},     {"windows1250", "WIN1250"}, {"win1251", "WIN1251"},
      {"windows1251", "WIN1251"}, {"win1252", "WIN1252"},     {"windows1252", "WIN1252"},
      {"win1253", "WIN1253"},     {"windows1253", "WIN1253"}, {"win1254", "WIN1254"},
      {"windows1254", "WIN1254"}, {"koi8r", "KOI8R"},         {"koi8", "KOI8R"},
      {"koi8u", "KOI8U"},         {"sjis", "SJIS"},           {"shiftjis", "SJIS"},
      {"eucjp", "EUC_JP"},        {"euckr", "EUC_KR"},        {"gbk", "GBK"},
      {"big5", "BIG5"},
  }};
  const auto found = std::find_if(names.begin(), names.end(), [&key](const auto& one) { return one.first == key; });
  return found != names.end() ? std::string(found->second) : std::string(wish);
}

std::string boolean(std::string_view wish) {
  const std::string word = lowered(wish);
  if (word == "1" || word == "true" || word == "yes" || word == "on") return "on";
  if (word == "0" || word == "false" || word == "no" || word == "off") return "off";
  return std::string(wish);
}

}  // namespace

std::string canonical_value(std::string_view name, std::string_view wish, std::string_view told) {
  const std::string key = lowered(name);
  if (key == "datestyle") return date_style(wish, told);
  if (key == "client_encoding") return encoding(wish);
  if (key == "intervalstyle") return lowered(wish);
  if (key == "standard_conforming_strings") return boolean(wish);
  return std::string(wish);
}

}  // namespace turnout::protocol::pg
