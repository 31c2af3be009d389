#include "router/shadow_docket.h"

#include <gtest/gtest.h>

#include <string>

namespace turnout::router {
namespace {

using Docket = ShadowDocket<std::string>;

TEST(shadow_docket, the_oldest_goes_first_among_equals) {
  Docket docket;
  EXPECT_TRUE(docket.add(1, "a"));
  EXPECT_TRUE(docket.add(2, "b"));
  EXPECT_EQ(docket.next(), "a");
  EXPECT_EQ(docket.next(), "b");
  EXPECT_EQ(docket.next(), std::nullopt);
}

// A hundred trials of what is never settled: what comes then is next all the same.
TEST(shadow_docket, the_shape_with_the_fewest_trials_goes_first) {
  Docket docket;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(docket.add(1, "noisy"));
    ASSERT_TRUE(docket.next());
  }
  EXPECT_TRUE(docket.add(1, "noisy"));
  EXPECT_TRUE(docket.add(1, "noisy"));
  EXPECT_TRUE(docket.add(2, "news"));
  EXPECT_EQ(docket.next(), "news");
  EXPECT_EQ(docket.next(), "noisy");
}

TEST(shadow_docket, a_shape_takes_few_places_and_all_together_have_an_end) {
  Docket docket;
  std::string third = "third";
  EXPECT_TRUE(docket.add(1, "first"));
  EXPECT_TRUE(docket.add(1, "second"));
  EXPECT_FALSE(docket.add(1, std::move(third)));
  EXPECT_EQ(third, "third") << "the caller still has it";  // NOLINT(bugprone-use-after-move)
  std::uint64_t shape = 1;
  while (docket.add(++shape, "one")) ASSERT_LE(docket.size(), Docket::cases_max);
  EXPECT_EQ(docket.size(), Docket::cases_max);
  docket.clear();
  EXPECT_TRUE(docket.empty());
  EXPECT_EQ(docket.next(), std::nullopt);
}

}  // namespace
}  // namespace turnout::router
