// Plain tables for a terminal: columns as wide as their content, cut where the whole would not fit. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::control {

inline constexpr std::size_t screen_columns = 80;

enum class Align { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
  std::size_t least = 4;  // never cut below this
};

// Two spaces between columns, no trailing blanks, a newline after each row; no rows: only `empty` in place of a table.
[[nodiscard]] std::string table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows,
                                std::string_view empty, std::size_t width = screen_columns);

// Breaks at blanks; every line starts with `indent` blanks.
[[nodiscard]] std::string wrapped(std::string_view text, std::size_t indent, std::size_t width = screen_columns);

// Characters, as far as a terminal counts them: UTF-8 continuation bytes take no place.
[[nodiscard]] std::size_t columns_of(std::string_view text);

// At most `width` characters; what was cut shows as "…".
[[nodiscard]] std::string shortened(const std::string& text, std::size_t width);

// The text without anything that could move a terminal's cursor or colour it.
[[nodiscard]] std::string harmless(std::string_view text);

}  // namespace turnout::control
