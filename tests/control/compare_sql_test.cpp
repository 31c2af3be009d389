// How a table is cut into pieces, and that no name, value or collation can break what is asked.
#include "control/compare_sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnout::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

ColumnFact column(std::string name, std::string type, int key_position = 0, bool ordered_alike = true) {
  ColumnFact one;
  one.name = std::move(name);
  one.type = one.shown_type = std::move(type);
  one.not_null = true;
  one.key_position = key_position;
  one.ordered_alike = ordered_alike;
  one.leads_an_index = key_position == 1;
  return one;
}

TableFacts facts(std::vector<ColumnFact> columns) {
  TableFacts out;
  out.exists = true;
  out.columns = std::move(columns);
  return out;
}

const TableName orders{"public", "orders"};

ComparePlan plan_of(const TableFacts& blue, const TableFacts& green) {
  return make_plan(orders, blue, green, {}, "", HashMethod::quick, router::Side::blue);
}

TEST(ComparePlan, RangesWhereBothSidesOrderTheKeyAlike) {
  const auto blue = facts({column("b", "integer", 2), column("z", "text"), column("a", "bigint", 1)});
  const auto plan = plan_of(blue, blue);
  EXPECT_EQ(plan.mode, CompareMode::ranges);
  ASSERT_EQ(plan.key.size(), 2U);
  EXPECT_EQ(plan.key[0].name, "a");
  EXPECT_EQ(plan.key[1].name, "b");
  EXPECT_THAT(plan.columns, ElementsAre("a", "b", "z")) << "by name, whatever the order in the table";
  EXPECT_THAT(plan.notes, IsEmpty());
  EXPECT_THAT(plan.differences, IsEmpty());
}

TEST(ComparePlan, KeysWhereASideMayOrderOtherwise) {
  const auto bytewise = facts({column("id", "text", 1, true)});
  const auto by_locale = facts({column("id", "text", 1, false)});
  EXPECT_EQ(plan_of(bytewise, bytewise).mode, CompareMode::ranges);
  EXPECT_EQ(plan_of(by_locale, bytewise).mode, CompareMode::keys);
  EXPECT_EQ(plan_of(bytewise, by_locale).mode, CompareMode::keys);
  // Texts and numbers are not ordered alike, whatever each does for itself.
  EXPECT_EQ(plan_of(facts({column("id", "integer", 1)}), bytewise).mode, CompareMode::keys);
}

TEST(ComparePlan, AKeyThatCannotBeUsedIsNoKey) {
  const auto without = plan_of(facts({column("a", "integer")}), facts({column("a", "integer")}));
  EXPECT_EQ(without.mode, CompareMode::whole);
  EXPECT_THAT(without.notes, ElementsAre(HasSubstr("no key")));
  auto generated = column("id", "integer", 1);
  generated.generated = true;
  EXPECT_EQ(plan_of(facts({generated, column("a", "integer")}), facts({generated, column("a", "integer")})).mode,
            CompareMode::whole);
}

TEST(ComparePlan, WhatIsNotComparedIsSaid) {
  auto generated = column("total", "integer");
  generated.generated = true;
  auto wider = column("n", "bigint");
  const auto blue = facts(
      {column("id", "integer", 1), column("gone", "text"), column("n", "integer"), generated, column("x", "text")});
  const auto green =
      facts({column("id", "integer", 1), wider, generated, column("extra", "text"), column("x", "text")});
  const auto plan =
      make_plan(orders, blue, green, {"id", "gone", "n", "total"}, "", HashMethod::quick, router::Side::blue);
  EXPECT_THAT(plan.columns, ElementsAre("id", "n"));
  EXPECT_THAT(plan.differences, ElementsAre("column gone is only on blue"));
  EXPECT_THAT(
      plan.notes,
      ElementsAre(HasSubstr("column n is integer on blue and bigint on green"), "not published, not compared: x",
                  "not compared, each side generates its own: total", "only on green, not compared: extra"));
  TableFacts none;
  EXPECT_THAT(plan_of(blue, none).differences, ElementsAre("the table is only on blue"));
  EXPECT_THAT(plan_of(none, green).differences, ElementsAre("the table is only on green"));
  EXPECT_THAT(plan_of(none, none).differences, IsEmpty()) << "dropped while we were at it";
  EXPECT_FALSE(plan_of(none, none).is_readable);
  auto unindexed = column("id", "integer", 1);
  unindexed.leads_an_index = unindexed.not_null = false;
  const auto slow = plan_of(facts({column("id", "integer", 1)}), facts({unindexed}));
  EXPECT_THAT(slow.notes, ElementsAre(HasSubstr("no index on green begins with id")));
  EXPECT_TRUE(slow.follower_key_may_be_null);
}

TEST(CompareSql, HostileNamesAndValuesStayQuoted) {
  const TableName evil{"s\"; DROP TABLE x; --", "t\" WHERE true; --"};
  const auto blue = facts({column("k\"; SELECT '1", "text", 1), column("it's", "text")});
  const auto plan = make_plan(evil, blue, blue, {}, "", HashMethod::quick, router::Side::blue);
  const RowKey key{"a'; DROP TABLE y; --\\"};
  for (const auto& sql : {bound_sql(plan, plan.writer, {key, key}, 10), sum_sql(plan, plan.writer, {key, key}, 10),
                          rows_sql(plan, plan.writer, {key, {}}, 10), page_sql(plan, plan.writer, key, 10),
                          lookup_sql(plan, plan.writer, {key}), columns_sql(plan, plan.writer, {key})}) {
    EXPECT_THAT(sql, HasSubstr(R"("s""; DROP TABLE x; --"."t"" WHERE true; --")"));
    EXPECT_THAT(sql, HasSubstr(R"(t."k""; SELECT '1")"));
    EXPECT_THAT(sql, HasSubstr(R"(E'a''; DROP TABLE y; --\\'::text)"));
  }
}

TEST(CompareSql, APieceIsTheSameOnBothSides) {
  const auto blue = facts({column("a", "integer", 1), column("b", "text", 2)});
  auto plan = plan_of(blue, blue);
  const KeyRange range{RowKey{"5", "x"}, RowKey{"9", "y"}};
  EXPECT_EQ(
      sum_sql(plan, plan.writer, range, 11),
      "SELECT count(*), (coalesce(sum(h), 0) % 18446744073709551616)::text FROM (SELECT "
      "hashtextextended((ROW(t.\"a\", t.\"b\")::text) COLLATE \"C\", 0) AS h FROM ONLY \"public\".\"orders\" AS t "
      "WHERE (t.\"a\", t.\"b\") > ('5'::integer, 'x'::text) AND (t.\"a\", t.\"b\") <= ('9'::integer, 'y'::text) "
      "LIMIT 11) AS piece");
  EXPECT_EQ(sum_sql(plan, plan.writer, range, 11), sum_sql(plan, plan.follower, range, 11));
  EXPECT_THAT(sum_sql(plan, plan.writer, {}, 11), Not(HasSubstr("WHERE"))) << "both ends open: surplus rows show";
  EXPECT_THAT(bound_sql(plan, plan.writer, {RowKey{"5", "x"}, {}}, 100), HasSubstr("OFFSET 99 LIMIT 1"));
  plan.writer.filter = "a > 3 OR b = 'x'";
  EXPECT_THAT(sum_sql(plan, plan.writer, {}, 11), HasSubstr(" WHERE (a > 3 OR b = 'x') LIMIT"));
  EXPECT_THAT(sum_sql(plan, plan.follower, {}, 11), Not(HasSubstr("a > 3"))) << "the filter is the publication's";
  plan.writer.is_partitioned = true;
  EXPECT_THAT(sum_sql(plan, plan.writer, {}, 11), Not(HasSubstr("ONLY")));
  plan.hash = HashMethod::portable;
  EXPECT_THAT(sum_sql(plan, plan.writer, {}, 11), HasSubstr("md5(convert_to(ROW(t.\"a\", t.\"b\")::text, 'UTF8'))"));
}

}  // namespace
}  // namespace turnout::control
