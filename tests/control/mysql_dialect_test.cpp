#include "control/mysql_dialect.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

const MysqlDialect& mariadb = dialect_of(MysqlProduct::mariadb);
const MysqlDialect& mysql = dialect_of(MysqlProduct::mysql);

TEST(MysqlDialect, a_server_says_what_it_is) {
  EXPECT_EQ(mysql_version("10.11.19-MariaDB-0+deb12u1-log")->product, MysqlProduct::mariadb);
  EXPECT_EQ(mysql_version("10.11.19-MariaDB-0+deb12u1-log")->number, 10'011U);
  EXPECT_EQ(mysql_version("9.7.4-2")->product, MysqlProduct::mysql);
  EXPECT_EQ(mysql_version("9.7.4-2")->number, 9'007U);
  EXPECT_FALSE(mysql_version("MariaDB"));
  EXPECT_FALSE(mysql_version(""));
}

TEST(MysqlDialect, statements_of_each) {
  EXPECT_EQ(wait_sql(mariadb, "'0-7-1'", "0.1"), "SELECT MASTER_GTID_WAIT('0-7-1', 0.1)");
  EXPECT_EQ(wait_sql(mysql, "'u:1'", "0.1"), "SELECT WAIT_FOR_EXECUTED_GTID_SET('u:1', 0.1)");
  EXPECT_EQ(stop_link_sql(mariadb, "'up'"), "STOP SLAVE 'up'");
  EXPECT_EQ(stop_link_sql(mysql, "''"), "STOP REPLICA FOR CHANNEL ''");
  EXPECT_EQ(start_link_sql(mariadb, "'up'"), "START SLAVE 'up'");
  EXPECT_EQ(start_link_sql(mysql, "'up'"), "START REPLICA FOR CHANNEL 'up'");
  EXPECT_EQ(forget_link_sql(mariadb, "'up'"), "RESET SLAVE 'up' ALL");
  EXPECT_EQ(forget_link_sql(mysql, "'up'"), "RESET REPLICA ALL FOR CHANNEL 'up'");
}

TEST(MysqlDialect, a_position_is_not_the_other_products) {
  EXPECT_TRUE(is_position(mariadb, PositionKind::gtid, "0-7-10"));
  EXPECT_FALSE(is_position(mysql, PositionKind::gtid, "0-7-10"));
  EXPECT_TRUE(is_position(mysql, PositionKind::gtid, "e275f630-e6df-11f1-93c0-02fc00000001:1-11"));
  EXPECT_FALSE(is_position(mariadb, PositionKind::gtid, "e275f630-e6df-11f1-93c0-02fc00000001:1-11"));
  EXPECT_FALSE(is_position(mysql, PositionKind::gtid, "")) << "nothing is no proof";
}

TEST(MysqlDialect, what_is_being_committed_is_seen_too) {
  const auto text = [](const MysqlDialect& dialect, const std::vector<std::string>& row) {
    return position_text(*parse_position(dialect, row));
  };
  const std::string here = "e275f630-e6df-11f1-93c0-02fc00000001", there = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
  EXPECT_EQ(text(mysql, {here + ":12#33:14#34", here + ":1-11"}), here + ":1-12:14");
  EXPECT_EQ(text(mysql, {there + ":7#33" + here + ":12#34", here + ":1-11,\n" + there + ":1-6"}),
            there + ":1-7," + here + ":1-12")
      << "nothing stands between a session's number and the next server";
  EXPECT_EQ(text(mysql, {"", here + ":1-11:tag:1-2"}), here + ":1-11," + here + ":tag:1-2");
  EXPECT_EQ(text(mysql, {"", ""}), "");
  EXPECT_EQ(text(mariadb, {"0-7-1,1-8-2"}), "0-7-1,1-8-2");
}

TEST(MysqlDialect, what_is_written_on_the_follower_alone) {
  const std::string writer = "e275f630-e6df-11f1-93c0-02fc00000001:1-11";
  EXPECT_TRUE(written_alone(mysql, "e275f630-e6df-11f1-93c0-02fc00000001:1-9", writer, "")->empty()) << "it lags";
  EXPECT_EQ(*written_alone(mysql, "e275f630-e6df-11f1-93c0-02fc00000001:1-12", writer, ""),
            std::vector<std::string>{"e275f630-e6df-11f1-93c0-02fc00000001:12"});
  EXPECT_TRUE(written_alone(mysql, "e275f630-e6df-11f1-93c0-02fc00000001:1-13", writer,
                            "e275f630-e6df-11f1-93c0-02fc00000001:12#33:13#34")
                  ->empty())
      << "the writer is committing it";
  EXPECT_FALSE(written_alone(mysql, "0-7-1", writer, ""));
  EXPECT_EQ(*written_alone(mariadb, "0-7-1,0-8-2", "0-7-1", ""), std::vector<std::string>{"0-8-2"});
}

}  // namespace
}  // namespace turnout::control
