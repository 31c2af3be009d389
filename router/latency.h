// Latencies counted in bins that grow with the value: eight to a doubling, so a bin is at most an eighth wide. Cheap to
// count into, cheap to add up, and enough to compare two sides by rank and by percentile.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace turnout::router {

class LatencyBins {
 public:
  // Below 64 µs a bin is 8 µs wide; the last one takes all from about two minutes on.
  static constexpr std::size_t size = 184;
  [[nodiscard]] static constexpr std::size_t bin_of(std::uint64_t us) {
    if (us < 64) return us >> 3;
    const auto octave = static_cast<unsigned>(std::bit_width(us) - 1);
    const std::size_t bin = (octave - 5) * 8 + ((us >> (octave - 3)) & 7);
    return bin < size ? bin : size - 1;
  }
  // The least latency that is counted in this bin.
  [[nodiscard]] static constexpr std::uint64_t begin_us(std::size_t bin) {
    if (bin < 8) return bin * 8;
    return (8 + bin % 8) << (bin / 8 + 2);
  }

  void add(std::uint64_t us) { add_to_bin(bin_of(us)); }
  void add_to_bin(std::size_t bin) {
    ++bins_[bin];
    ++count_;
  }
  void add(const LatencyBins& other);
  void clear() { *this = LatencyBins(); }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint32_t in_bin(std::size_t bin) const { return bins_[bin]; }
  // Milliseconds, interpolated within the bin; 0 without a sample.
  [[nodiscard]] double percentile_ms(double part) const;
  // Of all samples together, by the middle of their bins.
  [[nodiscard]] double sum_ms() const;

 private:
  std::array<std::uint32_t, size> bins_{};
  std::uint64_t count_ = 0;
};

// How much slower `left` is than `right`, by ranks (Mann and Whitney, ties by halves), in standard deviations of what
// chance does to two samples of one population. 0 where nothing can be said.
[[nodiscard]] double rank_score(const LatencyBins& left, const LatencyBins& right);

}  // namespace turnout::router
