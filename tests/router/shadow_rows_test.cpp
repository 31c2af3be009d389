#include "router/shadow_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/router/shadow_answers.h"

namespace turnout::router {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<TestColumn> columns = {{"id", 23}, {"total", 701}, {"word", 25}};
const ShadowFacts no_facts;

ShadowFacts ordered() {
  ShadowFacts facts;
  facts.is_ordered = true;
  return facts;
}

Explanation explained(const std::vector<std::vector<Value>>& writer, const std::vector<std::vector<Value>>& other,
                      const ShadowFacts& facts) {
  const KeptAnswer here = kept(writer, columns), there = kept(other, columns);
  return explain_difference(here, there, match(here.digest, there.digest, facts.is_ordered), facts);
}

TEST(shadow_rows, floats_that_differ_in_their_last_digits) {
  for (const ShadowFacts& facts : {no_facts, ordered()}) {
    const Explanation told =
        explained({{"1", "0.30000000000000004", "a"}, {"2", "1", "b"}}, {{"1", "0.3", "a"}, {"2", "1", "b"}}, facts);
    EXPECT_TRUE(told.is_explained);
    EXPECT_THAT(told.text, HasSubstr("last digits"));
    EXPECT_THAT(told.text, HasSubstr("1 row, in total"));
    EXPECT_FALSE(explained({{"1", "0.30000000000000004", "a"}}, {{"1", "0.3001", "a"}}, facts).is_explained);
    EXPECT_FALSE(explained({{"1", "0.3", "a"}}, {{"1", "NaN", "a"}}, facts).is_explained);
    EXPECT_FALSE(explained({{"1", "0.3", "a"}}, {{"1", std::nullopt, "a"}}, facts).is_explained);
    EXPECT_FALSE(explained({{"1", "0.3", "0.3"}}, {{"1", "0.3", "0.30000000000000004"}}, facts).is_explained)
        << "a text is no float";
  }
}

TEST(shadow_rows, rows_without_order_are_paired_by_what_is_no_float) {
  const Explanation told = explained({{"1", "0.30000000000000004", "a"}, {"2", "0.1", "b"}, {"3", "7", "c"}},
                                     {{"3", "7", "c"}, {"2", "0.10000000000000001", "b"}, {"1", "0.3", "a"}}, no_facts);
  EXPECT_TRUE(told.is_explained);
  EXPECT_THAT(told.text, HasSubstr("2 rows, in total"));
}

TEST(shadow_rows, floats_in_binary) {
  const std::vector<TestColumn> binary = {{"total", 701, true}};
  const auto bytes_of_double = [](std::uint64_t bits) {
    std::string out;
    for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(bits >> shift & 0xff));
    return out;
  };
  const std::uint64_t one_third = 0x3fd5555555555555;
  const auto told = [&](std::uint64_t here, std::uint64_t there) {
    const KeptAnswer a = kept({{bytes_of_double(here)}}, binary), b = kept({{bytes_of_double(there)}}, binary);
    return explain_difference(a, b, ShadowMatch::rows, no_facts);
  };
  EXPECT_TRUE(told(one_third, one_third + 2).is_explained);
  EXPECT_FALSE(told(one_third, one_third + (std::uint64_t{1} << 40)).is_explained);
}

TEST(shadow_rows, another_order_says_where_it_begins_and_what_may_have_done_it) {
  const Explanation told = explained({{"1", "1", "a"}, {"2", "2", "B"}, {"3", "3", "c"}},
                                     {{"1", "1", "a"}, {"3", "3", "c"}, {"2", "2", "B"}}, ordered());
  EXPECT_TRUE(told.is_explained);
  EXPECT_THAT(told.text, HasSubstr("from row 2 on"));
  EXPECT_THAT(told.text, HasSubstr("collation"));
}

TEST(shadow_rows, an_aggregate_without_order) {
  ShadowFacts facts;
  facts.gathers_freely = true;
  EXPECT_TRUE(explained({{"1", "1", "{a,b,c}"}}, {{"1", "1", "{c,a,b}"}}, facts).is_explained);
  EXPECT_FALSE(explained({{"1", "1", "{a,b,c}"}}, {{"1", "1", "{a,b,d}"}}, facts).is_explained);
  EXPECT_FALSE(explained({{"1", "1", "{a,b,c}"}}, {{"1", "1", "{c,a,b}"}}, no_facts).is_explained);
}

TEST(shadow_rows, what_is_not_explained_is_told_without_a_value) {
  const Explanation told =
      explained({{"1", "1", "secret"}, {"2", "2", "b"}}, {{"1", "1", "hidden"}, {"2", "2", "b"}}, ordered());
  EXPECT_FALSE(told.is_explained);
  EXPECT_THAT(told.text, HasSubstr("in word"));
  EXPECT_THAT(told.text, HasSubstr("row 1"));
  EXPECT_THAT(told.text, Not(HasSubstr("secret")));
  EXPECT_THAT(explained({{"1", "1", "a"}}, {}, no_facts).text, HasSubstr("1 row on the writer, 0 on the other side"));
  ShadowFacts cut = ordered();
  cut.cuts_by_order = true;
  EXPECT_THAT(explained({{"1", "1", "a"}}, {{"9", "1", "a"}}, cut).text, HasSubstr("hangs on the order"));
}

TEST(shadow_rows, errors_and_columns) {
  const auto failed = [](const std::string& sqlstate) {
    const AnswerReader reader = reader_of(failure(sqlstate) + ready(), {1 << 20, 1 << 20});
    return KeptAnswer{reader.digest(), {}, {}, true};
  };
  const KeptAnswer fine = kept({{"1"}}, {{"id", 23}});
  EXPECT_EQ(explain_difference(fine, failed("42P01"), ShadowMatch::error, no_facts).text,
            "the writer gives 1 row, the other side error 42P01");
  EXPECT_THAT(explain_difference(fine, kept({{"1"}}, {{"id", 20}}), ShadowMatch::columns, no_facts).text,
              HasSubstr("type number 23 here and 20 there"));
}

TEST(shadow_rows, answers_too_long_to_be_kept) {
  KeptAnswer here = kept({{"1", "1", "a"}}, columns), there = kept({{"2", "1", "a"}}, columns);
  there.has_rows = false;
  const Explanation told = explain_difference(here, there, ShadowMatch::rows, no_facts);
  EXPECT_FALSE(told.is_explained);
  EXPECT_THAT(told.text, HasSubstr("too long"));
}

}  // namespace
}  // namespace turnout::router
