#include "proxy/mysql/variables.h"

#include <gtest/gtest.h>

#include "proxy/mysql/refusal.h"

namespace turnout::proxy::mysql {
namespace {

Variables with(std::initializer_list<std::pair<const char*, const char*>> entries) {
  Variables variables;
  for (const auto& [name, value] : entries) EXPECT_TRUE(variables.set(name, value));
  return variables;
}

TEST(MysqlVariables, OnlyWhatDiffersIsSet) {
  const Variables start = with({{"character_set_client", "utf8mb4"}});
  EXPECT_EQ(Variables::difference(with({{"a", "1"}}), with({{"a", "1"}}), start), "");
  EXPECT_EQ(Variables::difference({}, with({{"b", "x"}, {"a", "1"}}), start), "SET a = 1, b = 'x'");
  EXPECT_EQ(Variables::difference(with({{"a", "1"}}), with({{"b", "2"}}), start), "SET a = DEFAULT, b = 2");
}

TEST(MysqlVariables, GoesBackToWhatTheLoginMade) {
  const Variables start = with({{"character_set_client", "utf8mb4"}, {"character_set_results", ""}});
  const Variables latin = with({{"character_set_client", "latin1"}, {"character_set_results", "latin1"}});
  EXPECT_EQ(Variables::difference(latin, {}, start),
            "SET character_set_client = 'utf8mb4', character_set_results = NULL");
}

TEST(MysqlVariables, OneCharacterSetIsSaidAsNames) {
  const auto charset = [](const char* name, const char* collation) {
    return with({{"character_set_client", name},
                 {"character_set_connection", name},
                 {"character_set_results", name},
                 {"collation_connection", collation}});
  };
  const Variables start = charset("utf8mb4", "utf8mb4_general_ci");
  EXPECT_EQ(Variables::difference(charset("latin1", "latin1_swedish_ci"), {}, start),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'");
  EXPECT_EQ(Variables::difference({}, charset("utf8mb4", "utf8mb4_bin"), start),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'");
  EXPECT_EQ(Variables::difference({}, with({{"a", "1"}, {"collation_connection", "utf8mb4_bin"}}), start),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin', a = 1");
  EXPECT_EQ(Variables::difference(charset("latin1", "latin1_bin"), charset("latin1", "latin1_bin"), start), "");
  EXPECT_EQ(Variables::difference({}, charset("latin1", "utf8mb4_bin"), start),
            "SET character_set_client = 'latin1', character_set_connection = 'latin1', "
            "character_set_results = 'latin1', collation_connection = 'utf8mb4_bin'")
      << "the collation was set by its own name";
  EXPECT_EQ(Variables::difference({}, with({{"a", "1"}}), start), "SET a = 1") << "nothing of it differs";
  EXPECT_EQ(Variables::difference({}, with({{"character_set_results", "latin1"}}), start),
            "SET character_set_results = 'latin1'");
}

TEST(MysqlVariables, ACharacterSetBringsItsCollation) {
  const Variables start = with({{"character_set_client", "utf8mb4"},
                                {"character_set_connection", "utf8mb4"},
                                {"character_set_results", "utf8mb4"},
                                {"collation_connection", "utf8mb4_general_ci"}});
  const Variables latin = with({{"character_set_client", "latin1"},
                                {"character_set_connection", "latin1"},
                                {"character_set_results", "latin1"}});
  Variables latin_bin = latin;
  EXPECT_TRUE(latin_bin.set(Variables::collation, "latin1_bin"));
  EXPECT_EQ(Variables::difference({}, latin, start), "SET NAMES 'latin1'");
  EXPECT_EQ(Variables::difference(latin_bin, latin, start), "SET NAMES 'latin1'");
  EXPECT_EQ(Variables::difference(latin, latin_bin, start), "SET NAMES 'latin1' COLLATE 'latin1_bin'");
  EXPECT_EQ(Variables::difference(latin, {}, start), "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'");
  const Variables mixed = with({{"character_set_connection", "latin1"}});
  EXPECT_EQ(Variables::difference(latin_bin, mixed, start),
            "SET character_set_client = 'utf8mb4', character_set_results = 'utf8mb4', "
            "character_set_connection = 'latin1'");
  latin_bin.erase(Variables::collation);
  EXPECT_EQ(latin_bin, latin);
}

TEST(MysqlVariables, ValuesAreNumbersOrStrings) {
  EXPECT_EQ(Variables::quoted("a", "-1.5"), "-1.5");
  EXPECT_EQ(Variables::quoted("a", "1.2.3"), "'1.2.3'");
  EXPECT_EQ(Variables::quoted("a", "it's"), "'it''s'");
  EXPECT_EQ(Variables::quoted("a", "\\'"), "0x5c27") << "right whatever NO_BACKSLASH_ESCAPES says";
  EXPECT_EQ(Variables::quoted("a", ""), "''");
}

TEST(MysqlVariables, WhatIsNotSetAgain) {
  EXPECT_EQ(Variables::kind_of("last_gtid"), Variables::Kind::told);
  EXPECT_EQ(Variables::kind_of("timestamp"), Variables::Kind::fleeting);
  EXPECT_EQ(Variables::kind_of("session_track_schema"), Variables::Kind::fleeting);
  EXPECT_EQ(Variables::kind_of("sql_mode"), Variables::Kind::kept);
}

TEST(MysqlVariables, HasALimit) {
  Variables many;
  int kept = 0;
  while (kept < 1'000 && many.set("v" + std::to_string(kept), "1")) ++kept;
  EXPECT_EQ(kept, 200);
  EXPECT_TRUE(many.set("v0", "2")) << "what is there already may change";
}

TEST(MysqlRefusal, HasTheNumbersThatDriversKnow) {
  EXPECT_EQ(refusal_of("53300").number, 1040);
  EXPECT_EQ(refusal_of("57P01").number, 1053);
  EXPECT_EQ(refusal_of("nonsense").number, 1105);
  std::string out;
  EXPECT_EQ(put_refusal(out, 1, "53300", "no room"), 2);
  EXPECT_EQ(out, std::string("\x10\0\0\1\xff\x10\x04#08004no room", 20));
  out.clear();
  put_refusal(out, 3, "53300", "no room", "\xff\x01\x02");
  EXPECT_EQ(out, std::string("\3\0\0\3\xff\1\2", 7)) << "the server's own words";
}

}  // namespace
}  // namespace turnout::proxy::mysql
