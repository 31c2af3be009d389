#include "router/search_path.h"

#include <algorithm>

namespace turnout::router {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

void skip_space(std::string_view text, std::size_t& at) {
  while (at < text.size() && is_space(text[at])) ++at;
}

// One name, quoted or not; both quote marks, because a SET may hand the list over as string literals.
std::optional<std::string> take_name(std::string_view text, std::size_t& at) {
  std::string name;
  const char quote = text[at];
  if (quote != '"' && quote != '\'') {
    for (; at < text.size() && text[at] != ',' && !is_space(text[at]); ++at) {
      const char c = text[at];
      if (c == '"' || c == '\'' || c == '\\') return std::nullopt;
      name += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    return name.empty() ? std::nullopt : std::optional(name);
  }
  for (++at; at < text.size(); ++at) {
    if (text[at] != quote) {
      name += text[at];
    } else if (at + 1 < text.size() && text[at + 1] == quote) {
      name += text[++at];
    } else {
      ++at;
      return name;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<SearchPath> SearchPath::read(std::string_view text) {
  SearchPath path;
  std::size_t at = 0;
  skip_space(text, at);
  if (at == text.size()) return SearchPath{.schemas = {"pg_catalog", "public"}, .has_user_schema = true};
  for (;;) {
    skip_space(text, at);
    if (at == text.size()) return std::nullopt;  // a comma with nothing behind it
    const std::optional<std::string> name = take_name(text, at);
    if (!name) return std::nullopt;
    if (*name == "$user") {
      path.has_user_schema = true;
    } else if (!name->empty()) {  // '' is how a session says "no schema at all"
      path.schemas.push_back(*name);
    }
    skip_space(text, at);
    if (at == text.size()) break;
    if (text[at++] != ',') return std::nullopt;
  }
  if (std::ranges::find(path.schemas, "pg_catalog") == path.schemas.end()) {
    path.schemas.insert(path.schemas.begin(), "pg_catalog");
  }
  return path;
}

}  // namespace turnout::router
