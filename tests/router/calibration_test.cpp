// Both kinds of mistakes of the analysis, measured: alarms where the sides are equal, and how soon a regression is
// found. Everything is seeded: a number that fails here fails again.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "tests/router/simulated_sides.h"

namespace turnout::router::test {
namespace {

// A ramp of five steps; the data of equal sides with every kind of noise that two real servers have.
bool alarms_on_equal_sides(std::uint64_t seed) {
  Random random(seed);
  const auto count = 3 + static_cast<std::size_t>(random.uniform() * 8);
  Noise noise;
  noise.bursts_s = 15 + 45 * random.uniform();
  noise.neighbour_s = 10 + 30 * random.uniform();
  SimulatedSides sides(seed, usual_mix(random, count, 40 + 100 * random.uniform()), noise);
  Analysis analysis;
  for (int step = 0; step < 5; ++step) {
    analysis.begin_step(sides.now_ms());
    if (sides.run(analysis, 20'000)) return true;
  }
  return false;
}

TEST(calibration, ten_thousand_ramps_of_equal_sides) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr std::uint64_t ramps = 500;  // ten times as slow there, and the numbers are the same
#else
  constexpr std::uint64_t ramps = 10'000;
#endif
  std::uint64_t alarms = 0;
  for (std::uint64_t seed = 1; seed <= ramps; ++seed) {
    if (alarms_on_equal_sides(seed)) ++alarms;
  }
  std::printf("equal sides: %lu alarms in %lu ramps\n", alarms, ramps);
  EXPECT_LE(alarms, 4U);
}

struct Found {
  std::uint64_t runs = 0, found = 0, wrong = 0;
  std::vector<std::uint64_t> executions;

  [[nodiscard]] std::uint64_t at(double part) const {
    if (executions.empty()) return 0;
    return executions[static_cast<std::size_t>(part * static_cast<double>(executions.size() - 1))];
  }
};

// Ten shapes; the last one is twice as slow on green and takes 5 % of the time.
Found find_regression(std::uint64_t runs, bool count_all_shapes, std::uint64_t executions_max) {
  Found result;
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    Random random(seed);
    std::vector<SimulatedShape> shapes(10);
    for (SimulatedShape& shape : shapes) {
      shape.log2_us = 12;  // 4 ms
      shape.sigma = 0.7 + 0.6 * random.uniform();
      shape.rate = 95.0 / 9;
    }
    shapes.back().rate = 5;
    shapes.back().slower = 2;
    SimulatedSides sides(seed + 1'000'000, shapes, Noise{});
    AnalysisBounds bounds;
    bounds.warm_ms = 0;
    Analysis analysis(bounds);
    analysis.begin_step(sides.now_ms());
    ++result.runs;
    const auto executed = [&] { return count_all_shapes ? sides.executions() : sides.executions(shapes.size() - 1); };
    while (executed() < executions_max) {
      const auto back = sides.run(analysis, 250);
      if (!back) continue;
      ++(back->shape == shapes.size() ? result.found : result.wrong);
      result.executions.push_back(executed());
      break;
    }
  }
  std::ranges::sort(result.executions);
  return result;
}

void print(const char* what, const Found& found) {
  std::printf("%s: %lu of %lu found, %lu wrong; executions p50 %lu, p95 %lu, most %lu\n", what, found.found, found.runs,
              found.wrong, found.at(0.5), found.at(0.95), found.at(1));
}

TEST(calibration, a_shape_twice_as_slow_is_found_within_2000_of_its_executions) {
  const Found found = find_regression(1'000, false, 2'000);
  print("2 times slower, 5 % of the time, executions of the shape on green", found);
  EXPECT_GE(found.found + found.wrong, found.runs);
  EXPECT_LE(found.wrong, 2U);
}

// Counted over all shapes: of a hundred reads the slow one makes five, so within 2 000 of them it has a hundred on each
// side. That is half of the time enough, and within 5 000 almost always.
TEST(calibration, it_is_found_within_5000_executions_of_all_shapes) {
  const Found found = find_regression(1'000, true, 5'000);
  print("2 times slower, 5 % of the time, executions of all shapes on green", found);
  EXPECT_GE(found.found, found.runs * 97 / 100);
  EXPECT_LE(found.at(0.5), 2'000U);
}

}  // namespace
}  // namespace turnout::router::test
