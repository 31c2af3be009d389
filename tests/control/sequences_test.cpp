// Which sequences the window has to set, and when one has got there.
#include "control/sequences.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

SequenceState state(const char* name, std::int64_t value, bool called, std::int64_t increment = 1) {
  return {name, value, called, increment};
}

std::string to_set(const std::vector<SequenceState>& now, const std::vector<SequenceState>& wanted) {
  std::string names;
  for (const auto& one : sequences_to_set(now, wanted)) names += one.name + '=' + std::to_string(one.last_value) + ' ';
  return names;
}

TEST(Sequences, OnlyWhatDiffersIsSet) {
  EXPECT_EQ(to_set({}, {}), "");
  EXPECT_EQ(to_set({state("a", 1, true)}, {state("a", 1, true)}), "");
  EXPECT_EQ(to_set({state("a", 1, true)}, {state("a", 2, true)}), "a=2 ");
  EXPECT_EQ(to_set({state("a", 9, true)}, {state("a", 2, true)}), "a=2 ") << "the writer's state, also a smaller one";
  EXPECT_EQ(to_set({state("a", 1, false)}, {state("a", 1, true)}), "a=1 ") << "given out or not is half of the state";
  EXPECT_EQ(to_set({state("a", 1, true)}, {state("a", 1, false)}), "a=1 ");
  EXPECT_EQ(to_set({state("b", 1, true)}, {state("a", 1, true), state("b", 1, true)}), "a=1 ") << "missing there";
  EXPECT_EQ(to_set({state("z", 5, true)}, {}), "") << "only there";
}

TEST(Sequences, ReachedInTheDirectionOfTheStep) {
  EXPECT_TRUE(has_reached(state("a", 5, true), state("a", 5, true)));
  EXPECT_TRUE(has_reached(state("a", 6, true), state("a", 5, true)));
  EXPECT_FALSE(has_reached(state("a", 4, true), state("a", 5, true)));
  EXPECT_FALSE(has_reached(state("a", 5, false), state("a", 5, true)));
  EXPECT_TRUE(has_reached(state("a", 5, true), state("a", 5, false)));
  EXPECT_TRUE(has_reached(state("a", -6, true, -1), state("a", -5, true, -1)));
  EXPECT_FALSE(has_reached(state("a", -4, true, -1), state("a", -5, true, -1)));
}

}  // namespace
}  // namespace turnout::control
