#include "router/mysql_classify.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "router/mysql_shape.h"
#include "router/verdict_cache.h"
#include "tests/router/corpus.h"

namespace turnout::router::test {
namespace {

constexpr const char* corpus_file = "mysql_corpus.tsv";

// As tests/e2e/test_mysql_reads.py makes it on a server.
CatalogPtr shop_catalog() {
  CatalogBuilder builder;
  const auto server = mysql_catalog_database;
  builder.add_database(server);
  for (const char* name : {"item", "orders", "customer", "sbtest1", "parted", "docs", "words", "versioned", "good",
                           "better", "ITEM_UPPER"})
    builder.add_relation(server, {"shop", name, 'r', 'p', true});
  for (const char* name : {"plain_myisam", "in_memory"}) builder.add_relation(server, {"shop", name, 'r', 'p', false});
  for (const char* name : {"bad", "worse"}) builder.add_relation(server, {"shop", name, 'v', 'p', false});
  builder.add_relation(server, {"shop", "numbers", 'S', 'p', false});
  builder.add_relation(server, {"other", "stock", 'r', 'p', true});
  for (const char* name : {"f", "bin_to_uuid"}) builder.add_function(server, {"stored", name, 'v'});
  return builder.build(1);
}

TEST(mysql_classify, corpus) {
  const CatalogPtr catalog = shop_catalog();
  const std::vector<CorpusRow> rows = read_corpus(corpus_file);
  ASSERT_GE(rows.size(), 500U);
  int plain_reads = 0, proven = 0, writes_called_reads = 0;
  for (const CorpusRow& row : rows) {
    const Classified found = classify_mysql(row.sql, *catalog, row.search_path);
    const bool is_read = found.verdict == Verdict::read;
    if (row.verdict == Verdict::read) {
      ++plain_reads;
      proven += is_read ? 1 : 0;
    } else if (row.verdict == Verdict::write && is_read) {
      ++writes_called_reads;
    }
    EXPECT_STREQ(name(found.verdict), name(row.verdict))
        << corpus_file << ":" << row.line << ": " << row.sql << "\n  because: " << found.why;
    EXPECT_EQ(found.why.empty(), found.verdict == Verdict::read) << corpus_file << ":" << row.line << ": " << found.why;
  }
  std::printf("%zu texts: %d of %d plain reads proven, %d writes called reads\n", rows.size(), proven, plain_reads,
              writes_called_reads);
  EXPECT_EQ(writes_called_reads, 0);
  EXPECT_GE(proven * 100, plain_reads * 95);
}

class Splicer {
 public:
  explicit Splicer(std::uint32_t seed) : random_(seed) {
    for (const CorpusRow& row : read_corpus(corpus_file)) texts_.push_back(row.sql);
  }

  // A text of the corpus with a piece of another in it, joined by something that may hide or reveal it.
  std::string next() {
    static const std::vector<std::string> joints = {
        " ",   ";", "'", "''", "\n", "-- ", "--",  "#",  "/*", "*/",   "/*!",     "`",    "``", "\"", "\\",
        "\\'", "(", ")", ",",  "1",  "0x",  "1e5", "@a", ".",  " AS ", " IN (1,", "/*M!", "\t", "2",  "\xc3\xa9"};
    const std::string& left = pick(texts_);
    const std::string& right = pick(texts_);
    const std::size_t cut = below(left.size() + 1);
    const std::size_t from = below(right.size() + 1);
    return left.substr(0, cut) + pick(joints) + right.substr(from, below(right.size() - from + 1)) + pick(joints) +
           (below(2) == 0 ? left.substr(cut) : "");
  }

 private:
  std::size_t below(std::size_t bound) { return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_); }
  const std::string& pick(const std::vector<std::string>& from) { return from[below(from.size())]; }

  std::mt19937 random_;
  std::vector<std::string> texts_;
};

// The cache finds by outline and by shape; the verdict is what the walk says of the text itself.
TEST(mysql_classify, the_cache_says_of_every_text_what_is_said_of_it_alone) {
  const CatalogPtr catalog = shop_catalog();
  VerdictCache cache(7, 100'000, Grammar::mysql);
  int reads = 0;
  for (std::uint32_t seed = 1; seed <= 10; ++seed) {
    Splicer splicer(seed);
    for (int i = 0; i < 5'000; ++i) {
      const std::string sql = splicer.next();
      const Verdict alone = classify_mysql(sql, *catalog, "shop").verdict;
      const Verdict cached = cache.verdict(sql, catalog, mysql_catalog_database, "shop", true);
      ASSERT_STREQ(name(cached), name(alone)) << "seed " << seed << " text " << i << ": " << sql;
      reads += alone == Verdict::read ? 1 : 0;
    }
  }
  EXPECT_GT(reads, 1'000) << "the generator has stopped producing reads";
  EXPECT_GT(cache.counters().hits, 1'000U);
}

// For tests/e2e/test_mysql_reads.py, which runs them on a server.
TEST(mysql_classify, DISABLED_print_generated_reads) {
  const CatalogPtr catalog = shop_catalog();
  for (std::uint32_t seed = 100; seed < 110; ++seed) {
    Splicer splicer(seed);
    for (int i = 0; i < 4'000; ++i) {
      const std::string sql = splicer.next();
      if (classify_mysql(sql, *catalog, "shop").verdict != Verdict::read) continue;
      std::printf("READ ");
      for (const char c : sql) std::printf("%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      std::printf("\n");
    }
  }
}

TEST(mysql_shape, texts_that_differ_in_values_have_one_shape) {
  const ShapeHash start(7);
  const auto same = [&](const char* left, const char* right) {
    return mysql_shape_of(left, start) == mysql_shape_of(right, start);
  };
  EXPECT_TRUE(same("SELECT * FROM t WHERE id = 1", "SELECT * FROM t WHERE id = 25"));
  EXPECT_TRUE(same("SELECT 'a', 5", "SELECT  'it\\'s', 7.5 -- x"));
  EXPECT_TRUE(same("SELECT 1 WHERE id IN (1, 2, 3)", "SELECT 1 WHERE id IN (4)"));
  EXPECT_TRUE(same("SELECT \"a\"", "SELECT \"b\""));
  EXPECT_FALSE(same("SELECT a FROM t", "SELECT a FROM T"));
  EXPECT_FALSE(same("SELECT `a1` FROM t", "SELECT `a2` FROM t"));
  EXPECT_FALSE(same("SELECT count(*)", "SELECT count (*)"));
  EXPECT_FALSE(same("SELECT 1 WHERE id IN (1,)", "SELECT 1 WHERE id IN (1)"));
  EXPECT_FALSE(same("SELECT `a`", "SELECT a"));
  EXPECT_EQ(mysql_shape_of("SELECT /*!50000 1 */", start).kind, ShapeKind::own);
  EXPECT_EQ(mysql_shape_of("SELECT 0x41", start).kind, ShapeKind::own);
  EXPECT_EQ(mysql_shape_of("SELECT * FROM 1st", start).kind, ShapeKind::own);
  EXPECT_EQ(mysql_shape_of("SELECT 'a", start).kind, ShapeKind::malformed);
}

TEST(mysql_shape, nothing_of_a_value_is_shown) {
  EXPECT_EQ(
      mysql_shape_text("SELECT  `a`, 'secret', \"secret\" FROM t -- secret\nWHERE id IN (1, 2) AND x = 'it\\'s'", 400),
      "SELECT `a`, ?, ? FROM t WHERE id IN (?) AND x = ?");
}

}  // namespace
}  // namespace turnout::router::test
