#include "proxy/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnout::proxy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

conf::Dns limits() {
  conf::Dns dns;
  dns.ttl_ms_min = 500;
  dns.ttl_ms_max = 10'000;
  return dns;
}

TEST(NameRecordTest, TheTtlCountsWithinItsBounds) {
  struct Row {
    std::uint32_t ttl_s;
    std::uint64_t ask_at_ms;
  };
  for (const Row& row :
       {Row{0, 1'500}, Row{1, 2'000}, Row{7, 8'000}, Row{10, 11'000}, Row{3'600, 11'000}, Row{UINT32_MAX, 11'000}}) {
    NameRecord record;
    EXPECT_TRUE(record.answered({"10.0.0.1"}, row.ttl_s, 1'000, limits()));
    EXPECT_EQ(record.ask_at_ms(), row.ask_at_ms) << row.ttl_s;
  }
}

TEST(NameRecordTest, AFailureKeepsTheLastGoodAnswerAndAsksEverMoreSlowly) {
  NameRecord record;
  EXPECT_EQ(record.ask_at_ms(), 0u);  // at once
  static_cast<void>(record.answered({"10.0.0.1", "10.0.0.2"}, 5, 0, limits()));
  std::uint64_t now_ms = 5'000;
  for (const std::uint64_t wait_ms : {1'000u, 2'000u, 4'000u, 8'000u, 10'000u, 10'000u}) {
    record.failed("timeout", now_ms, limits());
    EXPECT_THAT(record.hosts(), ElementsAre("10.0.0.1", "10.0.0.2"));
    EXPECT_EQ(record.failure(), "timeout");
    EXPECT_EQ(record.ask_at_ms(), now_ms + wait_ms);
    now_ms += wait_ms;
  }
  for (int i = 0; i < 100; ++i) record.failed("timeout", now_ms, limits());
  EXPECT_EQ(record.ask_at_ms(), now_ms + 10'000);
  EXPECT_FALSE(record.answered({"10.0.0.2", "10.0.0.1"}, 5, now_ms, limits())) << "only the order is another";
  EXPECT_EQ(record.failure(), "");
  record.failed("timeout", now_ms, limits());
  EXPECT_EQ(record.ask_at_ms(), now_ms + 1'000) << "the count begins anew";
}

TEST(NameRecordTest, AnEmptyAnswerIsNone) {
  NameRecord record;
  static_cast<void>(record.answered({"10.0.0.1"}, 5, 0, limits()));
  EXPECT_FALSE(record.answered({}, 5, 1'000, limits()));
  EXPECT_THAT(record.hosts(), ElementsAre("10.0.0.1"));
  EXPECT_NE(record.failure(), "");
}

TEST(NameRecordTest, ALongAnswerIsCut) {
  NameRecord record;
  Hosts many;
  for (int i = 0; i < 1'000; ++i) many.push_back("10.0.0." + std::to_string(i));
  EXPECT_TRUE(record.answered(many, 5, 0, limits()));
  EXPECT_EQ(record.hosts().size(), addresses_max);
}

struct Case {
  const char* name;
  Hosts in_use, answer;
  std::map<std::string, Identity> verdicts;
  Hosts asked, use, refused;
  bool is_settled;
};

TEST(ChooseHostsTest, EveryCase) {
  const auto same = Identity::same;
  const auto different = Identity::different;
  const auto unknown = Identity::unknown;
  for (const Case& row : {
           Case{"first, right", {}, {"a", "b"}, {{"a", same}, {"b", same}}, {"a", "b"}, {"a", "b"}, {}, true},
           Case{"first, nobody could be asked", {}, {"a"}, {{"a", unknown}}, {"a"}, {"a"}, {}, true},
           Case{"first, another server", {}, {"a"}, {{"a", different}}, {"a"}, {}, {"a"}, false},
           Case{"the same", {"a"}, {"a"}, {}, {}, {"a"}, {}, true},
           Case{"one is gone", {"a", "b"}, {"b"}, {}, {}, {"b"}, {}, true},
           Case{"order of the answer", {"a", "b"}, {"b", "a"}, {}, {}, {"b", "a"}, {}, true},
           Case{"moved", {"a"}, {"b"}, {{"b", same}}, {"b"}, {"b"}, {}, true},
           Case{"moved to another server", {"a"}, {"b"}, {{"b", different}}, {"b"}, {"a"}, {"b"}, false},
           Case{"moved, not up yet", {"a"}, {"b"}, {{"b", unknown}}, {"b"}, {"a"}, {}, false},
           Case{"moved, not asked yet", {"a"}, {"b"}, {}, {"b"}, {"a"}, {}, false},
           Case{"one more, another server", {"a"}, {"b", "a"}, {{"b", different}}, {"b"}, {"a"}, {"b"}, false},
           Case{"one more, right", {"a"}, {"b", "a"}, {{"b", same}}, {"b"}, {"b", "a"}, {}, true},
       }) {
    EXPECT_EQ(hosts_to_identify(row.in_use, row.answer), row.asked) << row.name;
    const Choice choice = choose_hosts(row.in_use, row.answer, row.verdicts);
    EXPECT_EQ(choice.use, row.use) << row.name;
    EXPECT_EQ(choice.refused, row.refused) << row.name;
    EXPECT_EQ(choice.is_settled, row.is_settled) << row.name;
  }
  EXPECT_THAT(choose_hosts({}, {}, {}).use, IsEmpty());
}

}  // namespace
}  // namespace turnout::proxy
