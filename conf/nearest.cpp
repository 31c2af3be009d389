#include "conf/nearest.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace turnout::conf {
namespace {

constexpr std::size_t written_bytes_max = 64;  // the table below is quadratic; no key is that long

constexpr std::size_t prefix_bytes_min = 4;  // "scram" means scram-sha-256; "s" could mean anything

std::string folded(std::string_view text) {
  std::string result(text);
  for (auto& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c == '-') c = '_';
  }
  return result;
}

// Optimal string alignment: Levenshtein's table plus the swap of two neighbours, the commonest slip of all.
std::size_t edits(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) table[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) table[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      table[i][j] = std::min({table[i - 1][j] + 1, table[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        table[i][j] = std::min(table[i][j], table[i - 2][j - 2] + 1);
      }
    }
  }
  return table[a.size()][b.size()];
}

}  // namespace

std::string_view nearest(std::string_view written, std::span<const std::string_view> candidates) {
  if (written.size() > written_bytes_max) return {};
  const std::string wanted = folded(written);
  std::string_view best;
  std::size_t best_edits = std::numeric_limits<std::size_t>::max();
  for (const auto candidate : candidates) {
    const std::string offered = folded(candidate);
    const bool is_prefix = std::min(wanted.size(), offered.size()) >= prefix_bytes_min &&
                           (offered.starts_with(wanted) || wanted.starts_with(offered));
    const std::size_t distance = is_prefix ? std::min<std::size_t>(1, edits(wanted, offered)) : edits(wanted, offered);
    // A third of the letters may be wrong; beyond that a suggestion misleads more often than it helps.
    const bool is_near = distance <= std::max<std::size_t>(1, std::max(written.size(), candidate.size()) / 3);
    if (is_near && distance < best_edits) {
      best = candidate;
      best_edits = distance;
    }
  }
  return best;
}

}  // namespace turnout::conf
