// Session parameters (GUCs) by name, as the SQL text that sets them. Small and sorted: a session has a handful.
//
// Values are compared as text we would send, never as the server's canonical form ("UTF8" for 'utf-8'), so applying
// them can not loop. default_transaction_read_only and its kin are special: `off` is never kept (it would outrank the
// fence), see accept().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace turnout::proxy {

class Parameters {
 public:
  using Entry = std::pair<std::string, std::string>;  // name in lower case, value as SQL text

  void set(std::string_view name, std::string_view sql_value);
  void erase(std::string_view name);
  void clear() { entries_.clear(); }
  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  friend bool operator==(const Parameters&, const Parameters&) = default;

  // The statements that turn `from` into `to`, as one text; "" when equal.
  [[nodiscard]] static std::string difference(const Parameters& from, const Parameters& to);
  // 'it''s' — also when standard_conforming_strings is off.
  [[nodiscard]] static std::string quote(std::string_view value);
  // What we keep of a wish: nothing for the virtual read-only parameters unless it is `on`.
  [[nodiscard]] static bool accept(std::string_view name, std::string_view sql_value);

 private:
  std::vector<Entry> entries_;
};

}  // namespace turnout::proxy
