#include "router/classify.h"

#include <gtest/gtest.h>
#include <pg_query.h>

#include <map>
#include <random>
#include <thread>

#include "router/catalog.h"
#include "router/shape.h"
#include "tests/router/corpus.h"
#include "tests/router/sample_catalog.h"

namespace turnout::router::test {
namespace {

TEST(classify, corpus) {
  const CatalogPtr catalog = sample_catalog();
  const std::vector<CorpusRow> rows = read_corpus();
  ASSERT_GE(rows.size(), 300U);
  int plain_reads = 0, proven = 0, writes_called_reads = 0;
  for (const CorpusRow& row : rows) {
    const Classified found = classify(row.sql, *catalog, "app", row.search_path);
    const bool is_read = found.verdict == Verdict::read;
    if (row.is_missed || row.verdict == Verdict::read) {
      ++plain_reads;
      proven += is_read ? 1 : 0;
    } else if (row.verdict == Verdict::write && is_read) {
      ++writes_called_reads;
    }
    if (row.is_missed) {
      EXPECT_FALSE(is_read) << "corpus.tsv:" << row.line << ": is proven now: make it a read: " << row.sql;
      continue;
    }
    EXPECT_STREQ(name(found.verdict), name(row.verdict))
        << "corpus.tsv:" << row.line << ": " << row.sql << "\n  because: " << found.why;
    EXPECT_EQ(found.why.empty(), found.verdict == Verdict::read) << "corpus.tsv:" << row.line << ": " << found.why;
  }
  std::printf("%zu texts: %d of %d plain reads proven, %d writes called reads\n", rows.size(), proven, plain_reads,
              writes_called_reads);
  EXPECT_EQ(writes_called_reads, 0);
  EXPECT_GE(proven * 100, plain_reads * 95);
}

// Somebody else's way of looking at the parser's answer: any statement node but SELECT, any lock, any INTO.
bool is_only_select(const std::string& sql) {
  const PgQueryParseResult parsed = pg_query_parse(sql.c_str());
  bool only = parsed.error == nullptr;
  if (only) {
    const std::string tree = parsed.parse_tree;
    only = tree.find("\"lockingClause\"") == std::string::npos && tree.find("\"intoClause\"") == std::string::npos;
    for (std::size_t at = tree.find("Stmt\":{"); only && at != std::string::npos; at = tree.find("Stmt\":{", at + 1)) {
      only = at >= 7 && tree.compare(at - 7, 7, "\"Select") == 0;
    }
  }
  pg_query_free_parse_result(parsed);
  return only;
}

class Splicer {
 public:
  explicit Splicer(std::uint32_t seed) : random_(seed) {
    for (const CorpusRow& row : read_corpus()) texts_.push_back(row.sql);
  }

  // A text of the corpus with a piece of another in it, joined by something that may hide or reveal it.
  std::string next() {
    static const std::vector<std::string> joints = {
        " ",   ";", "'", "''", "\n",      "--", "/*", "*/",  "$$", "$a$", "\"",   "E'",    "U&", "\\",
        "\\'", "(", ")", ",",  " IN (1,", "-1", "1",  "'x'", "$1", "::",  " AS ", "e'\\'", "\r", "."};
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

// Repeat one with the seed that a failure prints: it is the loop's own.
TEST(classify, a_read_never_holds_anything_but_selects_and_a_shape_has_one_verdict) {
  const CatalogPtr catalog = sample_catalog();
  const ShapeHash start(7);
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::pair<Verdict, std::string>> seen;
  int reads = 0;
  for (std::uint32_t seed = 1; seed <= 10; ++seed) {
    Splicer splicer(seed);
    for (int i = 0; i < 4'000; ++i) {
      const std::string sql = splicer.next();
      const Classified found = classify(sql, *catalog, "app", "");
      if (found.verdict == Verdict::read) {
        ++reads;
        ASSERT_TRUE(is_only_select(sql)) << "seed " << seed << " text " << i << ": " << sql;
      }
      const Shape shape = shape_of(sql, start);
      if (shape.kind != ShapeKind::known || found.by_literal) continue;
      // A literal may make a text unparsable; the server then refuses it too, so only parsed ones must agree.
      if (found.why.starts_with("not parsed")) continue;
      const auto [other, is_new] = seen.try_emplace({shape.low, shape.high}, found.verdict, sql);
      ASSERT_TRUE(is_new || other->second.first == found.verdict)
          << "seed " << seed << " text " << i << ": one shape, two verdicts:\n"
          << sql << "\n"
          << other->second.second;
    }
  }
  EXPECT_GT(reads, 100) << "the generator has stopped producing reads";
}

// For tests/e2e/test_oracle.py, which asks another parser about them.
TEST(classify, DISABLED_print_generated_reads) {
  const CatalogPtr catalog = sample_catalog();
  for (std::uint32_t seed = 100; seed < 112; ++seed) {
    Splicer splicer(seed);
    for (int i = 0; i < 4'000; ++i) {
      const std::string sql = splicer.next();
      if (classify(sql, *catalog, "app", "").verdict != Verdict::read) continue;
      std::printf("READ ");
      for (const char c : sql) std::printf("%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      std::printf("\n");
    }
  }
}

TEST(classify, an_empty_catalog_proves_only_what_touches_nothing) {
  const struct {
    Verdict verdict;
    const char* sql;
  } rows[] = {
      {Verdict::read, "SELECT 1"},
      {Verdict::read, "SELECT 'a', 2.5, NULL, $1"},
      {Verdict::read, "VALUES (1), (2)"},
      {Verdict::read, "SELECT x FROM (SELECT 1 AS x) t"},
      {Verdict::read, "SELECT CURRENT_TIMESTAMP"},
      {Verdict::read, "SELECT '1'::int"},
      {Verdict::read_writer, "SHOW work_mem"},
      {Verdict::read_writer, "SELECT * FROM pg_catalog.pg_class"},
      {Verdict::write, "SELECT * FROM accounts"},
      {Verdict::write, "SELECT now()"},
      {Verdict::write, "SELECT count(*) FROM (SELECT 1) x"},
      {Verdict::write, "SELECT 1 + 1"},
      {Verdict::write, "SELECT t.x FROM (SELECT 1 AS x) t"},
      {Verdict::write, "SELECT 'x'::mood"},
  };
  for (const auto& row : rows) {
    const Classified found = classify(row.sql, *empty_catalog(), "app", "");
    EXPECT_STREQ(name(found.verdict), name(row.verdict)) << row.sql << ": " << found.why;
  }
  // A catalog that knows another database is as good as none.
  EXPECT_EQ(classify("SELECT * FROM accounts", *sample_catalog(), "other", "").verdict, Verdict::write);
}

TEST(classify, limits) {
  const CatalogPtr catalog = sample_catalog();
  const auto verdict = [&](const std::string& sql) { return classify(sql, *catalog, "app", "").verdict; };
  std::string list = "SELECT * FROM orders WHERE id IN (1";
  while (list.size() < 60'000) list += ", 123456";
  EXPECT_EQ(verdict(list + ")"), Verdict::read);
  while (list.size() < 10'000'000) list += ", 123456";
  EXPECT_EQ(verdict(list + ")"), Verdict::write);

  EXPECT_EQ(verdict(std::string("SELECT 1\0; DELETE FROM orders", 29)), Verdict::write);
  EXPECT_EQ(verdict("SELECT 1 -- \xff\xfe"), Verdict::read);
}

std::string repeated(std::string_view head, std::string_view part, std::string_view tail) {
  std::string sql(head);
  while (sql.size() + part.size() + tail.size() < classified_bytes_max) sql += part;
  return sql.append(tail);
}

// On a thread with only the promised stack: a client must not be able to overflow it with any nesting.
TEST(classify, deep_nesting_is_a_write_and_does_not_overflow_the_stack) {
  const CatalogPtr catalog = sample_catalog();
  const std::vector<std::string> texts = {
      repeated("SELECT ", "1+", "1"),
      repeated("SELECT ", "(", "1"),
      repeated("SELECT ", "- ", "1"),
      repeated("SELECT ", "NOT ", "true"),
      repeated("SELECT 1", " UNION SELECT 1", ""),
      repeated("SELECT 1", "::int", ""),
      repeated("SELECT 1", " ISNULL", ""),
      repeated("SELECT ", "CASE WHEN ", "1"),
      repeated("SELECT ", "abs(", "1"),
      repeated("SELECT ", "(SELECT ", "1"),
      repeated("SELECT * FROM a", " JOIN b ON true", ""),
      repeated("SELECT 'a'", " COLLATE \"C\"", ""),
      repeated("SELECT a", "[1]", ""),
      repeated("", "EXPLAIN ", "SELECT 1"),
      repeated("WITH a AS (", "WITH a AS (", "SELECT 1"),
      repeated("SELECT 1", ";SELECT 1", ""),
  };
  for (const std::string& sql : texts) {
    Verdict verdict = Verdict::read;
    pthread_attr_t attributes;
    ASSERT_EQ(pthread_attr_init(&attributes), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, classifier_stack_bytes), 0);
    struct Job {
      const Catalog* catalog;
      const std::string* sql;
      Verdict* verdict;
    } job{catalog.get(), &sql, &verdict};
    pthread_t thread{};
    const auto body = [](void* argument) -> void* {
      const Job& mine = *static_cast<Job*>(argument);
      *mine.verdict = classify(*mine.sql, *mine.catalog, "app", "").verdict;
      return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &attributes, body, &job), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    EXPECT_EQ(verdict, Verdict::write) << sql.substr(0, 40);
  }
}

// A chain as programs write it passes.
TEST(classify, a_long_flat_condition_is_a_read) {
  std::string sql = "SELECT * FROM orders WHERE id = 0";
  for (int i = 1; i < 1'000; ++i) sql += " OR id = " + std::to_string(i);
  EXPECT_EQ(classify(sql, *sample_catalog(), "app", "").verdict, Verdict::read);
}

TEST(classify, several_threads_at_once) {
  const CatalogPtr catalog = sample_catalog();
  const std::vector<CorpusRow> rows = read_corpus();
  std::vector<std::thread> threads;
  std::array<int, 4> wrong{};
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (const CorpusRow& row : rows) {
        if (row.is_missed) continue;
        if (classify(row.sql, *catalog, "app", row.search_path).verdict != row.verdict) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

}  // namespace
}  // namespace turnout::router::test
