#include "proxy/mysql/left_behind.h"

#include <gtest/gtest.h>

namespace turnout::proxy::mysql {
namespace {

using protocol::mysql::state_words;
using protocol::mysql::StateWords;

StateWords words(std::string_view sql) {
  return state_words(sql, true);
}

// Of one text after a story; what was put before it, in short.
std::string before(LeftBehind& left, std::string_view sql) {
  const LeftBehind::Before found = left.before(words(sql));
  if (found.is_refused) return "refused";
  std::string said;
  if (found.is_blank) said += "blank ";
  if (found.has_insert_id) said += "id=" + std::to_string(found.insert_id) + " ";
  return said + found.signal;
}

TEST(MysqlLeftBehind, ASessionThatHasRunNothingSeesNothing) {
  for (const char* sql :
       {"SHOW WARNINGS", "SELECT ROW_COUNT()", "SELECT FOUND_ROWS()", "GET DIAGNOSTICS @n = NUMBER"}) {
    LeftBehind left;
    left.moved();
    EXPECT_EQ(before(left, sql), "blank ") << sql;
  }
  LeftBehind left;
  left.moved();
  EXPECT_EQ(before(left, "SELECT LAST_INSERT_ID()"), "id=0 ");
}

TEST(MysqlLeftBehind, OnesOwnIsAskedWhereItIs) {
  LeftBehind left;
  left.moved();
  static_cast<void>(before(left, "INSERT INTO t VALUES (1)"));
  left.got_insert_id(7);
  left.ran();
  EXPECT_EQ(before(left, "SELECT ROW_COUNT(), LAST_INSERT_ID()"), "");
  EXPECT_EQ(before(left, "SHOW WARNINGS"), "");
  left.moved();
  EXPECT_EQ(before(left, "SHOW WARNINGS"), "refused");
  EXPECT_EQ(before(left, "SELECT LAST_INSERT_ID()"), "id=7 ");
  EXPECT_EQ(before(left, "SELECT LAST_INSERT_ID()"), "") << "it is there by now";
}

// DO and SET leave FOUND_ROWS() as it was, on whatever connection they run.
TEST(MysqlLeftBehind, FoundRowsAreOfAResultNotOfAStatement) {
  LeftBehind left;
  left.moved();
  static_cast<void>(before(left, "DO 1"));
  left.ran();
  EXPECT_EQ(before(left, "SELECT ROW_COUNT()"), "");
  EXPECT_EQ(before(left, "SELECT FOUND_ROWS()"), "blank ") << "it has never had any";
  left.got_rows();
  left.moved();
  static_cast<void>(before(left, "DO 1"));
  left.ran();
  EXPECT_EQ(before(left, "SELECT FOUND_ROWS()"), "refused") << "they were found elsewhere";
  EXPECT_EQ(before(left, "SELECT 1"), "");
  left.got_rows();
  EXPECT_EQ(before(left, "SELECT FOUND_ROWS()"), "");
}

TEST(MysqlLeftBehind, RowsOfWarningsAreNotFound) {
  LeftBehind left;
  left.moved();
  static_cast<void>(before(left, "SHOW WARNINGS"));
  left.got_rows();
  left.ran();
  left.moved();
  static_cast<void>(before(left, "DO 1"));
  left.ran();
  EXPECT_EQ(before(left, "SELECT FOUND_ROWS()"), "blank ");
}

TEST(MysqlLeftBehind, ACountIsNotLostToWhatIsPutBefore) {
  LeftBehind left;
  left.moved();
  static_cast<void>(before(left, "UPDATE t SET a = 1"));
  left.got_count(0);
  left.ran();
  EXPECT_EQ(before(left, "SELECT ROW_COUNT(), LAST_INSERT_ID()"), "id=0 ") << "it stays what it was";
  left.moved();
  static_cast<void>(before(left, "UPDATE t SET a = 2"));
  left.got_count(3);
  left.ran();
  EXPECT_EQ(before(left, "SELECT ROW_COUNT(), LAST_INSERT_ID()"), "refused")
      << "SET last_insert_id has a count as well";
  EXPECT_EQ(before(left, "SELECT ROW_COUNT()"), "");
}

TEST(MysqlLeftBehind, AnErrorOfTurnoutsOwnIsRaisedAgain) {
  LeftBehind left;
  left.moved();
  left.told({1094, "HY000", "it's unknown"});
  const std::string signal = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1094, MESSAGE_TEXT = 'it''s unknown'";
  EXPECT_EQ(before(left, "SHOW WARNINGS"), signal);
  left.ran();
  EXPECT_EQ(before(left, "SHOW WARNINGS"), "") << "it is on the connection now";
  left.moved();
  EXPECT_EQ(before(left, "SHOW WARNINGS"), "refused");
  left.told({1235, "42000", std::string(200, 'x')});
  EXPECT_EQ(before(left, "SHOW ERRORS"),
            "SIGNAL SQLSTATE '42000' SET MYSQL_ERRNO = 1235, MESSAGE_TEXT = '" + std::string(128, 'x') + "'");
  left.told({1, "00000", "no error's state"});
  EXPECT_TRUE(before(left, "SHOW ERRORS").starts_with("SIGNAL SQLSTATE 'HY000'"));
}

TEST(MysqlLeftBehind, AResetForgetsWhatIsElsewhere) {
  LeftBehind left;
  left.moved();
  left.got_insert_id(7);
  left.got_rows();
  left.ran();
  left.moved();
  left.reset();
  EXPECT_EQ(before(left, "SELECT ROW_COUNT(), FOUND_ROWS()"), "blank ");
  EXPECT_EQ(before(left, "SELECT LAST_INSERT_ID()"), "id=0 ");
}

TEST(MysqlLeftBehind, ATextThatCannotBeReadMayAskForAnything) {
  LeftBehind left;
  left.moved();
  EXPECT_EQ(before(left, "SELECT 'no end"), "blank id=0 ");
}

}  // namespace
}  // namespace turnout::proxy::mysql
