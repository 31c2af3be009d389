// System variables that a session has set, by name, with their values as the server tells them in its session state
// changes. Small and sorted: a session has a handful. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace turnout::proxy::mysql {

class Variables {
 public:
  using Entry = std::pair<std::string, std::string>;

  // Is the variable one that is set again elsewhere? What the server reports of itself (last_gtid) is not, and what
  // stands for one statement or cannot be set to what it says is its session's own affair (`is_fleeting`).
  enum class Kind { kept, told, fleeting };
  [[nodiscard]] static Kind kind_of(std::string_view name);

  [[nodiscard]] bool set(std::string_view name, std::string_view value);  // false: too many
  void erase(std::string_view name);
  void clear() { entries_.clear(); }
  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  friend bool operator==(const Variables&, const Variables&) = default;

  // The statement that turns `from` into `to`; "" when equal. What only `from` has goes back to what it is in `start`,
  // else to the server's default.
  [[nodiscard]] static std::string difference(const Variables& from, const Variables& to, const Variables& start);
  // As SET wants it: numbers bare, everything else a string.
  [[nodiscard]] static std::string quoted(std::string_view name, std::string_view value);

  // Where it is not known beside a character_set_connection, it is that one's default.
  static constexpr std::string_view collation = "collation_connection";

 private:
  // The four variables of a character set, said as SET NAMES: only so does a server know which collation to name for
  // the columns that it answers. "" where they do not differ, or are not one.
  [[nodiscard]] static std::string names(const Variables& from, const Variables& to, const Variables& start);

  static constexpr std::size_t entries_max = 200;
  std::vector<Entry> entries_;
};

}  // namespace turnout::proxy::mysql
