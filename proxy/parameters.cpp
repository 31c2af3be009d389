#include "proxy/parameters.h"

#include <algorithm>
#include <atomic>
#include <cctype>

#include "protocol/pg/sql_lexer.h"
#include "protocol/pg/startup_options.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

auto position(auto& entries, std::string_view name) {
  return std::lower_bound(entries.begin(), entries.end(), name,
                          [](const Parameters::Entry& entry, std::string_view wanted) { return entry.first < wanted; });
}

// Everything that the server takes for the name of a setting without quotes.
bool is_plain_identifier(std::string_view name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::all_of(name.begin(), name.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return std::isalnum(byte) != 0 || byte >= 0x80 || c == '_' || c == '.' || c == '$';
         });
}

constexpr std::string_view role = "role";
constexpr std::string_view user = "session_authorization";
constexpr std::string_view encoding = "client_encoding";
// A list of names as one string has no SET that says the same: SET search_path TO 'a,b' is a list of one name.
constexpr char string_mark = '=';

bool is_ordinary(const std::string& name) {
  return name != role && name != user && name != encoding;
}

void put_set(std::string& sql, const Parameters::Entry& entry) {
  if (entry.first == role)
    sql += "SET ROLE " + entry.second + ";";
  else if (entry.first == user)
    sql += "SET SESSION AUTHORIZATION " + entry.second + ";";
  else if (entry.second.starts_with(string_mark))
    sql += "SELECT pg_catalog.set_config('" + entry.first + "'," + entry.second.substr(1) + ",false);";
  else
    sql += "SET " + entry.first + " TO " + entry.second + ";";
}

void put_ordinary_difference(std::string& sql, const std::vector<Parameters::Entry>& from,
                             const std::vector<Parameters::Entry>& to) {
  auto have = from.begin();
  auto want = to.begin();
  while (have != from.end() || want != to.end()) {
    if (want == to.end() || (have != from.end() && have->first < want->first)) {
      if (is_ordinary(have->first)) sql += "RESET " + have->first + ";";
      ++have;
    } else if (have == from.end() || want->first < have->first) {
      if (is_ordinary(want->first)) put_set(sql, *want);
      ++want;
    } else {
      if (is_ordinary(want->first) && have->second != want->second) put_set(sql, *want);
      ++have;
      ++want;
    }
  }
}

}  // namespace

bool Parameters::set(std::string_view name, std::string_view sql_value) {
  const std::string key = pg::lowered(name);
  if (!is_plain_identifier(key)) return false;
  auto at = position(entries_, key);
  if (at != entries_.end() && at->first == key) {
    at->second = sql_value;
    changed();
    return true;
  }
  if (entries_.size() >= entries_max) return false;
  changed();
  entries_.insert(at, {key, std::string(sql_value)});
  return true;
}

void Parameters::erase(std::string_view name) {
  const std::string key = pg::lowered(name);
  auto at = position(entries_, key);
  if (at == entries_.end() || at->first != key) return;
  entries_.erase(at);
  changed();
}

void Parameters::clear() {
  entries_.clear();
  changed();
}

void Parameters::changed() {
  static std::atomic<std::uint64_t> last{0};
  version_ = ++last;
}

const std::string* Parameters::find(std::string_view name) const {
  auto at = position(entries_, name);
  return at != entries_.end() && at->first == name ? &at->second : nullptr;
}

void Parameters::reset_all(const Parameters& start) {
  Parameters kept = start;
  kept.erase(role);
  kept.erase(user);
  for (const std::string_view name : {role, user})
    if (const std::string* const value = find(name)) kept.set(name, *value);
  *this = std::move(kept);
}

std::string Parameters::difference(const Parameters& from, const Parameters& to) {
  std::string settings;
  put_ordinary_difference(settings, from.entries_, to.entries_);
  const auto is_equal = [&](std::string_view name) {
    const std::string* const have = from.find(name);
    const std::string* const want = to.find(name);
    return have == want || (have != nullptr && want != nullptr && *have == *want);
  };
  if (settings.empty() && is_equal(role) && is_equal(user)) return {};
  std::string sql;
  if (from.find(user) != nullptr) sql += "RESET SESSION AUTHORIZATION;";
  if (from.find(role) != nullptr) sql += "RESET ROLE;";
  sql += settings;
  for (const std::string_view name : {user, role})
    if (const std::string* const value = to.find(name)) put_set(sql, {std::string(name), *value});
  return sql;
}

std::string Parameters::encoding_difference(const Parameters& from, const Parameters& to) {
  const std::string* const have = from.find(encoding);
  const std::string* const want = to.find(encoding);
  if (want == nullptr) return have == nullptr ? "" : "RESET client_encoding";
  return have != nullptr && *have == *want ? "" : "SET client_encoding TO " + *want;
}

std::optional<std::string> Parameters::from_string(std::string_view name, std::string_view value) {
  const auto list = pg::split_list_value(name, value);
  if (!list) return quote(value);
  if (list->is_malformed) return std::nullopt;
  return string_mark + quote(value);
}

std::string Parameters::list_of(std::string_view sql_value) {
  if (!sql_value.starts_with(string_mark)) return std::string(sql_value);
  std::string list;
  for (std::size_t i = 2; i + 1 < sql_value.size(); ++i) {
    if (sql_value[i] == '\'') ++i;
    list += sql_value[i];
  }
  return list;
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
  const std::string key = pg::lowered(name);
  if (key == "in_hot_standby" || key == "transaction_read_only") return false;
  if (key != "default_transaction_read_only") return true;
  std::string value = pg::lowered(sql_value);
  std::erase_if(value, [](char c) { return c == '\'' || c == '"' || c == ' '; });
  return value == "on" || value == "true" || value == "yes" || value == "1" || value == "t" || value == "y";
}

}  // namespace turnout::proxy
