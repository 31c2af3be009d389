#include "router/shadow_answer.h"

#include <gtest/gtest.h>

#include "router/shadow_match.h"
#include "tests/router/shadow_answers.h"

namespace turnout::router {
namespace {

namespace pg = protocol::pg;

const std::vector<TestColumn> two_columns = {{"id", 23}, {"body", 25}};

AnswerDigest digest_of(const std::string& bytes) {
  const AnswerReader reader = reader_of(bytes);
  EXPECT_TRUE(reader.is_over());
  return reader.digest();
}

ShadowMatch matched(const std::string& writer, const std::string& other, bool is_ordered = true) {
  return match(digest_of(writer), digest_of(other), is_ordered);
}

TEST(shadow_answer, wherever_it_is_cut_the_hashes_are_the_same) {
  const std::string bytes = answer(
      {{"1", "a text of more than eight bytes"}, {"2", std::nullopt}, {"3", ""}, {"45678901", "x"}}, two_columns);
  const AnswerDigest whole = digest_of(bytes);
  EXPECT_EQ(whole.rows, 4U);
  EXPECT_EQ(whole.results, 1U);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    AnswerReader reader(ShapeHash(42), {});
    reader.feed(pg::bytes_of(bytes).first(cut));
    EXPECT_EQ(reader.is_over(), cut == bytes.size());
    reader.feed(pg::bytes_of(bytes).subspan(cut));
    EXPECT_TRUE(reader.is_over());
    EXPECT_EQ(match(whole, reader.digest(), true), ShadowMatch::same) << "cut at " << cut;
  }
  AnswerReader by_byte(ShapeHash(42), {});
  for (const std::uint8_t byte : pg::bytes_of(bytes)) by_byte.feed({&byte, 1});
  EXPECT_EQ(match(whole, by_byte.digest(), true), ShadowMatch::same);
}

TEST(shadow_answer, values_are_told_apart) {
  const std::vector<std::vector<std::vector<Value>>> different = {{{"1", "ab"}},
                                                                  {{"1a", "b"}},
                                                                  {{"1", std::nullopt}},
                                                                  {{"1", ""}},
                                                                  {{std::nullopt, "1"}},
                                                                  {{"1", "ab "}},
                                                                  {{"1", "aB"}},
                                                                  {{"1"}},
                                                                  {{"1", "ab", ""}},
                                                                  {{"1", "ab"}, {"1", "ab"}},
                                                                  {{"1"}, {"ab"}},
                                                                  {{"1", "ab", "ab"}},
                                                                  {},
                                                                  {{"1", "abcdefgh"}},
                                                                  {{"1", std::string("ab\0", 3)}}};
  for (std::size_t i = 0; i < different.size(); ++i) {
    for (std::size_t j = 0; j < different.size(); ++j) {
      for (const bool is_ordered : {true, false}) {
        const ShadowMatch found = matched(answer(different[i]), answer(different[j]), is_ordered);
        EXPECT_EQ(found, i == j ? ShadowMatch::same : ShadowMatch::rows) << i << " and " << j;
      }
    }
  }
}

TEST(shadow_answer, order_counts_where_the_statement_asks_for_one) {
  const std::string writer = answer({{"1"}, {"2"}, {"2"}, {"3"}}), other = answer({{"2"}, {"3"}, {"2"}, {"1"}});
  EXPECT_EQ(matched(writer, other, true), ShadowMatch::order);
  EXPECT_EQ(matched(writer, other, false), ShadowMatch::same);
  EXPECT_EQ(matched(writer, answer({{"1"}, {"2"}, {"3"}, {"3"}}), false), ShadowMatch::rows) << "how often counts";
}

TEST(shadow_answer, the_rows_of_two_results_do_not_mix) {
  const std::string one_and_two = row_message({"1"}) + complete() + row_message({"2"}) + complete() + ready();
  const std::string two_and_one = row_message({"2"}) + complete() + row_message({"1"}) + complete() + ready();
  const std::string both = row_message({"1"}) + row_message({"2"}) + complete() + complete() + ready();
  EXPECT_EQ(matched(one_and_two, two_and_one, false), ShadowMatch::rows);
  EXPECT_EQ(matched(one_and_two, both, false), ShadowMatch::rows);
}

TEST(shadow_answer, columns_are_names_and_types_but_not_formats_or_tables) {
  const std::string writer = answer({{"1"}}, {{"id", 23}});
  EXPECT_EQ(matched(writer, answer({{"1"}}, {{"ID", 23}})), ShadowMatch::columns);
  EXPECT_EQ(matched(writer, answer({{"1"}}, {{"id", 20}})), ShadowMatch::columns);
  EXPECT_EQ(matched(writer, answer({{"1"}}, {{"id", 23}, {"more", 23}})), ShadowMatch::columns);
  EXPECT_EQ(matched(writer, answer({{"1"}}, {{"id", 23, true}})), ShadowMatch::same);
  EXPECT_EQ(matched(writer, answer({{"1"}})), ShadowMatch::same) << "one of them was not described";
  EXPECT_EQ(matched(writer, description({{"id", 23}}) + writer), ShadowMatch::same) << "asked twice";
  const std::string two = description({{"a", 23}}) + complete() + description({{"b", 23}}) + complete() + ready();
  EXPECT_EQ(matched(two, two), ShadowMatch::same);
  EXPECT_EQ(matched(two, complete() + description({{"b", 23}}) + complete() + ready()), ShadowMatch::columns);
}

TEST(shadow_answer, errors) {
  const std::string fine = answer({{"1"}}), failed = failure("42P01") + ready();
  EXPECT_EQ(matched(failed, failed), ShadowMatch::same);
  EXPECT_EQ(matched(fine, failed), ShadowMatch::error);
  EXPECT_EQ(matched(failed, fine), ShadowMatch::error);
  EXPECT_EQ(matched(failed, failure("42703") + ready()), ShadowMatch::error);
  EXPECT_EQ(digest_of(row_message({"1"}) + failed).sqlstate, "42P01") << "after the first rows";
}

TEST(shadow_answer, what_comes_before_and_behind_is_not_its_own) {
  std::string set;
  pg::put_parameter_status(set, "TimeZone", "UTC");
  const std::string bytes = set + complete("SET") + ready() + complete("SET") + ready() + answer({{"7"}});
  AnswerReader reader(ShapeHash(42), {});
  reader.skip(2);
  const std::string all = bytes + answer({{"8"}});
  EXPECT_EQ(reader.feed(pg::bytes_of(all)), bytes.size()) << "what follows is the next one's";
  EXPECT_EQ(match(digest_of(answer({{"7"}})), reader.digest(), true), ShadowMatch::same);
  EXPECT_FALSE(reader.has_failed_before());

  AnswerReader failed(ShapeHash(42), {});
  failed.skip(1);
  failed.feed(pg::bytes_of(failure("22023") + ready() + answer({{"7"}})));
  EXPECT_TRUE(failed.has_failed_before());
}

TEST(shadow_answer, limits_and_what_cannot_be_compared) {
  const std::string bytes = answer({{"0123456789"}, {"0123456789"}});
  EXPECT_EQ(reader_of(bytes, {31, 0}).digest().gap, AnswerGap::too_long);
  EXPECT_EQ(reader_of(bytes, {32, 0}).digest().gap, AnswerGap::none);
  const AnswerReader keeps = reader_of(bytes, {100, 40}), keeps_none = reader_of(bytes, {100, 39});
  EXPECT_TRUE(keeps.keeps_rows());
  EXPECT_EQ(keeps.kept().size(), 40U);
  EXPECT_FALSE(keeps_none.keeps_rows());
  EXPECT_EQ(keeps_none.kept(), "");
  EXPECT_EQ(match(keeps.digest(), keeps_none.digest(), true), ShadowMatch::same);

  std::string suspended;
  pg::put_empty_message(suspended, 's');
  EXPECT_EQ(reader_of(row_message({"1"}) + suspended + ready()).digest().gap, AnswerGap::suspended);
  EXPECT_EQ(matched(row_message({"1"}) + suspended + ready(), answer({{"1"}})), ShadowMatch::unknown);
}

TEST(shadow_answer, malformed_bytes_are_a_gap_and_no_crash) {
  std::string more_fields;
  pg::Writer(more_fields).begin('D').u16(2).u32(1).raw("a").end();
  std::string fewer_fields;
  pg::Writer(fewer_fields).begin('D').u16(0).u32(1).raw("a").end();
  std::string too_long;
  pg::Writer(too_long).begin('D').u16(1).u32(100).raw("a").end();
  std::string description_cut;
  pg::Writer(description_cut).begin('T').u16(3).cstring("a").u32(1).end();
  for (const std::string& bad : {more_fields, fewer_fields, too_long, description_cut})
    EXPECT_EQ(reader_of(bad + complete() + ready()).digest().gap, AnswerGap::malformed);
  AnswerReader reader(ShapeHash(42), {});
  reader.feed(pg::bytes_of(std::string("D\0\0\0\1", 5)));
  EXPECT_TRUE(reader.is_over());
  EXPECT_EQ(reader.digest().gap, AnswerGap::malformed);
}

}  // namespace
}  // namespace turnout::router
