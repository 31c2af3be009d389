// What a comparison asks of MySQL and MariaDB: no name, value, collation or type can break it or hide a difference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/mysql_compare.h"
#include "control/mysql_compare_sql.h"

namespace turnout::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

ColumnFact column(std::string name, std::string type, int key_position = 0) {
  ColumnFact one;
  one.name = std::move(name);
  one.type = one.shown_type = std::move(type);
  one.not_null = one.ordered_alike = true;
  one.key_position = key_position;
  one.leads_an_index = key_position == 1;
  return one;
}

TableFacts facts(std::vector<ColumnFact> columns, std::string key_index = "PRIMARY") {
  TableFacts out;
  out.exists = true;
  out.columns = std::move(columns);
  out.key_index = std::move(key_index);
  return out;
}

const TableName orders{"shop", "orders"};

ComparePlan plan_of(const TableFacts& blue, const TableFacts& green) {
  return make_mysql_plan(orders, blue, green, router::Side::blue);
}

TEST(MysqlCompareType, TellsHowValuesBecomeTexts) {
  EXPECT_EQ(mysql_compare_type("bigint", "bigint(20) unsigned", ""), "number");
  EXPECT_EQ(mysql_compare_type("int", "int(8) unsigned zerofill", ""), "number") << "its width is not its value";
  EXPECT_EQ(mysql_compare_type("bit", "bit(8)", ""), "number");
  EXPECT_EQ(mysql_compare_type("enum", "enum('a','b')", "utf8mb4_bin"), "number enum('a','b')");
  EXPECT_EQ(mysql_compare_type("float", "float", ""), "real");
  EXPECT_EQ(mysql_compare_type("varchar", "varchar(40)", "latin1_swedish_ci"), "text latin1_swedish_ci");
  EXPECT_EQ(mysql_compare_type("VARBINARY", "varbinary(16)", ""), "bytes");
  EXPECT_EQ(mysql_compare_type("json", "json", ""), "long text ");
  EXPECT_EQ(mysql_compare_type("geometry", "geometry", ""), "long bytes");
  EXPECT_EQ(mysql_compare_type("timestamp", "timestamp(6)", ""), "plain timestamp");
}

TEST(MysqlComparePlan, RangesWhereBothSidesOrderTheKeyAlike) {
  const auto by_case = facts({column("name", "text utf8mb4_bin", 1)});
  const auto without_case = facts({column("name", "text utf8mb4_general_ci", 1)});
  EXPECT_EQ(plan_of(without_case, without_case).mode, CompareMode::ranges) << "both by the same rules";
  EXPECT_EQ(plan_of(by_case, without_case).mode, CompareMode::keys);
  EXPECT_EQ(plan_of(facts({column("id", "number", 1)}), facts({column("id", "number", 1)})).mode, CompareMode::ranges);
  EXPECT_EQ(plan_of(facts({column("id", "number", 1)}), by_case).differences.size(), 1U);
}

TEST(MysqlComparePlan, AnEnumOfAnotherDefinitionIsNoKey) {
  const auto blue = facts({column("e", "number enum('a','b')", 1)});
  EXPECT_EQ(plan_of(blue, blue).mode, CompareMode::ranges);
  const auto plan = plan_of(blue, facts({column("e", "number enum('b','a')", 1)}));
  EXPECT_EQ(plan.mode, CompareMode::whole);
  EXPECT_THAT(plan.key, IsEmpty());
  EXPECT_THAT(plan.writer.index, IsEmpty());
  EXPECT_THAT(plan.notes.back(), HasSubstr("another definition"));
}

TEST(MysqlComparePlan, ForcesAnIndexOnlyWhereItHasTheKey) {
  const auto blue = facts({column("a", "number", 1), column("b", "number", 2)});
  auto green = blue;
  green.key_index = "other`one";
  EXPECT_EQ(plan_of(blue, green).follower.index, "other`one");
  green.columns[0].key_position = 2;
  green.columns[1].key_position = 1;
  EXPECT_EQ(plan_of(blue, green).writer.index, "PRIMARY");
  EXPECT_EQ(plan_of(blue, green).follower.index, "") << "it has another order";
}

TEST(MysqlComparePlan, WhatIsLongOnOneSideIsHashedAsLongOnBoth) {
  const auto blue = facts({column("id", "number", 1), column("body", "text utf8mb4_bin")});
  const auto green = facts({column("id", "number", 1), column("body", "long text utf8mb4_bin")});
  const auto plan = plan_of(blue, green);
  ASSERT_THAT(plan.columns, ElementsAre("body", "id"));
  EXPECT_THAT(plan.writer.column_types, ElementsAre("long text utf8mb4_bin", "number"));
  EXPECT_EQ(mysql::sum_sql(plan, plan.writer, {}, 9), mysql::sum_sql(plan, plan.follower, {}, 9));
}

TEST(MysqlCompareSql, APieceOfACompositeKey) {
  const auto blue = facts({column("a", "number", 1), column("b", "text utf8mb4_general_ci", 2), column("c", "real")});
  const auto plan = plan_of(blue, blue);
  const KeyRange range{RowKey{"5", "x"}, RowKey{"9", "y'"}};
  EXPECT_EQ(mysql::sum_sql(plan, plan.writer, range, 11),
            "SELECT COUNT(*), CAST(IF(COUNT(h) < COUNT(*), NULL, IFNULL(SUM(h), 0) % 18446744073709551616) AS CHAR) "
            "FROM (SELECT CAST(CONV(LEFT(SHA2(CONCAT('row', ',', IFNULL(HEX(CAST(t.`a` + 0 AS CHAR)), '-'), ',', "
            "IFNULL(HEX(CONVERT(t.`b` USING utf8mb4)), '-'), ',', IFNULL(HEX(TRIM(TRAILING '.0' FROM "
            "JSON_EXTRACT(JSON_ARRAY(t.`c` + 0e0), '$[0]'))), '-')), 256), 16), 16, 10) AS UNSIGNED) AS h FROM "
            "`shop`.`orders` AS t FORCE INDEX (`PRIMARY`) WHERE t.`a` >= 5 AND "
            "(t.`a` > 5 OR t.`a` = 5 AND t.`b` > 'x') AND t.`a` <= 9 AND (t.`a` < 9 OR t.`a` = 9 AND t.`b` <= 'y''') "
            "LIMIT 11) AS piece");
  EXPECT_THAT(mysql::sum_sql(plan, plan.writer, {}, 11), Not(HasSubstr("WHERE"))) << "both ends open";
  EXPECT_EQ(mysql::bound_sql(plan, plan.writer, {}, 100),
            "SELECT CAST(t.`a` + 0 AS CHAR), CONVERT(t.`b` USING utf8mb4) FROM `shop`.`orders` AS t FORCE INDEX "
            "(`PRIMARY`) ORDER BY t.`a`, t.`b` LIMIT 1 OFFSET 99");
  EXPECT_THAT(mysql::lookup_sql(plan, plan.writer, {{"5", "x"}, {"6", "X"}}),
              HasSubstr(" WHERE t.`a` = 5 AND t.`b` = 'x' AND CAST(CONVERT(t.`b` USING utf8mb4) AS BINARY) = CAST('x' "
                        "AS BINARY) OR t.`a` = 6 AND t.`b` = 'X' AND "));
}

TEST(MysqlCompareSql, AValueIsALiteralOfItsKind) {
  const auto blue =
      facts({column("a", "number", 1), column("b", "bytes", 2), column("c", "real", 3), column("d", "plain date", 4)});
  const auto plan = plan_of(blue, blue);
  const auto asked = [&](const RowKey& key) { return mysql::lookup_sql(plan, plan.writer, {key}); };
  EXPECT_THAT(asked({"18446744073709551615", "0x00FF", "0.1", "0000-00-00"}),
              HasSubstr("WHERE t.`a` = 18446744073709551615 AND t.`b` = X'00FF' AND t.`c` = 0.1e0 AND t.`d` = "
                        "'0000-00-00'"));
  EXPECT_THAT(asked({"-1.50", "0x", "-1e20", "2024-02-29"}),
              HasSubstr("t.`a` = -1.50 AND t.`b` = X'' AND t.`c` = -1e20 AND"));
  // From a file that somebody has edited.
  EXPECT_THAT(asked({"1 OR 1=1", "0x0' OR 1", "e; x", "'"}),
              HasSubstr("t.`a` = '1 OR 1=1' AND t.`b` = '0x0'' OR 1' AND t.`c` = 'e; x' AND t.`d` = ''''"));
}

TEST(MysqlCompareSql, HostileNamesAndValuesStayQuoted) {
  const TableName evil{"s`; DROP TABLE x; --", "t` WHERE 1; --"};
  const auto blue = facts({column("k`; SELECT '1", "text utf8mb4_bin", 1), column("it's", "long bytes")}, "i`)");
  const auto plan = make_mysql_plan(evil, blue, blue, router::Side::blue);
  const RowKey key{"a'; DROP TABLE y; --\\"};
  for (const auto& sql :
       {mysql::bound_sql(plan, plan.writer, {key, key}, 10), mysql::sum_sql(plan, plan.writer, {key, key}, 10),
        mysql::rows_sql(plan, plan.writer, {key, {}}, 10), mysql::page_sql(plan, plan.writer, key, 10),
        mysql::lookup_sql(plan, plan.writer, {key}), mysql::columns_sql(plan, plan.writer, {key})}) {
    EXPECT_THAT(sql, HasSubstr("`s``; DROP TABLE x; --`.`t`` WHERE 1; --` AS t FORCE INDEX (`i``)`)"));
    EXPECT_THAT(sql, HasSubstr("t.`k``; SELECT '1`"));
    EXPECT_THAT(sql, HasSubstr("'a''; DROP TABLE y; --\\'"));
  }
  EXPECT_THAT(mysql::columns_sql(plan, plan.writer, {key}),
              HasSubstr("IF(t.`it's` IS NULL, '-', SHA2(t.`it's`, 256))"));
}

TEST(MysqlCompareSql, TheSessionHasADeadlineOfItsProduct) {
  EXPECT_THAT(mysql_compare_session(MysqlProduct::mariadb, 1'050), HasSubstr("max_statement_time = 1.050"));
  EXPECT_THAT(mysql_compare_session(MysqlProduct::mysql, 1'050), HasSubstr("max_execution_time = 1050"));
}

MysqlRows columns_of(std::vector<MysqlRows::Row> rows) {
  for (auto& row : rows) row.insert(row.begin(), {"shop", "orders"});
  return {{"TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "DATA_TYPE", "COLUMN_TYPE", "COLLATION_NAME", "IS_NULLABLE",
           "GENERATION_EXPRESSION"},
          std::move(rows)};
}

MysqlRows indexes_of(std::vector<MysqlRows::Row> rows, const char* hidden = "IGNORED") {
  for (auto& row : rows) row.insert(row.begin(), {"shop", "orders"});
  return {{"TABLE_SCHEMA", "TABLE_NAME", "INDEX_NAME", "NON_UNIQUE", "COLUMN_NAME", "SUB_PART", "INDEX_TYPE", hidden},
          std::move(rows)};
}

const std::vector<MysqlRows::Row> four_columns = {{"id", "int", "int(11)", std::nullopt, "NO", std::nullopt},
                                                  {"name", "varchar", "varchar(9)", "utf8mb4_bin", "NO", ""},
                                                  {"maybe", "int", "int(11)", std::nullopt, "YES", ""},
                                                  {"twice", "int", "int(11)", std::nullopt, "YES", "`id` * 2"}};

std::vector<std::string> key_of(const TableFacts& found) {
  std::vector<std::string> out;
  for (int at = 1; at <= static_cast<int>(found.columns.size()); ++at) {
    for (const auto& one : found.columns)
      if (one.key_position == at) out.push_back(one.name);
  }
  return out;
}

TEST(MysqlTableFacts, TheFirstKeyThatNamesEveryRow) {
  const auto columns = columns_of(four_columns);
  const auto found = mysql_table_facts(orders, columns,
                                       indexes_of({{"PRIMARY", "0", "name", "3", "BTREE", "NO"},
                                                   {"by_maybe", "0", "maybe", std::nullopt, "BTREE", "NO"},
                                                   {"by_name", "1", "name", std::nullopt, "BTREE", "NO"},
                                                   {"computed", "0", std::nullopt, std::nullopt, "BTREE", "NO"},
                                                   {"hashed", "0", "id", std::nullopt, "HASH", "NO"},
                                                   {"not_used", "0", "id", std::nullopt, "BTREE", "YES"},
                                                   {"the_one", "0", "name", std::nullopt, "BTREE", "NO"},
                                                   {"the_one", "0", "id", std::nullopt, "BTREE", "NO"}}));
  EXPECT_TRUE(found.exists);
  EXPECT_EQ(found.key_index, "the_one");
  EXPECT_THAT(key_of(found), ElementsAre("name", "id"));
  EXPECT_TRUE(found.columns[3].generated);
  EXPECT_FALSE(found.columns[0].leads_an_index);
  EXPECT_TRUE(found.columns[1].leads_an_index);
  EXPECT_EQ(found.columns[1].shown_type, "varchar(9) COLLATE utf8mb4_bin");
  EXPECT_THAT(key_of(mysql_table_facts(orders, columns,
                                       indexes_of({{"u", "0", "id", std::nullopt, "BTREE", "NO"}}, "IS_VISIBLE"))),
              IsEmpty())
      << "MySQL's word for it";
}

TEST(MysqlTableFacts, ATableThatIsCalledAlmostTheSameIsAnother) {
  const auto columns = columns_of(four_columns);
  EXPECT_FALSE(mysql_table_facts({"shop", "Orders"}, columns, indexes_of({})).exists);
  EXPECT_FALSE(mysql_table_facts({"Shop", "orders"}, columns, indexes_of({})).exists);
  EXPECT_THAT(key_of(mysql_table_facts(orders, columns, indexes_of({}))), IsEmpty());
}

}  // namespace
}  // namespace turnout::control
