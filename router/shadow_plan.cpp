#include "router/shadow_plan.h"

#include <algorithm>
#include <array>

#include "router/mysql_shape.h"
#include "router/shape.h"

namespace turnout::router {

namespace {

constexpr std::string_view node_mark = "(cost=";
// What a plan says about itself in numbers of its own.
constexpr auto plain_labels = std::to_array<std::string_view>({"JIT:", "Planned Partitions:", "Workers Planned:"});

std::string masked_line(std::string_view line) {
  const std::size_t begin = std::min(line.find_first_not_of(' '), line.size());
  const std::string_view words = line.substr(begin);
  const bool is_node = words.find(node_mark) != std::string_view::npos;
  const bool is_plain =
      std::ranges::any_of(plain_labels, [words](std::string_view label) { return words.starts_with(label); });
  const std::size_t colon = words.find(": ");
  if (is_node || is_plain || colon == std::string_view::npos) return std::string(line);
  return std::string(line.substr(0, begin + colon + 2)) + shape_text(words.substr(colon + 2), line.size() + 16);
}

}  // namespace

bool is_slower(const LatencyBins& other, const LatencyBins& writer, const SlowerBounds& bounds) {
  if (other.count() < bounds.samples_min || writer.count() < bounds.samples_min) return false;
  const double here = writer.percentile_ms(0.95), there = other.percentile_ms(0.95);
  if (there <= here * bounds.ratio || there <= here + bounds.ms) return false;
  return rank_score(other, writer) > bounds.score;
}

std::string plan_text(const KeptAnswer& answer) {
  std::string out;
  for (const auto& row : rows_of(answer.rows)) {
    if (!out.empty()) out += '\n';
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (!row[c]) continue;
      if (row.size() == 1) {
        out += *row[c];
        continue;
      }
      const std::string name = c < answer.columns.size() ? answer.columns[c].name : std::string();
      if (c != 0) out += ' ';
      // Words about conditions; the numbers of the other columns are the server's own.
      out += name + '=' + (name == "Extra" ? mysql_shape_text(*row[c], row[c]->size()) : std::string(*row[c]));
    }
  }
  return out;
}

std::string masked_plan(std::string_view plan, std::size_t bytes_max) {
  std::string out;
  while (!plan.empty() && out.size() <= bytes_max) {
    const std::size_t end = std::min(plan.find('\n'), plan.size());
    if (!out.empty()) out += '\n';
    out += masked_line(plan.substr(0, end));
    plan.remove_prefix(std::min(end + 1, plan.size()));
  }
  if (out.size() <= bytes_max) return out;
  out.resize(bytes_max);
  while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0x80U) != 0) out.pop_back();  // no half of a letter
  return out + "…";
}

}  // namespace turnout::router
