#include "router/latency.h"

#include <algorithm>
#include <cmath>

namespace turnout::router {

namespace {

double end_us(std::size_t bin) {
  return static_cast<double>(bin + 1 < LatencyBins::size ? LatencyBins::begin_us(bin + 1)
                                                         : LatencyBins::begin_us(bin) * 9 / 8);
}

}  // namespace

void LatencyBins::add(const LatencyBins& other) {
  for (std::size_t bin = 0; bin < size; ++bin) bins_[bin] += other.bins_[bin];
  count_ += other.count_;
}

double LatencyBins::percentile_ms(double part) const {
  if (count_ == 0) return 0;
  const double wanted = part * static_cast<double>(count_);
  double below = 0;
  for (std::size_t bin = 0; bin < size; ++bin) {
    const double here = bins_[bin];
    if (here > 0 && below + here >= wanted) {
      const auto begin = static_cast<double>(begin_us(bin));
      return (begin + (end_us(bin) - begin) * std::clamp((wanted - below) / here, 0.0, 1.0)) / 1000;
    }
    below += here;
  }
  return end_us(size - 1) / 1000;
}

double LatencyBins::sum_ms() const {
  double sum = 0;
  for (std::size_t bin = 0; bin < size; ++bin) {
    if (bins_[bin] != 0) sum += bins_[bin] * (static_cast<double>(begin_us(bin)) + end_us(bin)) / 2000;
  }
  return sum;
}

double rank_score(const LatencyBins& left, const LatencyBins& right) {
  const auto m = static_cast<double>(left.count()), n = static_cast<double>(right.count());
  if (m == 0 || n == 0) return 0;
  double wins = 0, right_below = 0, ties = 0;
  for (std::size_t bin = 0; bin < LatencyBins::size; ++bin) {
    const double l = left.in_bin(bin), r = right.in_bin(bin);
    const double both = l + r;
    if (both == 0) continue;
    wins += l * (right_below + r / 2);
    right_below += r;
    ties += both * both * both - both;
  }
  const double all = m + n;
  const double variance = m * n / 12 * (all + 1 - ties / (all * (all - 1)));
  return variance > 0 ? (wins - m * n / 2) / std::sqrt(variance) : 0;
}

}  // namespace turnout::router
