// The walk: every state that the machine, the databases, the workers and the faults can reach together. What holds in
// all of them holds; what a planted bug breaks must break in one of them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/sim/explore.h"

namespace turnout::sim {
namespace {

struct Case {
  const char* name;
  Setup setup;
};

[[nodiscard]] Setup with(Faults faults, Setup setup = {.writes_per_session = 1}) {
  setup.faults = faults;
  return setup;
}

[[nodiscard]] std::vector<Case> cases() {
  return {
      {"calm", with({})},
      {"calm_day_of_two_workers", with({}, {.workers = 2, .writes_per_session = 2})},
      {"there_and_back", with({}, {.writes_per_session = 2, .attempts = 2})},
      {"rehearsal", with({.failures = 1, .crashes = 1}, {.writes_per_session = 1, .rehearse = true})},
      {"any_step_fails", with({.failures = 2})},
      {"any_step_fails_and_deadlines_pass", with({.failures = 1, .late = 1})},
      {"operator_aborts_or_time_is_up", with({.late = 1, .aborts = 1, .overflows = 1})},
      {"crash_anywhere", with({.crashes = 1})},
      {"crash_twice", with({.crashes = 2}, {.writes_per_session = 0})},
      {"crash_and_failure", with({.failures = 1, .crashes = 1})},
      {"store_does_not_answer", with({.crashes = 1, .late = 1, .unknowns = 2})},
      {"server_dies", with({.kills = 1}, {.writes_per_session = 1, .flushes_by_itself = true})},
      {"connection_lost", with({.losses = 1})},
      {"client_beside_the_proxy", with({.prepares = 1}, {.writes_per_session = 1, .has_stray = true})},
      {"late_flush", with({}, {.writes_per_session = 2, .flushes_by_itself = true})},
      {"answers_apart", with({.failures = 1}, {.writes_per_session = 1, .answers_apart = true})},
      {"answer_of_another_epoch", with({.aborts = 1, .stales = 1}, {.writes_per_session = 2, .attempts = 2})},
      {"reads_by_token", with({}, {.writes_per_session = 2, .has_reads = true})},
  };
}

[[nodiscard]] Setup everything() {
  Setup setup{.workers = 2, .writes_per_session = 2, .attempts = 2, .has_stray = true, .flushes_by_itself = true};
  setup.faults = {.failures = 2,
                  .crashes = 2,
                  .late = 1,
                  .aborts = 1,
                  .overflows = 1,
                  .unknowns = 1,
                  .stales = 1,
                  .kills = 1,
                  .losses = 1,
                  .prepares = 1};
  return setup;
}

class Walk : public ::testing::TestWithParam<Case> {};

TEST_P(Walk, finds_nothing_in_any_state) {
  const Finding finding = walk(GetParam().setup, 1'000'000, 31);
  EXPECT_EQ(finding.violation, "") << finding.text();
  EXPECT_TRUE(finding.is_complete);
  RecordProperty("states", static_cast<int>(finding.states));
}

INSTANTIATE_TEST_SUITE_P(Setups, Walk, ::testing::ValuesIn(cases()),
                         [](const auto& one) { return std::string(one.param.name); });

// Everything at once is too much for all states; a bounded part of it, more with TURNOUT_WALK_STATES.
TEST(WalkOfEverything, finds_nothing_within_its_limit) {
  const char* wish = std::getenv("TURNOUT_WALK_STATES");
  const std::size_t states_max = wish == nullptr ? 60'000 : std::strtoul(wish, nullptr, 10);
  const Finding finding = walk(everything(), states_max, 31);
  EXPECT_EQ(finding.violation, "") << finding.text();
  EXPECT_GE(finding.states, states_max);
}

// The world in which each bug shows; everywhere else it may well stay hidden, which is why there are so many worlds.
[[nodiscard]] std::string case_that_finds(Bug bug) {
  switch (bug) {
    case Bug::resume_before_all_acknowledgements:
      return "calm_day_of_two_workers";
    case Bug::unfence_by_timer:
    case Bug::unfence_overtakes_fence:
      return "any_step_fails_and_deadlines_pass";
    case Bug::reverse_before_forward_is_gone:
      return "late_flush";
    case Bug::stale_epoch_accepted:
      return "answer_of_another_epoch";
    case Bug::commit_replayed:
      return "connection_lost";
    case Bug::token_across_epochs:
      return "reads_by_token";
    case Bug::former_backends_ignored:
      return "crash_anywhere";
    case Bug::none:
    case Bug::marker_before_drain:
    case Bug::marker_in_another_subscription:
    case Bug::own_connection_keeps_off:
    case Bug::sequences_before_fence:
    case Bug::slots_before_flush:
    case Bug::open_before_decision:
      return "calm";
  }
  return "";
}

class PlantedBug : public ::testing::TestWithParam<Bug> {};

TEST_P(PlantedBug, is_found_by_the_walk) {
  const std::string wanted = case_that_finds(GetParam());
  bool is_known = false;
  for (Case one : cases()) {
    if (one.name != wanted) continue;
    is_known = true;
    one.setup.bug = GetParam();
    const Finding finding = walk(one.setup, 1'000'000, 7);
    EXPECT_NE(finding.violation, "") << name(GetParam()) << " was not found: the walk proves less than it says";
    EXPECT_FALSE(finding.history.empty());
    RecordProperty("violation", finding.violation);
  }
  EXPECT_TRUE(is_known) << wanted;
}

INSTANTIATE_TEST_SUITE_P(Bugs, PlantedBug, ::testing::ValuesIn(all_bugs),
                         [](const auto& one) { return std::string(name(one.param)); });

}  // namespace
}  // namespace turnout::sim
