// What `users: passthrough` decides without a socket: what is kept of passwords, whose turn it is, what clients hear.
#include <gtest/gtest.h>

#include "protocol/mysql/reply.h"
#include "proxy/mysql/learned_secrets.h"
#include "proxy/mysql/login_turns.h"
#include "proxy/mysql/refusal.h"
#include "proxy/pool.h"

namespace turnout::proxy::mysql {
namespace {

namespace my = protocol::mysql;
using Kind = my::Secret::Kind;

std::string raw(std::uint16_t number, std::string_view message) {
  std::string payload;
  my::put_error(payload, {number, "28000", message});
  return payload;
}

LoginFailure refusal(std::uint16_t number) {
  return {"28000", "no", raw(number, "no")};
}

TEST(LearnedSecrets, AProofIsBelievedForATime) {
  LearnedSecrets learned;
  EXPECT_FALSE(learned.is_proven("ann", "x", 0));
  EXPECT_EQ(learned.proven("ann").view(), "");
  learned.prove("ann", "x", 1'000, 10);
  EXPECT_TRUE(learned.is_proven("ann", "x", 1'000));
  EXPECT_FALSE(learned.is_proven("ann", "x", 1'001)) << "too long ago";
  EXPECT_FALSE(learned.is_proven("ann", "y", 0));
  EXPECT_FALSE(learned.is_proven("bob", "x", 0));
  EXPECT_EQ(learned.proven("ann").view(), "x") << "it still opens the server, until that says no";
  learned.accepted("ann", 5'000);
  EXPECT_TRUE(learned.is_proven("ann", "x", 5'000)) << "a login of ours is as good a proof";
  learned.accepted("ann", 4'000);
  EXPECT_TRUE(learned.is_proven("ann", "x", 5'000));
  learned.prove("ann", "y", 6'000, 10);
  EXPECT_FALSE(learned.is_proven("ann", "x", 0));
  ASSERT_TRUE(learned.find("ann"));
  EXPECT_EQ(learned.find("ann")->kind, Kind::plain);
  EXPECT_EQ(learned.find("ann")->text.view(), "y");
}

TEST(LearnedSecrets, OnlyWhatSaysSomethingOfThePasswordForgetsIt) {
  for (const int number : {1045, 1698, 1820, 1862, 3118, 3955, 4151, 1040, 1044, 1049, 1129, 1130, 1203, 1226, 2013}) {
    LearnedSecrets learned;
    learned.prove("ann", "x", 1'000, 10);
    learned.refused("ann", refusal(static_cast<std::uint16_t>(number)), 2'000);
    const bool ends = number == 1045 || number == 1698 || number == 1820 || number == 1862 || number >= 3000;
    EXPECT_EQ(learned.find("ann").has_value(), !ends) << number;
  }
  LearnedSecrets learned;
  learned.prove("ann", "x", 1'000, 10);
  learned.refused("ann", {"08001", "the server is gone"}, 2'000);
  EXPECT_TRUE(learned.find("ann"));
  learned.refused("ann", refusal(1045), 999);
  EXPECT_TRUE(learned.find("ann")) << "that login began with another password";
  learned.refused("bob", refusal(1045), 2'000);
  EXPECT_TRUE(learned.find("ann"));
}

TEST(LearnedSecrets, ThoseOfAUsersFileStay) {
  LearnedSecrets learned;
  learned.learn("ann", {Kind::native_once, "12345678901234567890"});
  EXPECT_EQ(learned.proven("ann").view(), "") << "no server has said anything of it";
  EXPECT_FALSE(learned.is_proven("ann", "12345678901234567890", 0));
  learned.refused("ann", refusal(1045), 2'000);
  EXPECT_TRUE(learned.find("ann"));
  learned.learn("ann", {Kind::plain, "x"});
  learned.learn("ann", {Kind::native_once, "12345678901234567890"});
  EXPECT_EQ(learned.find("ann")->text.view(), "x") << "the password is good for more";
}

TEST(LearnedSecrets, TheOldestGoes) {
  LearnedSecrets learned;
  for (std::uint64_t i = 1; i <= 5; ++i) learned.prove("user" + std::to_string(i), "x", i, 3);
  EXPECT_EQ(learned.size(), 3U);
  EXPECT_FALSE(learned.find("user2"));
  EXPECT_TRUE(learned.find("user3"));
  learned.prove("user3", "y", 9, 3);
  EXPECT_EQ(learned.size(), 3U) << "one that is there takes no new place";
  learned.prove("user6", "x", 10, 3);
  EXPECT_TRUE(learned.find("user3"));
  EXPECT_FALSE(learned.find("user4"));
}

TEST(LoginTurns, NobodyHasThemAll) {
  LoginTurns turns;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(turns.take("10.0.0.1", 10, 0)) << i;
  EXPECT_FALSE(turns.take("10.0.0.1", 10, 0)) << "half of them";
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(turns.take("10.0.0.2", 10, 0)) << i;
  EXPECT_FALSE(turns.take("10.0.0.3", 10, 0)) << "all of them";
  turns.give("10.0.0.1", false, 0);
  EXPECT_TRUE(turns.take("10.0.0.3", 10, 0));
  LoginTurns single;
  EXPECT_TRUE(single.take("10.0.0.1", 1, 0));
  EXPECT_FALSE(single.take("10.0.0.2", 1, 0));
}

TEST(LoginTurns, WhoGuessesIsSlow) {
  LoginTurns turns;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(turns.take("10.0.0.1", 10, 100));
    turns.give("10.0.0.1", true, 100);
  }
  EXPECT_FALSE(turns.take("10.0.0.1", 10, 100 + LoginTurns::rest_ms - 1));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(turns.take("10.0.0.2", 10, 100)) << "nobody else is, nor who is right";
    turns.give("10.0.0.2", false, 100);
  }
  EXPECT_TRUE(turns.take("10.0.0.1", 10, 100 + LoginTurns::rest_ms));
  turns.give("10.0.0.1", false, 100 + LoginTurns::rest_ms);
  EXPECT_EQ(turns.hosts(), 0U) << "nothing is kept of those who are gone";
}

TEST(Refusal, AClientHearsOfItsOwnHost) {
  struct Case {
    std::uint16_t number;
    std::string_view said, heard;
  };
  const Case cases[] = {
      {1045, "Access denied for user 'ann'@'10.0.0.9' (using password: YES)",
       "Access denied for user 'ann'@'192.168.1.7' (using password: YES)"},
      {1045, "Zugriff verweigert für Benutzer 'a'@'b'@'10.0.0.9' (Passwort: ja)",
       "Zugriff verweigert für Benutzer 'a'@'b'@'192.168.1.7' (Passwort: ja)"},
      {3118, "Access denied for user 'ann'@'10.0.0.9'. Account is locked.",
       "Access denied for user 'ann'@'192.168.1.7'. Account is locked."},
      {1130, "Host '10.0.0.9' is not allowed to connect to this MariaDB server",
       "Host 'Turnout' is not allowed to connect to this MariaDB server"},
      {1129, "Host '10.0.0.9' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'",
       "Host 'Turnout' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'"},
      {1044, "Access denied for user 'ann'@'%' to database 'shop'",
       "Access denied for user 'ann'@'%' to database 'shop'"},
      {1049, "Unknown database 'missing'", "Unknown database 'missing'"},
      {4151, "Access denied, this account is locked", "Access denied, this account is locked"},
      {1045, "broken 'ann'@'10.0.0.9", "broken 'ann'@'10.0.0.9"},
      {1130, "no name", "no name"},
  };
  for (const Case& one : cases)
    EXPECT_EQ(for_client(raw(one.number, one.said), "192.168.1.7"), raw(one.number, one.heard)) << one.said;
}

}  // namespace
}  // namespace turnout::proxy::mysql
