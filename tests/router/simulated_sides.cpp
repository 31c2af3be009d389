#include "tests/router/simulated_sides.h"

#include <algorithm>
#include <cmath>

namespace turnout::router::test {

namespace {

constexpr std::size_t normals = 8192;

const std::array<double, normals>& normal_table() {
  static const std::array<double, normals> table = [] {
    std::array<double, normals> filled{};
    for (std::size_t i = 0; i < normals; ++i) {
      // The quantile, by bisection of erfc.
      const double wanted = (static_cast<double>(i) + 0.5) / normals;
      double low = -6, high = 6;
      for (int step = 0; step < 50; ++step) {
        const double middle = (low + high) / 2;
        (0.5 * std::erfc(-middle / std::sqrt(2.0)) < wanted ? low : high) = middle;
      }
      filled[i] = low;
    }
    return filled;
  }();
  return table;
}

// log2 of microseconds → bin, without an exp for each sample: 1/64 octaves.
std::size_t bin_of_log2(double log2_us) {
  static const std::vector<std::uint8_t> table = [] {
    std::vector<std::uint8_t> bins;
    for (int i = 0; i < 30 * 64; ++i) {
      bins.push_back(
          static_cast<std::uint8_t>(LatencyBins::bin_of(static_cast<std::uint64_t>(std::exp2((i + 0.5) / 64)))));
    }
    return bins;
  }();
  return table[static_cast<std::size_t>(std::clamp(log2_us, 0.0, 29.9) * 64)];
}

// One step of a stationary walk of standard deviation 1.
double walked(double value, double keeps, Random& random) {
  return keeps * value + std::sqrt(1 - keeps * keeps) * random.normal();
}

}  // namespace

Random::Random(std::uint64_t seed)
    : state_{seed * 0x9e3779b97f4a7c15ULL + 1, (seed ^ 0xdeadbeefULL) * 0xbf58476d1ce4e5b9ULL + 7} {
  for (int i = 0; i < 8; ++i) next();
}

std::uint64_t Random::next() {
  std::uint64_t a = state_[0];
  const std::uint64_t b = state_[1];
  state_[0] = b;
  a ^= a << 23;
  state_[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
  return state_[1] + b;
}

double Random::normal() {
  return normal_table()[next() >> 51];
}

std::uint32_t Random::poisson(double mean) {
  if (mean > 30) return static_cast<std::uint32_t>(std::max(0.0, mean + std::sqrt(mean) * normal() + 0.5));
  const double limit = std::exp(-mean);
  std::uint32_t count = 0;
  for (double product = uniform(); product > limit; product *= uniform()) ++count;
  return count;
}

double SimulatedSides::Burst::now(Random& random) {
  if (every_s <= 0) return 0;
  left_ms -= tick_ms;
  if (left_ms > 0) return log2_factor;
  left_ms = 0;
  if (random.uniform() < tick_ms / 1000.0 / every_s) {
    left_ms = -std::log(1 - random.uniform()) * lasts_s * 1000;
    log2_factor = 1 + random.uniform();  // twice to four times as slow
  }
  return 0;
}

SimulatedSides::SimulatedSides(std::uint64_t seed, std::vector<SimulatedShape> shapes, const Noise& noise)
    : random_(seed),
      shapes_(std::move(shapes)),
      noise_(noise),
      neighbour_{noise.neighbour_s, 1.5},
      own_{Burst{noise.bursts_s, 0.5}, Burst{noise.bursts_s, 0.5}},
      looks_(shapes_.size()),
      executed_(shapes_.size()) {
  for (std::size_t i = 0; i < shapes_.size(); ++i) {
    looks_[i].shape = i + 1;
    looks_[i].text = "shape " + std::to_string(i + 1);
  }
}

void SimulatedSides::tick() {
  now_ms_ += tick_ms;
  common_ = walked(common_, 0.88, random_);
  const double both = noise_.common * common_ + neighbour_.now(random_);
  const std::array<double, 2> side = {both + own_[0].now(random_), both + own_[1].now(random_)};
  for (std::size_t i = 0; i < shapes_.size(); ++i) {
    SimulatedShape& shape = shapes_[i];
    for (std::size_t group = 0; group < 2; ++group) {
      shape.drift[group] = walked(shape.drift[group], 0.78, random_);
      const double regression = group == index(Group::green) ? std::log2(shape.slower) : 0;
      const double middle = shape.log2_us + side[group] + noise_.own * shape.drift[group] + regression;
      const std::uint32_t reads = random_.poisson(shape.rate * tick_ms / 1000);
      for (std::uint32_t read = 0; read < reads; ++read) {
        looks_[i].latency[group].add_to_bin(bin_of_log2(middle + shape.sigma * random_.normal()));
      }
      if (group == index(Group::green)) executed_[i] += reads;
    }
  }
}

std::optional<StepBack> SimulatedSides::run(Analysis& analysis, std::int64_t ms) {
  const std::int64_t end = now_ms_ + ms;
  while (now_ms_ < end) {
    for (int i = 0; i < 2; ++i) tick();
    for (ShapeLook& look : looks_) {
      if (look.latency[0].count() + look.latency[1].count() == 0) continue;
      analysis.add(look, now_ms_);
      look.latency = {};
    }
    if (auto back = analysis.look(now_ms_)) return back;
  }
  return std::nullopt;
}

std::uint64_t SimulatedSides::executions() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t one : executed_) sum += one;
  return sum;
}

std::vector<SimulatedShape> usual_mix(Random& random, std::size_t count, double rate) {
  std::vector<SimulatedShape> shapes(count);
  double parts = 0;
  for (std::size_t i = 0; i < count; ++i) parts += 1.0 / static_cast<double>(i + 1);
  for (std::size_t i = 0; i < count; ++i) {
    shapes[i].log2_us = 9 + 6.6 * random.uniform();  // 0.5 … 50 ms
    shapes[i].sigma = 0.7 + random.uniform();        // lognormal: σ of ln is 0.5 … 1.2
    shapes[i].rate = rate / static_cast<double>(i + 1) / parts;
  }
  return shapes;
}

}  // namespace turnout::router::test
