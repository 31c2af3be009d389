// Session parameters (GUCs) by name, as the SQL text that sets them. Small and sorted: a session has a handful.
//
// Values are compared as text we would send, never as the server's canonical form ("UTF8" for 'utf-8'), so applying
// them can not loop. default_transaction_read_only and its kin are special: `off` is never kept (it would outrank the
// fence), see accept().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace turnout::proxy {

class Parameters {
 public:
  using Entry = std::pair<std::string, std::string>;  // name in lower case, value as SQL text

  // false: that is no name of a setting, or there are too many of them.
  bool set(std::string_view name, std::string_view sql_value);
  void erase(std::string_view name);
  void clear();
  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  friend bool operator==(const Parameters& a, const Parameters& b) { return a.entries_ == b.entries_; }
  // The same number, the same contents; what was found out of them can be kept under it.
  [[nodiscard]] std::uint64_t version() const { return version_; }

  // RESET ALL, which leaves the role and the session's user as they are. `start`: what it goes back to.
  void reset_all(const Parameters& start);

  // The statements that turn `from` into `to`, as one text; "" when equal. Roles are left first and taken last: what is
  // set in between may be set by the user who logged in. client_encoding is apart, for a text is read in the encoding
  // that was there before it: its statement, "" when equal, goes first and by itself.
  [[nodiscard]] static std::string difference(const Parameters& from, const Parameters& to);
  [[nodiscard]] static std::string encoding_difference(const Parameters& from, const Parameters& to);
  // The SQL text that sets this string: a literal; marked where SET wants a list of names. nullopt: malformed.
  [[nodiscard]] static std::optional<std::string> from_string(std::string_view name, std::string_view value);
  // 'it''s' — also when standard_conforming_strings is off.
  [[nodiscard]] static std::string quote(std::string_view value);
  // The list of names that a value is, as SET or SHOW has it.
  [[nodiscard]] static std::string list_of(std::string_view sql_value);
  // What we keep of a wish: nothing for the virtual read-only parameters unless it is `on`.
  [[nodiscard]] static bool accept(std::string_view name, std::string_view sql_value);

 private:
  static constexpr std::size_t entries_max = 1'000;
  void changed();

  std::vector<Entry> entries_;
  std::uint64_t version_ = 0;  // 0: empty from the beginning
};

}  // namespace turnout::proxy
