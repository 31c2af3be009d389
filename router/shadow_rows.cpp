#include "router/shadow_rows.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace turnout::router {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t columns_told_max = 5;
// Between the last digit of a double and anything that could matter: a sum of a million values in another order.
constexpr double float8_slack = 1e-9, float4_slack = 1e-4;

using Cell = std::optional<std::string_view>;  // nothing: NULL
using Row = std::vector<Cell>;

bool is_float(const AnswerColumn& column) {
  return column.kind == ValueKind::float4 || column.kind == ValueKind::float8;
}

std::optional<double> number_of(std::string_view value, const AnswerColumn& column) {
  if (column.is_binary) {
    const pg::Bytes bytes = pg::bytes_of(value);
    if (bytes.size() == 4) return std::bit_cast<float>(pg::load_u32(bytes.data()));
    if (bytes.size() != 8) return std::nullopt;
    return std::bit_cast<double>(std::uint64_t{pg::load_u32(bytes.data())} << 32 | pg::load_u32(bytes.data() + 4));
  }
  double number = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (failure != std::errc{} || end != value.data() + value.size()) return std::nullopt;
  return number;
}

// NaN and the infinities are equal to themselves byte by byte, and near to nothing.
bool is_near(const Cell& left, const Cell& right, const AnswerColumn& column) {
  if (left == right) return true;
  if (!left || !right || !is_float(column)) return false;
  const auto a = number_of(*left, column), b = number_of(*right, column);
  if (!a || !b || !std::isfinite(*a) || !std::isfinite(*b)) return false;
  const double slack = column.kind == ValueKind::float8 ? float8_slack : float4_slack;
  return std::abs(*a - *b) <= slack * std::max(std::abs(*a), std::abs(*b));
}

// The same letters in another order, as an aggregate that meets its values in another order leaves them.
bool is_shuffled(const Cell& left, const Cell& right) {
  if (!left || !right || left->size() != right->size()) return false;
  std::string a(*left), b(*right);
  std::ranges::sort(a);
  std::ranges::sort(b);
  return a == b;
}

// What came of comparing rows that belong together.
struct Compared {
  std::set<std::size_t> columns;  // in which they differ
  std::size_t rows = 0;           // that differ
  std::size_t first = 0;          // of them, from 1; in the order in which they were compared
  bool is_rounding = true;        // all of it
  bool is_shuffle = true;         // all of it: the same bytes in another order
};

Compared compare(const std::vector<Row>& left, const std::vector<Row>& right,
                 const std::vector<AnswerColumn>& columns) {
  Compared found;
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (left[i] == right[i]) continue;
    if (found.rows++ == 0) found.first = i + 1;
    for (std::size_t c = 0; c < std::max(left[i].size(), right[i].size()); ++c) {
      const bool has_both = c < left[i].size() && c < right[i].size() && c < columns.size();
      if (has_both && left[i][c] == right[i][c]) continue;
      found.columns.insert(c);
      found.is_rounding = found.is_rounding && has_both && is_near(left[i][c], right[i][c], columns[c]);
      found.is_shuffle = found.is_shuffle && has_both && is_shuffled(left[i][c], right[i][c]);
    }
  }
  return found;
}

// Rows that have the same values but for their floats come to stand side by side.
void sort_for_pairing(std::vector<Row>& rows, const std::vector<AnswerColumn>& columns) {
  const auto key_of = [&](const Row& row) {
    std::pair<Row, std::vector<double>> key;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const bool is_number = c < columns.size() && is_float(columns[c]) && row[c];
      const auto number = is_number ? number_of(*row[c], columns[c]) : std::nullopt;
      if (number && std::isfinite(*number))
        key.second.push_back(*number);
      else
        key.first.push_back(row[c]);
    }
    return key;
  };
  std::vector<std::pair<std::pair<Row, std::vector<double>>, Row>> keyed;
  keyed.reserve(rows.size());
  for (Row& row : rows) {
    auto key = key_of(row);
    keyed.emplace_back(std::move(key), std::move(row));
  }
  std::ranges::sort(
      keyed, {}, [](const auto& one) -> const auto& { return one.first; });
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = std::move(keyed[i].second);
}

// What only one of the two has.
void drop_common(std::vector<Row>& left, std::vector<Row>& right) {
  std::ranges::sort(left);
  std::ranges::sort(right);
  std::vector<Row> only_left, only_right;
  std::ranges::set_difference(left, right, std::back_inserter(only_left));
  std::ranges::set_difference(right, left, std::back_inserter(only_right));
  left = std::move(only_left);
  right = std::move(only_right);
}

std::string names_of(const std::set<std::size_t>& numbers, const std::vector<AnswerColumn>& columns) {
  std::string out;
  std::size_t told = 0;
  for (const std::size_t c : numbers) {
    if (told++ == columns_told_max) {
      out += " and " + std::to_string(numbers.size() - columns_told_max) + " more";
      break;
    }
    out += (out.empty() ? "" : ", ") + (c < columns.size() ? columns[c].name : "column " + std::to_string(c + 1));
  }
  return out;
}

std::string counted(std::uint64_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

Explanation explain_error(const KeptAnswer& writer, const KeptAnswer& other) {
  const auto said = [](const AnswerDigest& digest) {
    return digest.sqlstate.empty() ? counted(digest.rows, "row") : "error " + digest.sqlstate;
  };
  return {false, "the writer gives " + said(writer.digest) + ", the other side " + said(other.digest)};
}

Explanation explain_columns(const KeptAnswer& writer, const KeptAnswer& other) {
  if (writer.columns.size() != other.columns.size())
    return {false, counted(writer.columns.size(), "column") + " on the writer, " +
                       std::to_string(other.columns.size()) + " on the other side"};
  for (std::size_t c = 0; c < writer.columns.size(); ++c) {
    const AnswerColumn& here = writer.columns[c];
    const AnswerColumn& there = other.columns[c];
    if (here.name != there.name) return {false, "column " + here.name + " is called " + there.name + " there"};
    if (here.type != there.type)
      return {false, "column " + here.name + " has the type number " + std::to_string(here.type) + " here and " +
                         std::to_string(there.type) + " there"};
  }
  return {false, "a column has another length or precision"};
}

Explanation explain_order(const std::vector<Row>& here, const std::vector<Row>& there,
                          const std::vector<AnswerColumn>& columns) {
  std::size_t first = 0;
  while (first < std::min(here.size(), there.size()) && here[first] == there[first]) ++first;
  const bool has_text =
      std::ranges::any_of(columns, [](const AnswerColumn& column) { return column.kind == ValueKind::text; });
  std::string text = "the same rows, in another order from row " + std::to_string(first + 1) + " on: ";
  text += has_text ? "rows that sort alike, or a collation that sorts text otherwise" : "rows that sort alike";
  return {true, std::move(text)};
}

}  // namespace

std::vector<std::vector<std::optional<std::string_view>>> rows_of(const std::string& kept) {
  std::vector<Row> rows;
  std::string_view left = kept;
  std::uint32_t length = 0;
  while (left.size() >= sizeof length) {
    std::memcpy(&length, left.data(), sizeof length);
    left.remove_prefix(sizeof length);
    pg::Reader reader(pg::bytes_of(left.substr(0, length)));
    left.remove_prefix(std::min<std::size_t>(left.size(), length));
    Row& row = rows.emplace_back();
    const auto count = reader.u16();
    for (std::uint32_t i = 0; count && i < *count; ++i) {
      const auto size = reader.u32();
      if (!size) break;
      if (*size == UINT32_MAX) {
        row.emplace_back();
      } else if (const auto value = reader.take(*size)) {
        row.emplace_back(pg::text(*value));
      }
    }
  }
  return rows;
}

Explanation explain_difference(const KeptAnswer& writer, const KeptAnswer& other, ShadowMatch match,
                               const ShadowFacts& facts) {
  if (match == ShadowMatch::error) return explain_error(writer, other);
  if (match == ShadowMatch::columns) return explain_columns(writer, other);
  if (!writer.has_rows || !other.has_rows) {
    const std::string sizes = counted(writer.digest.rows, "row") + " on the writer, " +
                              std::to_string(other.digest.rows) +
                              " on the other side, too long to be looked at one by one";
    return {match == ShadowMatch::order, (match == ShadowMatch::order ? "another order: " : "other rows: ") + sizes};
  }
  std::vector<Row> here = rows_of(writer.rows), there = rows_of(other.rows);
  const std::vector<AnswerColumn>& columns = writer.columns;
  if (match == ShadowMatch::order) return explain_order(here, there, columns);
  // Which rows come is not said by the statement; the same may be true of a bug, so it stays a difference.
  const std::string hint =
      facts.cuts_by_order ? "; which rows come hangs on the order: rows that sort alike, or a collation, would do it"
                          : "";
  if (here.size() != there.size())
    return {false, counted(here.size(), "row") + " on the writer, " + std::to_string(there.size()) +
                       " on the other side" + hint};
  Compared found = compare(here, there, columns);
  if (!facts.is_ordered || !(found.is_rounding || found.is_shuffle)) {
    drop_common(here, there);
    sort_for_pairing(here, columns);
    sort_for_pairing(there, columns);
    const Compared paired = compare(here, there, columns);
    if (paired.is_rounding || paired.is_shuffle || !facts.is_ordered) found = paired;
  }
  const std::string where = counted(found.rows, "row") + ", in " + names_of(found.columns, columns);
  if (found.rows != 0 && found.is_rounding)
    return {true, "floats differ in their last digits (another order of adding up): " + where};
  if (found.rows != 0 && facts.gathers_freely && found.is_shuffle)
    return {true, "an aggregate keeps the order in which it meets its values, and is told none: " + where};
  if (facts.numbers_rows)
    return {false, where + "; a window function's value hangs on the order: rows that sort alike would do it"};
  return {false, "other values: " + where +
                     (facts.is_ordered ? ", the first is row " + std::to_string(found.first) : "") + hint};
}

}  // namespace turnout::router
