#include "proxy/rate_limit.h"

#include <gtest/gtest.h>

namespace turnout::proxy {
namespace {

constexpr std::uint64_t second_us = 1'000'000;

int allowed(RateLimit& limit, const std::string& name, std::uint64_t now_us, std::uint32_t per_second, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += limit.allows(name, now_us, per_second) ? 1 : 0;
  return count;
}

TEST(RateLimitTest, ABurstOfASecondThenTheRate) {
  RateLimit limit;
  std::uint64_t now_us = 5 * second_us;
  EXPECT_EQ(allowed(limit, "a", now_us, 10, 50), 10);
  EXPECT_EQ(allowed(limit, "b", now_us, 10, 50), 10) << "another name has its own";
  now_us += second_us / 10;
  EXPECT_EQ(allowed(limit, "a", now_us, 10, 50), 1);
  now_us += second_us / 2;
  EXPECT_EQ(allowed(limit, "a", now_us, 10, 50), 5);
  now_us += 100 * second_us;
  EXPECT_EQ(allowed(limit, "a", now_us, 10, 50), 10) << "quiet time is not saved up";
}

TEST(RateLimitTest, RatesAtTheEdges) {
  RateLimit limit;
  EXPECT_EQ(allowed(limit, "a", 0, 1, 5), 1);
  EXPECT_EQ(allowed(limit, "b", 0, 0, 5), 1) << "0 is read as 1";
  EXPECT_EQ(allowed(limit, "c", 0, 1'000'000, 1'000), 1'000);
}

TEST(RateLimitTest, NamesDoNotGrowWithoutEnd) {
  RateLimit limit;
  for (std::size_t i = 0; i < RateLimit::names_max * 2; ++i)
    static_cast<void>(limit.allows("name" + std::to_string(i), second_us, 2));
  EXPECT_LE(limit.names(), RateLimit::names_max + 1);
  EXPECT_EQ(allowed(limit, "late", second_us, 2, 5), 0) << "those beyond share one allowance, which is used up";
  EXPECT_EQ(allowed(limit, "later", 10 * second_us, 2, 5), 2) << "the quiet ones were forgotten";
  EXPECT_LT(limit.names(), 10u);
}

}  // namespace
}  // namespace turnout::proxy
