#include "proxy/mysql/variables.h"

#include <algorithm>
#include <array>

namespace turnout::proxy::mysql {

namespace {

bool is_number(std::string_view value) {
  std::size_t digits = 0, points = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '-' && i == 0) continue;
    if (value[i] == '.')
      ++points;
    else if (value[i] >= '0' && value[i] <= '9')
      ++digits;
    else
      return false;
  }
  return digits != 0 && points <= 1;
}

auto find_place(const std::vector<Variables::Entry>& entries, std::string_view name) {
  return std::lower_bound(entries.begin(), entries.end(), name,
                          [](const Variables::Entry& entry, std::string_view wanted) { return entry.first < wanted; });
}

constexpr std::string_view connection_charset = "character_set_connection";
constexpr std::array<std::string_view, 4> charsets = {"character_set_client", connection_charset,
                                                      "character_set_results", Variables::collation};

bool is_charset(std::string_view name) {
  return std::find(charsets.begin(), charsets.end(), name) != charsets.end();
}

// "utf8mb4_bin" of "utf8mb4"; "binary" is its own. Some servers call collations of utf8mb3 utf8_….
bool is_collation_of(std::string_view charset, std::string_view collation) {
  if (collation == charset) return true;
  const auto begins = [collation](std::string_view name) {
    return collation.size() > name.size() && collation.starts_with(name) && collation[name.size()] == '_';
  };
  return begins(charset) || (charset == "utf8mb3" && begins("utf8"));
}

}  // namespace

Variables::Kind Variables::kind_of(std::string_view name) {
  constexpr std::array<std::string_view, 4> told = {"last_gtid", "gtid_current_pos", "gtid_binlog_pos", "statement_id"};
  constexpr std::array<std::string_view, 16> fleeting = {"timestamp",        "insert_id",         "last_insert_id",
                                                         "identity",         "rand_seed1",        "rand_seed2",
                                                         "pseudo_thread_id", "pseudo_slave_mode", "pseudo_replica_mode",
                                                         "gtid_next",        "gtid_seq_no",       "gtid_domain_id",
                                                         "server_id",        "sql_log_bin",       "debug",
                                                         "debug_sync"};
  if (std::find(told.begin(), told.end(), name) != told.end()) return Kind::told;
  if (std::find(fleeting.begin(), fleeting.end(), name) != fleeting.end() || name.starts_with("session_track"))
    return Kind::fleeting;
  return Kind::kept;
}

bool Variables::set(std::string_view name, std::string_view value) {
  const auto place = find_place(entries_, name);
  const auto at = static_cast<std::size_t>(place - entries_.begin());
  if (place != entries_.end() && place->first == name) {
    entries_[at].second = value;
    return true;
  }
  if (entries_.size() >= entries_max) return false;
  entries_.insert(place, {std::string(name), std::string(value)});
  return true;
}

void Variables::erase(std::string_view name) {
  const auto place = find_place(entries_, name);
  if (place != entries_.end() && place->first == name) entries_.erase(place);
}

const std::string* Variables::find(std::string_view name) const {
  const auto place = find_place(entries_, name);
  return place != entries_.end() && place->first == name ? &place->second : nullptr;
}

std::string Variables::quoted(std::string_view name, std::string_view value) {
  // The one variable that may be NULL: what it says then is empty.
  if (value.empty() && name == "character_set_results") return "NULL";
  if (is_number(value)) return std::string(value);
  // Doubled quotes and no backslash: right with NO_BACKSLASH_ESCAPES and without; a backslash itself has to go by hex.
  if (value.find('\\') != std::string_view::npos) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string hex = "0x";
    for (const char c : value) {
      hex += digits[static_cast<unsigned char>(c) >> 4U];
      hex += digits[static_cast<unsigned char>(c) & 15U];
    }
    return hex;
  }
  std::string text = "'";
  for (const char c : value) text.append(c == '\'' ? 2 : 1, c);
  return text + "'";
}

std::string Variables::names(const Variables& from, const Variables& to, const Variables& start) {
  std::array<std::string_view, charsets.size()> wanted{};
  const bool has_own = to.find(connection_charset) != nullptr;
  bool differs = false;
  for (std::size_t i = 0; i < charsets.size(); ++i) {
    const std::string* const set = to.find(charsets[i]);
    const std::string* const have = from.find(charsets[i]);
    const std::string* const first = has_own && charsets[i] == collation ? nullptr : start.find(charsets[i]);
    const std::string* const value = set != nullptr ? set : first;
    if (value != nullptr) wanted[i] = *value;
    differs = differs || (set == nullptr ? have != nullptr : have == nullptr || *have != *set);
  }
  const auto [client, connection, results, collated] = wanted;
  if (!differs || client.empty() || client != connection || client != results) return {};
  if (collated.empty()) return has_own ? "NAMES " + quoted({}, client) : "";
  if (!is_collation_of(client, collated)) return {};
  return "NAMES " + quoted({}, client) + " COLLATE " + quoted({}, collated);
}

std::string Variables::difference(const Variables& from, const Variables& to, const Variables& start) {
  const std::string all_charsets = names(from, to, start);
  std::string sql = all_charsets.empty() ? "" : "SET " + all_charsets;
  const auto put = [&](const std::string& name, std::string_view value) {
    if (!all_charsets.empty() && is_charset(name)) return;
    sql += sql.empty() ? "SET " : ", ";
    sql += name + " = ";
    sql += value;
  };
  for (const auto& [name, value] : from.entries_) {
    if (to.find(name) != nullptr) continue;
    if (const auto* const charset = to.find(connection_charset); name == collation && charset != nullptr) {
      put(std::string(connection_charset), quoted(name, *charset));  // which brings its own collation
      continue;
    }
    const std::string* const first = start.find(name);
    put(name, first != nullptr ? quoted(name, *first) : "DEFAULT");
  }
  for (const auto& [name, value] : to.entries_) {
    const std::string* const have = from.find(name);
    if (have == nullptr || *have != value) put(name, quoted(name, value));
  }
  return sql;
}

}  // namespace turnout::proxy::mysql
