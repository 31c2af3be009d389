#include "router/mysql_facts.h"

#include <gtest/gtest.h>

#include "router/shadow_plan.h"
#include "router/shadow_rows.h"

namespace turnout::router {
namespace {

TEST(mysql_facts, order) {
  EXPECT_TRUE(mysql_shadow_facts("SELECT a FROM t ORDER BY b").is_ordered);
  EXPECT_TRUE(mysql_shadow_facts("(SELECT a FROM t) UNION ALL SELECT 1 order by 1").is_ordered);
  EXPECT_FALSE(mysql_shadow_facts("SELECT a FROM (SELECT a FROM t ORDER BY b) s").is_ordered);
  EXPECT_FALSE(mysql_shadow_facts("SELECT `order` FROM t").is_ordered);
  EXPECT_FALSE(mysql_shadow_facts("SELECT row_number() OVER (ORDER BY a) FROM t").is_ordered);
  EXPECT_TRUE(mysql_shadow_facts("SELECT row_number() OVER (ORDER BY a) FROM t").numbers_rows);
  EXPECT_TRUE(mysql_shadow_facts("SELECT a FROM t LIMIT 1").cuts_by_order);
  EXPECT_TRUE(mysql_shadow_facts("SELECT a FROM t ORDER BY a FETCH FIRST 1 ROWS ONLY").cuts_by_order);
  EXPECT_FALSE(mysql_shadow_facts("SELECT a, 'LIMIT 1' FROM t").cuts_by_order);
  EXPECT_TRUE(mysql_shadow_facts("SELECT GROUP_CONCAT(a) FROM t").gathers_freely);
  EXPECT_TRUE(mysql_shadow_facts("SELECT GROUP_CONCAT(a ORDER BY a), JSON_ARRAYAGG(a) FROM t").gathers_freely);
  EXPECT_FALSE(mysql_shadow_facts("SELECT GROUP_CONCAT(a ORDER BY a SEPARATOR ',') FROM t").gathers_freely);
  EXPECT_FALSE(mysql_shadow_facts("SELECT SUM(a) FROM t").gathers_freely);
}

TEST(mysql_facts, what_is_never_the_same) {
  const auto why = [](const char* sql) { return mysql_shadow_facts(sql).never_same; };
  for (const auto& [sql, reason] : std::initializer_list<std::pair<const char*, const char*>>{
           {"SELECT RAND()", "rand()"},
           {"SELECT a FROM t ORDER BY rand() LIMIT 1", "rand()"},
           {"SELECT UUID()", "uuid()"},
           {"SELECT CONNECTION_ID()", "connection_id()"},
           {"SELECT VERSION()", "version()"},
           {"SELECT CURRENT_USER", "current_user()"},
           {"SELECT LAST_INSERT_ID()", "last_insert_id()"},
           {"SELECT FOUND_ROWS()", "found_rows()"},
           {"SELECT @@server_id", "a variable"},
           {"SELECT NOW() - made FROM t", "now()"},
           {"SELECT CURRENT_TIMESTAMP", "current_timestamp()"},
           {"SELECT UNIX_TIMESTAMP()", "unix_timestamp()"},
           {"SELECT UNIX_TIMESTAMP(made) FROM t", ""},
           {"SELECT a FROM t WHERE b = (SELECT MAX(made) FROM u WHERE made < NOW())", ""},
           {"SELECT a FROM t JOIN u ON u.made > NOW() GROUP BY NOW()", "now()"},
           {"SELECT 1; SELECT 2", "it has several statements"},
           {"SELECT 1;", ""},
           {"SELECT 'a", "it cannot be read"},
           {"SELECT a FROM t WHERE b = 'rand()'", ""},
           {"SELECT t.rand, now FROM t", ""}})
    EXPECT_EQ(why(sql), reason) << sql;
  EXPECT_TRUE(mysql_shadow_facts("SELECT a FROM t WHERE made > NOW() - INTERVAL 1 DAY").depends_on_time);
}

// As the readers keep rows: a length of four bytes, how many values, each behind its length.
std::string kept_row(const std::vector<std::string>& values) {
  std::string row(1, '\0');
  row += static_cast<char>(values.size());
  for (const std::string& value : values) row += std::string(3, '\0') + static_cast<char>(value.size()) + value;
  const auto length = static_cast<std::uint32_t>(row.size());
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + row;
}

TEST(shadow_plan, a_table_of_columns_is_a_line_a_row) {
  KeptAnswer answer;
  answer.columns = {{"id"}, {"table"}, {"rows"}, {"Extra"}};
  answer.rows =
      kept_row({"1", "t", "12", "Using where; Range checked (index map: 0x1)"}) + kept_row({"1", "u", "3", ""});
  EXPECT_EQ(masked_plan(plan_text(answer), 4'000),
            "id=1 table=t rows=12 Extra=Using where; Range checked (index map: ?)\nid=1 table=u rows=3 Extra=");
  answer.columns = {{"QUERY PLAN"}};
  answer.rows = kept_row({"Seq Scan on t"}) + kept_row({"  Filter: (a = 'secret'::text)"});
  EXPECT_EQ(plan_text(answer), "Seq Scan on t\n  Filter: (a = 'secret'::text)");
  EXPECT_EQ(masked_plan(plan_text(answer), 4'000).find("secret"), std::string::npos);
}

}  // namespace
}  // namespace turnout::router
