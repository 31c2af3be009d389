#include "control/gtid_set.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

const std::string one = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const std::string two = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

GtidSet of(const std::string& text) {
  return parse_gtid_set(text).value();
}

TEST(GtidSet, is_read_in_every_form) {
  EXPECT_EQ(of(one + ":1-5:7"), (GtidSet{{one, {{1, 5}, {7, 7}}}}));
  EXPECT_EQ(of(one + ":1-5,\n" + two + ":3"), (GtidSet{{one, {{1, 5}}}, {two, {{3, 3}}}}));
  EXPECT_EQ(of(one + ":1-5:night:2-3:9"), (GtidSet{{one, {{1, 5}}}, {one + ":night", {{2, 3}, {9, 9}}}})) << "a tag";
  EXPECT_EQ(of(one + ":6-9:1-5"), (GtidSet{{one, {{1, 9}}}})) << "what touches is one";
  EXPECT_TRUE(of("").empty());
}

TEST(GtidSet, what_is_none) {
  for (const auto& text : {std::string("0-7-10"), one, one + ":", one + ":0", one + ":5-3", one + ":1-", one + ":1x",
                           one + ":1:", std::string("short:1"), one + ":1-5 and"})
    EXPECT_FALSE(parse_gtid_set(text)) << text;
}

TEST(GtidSet, is_subtracted) {
  const auto left = [](const std::string& set, const std::string& known) {
    return texts_of(subtract(of(set), of(known)));
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(left(one + ":1-10", one + ":1-10"), Texts{});
  EXPECT_EQ(left(one + ":1-10", one + ":1-9"), Texts{one + ":10"});
  EXPECT_EQ(left(one + ":1-10", one + ":3-4:7"), Texts{one + ":1-2:5-6:8-10"});
  EXPECT_EQ(left(one + ":5-6", one + ":1-10"), Texts{});
  EXPECT_EQ(left(one + ":1-3", two + ":1-3"), Texts{one + ":1-3"});
  EXPECT_EQ(left(one + ":1:night:1", one + ":1"), Texts{one + ":night:1"}) << "a tag counts by itself";
}

}  // namespace
}  // namespace turnout::control
