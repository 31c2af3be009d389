#include "proxy/parameters.h"

#include <algorithm>
#include <cctype>

namespace turnout::proxy {

namespace {

std::string lower(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

auto position(auto& entries, std::string_view name) {
  return std::lower_bound(entries.begin(), entries.end(), name,
                          [](const Parameters::Entry& entry, std::string_view wanted) { return entry.first < wanted; });
}

bool is_plain_identifier(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
  });
}

// `role` and `session_authorization` have their own syntax; everything else is SET name TO value.
void put_set(std::string& sql, const Parameters::Entry& entry) {
  if (entry.first == "role")
    sql += "SET ROLE " + entry.second + ";";
  else if (entry.first == "session_authorization")
    sql += "SET SESSION AUTHORIZATION " + entry.second + ";";
  else
    sql += "SET " + entry.first + " TO " + entry.second + ";";
}

void put_reset(std::string& sql, const std::string& name) {
  if (name == "role")
    sql += "RESET ROLE;";
  else if (name == "session_authorization")
    sql += "RESET SESSION AUTHORIZATION;";
  else
    sql += "RESET " + name + ";";
}

}  // namespace

void Parameters::set(std::string_view name, std::string_view sql_value) {
  const std::string key = lower(name);
  if (!is_plain_identifier(key)) return;
  auto at = position(entries_, key);
  if (at != entries_.end() && at->first == key)
    at->second = sql_value;
  else
    entries_.insert(at, {key, std::string(sql_value)});
}

void Parameters::erase(std::string_view name) {
  const std::string key = lower(name);
  auto at = position(entries_, key);
  if (at != entries_.end() && at->first == key) entries_.erase(at);
}

const std::string* Parameters::find(std::string_view name) const {
  auto at = position(entries_, name);
  return at != entries_.end() && at->first == name ? &at->second : nullptr;
}

std::string Parameters::difference(const Parameters& from, const Parameters& to) {
  std::string sql;
  auto have = from.entries_.begin();
  auto want = to.entries_.begin();
  while (have != from.entries_.end() || want != to.entries_.end()) {
    if (want == to.entries_.end() || (have != from.entries_.end() && have->first < want->first)) {
      put_reset(sql, have++->first);
    } else if (have == from.entries_.end() || want->first < have->first) {
      put_set(sql, *want++);
    } else {
      if (have->second != want->second) put_set(sql, *want);
      ++have;
      ++want;
    }
  }
  return sql;
}

std::string Parameters::quote(std::string_view value) {
  const bool has_backslash = value.find('\\') != std::string_view::npos;
  std::string out = has_backslash ? " E'" : "'";
  for (const char c : value) {
    if (c == '\'' || (has_backslash && c == '\\')) out.push_back(c);
    out.push_back(c);
  }
  out.push_back('\'');
  return out;
}

bool Parameters::accept(std::string_view name, std::string_view sql_value) {
  const std::string key = lower(name);
  if (key == "in_hot_standby" || key == "transaction_read_only") return false;
  if (key != "default_transaction_read_only") return true;
  std::string value = lower(sql_value);
  std::erase_if(value, [](char c) { return c == '\'' || c == '"' || c == ' '; });
  return value == "on" || value == "true" || value == "yes" || value == "1" || value == "t" || value == "y";
}

}  // namespace turnout::proxy
