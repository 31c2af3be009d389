#include "control/mysql_follow.h"

#include <gtest/gtest.h>

#include "control/mysql_catalog.h"
#include "router/mysql_classify.h"

namespace turnout::control {
namespace {

MysqlPosition of(const char* text) {
  return parse_position(dialect_of(MysqlProduct::mariadb), {text}).value();
}

TEST(MysqlFollow, a_position_is_covered_in_every_domain) {
  EXPECT_TRUE(covers(of("0-1-100"), of("0-1-100")));
  EXPECT_TRUE(covers(of("0-2-101"), of("0-1-100"))) << "another server has written since";
  EXPECT_FALSE(covers(of("0-1-99"), of("0-1-100")));
  EXPECT_FALSE(covers(of("0-1-100"), of("0-1-100,5-1-1"))) << "a domain that the follower has not";
  EXPECT_TRUE(covers(of("0-1-100,5-1-1,7-3-9"), of("0-1-100,5-1-1")));
  EXPECT_TRUE(covers(of(""), of("")));
  EXPECT_EQ(lacking(parse_gtids("0-1-90").value(), parse_gtids("0-1-100,5-1-3").value()), 13U);
}

TEST(MysqlFollow, a_sample_is_proven_when_its_position_is_applied) {
  LogPositions positions;
  positions.add(1, of("0-1-10"), 1000);
  positions.add(2, of("0-1-20,5-1-1"), 1010);
  EXPECT_EQ(positions.proven(of("0-1-9")), 0U);
  EXPECT_EQ(positions.lag_ms(1030), 30);
  EXPECT_EQ(positions.proven(of("0-1-10")), 1U);
  EXPECT_EQ(positions.proven(of("0-1-20")), 1U) << "one domain is not there yet";
  EXPECT_EQ(positions.lag_ms(1030), 20);
  EXPECT_EQ(positions.proven(of("0-1-25,5-1-1")), 2U);
  EXPECT_EQ(positions.lag_ms(1030), 0);
  positions.clear();
  EXPECT_EQ(positions.proven(of("0-1-25,5-1-1")), 0U);
}

TEST(MysqlFollow, of_mysql_a_position_has_what_is_owned_and_what_is_executed) {
  const auto& mysql = dialect_of(MysqlProduct::mysql);
  const std::string a = "3e11fa47-71ca-11e1-9e33-c80aa9429562", b = "00000000-0000-0000-0000-000000000001";
  const auto seen = [&](const std::string& owned, const std::string& executed) {
    return parse_position(mysql, {owned, executed}).value();
  };
  const auto applied = [&](const std::string& set) { return parse_position(mysql, {set}).value(); };
  EXPECT_TRUE(covers(applied(a + ":1-10"), seen("", a + ":1-10")));
  EXPECT_TRUE(covers(applied(a + ":1-10," + b + ":1"), seen("", a + ":1-10"))) << "it has written, too";
  EXPECT_FALSE(covers(applied(a + ":1-10"), seen(a + ":11#33", a + ":1-10"))) << "seen, and not executed yet";
  EXPECT_FALSE(covers(applied(a + ":1-5:7-10"), seen("", a + ":1-10"))) << "appliers beside each other leave gaps";
  EXPECT_TRUE(covers(applied(""), seen("", "")));
  LogPositions positions;
  positions.add(1, seen("", a + ":1-10"), 1000);
  positions.add(2, seen(a + ":12#8:11#33" + b + ":4#5", a + ":1-10,\n" + b + ":1-3"), 1010);
  EXPECT_EQ(positions.proven(applied(a + ":1-10")), 1U);
  EXPECT_EQ(positions.proven(applied(a + ":1-12")), 1U) << "the other one's is not there yet";
  EXPECT_EQ(positions.proven(applied(a + ":1-12," + b + ":1-4")), 2U);
  EXPECT_FALSE(parse_position(mysql, {"?", a + ":1"}));
  EXPECT_FALSE(parse_position(mysql, {}));
  EXPECT_FALSE(covers(applied(a + ":1"), of("0-1-1"))) << "another product";
}

TEST(MysqlFollow, what_was_owned_and_given_up_blocks_nothing) {
  const auto& mysql = dialect_of(MysqlProduct::mysql);
  const std::string a = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
  const auto executed = [&](int last) { return a + ":1-" + std::to_string(last); };
  LogPositions positions;
  positions.add(1, parse_position(mysql, {a + ":99#33", executed(1)}).value(), 1000);
  std::uint64_t number = 1;
  for (int applied = 1; applied <= 8; ++applied) {  // the follower is four samples behind, always
    while (number < static_cast<std::uint64_t>(applied) + 4) {
      ++number;
      positions.add(number, parse_position(mysql, {"", executed(static_cast<int>(number))}).value(), 1000);
    }
    const std::uint64_t proven = positions.proven(parse_position(mysql, {executed(applied)}).value());
    EXPECT_LE(proven, static_cast<std::uint64_t>(applied));
    if (applied >= 6) {
      EXPECT_GE(proven, static_cast<std::uint64_t>(applied) - 1) << applied;
    }
  }
}

TEST(MysqlFollow, what_is_owned_has_no_comma_between_two_servers) {
  const std::string a = "3e11fa47-71ca-11e1-9e33-c80aa9429562", b = "00000000-0000-0000-0000-000000000001";
  const auto texts = [](const std::string& owned) { return texts_of(parse_owned_gtids(owned).value()); };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(texts(""), Texts());
  EXPECT_EQ(texts(a + ":5#33"), Texts{a + ":5"});
  EXPECT_EQ(texts(a + ":7#33:5#2:6#4"), Texts{a + ":5-7"});
  EXPECT_EQ(texts(a + ":5#33" + b + ":7#4"), (Texts{b + ":7", a + ":5"}));
  EXPECT_EQ(texts(a + ":5#33," + b + ":7#4"), (Texts{b + ":7", a + ":5"}));
  EXPECT_EQ(texts(a + ":tag:5#33" + a + ":7#4"), (Texts{a + ":7", a + ":tag:5"}));
}

TEST(MysqlCatalog, a_view_is_what_it_runs) {
  const std::vector<MysqlRelation> relations = {
      {"shop", "t", "BASE TABLE", "InnoDB", ""},
      {"shop", "old", "BASE TABLE", "MyISAM", ""},
      {"shop", "s", "SEQUENCE", "InnoDB", ""},
      {"shop", "over", "VIEW", "", "select `g`.`id` AS `id` from `shop`.`good` `g`"},  // before what it stands on
      {"shop", "good", "VIEW", "",
       "select `shop`.`t`.`id` AS `id`,count(0) AS `n` from `shop`.`t` group by `shop`.`t`.`id`"},
      {"shop", "bad", "VIEW", "", "select `shop`.`f`() AS `x` from `shop`.`t`"},
      {"shop", "worse", "VIEW", "", "select * from `shop`.`bad`"},
      {"shop", "hidden", "VIEW", "", ""},
      {"shop", "quotes", "VIEW", "", "select 'a\\' AS `x`"},
      {"shop", "of_old", "VIEW", "", "select * from `shop`.`old`"},
  };
  const auto catalog = build_mysql_catalog(relations, {"abs"}, 1, "d");
  const auto verdict = [&](const std::string& sql) { return router::classify_mysql(sql, *catalog, "shop").verdict; };
  for (const char* name : {"t", "good", "over"})
    EXPECT_EQ(verdict(std::string("SELECT * FROM ") + name), router::Verdict::read) << name;
  for (const char* name : {"old", "s"})
    EXPECT_EQ(verdict(std::string("SELECT * FROM ") + name), router::Verdict::read_writer) << name;
  for (const char* name : {"bad", "worse", "hidden", "quotes", "of_old", "T"})
    EXPECT_EQ(verdict(std::string("SELECT * FROM ") + name), router::Verdict::write) << name;
  EXPECT_EQ(verdict("SELECT abs(1)"), router::Verdict::write) << "it has a namesake";
  EXPECT_EQ(verdict("SELECT ceil(1)"), router::Verdict::read);
}

}  // namespace
}  // namespace turnout::control
