#include "router/ladder.h"

#include <gtest/gtest.h>

#include <string>

namespace turnout::router {
namespace {

const std::vector<std::uint32_t> steps = {1, 50, 100};

std::string told(const LadderMove& move) {
  if (*move.refusal != 0) return "refused";
  std::string text = std::string(name(move.ladder.phase)) + " " + std::to_string(move.ladder.percent());
  return move.weight ? text + " sets " + std::to_string(*move.weight) : text;
}

// Every phase, every event.
TEST(ladder, moves) {
  struct Row {
    LadderPhase phase;
    std::uint32_t step;
    const char* start;
    const char* pause;
    const char* resume;
    const char* abort;
    const char* shift;
    const char* climb;
    const char* step_back;
    const char* taken_off;
  };
  const Row rows[] = {
      {LadderPhase::off, 0, "climbing 1 sets 1", "refused", "refused", "refused", "off 1", "refused",
       "stepped_back 1 sets 0", "refused"},
      {LadderPhase::climbing, 0, "refused", "paused 1", "refused", "off 1 sets 0", "off 1", "climbing 50 sets 50",
       "stepped_back 1 sets 0", "interrupted 1"},
      {LadderPhase::climbing, 1, "refused", "paused 50", "refused", "off 50 sets 0", "off 50", "top 100 sets 100",
       "stepped_back 50 sets 0", "interrupted 50"},
      {LadderPhase::paused, 1, "refused", "refused", "climbing 50", "off 50 sets 0", "off 50", "refused",
       "stepped_back 50 sets 0", "interrupted 50"},
      {LadderPhase::paused, 2, "refused", "refused", "top 100", "off 100 sets 0", "off 100", "refused",
       "stepped_back 100 sets 0", "interrupted 100"},
      {LadderPhase::top, 2, "refused", "paused 100", "refused", "off 100 sets 0", "off 100", "refused",
       "stepped_back 100 sets 0", "interrupted 100"},
      {LadderPhase::stepped_back, 1, "climbing 1 sets 1", "refused", "refused", "off 50 sets 0", "off 50", "refused",
       "stepped_back 50 sets 0", "refused"},
      {LadderPhase::interrupted, 1, "climbing 1 sets 1", "refused", "climbing 50 sets 50", "off 50 sets 0", "off 50",
       "refused", "stepped_back 50 sets 0", "refused"},
  };
  for (const Row& row : rows) {
    const Ladder ladder{row.phase, steps, row.step};
    const std::string what = std::string(name(row.phase)) + " " + std::to_string(row.step);
    EXPECT_EQ(told(move(ladder, LadderEvent::start, steps)), row.start) << what;
    EXPECT_EQ(told(move(ladder, LadderEvent::pause, steps)), row.pause) << what;
    EXPECT_EQ(told(move(ladder, LadderEvent::resume, steps)), row.resume) << what;
    EXPECT_EQ(told(move(ladder, LadderEvent::abort, steps)), row.abort) << what;
    EXPECT_EQ(told(move(ladder, LadderEvent::shift, steps)), row.shift) << what;
    EXPECT_EQ(told(move(ladder, LadderEvent::climb, steps)), row.climb) << what;
    EXPECT_EQ(told(move(ladder, LadderEvent::step_back, steps)), row.step_back) << what;
    EXPECT_EQ(told(move(ladder, LadderEvent::taken_off, steps)), row.taken_off) << what;
  }
}

TEST(ladder, a_refused_event_changes_nothing) {
  const Ladder ladder{LadderPhase::top, steps, 2};
  const LadderMove refused = move(ladder, LadderEvent::climb, steps);
  EXPECT_EQ(refused.ladder, ladder);
  EXPECT_FALSE(refused.weight.has_value());
}

TEST(ladder, one_step_is_the_top_at_once_and_none_is_refused) {
  EXPECT_EQ(told(move({}, LadderEvent::start, {25})), "top 25 sets 25");
  EXPECT_EQ(told(move({}, LadderEvent::start, {})), "refused");
}

TEST(ladder, the_steps_of_a_running_ramp_are_those_it_began_with) {
  const Ladder ladder{LadderPhase::climbing, {1, 2, 3}, 0};
  EXPECT_EQ(told(move(ladder, LadderEvent::climb, steps)), "climbing 2 sets 2");
}

TEST(ladder, phases_have_names) {
  for (const char* text : {"off", "climbing", "paused", "top", "stepped_back", "interrupted"}) {
    ASSERT_TRUE(ladder_phase(text).has_value());
    EXPECT_STREQ(name(*ladder_phase(text)), text);
  }
  EXPECT_FALSE(ladder_phase("?").has_value());
}

TEST(step, what_is_missing) {
  const StepBounds bounds{600'000, 3'000};
  const StepProgress enough{600'000, 3'000, 300, true, false, ""};
  EXPECT_EQ(what_is_missing(enough, bounds), "");
  const auto without = [&](auto change) {
    StepProgress progress = enough;
    change(progress);
    return what_is_missing(progress, bounds);
  };
  EXPECT_EQ(without([](StepProgress& p) { p.held_ms = 599'999; }), "held for 599 of 600 s");
  EXPECT_EQ(without([](StepProgress& p) { p.green_samples = 2'999; }), "2999 of 3000 reads on green");
  EXPECT_EQ(without([](StepProgress& p) { p.control_samples = 299; }), "299 of 300 reads of the control group");
  EXPECT_EQ(without([](StepProgress& p) { p.is_evicted = true; }), "green is out of the read set");
  EXPECT_NE(without([](StepProgress& p) { p.has_control_group = false; }), "");
  EXPECT_EQ(without([](StepProgress& p) { p.doubt = "inconclusive"; }), "inconclusive");
  EXPECT_EQ(what_is_missing({0, 0, 0, true, false, ""}, {0, 0}), "");
}

}  // namespace
}  // namespace turnout::router
