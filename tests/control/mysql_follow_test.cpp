#include "control/mysql_follow.h"

#include <gtest/gtest.h>

#include "control/mysql_catalog.h"
#include "router/mysql_classify.h"

namespace turnout::control {
namespace {

std::vector<Gtid> of(const char* text) {
  return parse_gtids(text).value();
}

TEST(MysqlFollow, a_position_is_covered_in_every_domain) {
  EXPECT_TRUE(covers(of("0-1-100"), of("0-1-100")));
  EXPECT_TRUE(covers(of("0-2-101"), of("0-1-100"))) << "another server has written since";
  EXPECT_FALSE(covers(of("0-1-99"), of("0-1-100")));
  EXPECT_FALSE(covers(of("0-1-100"), of("0-1-100,5-1-1"))) << "a domain that the follower has not";
  EXPECT_TRUE(covers(of("0-1-100,5-1-1,7-3-9"), of("0-1-100,5-1-1")));
  EXPECT_TRUE(covers(of(""), of("")));
  EXPECT_EQ(lacking(of("0-1-90"), of("0-1-100,5-1-3")), 13U);
}

TEST(MysqlFollow, a_sample_is_proven_when_its_position_is_applied) {
  GtidPositions positions;
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

TEST(MysqlFollow, bytes_behind_go_over_the_logs_that_follow) {
  const auto row = [](const char* file, const char* size) { return MysqlRows::Row{file, size}; };
  const MysqlRows logs({"Log_name", "File_size"}, {row("b.1", "500"), row("b.2", "700"), row("b.3", "90")});
  EXPECT_EQ(log_bytes_behind(logs, "b.3", 90), 0U);
  EXPECT_EQ(log_bytes_behind(logs, "b.3", 20), 70U);
  EXPECT_EQ(log_bytes_behind(logs, "b.1", 400), 890U);
  EXPECT_FALSE(log_bytes_behind(logs, "b.0", 4)) << "purged before it was executed";
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
