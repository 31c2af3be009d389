#include "router/subscriptions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace turnout::router {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(Subscriptions, AreHeardFromTheMarkOn) {
  Subscriptions subscriptions;
  EXPECT_THAT(subscriptions.want(1, 1, {"a", "b", "a"}).listen, ElementsAre("a", "b"));
  EXPECT_THAT(subscriptions.listeners("a"), IsEmpty());
  EXPECT_TRUE(subscriptions.hear(1, 1));
  EXPECT_THAT(subscriptions.listeners("a"), ElementsAre(1));
  EXPECT_FALSE(subscriptions.hear(1, 1)) << "a mark counts once";
  EXPECT_THAT(subscriptions.want(2, 1, {"b", "c"}).listen, ElementsAre("c")) << "b is listened to already";
  EXPECT_TRUE(subscriptions.hear(2, 1));
  EXPECT_THAT(subscriptions.listeners("b"), UnorderedElementsAre(1, 2));
  EXPECT_THAT(subscriptions.listeners("nobody's"), IsEmpty());
}

TEST(Subscriptions, AMarkOfAFormerOrderCountsForNothing) {
  Subscriptions subscriptions;
  static_cast<void>(subscriptions.want(1, 1, {"a"}));
  const auto wanted = subscriptions.want(1, 2, {"b"});
  EXPECT_THAT(wanted.listen, ElementsAre("b"));
  EXPECT_THAT(wanted.unlisten, ElementsAre("a"));
  EXPECT_FALSE(subscriptions.hear(1, 1));
  EXPECT_THAT(subscriptions.listeners("b"), IsEmpty());
  EXPECT_FALSE(subscriptions.hear(3, 1)) << "a session nobody knows";
}

TEST(Subscriptions, AChannelOfAFormerOrderThatIsWantedAgainStays) {
  Subscriptions subscriptions;
  static_cast<void>(subscriptions.want(1, 1, {"a"}));
  const auto wanted = subscriptions.want(1, 2, {"a"});
  EXPECT_THAT(wanted.listen, IsEmpty());
  EXPECT_THAT(wanted.unlisten, IsEmpty());
  EXPECT_TRUE(subscriptions.has("a"));
}

// The session has let go of what it marked; its next order must not take that away before the mark came by.
TEST(Subscriptions, AnOrderWhoseMarkIsOnItsWayIsNotReplaced) {
  Subscriptions subscriptions;
  static_cast<void>(subscriptions.want(1, 1, {"void"}));
  static_cast<void>(subscriptions.want(1, 2, {"a"}));
  const auto wanted = subscriptions.want(1, 3, {"b"}, 2);
  EXPECT_THAT(wanted.unlisten, IsEmpty());
  EXPECT_TRUE(subscriptions.hear(1, 2));
  EXPECT_THAT(subscriptions.listeners("a"), ElementsAre(1));
  EXPECT_THAT(subscriptions.listeners("b"), IsEmpty());
  EXPECT_TRUE(subscriptions.hear(1, 3));
  EXPECT_THAT(subscriptions.listeners("b"), ElementsAre(1));
  EXPECT_THAT(subscriptions.drop_all(1), UnorderedElementsAre("a", "b"));
  EXPECT_TRUE(subscriptions.is_empty());
}

TEST(Subscriptions, TheLastOneUnlistens) {
  Subscriptions subscriptions;
  for (const SessionNumber session : {1U, 2U}) {
    static_cast<void>(subscriptions.want(session, 1, {"a", "b"}));
    subscriptions.hear(session, 1);
  }
  EXPECT_THAT(subscriptions.drop(1, {"a", "unknown"}), IsEmpty());
  EXPECT_THAT(subscriptions.listeners("a"), ElementsAre(2));
  EXPECT_THAT(subscriptions.drop_all(2), ElementsAre("a"));
  EXPECT_THAT(subscriptions.drop_all(2), IsEmpty());
  EXPECT_THAT(subscriptions.drop(1, {"b"}), ElementsAre("b"));
  EXPECT_TRUE(subscriptions.is_empty());
}

TEST(Subscriptions, AnOrderThatIsDroppedBeforeItsMarkIsNotHeard) {
  Subscriptions subscriptions;
  static_cast<void>(subscriptions.want(1, 1, {"a", "b"}));
  EXPECT_THAT(subscriptions.drop(1, {"a"}), ElementsAre("a"));
  EXPECT_TRUE(subscriptions.hear(1, 1));
  EXPECT_THAT(subscriptions.listeners("a"), IsEmpty());
  EXPECT_THAT(subscriptions.listeners("b"), ElementsAre(1));
}

TEST(Subscriptions, ALostLineTellsWhoHeardAndWhoMayHaveLetGo) {
  Subscriptions subscriptions;
  static_cast<void>(subscriptions.want(1, 1, {"heard"}));
  subscriptions.hear(1, 1);
  static_cast<void>(subscriptions.want(2, 1, {"told"}));
  subscriptions.orders().at({2, 1}).is_told = true;
  static_cast<void>(subscriptions.want(3, 1, {"waiting"}));
  EXPECT_THAT(subscriptions.lose_heard(), UnorderedElementsAre(1, 2));
  EXPECT_THAT(subscriptions.all(), ElementsAre("waiting"));
  EXPECT_TRUE(subscriptions.hear(3, 1));
}

// Against the plainest model: a set of pairs. A channel is known exactly while somebody has or wants it.
TEST(Subscriptions, AgreeWithSetsOverRandomSteps) {
  constexpr unsigned seed = 4711;
  std::mt19937 random(seed);
  Subscriptions subscriptions;
  std::set<std::pair<SessionNumber, std::string>> heard, wanted;
  std::set<std::string> listening;
  std::uint32_t ticket = 0;
  std::map<SessionNumber, std::uint32_t> tickets;
  for (int step = 0; step < 20'000; ++step) {
    const auto session = static_cast<SessionNumber>(random() % 5);
    const std::string channel(1, static_cast<char>('a' + random() % 4));
    const std::string second(1, static_cast<char>('a' + random() % 4));
    Channels unlisten;
    const auto drop = [&](auto& from, auto matches) { std::erase_if(from, matches); };
    switch (random() % 5) {
      case 0:
      case 1: {
        tickets[session] = ++ticket;
        auto change = subscriptions.want(session, ticket, {channel, second});
        for (const auto& name : change.listen) EXPECT_TRUE(listening.insert(name).second) << step;
        unlisten = change.unlisten;
        drop(wanted, [&](const auto& pair) { return pair.first == session; });
        wanted.insert({session, channel});
        wanted.insert({session, second});
        break;
      }
      case 2:
        if (subscriptions.hear(session, tickets[session]))
          for (const auto& pair : wanted)
            if (pair.first == session) heard.insert(pair);
        drop(wanted, [&](const auto& pair) { return pair.first == session; });
        break;
      case 3:
        unlisten = subscriptions.drop(session, {channel});
        for (auto* from : {&heard, &wanted}) from->erase({session, channel});
        break;
      default:
        unlisten = subscriptions.drop_all(session);
        for (auto* from : {&heard, &wanted}) drop(*from, [&](const auto& pair) { return pair.first == session; });
    }
    for (const auto& name : unlisten) EXPECT_EQ(listening.erase(name), 1U) << step;
    std::set<std::string> needed;
    for (const auto* from : {&heard, &wanted})
      for (const auto& pair : *from) needed.insert(pair.second);
    ASSERT_EQ(listening, needed) << "seed " << seed << " step " << step;
    for (const auto& name : needed) {
      std::set<SessionNumber> expected;
      for (const auto& pair : heard)
        if (pair.second == name) expected.insert(pair.first);
      const auto& told = subscriptions.listeners(name);
      ASSERT_EQ(std::set<SessionNumber>(told.begin(), told.end()), expected) << "seed " << seed << " step " << step;
      ASSERT_EQ(told.size(), expected.size());
    }
  }
}

}  // namespace
}  // namespace turnout::router
