// Two sides under one load, in simulated time: heavy-tailed latencies, noise that hits both sides, bursts that hit one,
// samples that hang together. Seeded; for the calibration of the analysis.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "router/analysis.h"

namespace turnout::router::test {

// xoshiro-like, and good enough here; the standard engines would take most of the test's time.
class Random {
 public:
  explicit Random(std::uint64_t seed);
  std::uint64_t next();
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double normal();  // from a table: within ± 4.2
  std::uint32_t poisson(double mean);

 private:
  std::array<std::uint64_t, 2> state_;
};

struct SimulatedShape {
  double log2_us = 10;            // of the median
  double sigma = 1;               // of log2, of a single read
  double rate = 10;               // reads a second on each side
  double slower = 1;              // on green, times
  std::array<double, 2> drift{};  // of each side, correlated in time
};

struct Noise {
  double common = 0.3;      // log2, of both sides together, correlated over about a second
  double own = 0.2;         // log2, of each (side, shape), correlated over about half a second
  double bursts_s = 30;     // mean time between bursts of one side; 0 = none. They last half a second on average
  double neighbour_s = 20;  // the same, of both sides together; they last a second and a half
};

class SimulatedSides {
 public:
  SimulatedSides(std::uint64_t seed, std::vector<SimulatedShape> shapes, const Noise& noise);

  static constexpr std::int64_t tick_ms = 125;
  // Runs for so long and shows the analysis what it would be shown, every 250 ms. Stops at a step back.
  std::optional<StepBack> run(Analysis& analysis, std::int64_t ms);
  [[nodiscard]] std::int64_t now_ms() const { return now_ms_; }
  // Reads on green so far: of all shapes, of one.
  [[nodiscard]] std::uint64_t executions() const;
  [[nodiscard]] std::uint64_t executions(std::size_t shape) const { return executed_[shape]; }

 private:
  struct Burst {
    double every_s, lasts_s;
    double left_ms = 0, log2_factor = 0;
    double now(Random& random);
  };
  void tick();

  Random random_;
  std::vector<SimulatedShape> shapes_;
  Noise noise_;
  std::int64_t now_ms_ = 1;
  double common_ = 0;
  Burst neighbour_;
  std::array<Burst, 2> own_;
  std::vector<ShapeLook> looks_;
  std::vector<std::uint64_t> executed_;
};

// A mix as applications have it: some shapes make most of the reads, medians from half a millisecond to fifty.
[[nodiscard]] std::vector<SimulatedShape> usual_mix(Random& random, std::size_t count, double rate);

}  // namespace turnout::router::test
