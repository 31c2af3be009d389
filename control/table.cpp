#include "control/table.h"

#include <algorithm>
#include <numeric>

namespace turnout::control {
namespace {

constexpr std::size_t gap = 2;

bool continues_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

std::string padded(const std::string& text, std::size_t width, Align align) {
  const std::string fill(width - std::min(width, columns_of(text)), ' ');
  return align == Align::right ? fill + text : text + fill;
}

std::vector<std::size_t> widths_of(const std::vector<Column>& columns,
                                   const std::vector<std::vector<std::string>>& rows, std::size_t width) {
  std::vector<std::size_t> widths;
  for (std::size_t at = 0; at < columns.size(); ++at) {
    std::size_t widest = columns_of(columns[at].title);
    for (const auto& row : rows) widest = std::max(widest, columns_of(row[at]));
    widths.push_back(widest);
  }
  const std::size_t gaps = gap * (columns.size() - 1);
  // The widest column gives way first: it is the one whose tail matters least.
  while (std::accumulate(widths.begin(), widths.end(), gaps) > width) {
    std::size_t victim = columns.size();
    for (std::size_t at = 0; at < columns.size(); ++at) {
      const std::size_t least = std::max(columns[at].least, columns_of(columns[at].title));
      if (widths[at] > least && (victim == columns.size() || widths[at] > widths[victim])) victim = at;
    }
    if (victim == columns.size()) break;
    --widths[victim];
  }
  return widths;
}

std::string line(const std::vector<Column>& columns, const std::vector<std::size_t>& widths,
                 const std::vector<std::string>& cells) {
  std::string text;
  for (std::size_t at = 0; at < columns.size(); ++at) {
    if (at != 0) text.append(gap, ' ');
    text += padded(shortened(cells[at], widths[at]), widths[at], columns[at].align);
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text + "\n";
}

}  // namespace

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return !continues_character(byte); }));
}

std::string shortened(const std::string& text, std::size_t width) {
  if (columns_of(text) <= width) return text;
  std::string kept;
  std::size_t taken = 0;
  for (const char byte : text) {
    if (!continues_character(byte) && ++taken == width) break;
    kept.push_back(byte);
  }
  return kept + "…";
}

std::string harmless(std::string_view text) {
  std::string clean;
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    clean.push_back(value < 0x20 || value == 0x7F ? ' ' : byte);
  }
  return clean;
}

std::string table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows,
                  std::string_view empty, std::size_t width) {
  if (rows.empty()) return std::string(empty) + "\n";
  const auto widths = widths_of(columns, rows, width);
  std::vector<std::string> titles;
  for (const Column& column : columns) titles.push_back(column.title);
  std::string text = line(columns, widths, titles);
  for (const auto& row : rows) text += line(columns, widths, row);
  return text;
}

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string result, current;
  const std::string margin(indent, ' ');
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (!current.empty() && indent + columns_of(current) + 1 + columns_of(word) > width) {
      result += margin + current + "\n";
      current.clear();
    }
    if (!current.empty()) current.push_back(' ');
    current += word;
  }
  if (!current.empty()) result += margin + current + "\n";
  return result;
}

}  // namespace turnout::control
