#include "router/verdict_cache.h"

#include <gtest/gtest.h>

#include <string>

#include "router/catalog.h"
#include "tests/router/corpus.h"
#include "tests/router/sample_catalog.h"

namespace turnout::router::test {
namespace {

TEST(verdict_cache, says_what_the_classifier_says_the_first_and_the_second_time) {
  const CatalogPtr catalog = sample_catalog();
  VerdictCache cache(99);
  for (int round = 0; round < 2; ++round) {
    for (const CorpusRow& row : read_corpus()) {
      if (row.is_missed) continue;
      EXPECT_STREQ(name(cache.verdict(row.sql, catalog, "app", row.search_path, true)), name(row.verdict))
          << "round " << round << ": " << row.sql;
    }
  }
  EXPECT_GT(cache.counters().hits, cache.counters().misses / 2);
}

TEST(verdict_cache, names_the_shape_of_the_latest_text) {
  VerdictCache cache(1), same_seed(1), other_seed(2);
  const CatalogPtr first = sample_catalog(1), second = sample_catalog(2);
  const auto shape = [](VerdictCache& from, const CatalogPtr& catalog, const char* sql, const char* path = "") {
    static_cast<void>(from.verdict(sql, catalog, "app", path, true));
    return from.last_shape();
  };
  const std::uint64_t one = shape(cache, first, "SELECT * FROM orders WHERE id = 1");
  EXPECT_NE(one, 0U);
  EXPECT_EQ(shape(cache, first, "select * from orders where id = 77"), one);
  EXPECT_EQ(shape(cache, second, "SELECT * FROM orders WHERE id = 1"), one) << "a new catalog does not make it another";
  EXPECT_EQ(shape(same_seed, first, "SELECT * FROM orders WHERE id = 1"), one) << "every worker names it alike";
  EXPECT_NE(shape(other_seed, first, "SELECT * FROM orders WHERE id = 1"), one);
  EXPECT_NE(shape(cache, first, "SELECT * FROM orders WHERE id = 1", "shop"), one);
  EXPECT_NE(shape(cache, first, "SELECT * FROM orders WHERE account = 1"), one);
  EXPECT_EQ(shape(cache, first, "SELECT 'unterminated"), 0U);
}

TEST(verdict_cache, one_shape_is_parsed_once) {
  const CatalogPtr catalog = sample_catalog();
  VerdictCache cache(1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(cache.verdict("SELECT * FROM orders WHERE id = " + std::to_string(i), catalog, "app", "", true),
              Verdict::read);
  }
  EXPECT_EQ(cache.counters().misses, 1U);
  EXPECT_EQ(cache.counters().hits, 99U);
}

TEST(verdict_cache, the_context_is_part_of_the_key) {
  VerdictCache cache(1);
  const CatalogPtr first = sample_catalog(1);
  const char* sql = "SELECT * FROM stock";
  EXPECT_EQ(cache.verdict(sql, first, "app", "public", true), Verdict::read);
  EXPECT_EQ(cache.verdict(sql, first, "app", "shop", true), Verdict::read_writer);
  EXPECT_EQ(cache.verdict(sql, first, "other", "public", true), Verdict::write);
  // The next generation drops the table; a catalog of another deployment with the same number never had it.
  CatalogBuilder builder;
  builder.add_database("app");
  EXPECT_EQ(cache.verdict(sql, builder.build(2, "d"), "app", "public", true), Verdict::read_writer);
  builder.add_database("app");
  EXPECT_EQ(cache.verdict(sql, builder.build(1, "e"), "app", "public", true), Verdict::read_writer);
  EXPECT_EQ(cache.verdict(sql, nullptr, "app", "public", true), Verdict::write);
  EXPECT_EQ(cache.verdict(sql, first, "app", "public", true), Verdict::read);
  EXPECT_EQ(cache.counters().hits, 1U);
}

TEST(verdict_cache, the_borders_of_the_context_do_not_run_together) {
  VerdictCache cache(1);
  const CatalogPtr catalog = sample_catalog();
  EXPECT_EQ(cache.verdict("SELECT * FROM stock", catalog, "app", "public", true), Verdict::read);
  EXPECT_EQ(cache.verdict("SELECT * FROM stock", catalog, "appp", "ublic", true), Verdict::write);
}

TEST(verdict_cache, a_literal_that_decides_is_looked_at_each_time) {
  VerdictCache cache(1);
  const CatalogPtr catalog = sample_catalog();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(cache.verdict("SELECT current_setting('work_mem')", catalog, "app", "", true), Verdict::read_writer);
    EXPECT_EQ(cache.verdict("SELECT current_setting('transaction_read_only')", catalog, "app", "", true),
              Verdict::write);
  }
  EXPECT_EQ(cache.counters().hits, 0U);
  EXPECT_EQ(cache.verdict("SELECT U&\"now!0020\" UESCAPE '!'", catalog, "app", "", true),
            cache.verdict("SELECT U&\"now!0020\" UESCAPE '!'", catalog, "app", "", true));
  EXPECT_EQ(cache.counters().hits, 0U);
}

// The outline leads to the entry of the shape: the same verdict and the same name of it, whether it is there or not.
TEST(verdict_cache, what_is_found_by_outline_is_what_is_found_by_shape) {
  const CatalogPtr catalog = sample_catalog();
  VerdictCache cache(7);
  for (const CorpusRow& row : read_corpus()) {
    VerdictCache fresh(7);
    const Verdict first = fresh.verdict(row.sql, catalog, "app", row.search_path, true);
    for (int round = 0; round < 2; ++round) {
      EXPECT_EQ(cache.verdict(row.sql, catalog, "app", row.search_path, true), first) << row.sql;
      EXPECT_EQ(cache.last_shape(), fresh.last_shape()) << row.sql;
    }
  }
}

TEST(verdict_cache, names_with_other_digits_are_other_names) {
  const CatalogPtr catalog = sample_catalog();
  VerdictCache cache(7);
  EXPECT_EQ(cache.verdict("SELECT * FROM orders WHERE id = 1", catalog, "app", "", true), Verdict::read);
  EXPECT_NE(cache.verdict("SELECT * FROM orders1 WHERE id = 1", catalog, "app", "", true), Verdict::read);
  EXPECT_NE(cache.verdict("SELECT * FROM orders2 WHERE id = 1", catalog, "app", "", true), Verdict::read);
  EXPECT_EQ(cache.counters().hits, 0U);
}

TEST(verdict_cache, text_that_cannot_be_trusted_or_is_too_long_is_a_write) {
  VerdictCache cache(1);
  const CatalogPtr catalog = sample_catalog();
  EXPECT_EQ(cache.verdict("SELECT 1", catalog, "app", "", false), Verdict::write);
  EXPECT_EQ(cache.verdict("SELECT 'x", catalog, "app", "", true), Verdict::write);
  EXPECT_EQ(cache.verdict("SELECT '" + std::string(classified_bytes_max, 'x') + "'", catalog, "app", "", true),
            Verdict::write);
  EXPECT_EQ(cache.counters().misses, 0U);
}

TEST(verdict_cache, is_bounded_and_keeps_what_is_used) {
  VerdictCache cache(5, 64);
  const CatalogPtr catalog = sample_catalog();
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_EQ(cache.verdict("SELECT 1 AS hot", catalog, "app", "", true), Verdict::read);
    EXPECT_EQ(cache.verdict("SELECT 1 AS cold" + std::to_string(i), catalog, "app", "", true), Verdict::read);
  }
  EXPECT_EQ(cache.counters().misses, 1'001U);
  EXPECT_EQ(cache.counters().hits, 999U);
  EXPECT_GE(cache.counters().evictions, 1'001U - 64U);
}

TEST(verdict_cache, can_be_as_small_as_one) {
  VerdictCache cache(5, 1);
  const CatalogPtr catalog = sample_catalog();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(cache.verdict("SELECT 1 AS a" + std::to_string(i % 7), catalog, "app", "", true), Verdict::read);
  }
  VerdictCache moved = std::move(cache);
  EXPECT_EQ(moved.counters().hits + moved.counters().misses, 50U);
}

}  // namespace
}  // namespace turnout::router::test
