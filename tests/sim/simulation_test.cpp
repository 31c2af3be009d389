// The simulation: sessions, workers, servers, faults, all by one seed; then faults stop and it must come to rest with
// one writer, nothing lost, nothing doubled and nobody held. More runs: TURNOUT_SIM_RUNS, other ones:
// TURNOUT_SIM_FIRST.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/sim/explore.h"

namespace turnout::sim {
namespace {

constexpr std::size_t moves_max = 1'000;

[[nodiscard]] std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// The failing run again, with every move; the last line is the command that repeats it.
[[nodiscard]] std::string report(std::uint64_t seed, Bug bug) {
  const Finding again = run(setup_of(seed, bug), seed, moves_max, true);
  return again.text() + "\nrepeat: TURNOUT_SIM_SEED=" + std::to_string(seed) +
         " ./build/release/tests/sim_test --gtest_filter=Simulation.every_seed_comes_to_rest";
}

TEST(Simulation, every_seed_comes_to_rest) {
  const std::uint64_t only = number_from("TURNOUT_SIM_SEED", 0);
  const std::uint64_t first = only != 0 ? only : number_from("TURNOUT_SIM_FIRST", 1);
  const std::uint64_t runs = only != 0 ? 1 : number_from("TURNOUT_SIM_RUNS", 2'000);
  for (std::uint64_t seed = first; seed < first + runs; ++seed) {
    const Finding finding = run(setup_of(seed, Bug::none), seed, moves_max, false);
    ASSERT_EQ(finding.violation, "") << report(seed, Bug::none);
  }
}

// Runs in which nothing is ever committed, turned back or recovered would pass too.
TEST(Simulation, meets_every_outcome) {
  std::array<std::uint32_t, 7> met{};
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    const Finding finding = run(setup_of(seed, Bug::none), seed, moves_max, false);
    for (std::size_t i = 0; i < met.size(); ++i) met[i] += finding.outcomes[i];
  }
  using drain::Outcome;
  for (const Outcome outcome :
       {Outcome::refused, Outcome::committed, Outcome::reverted, Outcome::aborted, Outcome::rehearsed}) {
    EXPECT_GE(met[static_cast<std::size_t>(outcome)], 20U) << drain::name(outcome);
  }
  EXPECT_GE(met[static_cast<std::size_t>(Outcome::committed)], 300U);
}

TEST(Simulation, repeats_itself) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Finding once = run(setup_of(seed, Bug::none), seed, moves_max, true);
    const Finding twice = run(setup_of(seed, Bug::none), seed, moves_max, true);
    ASSERT_EQ(once.history, twice.history) << "seed " << seed;
  }
}

// The canary: if these seeds pass, the simulation has gone blind.
class Canary : public ::testing::TestWithParam<Bug> {};

TEST_P(Canary, fails_within_the_seeds) {
  for (std::uint64_t seed = 1; seed <= 20'000; ++seed) {
    const Finding finding = run(setup_of(seed, GetParam()), seed, moves_max, false);
    if (finding.violation.empty()) continue;
    EXPECT_EQ(run(setup_of(seed, GetParam()), seed, moves_max, true).violation, finding.violation);
    EXPECT_NE(report(seed, GetParam()).find("repeat: TURNOUT_SIM_SEED="), std::string::npos);
    RecordProperty("seed", static_cast<int>(seed));
    return;
  }
  FAIL() << name(GetParam()) << " was not found by 20000 seeds";
}

INSTANTIATE_TEST_SUITE_P(Bugs, Canary, ::testing::ValuesIn(all_bugs),
                         [](const auto& one) { return std::string(name(one.param)); });

}  // namespace
}  // namespace turnout::sim
