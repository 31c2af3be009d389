// What a fence remembers of a server, and the words that put it back.
#include "control/server_settings.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

DatabaseSettings sample() {
  return {"my app",
          "{=T/owner,owner=CTc/owner,reader=c*/owner}",
          "off",
          {"", "owner", "reader"},
          {{"", "owner", "TEMPORARY", ""},
           {"owner", "owner", "CREATE, TEMPORARY, CONNECT", ""},
           {"reader", "owner", "", "CONNECT"}},
          {{"app", std::nullopt}, {"job", "off"}}};
}

Record undo(const ServerSettings& settings) {
  return {"app", 1, RecordKind::undo, to_json(settings)};
}

TEST(ServerSettings, AreStoredAndReadAsTheyWere) {
  ServerSettings settings{router::Side::green, false, std::nullopt, {sample()}};
  const auto back = settings_of(to_json(settings));
  EXPECT_EQ(back.side, router::Side::green);
  EXPECT_FALSE(back.whole_server);
  EXPECT_TRUE(same_effect(settings, back));
  EXPECT_EQ(back.databases[0].acl, settings.databases[0].acl);
}

TEST(ServerSettings, ARecordThatDoesNotSayWhichFenceIsOfTheWholeServer) {
  auto data = to_json(ServerSettings{router::Side::blue, false, std::nullopt, {sample()}});
  data.erase("fence");
  EXPECT_TRUE(settings_of(data).whole_server);
}

TEST(ServerSettings, EveryDifferenceThatSomebodyCouldNoticeIsOne) {
  const ServerSettings one{router::Side::blue, false, std::nullopt, {sample()}};
  auto other = one;
  other.databases[0].acl.reset();  // the same grants, spelled otherwise
  EXPECT_TRUE(same_effect(one, other));
  other = one;
  other.databases[0].grants.pop_back();
  EXPECT_FALSE(same_effect(one, other));
  other = one;
  other.databases[0].roles[0].read_only = "on";
  EXPECT_FALSE(same_effect(one, other));
  other = one;
  other.databases[0].read_only.reset();
  EXPECT_FALSE(same_effect(one, other));
  other = one;
  other.databases.clear();
  EXPECT_FALSE(same_effect(one, other));
}

TEST(ServerSettings, GrantsComeBackInTheirOrderWithTheirOptions) {
  EXPECT_EQ(grants_sql(sample(), {"turnout"}),
            "REVOKE ALL ON DATABASE \"my app\" FROM \"turnout\" CASCADE;"
            "REVOKE ALL ON DATABASE \"my app\" FROM PUBLIC CASCADE;"
            "REVOKE ALL ON DATABASE \"my app\" FROM \"owner\" CASCADE;"
            "REVOKE ALL ON DATABASE \"my app\" FROM \"reader\" CASCADE;"
            "GRANT TEMPORARY ON DATABASE \"my app\" TO PUBLIC;"
            "GRANT CREATE, TEMPORARY, CONNECT ON DATABASE \"my app\" TO \"owner\";"
            "GRANT CONNECT ON DATABASE \"my app\" TO \"reader\" WITH GRANT OPTION;");
}

TEST(ServerSettings, TheFirstRecordCountsAndLaterOnesOnlyAddWhatItDoesNotName) {
  const ServerSettings first{router::Side::blue, false, std::nullopt, {sample()}};
  auto later = first;
  later.databases[0].read_only = "on";  // our own change
  later.databases[0].roles.push_back({"late", std::nullopt});
  later.databases.push_back({"other", std::nullopt, std::nullopt, {}, {}, {}});
  const auto found = unrestored({undo(first), undo(later)}, router::Side::blue);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->databases.size(), 2U);
  EXPECT_EQ(found->databases[0].read_only, "off");
  EXPECT_EQ(found->databases[0].roles.size(), 3U);
  EXPECT_EQ(found->databases[1].database, "other");
  EXPECT_FALSE(unrestored({undo(first), undo(later)}, router::Side::green));
  const Record restored{"app", 1, RecordKind::restored, {{"side", "blue"}}};
  EXPECT_FALSE(unrestored({undo(first), restored}, router::Side::blue));
}

}  // namespace
}  // namespace turnout::control
