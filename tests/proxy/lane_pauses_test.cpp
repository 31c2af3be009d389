#include "proxy/lane_pauses.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace turnout::proxy {
namespace {

using router::Side;

constexpr std::array<char, LanePauses::accounts_max + 1> accounts{};  // only where they lie counts

const void* account(std::size_t number) {
  return &accounts[number];
}

TEST(LanePauses, LastTwiceAsLongEachTimeUntilOneAnswers) {
  LanePauses pauses;
  EXPECT_FALSE(pauses.is_on(account(0), Side::green, 0));
  std::uint64_t now = 0;
  for (const std::uint64_t ms : {1'000U, 2'000U, 4'000U, 8'000U, 8'000U}) {
    pauses.failed(account(0), Side::green, false, now);
    EXPECT_TRUE(pauses.is_on(account(0), Side::green, now + ms - 1));
    now += ms;
    EXPECT_FALSE(pauses.is_on(account(0), Side::green, now));
  }
  pauses.answered(account(0), Side::green);
  pauses.failed(account(0), Side::green, true, now);
  EXPECT_TRUE(pauses.is_on(account(0), Side::green, now + LanePauses::lost_ms - 1));
  EXPECT_FALSE(pauses.is_on(account(0), Side::green, now + LanePauses::lost_ms)) << "a lost one comes again sooner";
}

TEST(LanePauses, AreNobodyElses) {
  LanePauses pauses;
  pauses.failed(account(0), Side::green, false, 0);
  EXPECT_FALSE(pauses.is_on(account(1), Side::green, 1));
  EXPECT_FALSE(pauses.is_on(account(0), Side::blue, 1));
}

TEST(LanePauses, AreBounded) {
  LanePauses pauses;
  for (std::size_t i = 0; i <= LanePauses::accounts_max; ++i) pauses.failed(account(i), Side::green, false, 0);
  EXPECT_FALSE(pauses.is_on(account(0), Side::green, 1)) << "forgotten";
  EXPECT_TRUE(pauses.is_on(account(LanePauses::accounts_max), Side::green, 1));
}

}  // namespace
}  // namespace turnout::proxy
