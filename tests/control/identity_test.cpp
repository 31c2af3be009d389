#include "control/identity.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

using proxy::Identity;

TEST(IdentityTest, OnlyWhatWasSeenCounts) {
  struct Row {
    const char* known;
    const char* seen;
    bool was_reached;
    Identity verdict;
  };
  for (const Row& row : {
           Row{"", "", false, Identity::unknown},
           Row{"", "1", true, Identity::same},
           Row{"", "", true, Identity::same},  // a server that tells nobody, and none was ever known
           Row{"1", "1", true, Identity::same},
           Row{"1", "2", true, Identity::different},
           Row{"1", "", true, Identity::unknown},
           Row{"1", "", false, Identity::unknown},
       })
    EXPECT_EQ(compare_identity(row.known, row.seen, row.was_reached), row.verdict) << row.known << "/" << row.seen;
}

TEST(IdentityTest, TheLatestBindingCountsUntilItsStoryIsOver) {
  const auto binding = [](boost::json::object data) { return Record{"app", 1, RecordKind::binding, std::move(data)}; };
  const auto pair = binding({{"blue", "1"}, {"green", "2"}});
  EXPECT_EQ(bound_identity({}, router::Side::blue), "");
  EXPECT_EQ(bound_identity({pair}, router::Side::blue), "1");
  EXPECT_EQ(bound_identity({pair}, router::Side::green), "2");
  EXPECT_EQ(bound_identity({pair, binding({{"blue", "3"}, {"green", "4"}})}, router::Side::blue), "3");
  EXPECT_EQ(bound_identity({pair, binding({{"blue", "1"}, {"green", "2"}, {"finished", "yes"}})}, router::Side::blue),
            "");
  EXPECT_EQ(bound_identity({pair, binding({{"writer", "blue"}})}, router::Side::blue), "");
}

TEST(IdentityTest, TheFirstOneSeenIsWhoItHasToBe) {
  const conf::Address named{"blue.example", 3306, ""};
  Identities identities;
  std::string asked_for;
  const auto check = [&](const std::string& bound, Witness witness) {
    return identities.check("app", named, bound, [&](const std::string& known) {
      asked_for = known;
      return witness;
    });
  };
  EXPECT_EQ(check("", {false, "", false}), Identity::unknown);
  EXPECT_EQ(check("", {true, "1", false}), Identity::same);
  EXPECT_EQ(asked_for, "");
  EXPECT_EQ(check("", {true, "2", false}), Identity::different);
  EXPECT_EQ(asked_for, "1");
  EXPECT_EQ(check("2", {true, "2", false}), Identity::same) << "the store knows better";
  EXPECT_EQ(check("", {true, "1 elsewhere", true}), Identity::same) << "it has said how it is the same";
  EXPECT_EQ(check("", {true, "1 elsewhere", false}), Identity::same);
  EXPECT_EQ(asked_for, "1 elsewhere");
}

}  // namespace
}  // namespace turnout::control
