#include "protocol/mysql/state_words.h"

#include <gtest/gtest.h>

namespace turnout::protocol::mysql {
namespace {

struct Row {
  const char* sql;
  bool StateWords::*flag;  // the one that is raised; null: the text is quiet
};

class StateWordsTest : public testing::TestWithParam<Row> {};

TEST_P(StateWordsTest, OneTextOneFlag) {
  const auto& [sql, flag] = GetParam();
  StateWords words = state_words(sql, true);
  if (flag == nullptr) {
    EXPECT_TRUE(words.is_quiet()) << sql;
    return;
  }
  EXPECT_TRUE(words.*flag) << sql;
  words.*flag = false;
  EXPECT_TRUE(words.is_quiet()) << sql << " raises more than one flag";
}

INSTANTIATE_TEST_SUITE_P(
    Texts, StateWordsTest,
    testing::Values(
        Row{"SELECT 1", nullptr}, Row{"", nullptr}, Row{"INSERT INTO t VALUES ('ann@example.org')", nullptr},
        Row{"SELECT \"a@b\", `c@d`", nullptr}, Row{"SELECT 1 -- @a\n", nullptr}, Row{"SELECT 1 # @a", nullptr},
        Row{"SELECT /* GET_LOCK('a', 1) @b */ 1", nullptr}, Row{"SELECT @@version", nullptr},
        Row{"SELECT @@session.sql_mode", nullptr}, Row{"SET sql_mode = 'ANSI'", nullptr}, Row{"USE shop", nullptr},
        Row{"SELECT * FROM errors, warnings", nullptr}, Row{"SELECT row_count FROM t", nullptr},
        Row{"SELECT * FROM t FOR UPDATE", nullptr}, Row{"SELECT * FROM t LOCK IN SHARE MODE", nullptr},
        Row{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", nullptr}, Row{"SELECT 'it''s @a'", nullptr},
        Row{"SELECT 'it\\'s @a'", nullptr}, Row{"SET @a = 1", &StateWords::user_variable},
        Row{"SELECT 1 INTO @a", &StateWords::user_variable}, Row{"SELECT @a := 1", &StateWords::user_variable},
        Row{"SELECT /*! @a := */ 1", &StateWords::user_variable},
        Row{"SELECT /*M!100100 @a := */ 1", &StateWords::user_variable},
        Row{"select get_lock('a', 1)", &StateWords::lock}, Row{"DO RELEASE_LOCK ('a')", &StateWords::lock},
        Row{"SELECT GET_LOCK/**/('a', 1)", &StateWords::lock}, Row{"LOCK TABLES t READ", &StateWords::table_lock},
        Row{"FLUSH TABLES WITH READ LOCK", &StateWords::table_lock},
        Row{"DO 1; LOCK TABLES t READ", &StateWords::table_lock}, Row{"HANDLER t OPEN", &StateWords::handler},
        Row{"CREATE TEMPORARY TABLE t (n INT)", &StateWords::temporary},
        Row{"PREPARE s FROM 'SELECT 1'", &StateWords::prepares},
        Row{"EXECUTE IMMEDIATE 'SELECT 1'", &StateWords::prepares},
        Row{"SET STATEMENT max_statement_time = 5 FOR SELECT 1", &StateWords::untold},
        Row{"SET ROLE admin", &StateWords::untold}, Row{"SHOW WARNINGS", &StateWords::diagnostics},
        Row{"SHOW COUNT(*) ERRORS", &StateWords::diagnostics}, Row{"SELECT ROW_COUNT()", &StateWords::diagnostics},
        Row{"SELECT FOUND_ROWS()", &StateWords::diagnostics}, Row{"SELECT SQL_CALC_FOUND_ROWS 1", nullptr},
        Row{"SELECT @@session.warning_count", &StateWords::diagnostics},
        Row{"GET DIAGNOSTICS n = NUMBER", &StateWords::diagnostics},
        Row{"SELECT LAST_INSERT_ID()", &StateWords::last_insert_id},
        Row{"SELECT @@identity", &StateWords::last_insert_id}, Row{"KILL 5", &StateWords::kills},
        Row{"SELECT 'open", &StateWords::unsure}, Row{"SELECT /* open", &StateWords::unsure},
        Row{"SELECT /*! open", &StateWords::unsure}));

TEST(StateWordsTest, BackslashesQuoteOnlyWhereTheServerSaysSo) {
  EXPECT_TRUE(state_words("SELECT '\\', @a", false).user_variable) << "with NO_BACKSLASH_ESCAPES the string is over";
  EXPECT_TRUE(state_words("SELECT '\\', @a", true).unsure);
}

TEST(StateWordsTest, WhichCountIsAskedFor) {
  for (const char* sql : {"SELECT row_count()", "GET DIAGNOSTICS r = ROW_COUNT"}) {
    EXPECT_TRUE(state_words(sql, true).row_count) << sql;
    EXPECT_TRUE(state_words(sql, true).diagnostics) << sql;
    EXPECT_FALSE(state_words(sql, true).found_rows) << sql;
  }
  EXPECT_TRUE(state_words("SELECT FOUND_ROWS()", true).found_rows);
  EXPECT_FALSE(state_words("SELECT FOUND_ROWS()", true).row_count);
  EXPECT_FALSE(state_words("SELECT row_count FROM t; SHOW WARNINGS", true).row_count) << "a column";
}

TEST(StateWordsTest, WhatIsTrackedIsToldAloneOrNotAtAll) {
  const auto untold = [](std::string_view sql) {
    const StateWords words = state_words(sql, true);
    EXPECT_NE(words.tracking, 0) << sql;
    return words.untold;
  };
  EXPECT_FALSE(untold("SET session_track_schema = 1, autocommit = 1"));
  EXPECT_FALSE(untold("SET @@session.session_track_system_variables = 'a,b'"));
  EXPECT_TRUE(untold("SET session_track_system_variables = '', time_zone = '+01:00'"));
  EXPECT_TRUE(untold("SET time_zone = '+01:00', session_track_system_variables = ''"));
  EXPECT_TRUE(untold("SET session_track_schema = 0; USE other"));
  EXPECT_EQ(state_words("SET session_track_schema = 0, session_track_state_change = 1", true).tracking,
            Tracking::schema | Tracking::state_change);
  EXPECT_EQ(state_words("SELECT @@session_track_schema", true).tracking, 0);
  EXPECT_EQ(state_words("SELECT 1; SET a = 1; SELECT @@session_track_schema", true).tracking, 0);
}

TEST(StateWordsTest, WaitsForLocksAndCallsNothingOfAUsers) {
  for (const char* sql :
       {"SELECT * FROM t FOR UPDATE NOWAIT",
        "select a, count(*) from t where (a in (1, 2)) and b = lower('x') for update wait 3",
        "SELECT * FROM `t` WHERE COALESCE(a, b) = 1 LOCK IN SHARE MODE NoWait;",
        "SELECT 'f()' FROM t FOR UPDATE NOWAIT", "SELECT * FROM a.t JOIN b USING (id) FOR UPDATE NOWAIT"})
    EXPECT_TRUE(state_words(sql, true).waits) << sql;
  for (const char* sql :
       {"SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR UPDATE SKIP LOCKED",
        "SELECT mine(1) FROM t FOR UPDATE NOWAIT", "SELECT `mine`(1) FROM t FOR UPDATE NOWAIT",
        "SELECT shop.lower(a) FROM t FOR UPDATE NOWAIT", "SELECT shop . lower(a) FROM t FOR UPDATE NOWAIT",
        "SELECT shop./**/lower(a) FROM t FOR UPDATE NOWAIT", "SELECT count (a) FROM t FOR UPDATE NOWAIT",
        "SELECT mine/**/(a) FROM t FOR UPDATE NOWAIT", "SELECT \"mine\"(a) FROM t FOR UPDATE NOWAIT",
        "SELECT a_function_with_a_name_of_more_than_32_bytes(a) FROM t FOR UPDATE NOWAIT",
        "CALL p(); SELECT * FROM t FOR UPDATE NOWAIT", "SELECT /*! mine(a) */ 1 FROM t FOR UPDATE NOWAIT",
        "SELECT 'nowait' FROM t", "SELECT * FROM t FOR UPDATE NOWAIT /* open"})
    EXPECT_FALSE(state_words(sql, true).waits) << sql;
  EXPECT_TRUE(state_words("SELECT @a FROM t FOR UPDATE NOWAIT", true).user_variable);
}

TEST(StateWordsTest, NothingButSettings) {
  EXPECT_TRUE(state_words("SET a = 1", true).plain_set);
  EXPECT_TRUE(state_words("USE a; SET b = 1", true).plain_set);
  EXPECT_FALSE(state_words("SET a = 1; CALL p()", true).plain_set);
  EXPECT_TRUE(state_words(" /* of two */ call p()", true).calls);
  EXPECT_TRUE(state_words("CALL p(); CALL q()", true).calls);
  EXPECT_FALSE(state_words("CALL p(); SELECT 1", true).calls);
  EXPECT_FALSE(state_words("SELECT 1; CALL p()", true).calls);
  EXPECT_FALSE(state_words("CALL p(); SET a = 1", true).plain_set);
  EXPECT_FALSE(state_words("SELECT 1", true).plain_set);
}

TEST(StateWordsTest, EveryBeginningOfATextIsHarmless) {
  constexpr std::string_view sql = "SELECT /*! 'a''b' */ `c`, \"d\\\"e\" -- f\n, @g, @@h.i /* j */ ;";
  for (std::size_t size = 0; size <= sql.size(); ++size) static_cast<void>(state_words(sql.substr(0, size), true));
}

}  // namespace
}  // namespace turnout::protocol::mysql
