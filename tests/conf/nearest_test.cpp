#include "conf/nearest.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace turnout::conf {
namespace {

constexpr std::array<std::string_view, 7> keys = {"listen", "blue", "green", "users", "pool", "limits", "wait_timeout"};

TEST(Nearest, FindsTheLikelySlip) {
  EXPECT_EQ(nearest("listn", keys), "listen");
  EXPECT_EQ(nearest("lsiten", keys), "listen");
  EXPECT_EQ(nearest("usres", keys), "users");
  EXPECT_EQ(nearest("Blue", keys), "blue");
  EXPECT_EQ(nearest("limit", keys), "limits");
  EXPECT_EQ(nearest("wait-timeout", keys), "wait_timeout");
  EXPECT_EQ(nearest("waittimeout", keys), "wait_timeout");
  EXPECT_EQ(nearest("listen_addresses", keys), "listen");
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("banana", keys), "");
  EXPECT_EQ(nearest("x", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("poles", keys), "");
  EXPECT_EQ(nearest(std::string(1'000'000, 'l'), keys), "");
  EXPECT_EQ(nearest("blue", {}), "");
}

TEST(Nearest, TheFewestEditsWin) {
  constexpr std::array<std::string_view, 3> similar = {"pool.size", "pool_size", "pol_size"};
  EXPECT_EQ(nearest("pol_size", similar), "pol_size");
  EXPECT_EQ(nearest("pool-size", similar), "pool_size");
}

}  // namespace
}  // namespace turnout::conf
