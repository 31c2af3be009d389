#include "control/gtid.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

std::vector<Gtid> of(const char* text) {
  return parse_gtids(text).value();
}

TEST(Gtid, reads_positions) {
  EXPECT_EQ(of("0-1-100"), (std::vector<Gtid>{{0, 1, 100}}));
  EXPECT_EQ(of("0-1-100, 7-2-18446744073709551615"), (std::vector<Gtid>{{0, 1, 100}, {7, 2, 18446744073709551615U}}));
  EXPECT_TRUE(of("").empty());
  EXPECT_EQ(of("0-1-100")[0].text(), "0-1-100");
}

TEST(Gtid, refuses_what_is_none) {
  for (const char* text : {"0", "0-1", "0-1-", "0-1-2-3", "0-1-2,", ",0-1-2", "a-1-2", "-1-1-2", "0-1-2;0-1-3",
                           "4294967296-1-1", "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5"})
    EXPECT_FALSE(parse_gtids(text)) << text;
}

TEST(Gtid, errant_is_what_only_the_follower_has) {
  EXPECT_TRUE(errant(of("0-1-90"), of("0-1-100")).empty()) << "it lags";
  EXPECT_TRUE(errant(of("0-1-100,0-2-50"), of("0-2-50,0-1-120")).empty()) << "after a way there and back";
  EXPECT_EQ(errant(of("0-1-100,0-2-101"), of("0-1-100")), of("0-2-101")) << "written on the follower";
  EXPECT_EQ(errant(of("0-2-51"), of("0-2-50,0-1-100")), of("0-2-51"));
  EXPECT_EQ(errant(of("5-2-1"), of("0-2-50")), of("5-2-1")) << "in a domain of its own";
}

}  // namespace
}  // namespace turnout::control
