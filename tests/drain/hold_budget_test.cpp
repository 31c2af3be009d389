#include "drain/hold_budget.h"

#include <gtest/gtest.h>

#include <limits>

namespace turnout::drain {
namespace {

TEST(HoldBudget, admits_up_to_its_limits_and_remembers_a_no) {
  HoldBudget budget(2, 100);
  EXPECT_TRUE(budget.admit(60));
  EXPECT_FALSE(budget.admit(41));
  EXPECT_TRUE(budget.overflow());
  EXPECT_EQ(budget.sessions(), 1U);
  EXPECT_EQ(budget.bytes(), 60U);
  EXPECT_TRUE(budget.admit(40));
  EXPECT_FALSE(budget.admit(0));  // sessions
  EXPECT_FALSE(budget.grow(1));
  EXPECT_EQ(budget.bytes(), 100U);
}

TEST(HoldBudget, gives_back_what_was_released) {
  HoldBudget budget(1, 100);
  ASSERT_TRUE(budget.admit(10));
  ASSERT_TRUE(budget.grow(90));
  budget.release(100);
  EXPECT_EQ(budget.sessions(), 0U);
  EXPECT_EQ(budget.bytes(), 0U);
  EXPECT_TRUE(budget.admit(100));
}

TEST(HoldBudget, is_not_fooled_by_huge_sizes) {
  HoldBudget budget(10, 100);
  ASSERT_TRUE(budget.admit(1));
  EXPECT_FALSE(budget.grow(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_FALSE(budget.admit(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_EQ(budget.bytes(), 1U);
}

TEST(HoldBudget, a_new_hold_forgets_the_overflow) {
  HoldBudget budget(0, 0);
  EXPECT_FALSE(budget.admit(0));
  EXPECT_TRUE(budget.overflow());
  budget.begin_hold();
  EXPECT_FALSE(budget.overflow());
}

TEST(HoldBudgetDeath, a_double_release_is_our_own_mistake) {
  HoldBudget budget(1, 1);
  EXPECT_DEATH(budget.release(0), "");
}

}  // namespace
}  // namespace turnout::drain
