#include "control/log_position.h"

#include <gtest/gtest.h>

#include "control/mysql_dialect.h"

namespace turnout::control {
namespace {

LogPosition at(const char* text) {
  return parse_log_position(text).value();
}

TEST(LogPosition, reads_a_file_and_an_offset) {
  EXPECT_EQ(at("binlog.000012:345"), (LogPosition{"binlog.000012", 345}));
  EXPECT_EQ(at("my.own:log.000001:4").file, "my.own:log.000001");
  EXPECT_EQ(at("binlog.000012:345").text(), "binlog.000012:345");
  for (const char* none :
       {"", "binlog.000012", "binlog.000012:", ":4", "binlog:4", "binlog.x:4", "binlog.000012:-4", "binlog.000012:4 ",
        ".000001:4", "0-7-10", "e275f630-e6df-11f1-93c0-02fc00000001:1-11", "binlog.000012:99999999999999999999"})
    EXPECT_FALSE(parse_log_position(none)) << none;
  EXPECT_FALSE(log_position_of("", "0")) << "an applier that has not begun";
  EXPECT_EQ(log_position_of("b.7", "0"), (LogPosition{"b.7", 0}));
}

TEST(LogPosition, files_are_counted) {
  struct Row {
    const char *applied, *position;
    bool reaches;
  };
  const Row rows[] = {
      {"b.000002:158", "b.000002:158", true},
      {"b.000002:157", "b.000002:158", false},
      {"b.000002:159", "b.000002:158", true},
      {"b.000003:4", "b.000002:900", true},     // the log was rotated, and nothing written since
      {"b.000002:900", "b.000003:158", false},  // rotated, and not heard of yet
      {"b.999999:4", "b.1000000:4", false},
      {"b.1000000:4", "b.999999:700", true},
      {"b.10:4", "b.9:4", true},
      {"b.010:4", "b.10:4", true},
      {"green.000009:4", "blue.000001:4", false},  // two logs have no order
      {"b.c.000009:4", "b.000001:4", false},
  };
  for (const auto& row : rows)
    EXPECT_EQ(reaches(at(row.applied), at(row.position)), row.reaches) << row.applied << " " << row.position;
  EXPECT_FALSE(reaches({}, at("b.1:4")));
  EXPECT_FALSE(reaches(at("b.1:4"), {}));
}

TEST(LogPosition, covers_as_every_position_does) {
  const MysqlPosition applied = at("b.000002:158");
  EXPECT_TRUE(covers(applied, at("b.000002:158")));
  EXPECT_FALSE(covers(applied, at("b.000002:159")));
  EXPECT_FALSE(covers(applied, GtidSet())) << "of another kind";
}

TEST(LogPosition, bytes_behind_go_over_the_files_that_follow) {
  const std::vector<LogFile> log = {{"b.1", 500}, {"b.2", 700}, {"b.3", 90}};
  EXPECT_EQ(bytes_behind(log, at("b.3:90")), 0U);
  EXPECT_EQ(bytes_behind(log, at("b.3:20")), 70U);
  EXPECT_EQ(bytes_behind(log, at("b.1:400")), 890U);
  EXPECT_FALSE(bytes_behind(log, at("b.0:4"))) << "purged before it was executed";
  EXPECT_FALSE(bytes_behind(log, at("b.3:91"))) << "the writer has lost its end";
  EXPECT_FALSE(bytes_behind(log, at("b.4:4"))) << "the writer has lost a file";
}

}  // namespace
}  // namespace turnout::control
