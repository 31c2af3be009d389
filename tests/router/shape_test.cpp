#include "router/shape.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace turnout::router {
namespace {

const ShapeHash start(0x1234);

// Texts of one row share a shape.
TEST(shape, literals_comments_case_and_white_space_do_not_count) {
  const std::vector<std::vector<std::string>> rows = {
      {"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
       "SELECT abalance FROM pgbench_accounts WHERE aid = 7;", "select ABALANCE from PgBench_Accounts where AID=7;",
       "  SELECT\tabalance\nFROM pgbench_accounts  WHERE aid = 1 ; ",
       "SELECT abalance /* x */ FROM pgbench_accounts -- y\n WHERE aid = /* a /* b */ c */ 5;",
       "SELECT abalance FROM pgbench_accounts WHERE aid = 'x';"},
      {"SELECT 1", "SELECT 1.5", "SELECT .5", "SELECT 1.", "SELECT 1e9", "SELECT 1.5E-3", "SELECT 'a'", "SELECT ''",
       "SELECT 'it''s'", "SELECT E'\\''", "SELECT e'\\\\'", "SELECT $$a$$", "SELECT $t$ $$ ' $t$", "SELECT B'01'",
       "SELECT x'1F'", "SELECT N'a'", "SELECT U&'d\\0061'", "SELECT'a'", "SELECT $$$$"},
      {"SELECT a IN (1)", "SELECT a IN (1, 2)", "SELECT a IN (1,2 , 3)", "SELECT a in('x', 'y')",
       "SELECT a IN (-1, 2, -3)", "SELECT a IN ($$x$$, 2.5, /* c */ E'z')"},
      {"SELECT a IN ($1)", "SELECT a IN ($1, $2, $3)"},
      {"SELECT $1", "SELECT $22"},
      {"SELECT a + b", "SELECT a +-- c\n b", "SELECT a +/* - */ b", "SELECT a/**/+--\nb"},
      {"SELECT \"A\" FROM t", "select \"A\" from T"},
  };
  for (const auto& row : rows) {
    const Shape first = shape_of(row.front(), start);
    for (const std::string& sql : row) {
      EXPECT_EQ(shape_of(sql, start), first) << sql;
      EXPECT_EQ(shape_of(sql, start).kind, ShapeKind::known) << sql;
    }
  }
}

// Each of these has a shape of its own.
TEST(shape, structure_counts) {
  const std::vector<std::string> texts = {
      "SELECT 1",
      "SELECT 1, 2",
      "SELECT (1)",
      "SELECT $1",
      "SELECT a",
      "SELECT \"a\"",
      "SELECT \"A\"",
      "SELECT \"select\"",
      "SELECT 1;",
      "SELECT 1; SELECT 1",
      "SELECT -1",
      "SELECT - 1 - 1",
      "SELECT 1 -1",
      "SELECT ab",
      "SELECT a b",
      "SELECT a.b",
      "SELECT a::b",
      "SELECT a: :b",
      "SELECT a >= b",
      "SELECT a > = b",

      "SELECT 1 a",
      "SELECT 1a",
      "SELECT 1e",
      "SELECT 1e+a",
      "SELECT 1 e + a",
      "SELECT 1 .. 2",
      "SELECT $1a",
      "SELECT $1 a",
      "SELECT e 'a'",
      "SELECT foo'a'",
      "SELECT f(1)",
      "SELECT f(1, 2)",
      "SELECT f()",
      "SELECT a IN (1)",
      "SELECT a IN (1,)",
      "SELECT a IN (,1)",
      "SELECT a IN (1,,2)",
      "SELECT a IN (1, b)",

      "SELECT a IN (b, 1)",
      "SELECT a IN ($1)",
      "SELECT a IN ((1))",
      "SELECT a IN (1, 2::x)",
      "SELECT a NOT IN (1)",
      "SELECT \"in\" (1, 2)",
      "SELECT a IN",
      "SELECT a IN (1",
      "SELECT a IN (1,",
      "SELECT inn (1, 2)",
      "SELECT a IN (- 1, 2)",
      "SELECT abcdefg",
      "SELECT abcdefgh",
      "SELECT abcdefg h",
      "SELECT \"abcdefg\"",
      "SELECT abcdefghijklmn",
      "SELECT abcdefghijklmno",
      "SELECT a$b",
      "SELECT a $ b",
      "SELECT \xc3\xa4",
      "SELECT \xc3\x84",
      "SELECT a[1]",
      "SELECT a[1:2]",
      "SELECT @a",

      "",
      ";",
      "SELECT a\vb",
  };
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  for (const std::string& sql : texts) {
    const Shape shape = shape_of(sql, start);
    EXPECT_EQ(shape.kind, ShapeKind::known) << sql;
    EXPECT_TRUE(seen.emplace(shape.low, shape.high).second) << sql;
  }
}

TEST(shape, unterminated_is_malformed) {
  for (const std::string sql :
       {"SELECT 'a", "SELECT 'a''", "SELECT E'a\\'", "SELECT E'a\\", "SELECT \"a", "SELECT $$a", "SELECT $a$ $b$",
        "SELECT /* a", "SELECT /* /* */", "SELECT U&'a", "SELECT U&\"a", "SELECT B'1"}) {
    EXPECT_EQ(shape_of(sql, start).kind, ShapeKind::malformed) << sql;
  }
  for (const std::string_view sql :
       {std::string_view("SELECT 1\0", 9), std::string_view("SELECT 'a\0'", 11), std::string_view("SELECT \"a\0\"", 11),
        std::string_view("--\0", 3), std::string_view("/*\0*/", 5), std::string_view("$$\0$$", 5)}) {
    EXPECT_EQ(shape_of(sql, start).kind, ShapeKind::malformed) << sql;
  }
}

TEST(shape, what_hangs_on_a_literal_is_not_to_be_remembered) {
  EXPECT_EQ(shape_of("SELECT U&\"n!0061\" UESCAPE '!' ()", start).kind, ShapeKind::own);
  EXPECT_EQ(shape_of("SELECT u&\"a\"", start).kind, ShapeKind::own);
  // One literal to the server, two with other ends to a lexer that does not know of continuation.
  EXPECT_EQ(shape_of("SELECT E'a'\n'\\'||f()||''", start).kind, ShapeKind::own);
  EXPECT_EQ(shape_of("SELECT E'a' -- c\n  'b'", start).kind, ShapeKind::own);
  EXPECT_EQ(shape_of("SELECT 'a'\n'b'", start).kind, ShapeKind::known);
}

// Cut at every byte: always an answer, never a byte beyond the end (the sanitizers watch).
TEST(shape, every_prefix) {
  const std::string sql =
      "SELECT E'a\\'b', $t$x$t$, U&\"a\", \"q\"\"\", /* /* */ */ a IN (1, -2, 'x'), 1.5e-3::int -- c\n, $1 ..";
  for (std::size_t size = 0; size <= sql.size(); ++size) {
    const std::vector<char> exact(sql.begin(), sql.begin() + static_cast<std::ptrdiff_t>(size));
    const Shape shape = shape_of({exact.data(), exact.size()}, start);
    EXPECT_LE(shape.tokens, 64U);
  }
}

TEST(shape, the_seed_is_a_key) {
  const Shape left = shape_of("SELECT 1", ShapeHash(1));
  const Shape right = shape_of("SELECT 1", ShapeHash(2));
  EXPECT_NE(left.low, right.low);
  EXPECT_NE(left.high, right.high);
}

TEST(shape, tokens_are_counted_without_literals_and_commas) {
  EXPECT_EQ(shape_of("SELECT 1, 2, 'x'", start).tokens, 1U);
  EXPECT_EQ(shape_of("SELECT a + b", start).tokens, 4U);
  EXPECT_EQ(shape_of("SELECT ((((1))))", start).tokens, 9U);
}

// Texts of one row share an outline.
TEST(outline, digits_of_numbers_do_not_count) {
  const std::vector<std::vector<std::string>> rows = {
      {"SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
       "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
       "SELECT abalance FROM pgbench_accounts WHERE aid = 1234567890123456789;"},
      {"SELECT 1.5", "SELECT 12.75"},
      {"1", "22", "12345678", "123456789"},
      {"SELECT a FROM t WHERE b IN (1,22,333)", "SELECT a FROM t WHERE b IN (4444,55,6)"},
      {"SELECT '2026-11-22 10:00'", "SELECT '2027-01-05 9:30'"},
  };
  for (const auto& row : rows) {
    const ShapeHash first = outline_of(row.front(), start);
    for (const std::string& sql : row) {
      EXPECT_EQ(outline_of(sql, start).low(), first.low()) << sql;
      EXPECT_EQ(outline_of(sql, start).high(), first.high()) << sql;
    }
  }
}

TEST(outline, everything_else_does) {
  const std::vector<std::string> texts = {
      "",
      "S",
      "SELECT 1",
      "SELECT  1",
      "select 1",
      "SELECT 1 ",
      "SELECT 1, 2",
      "SELECT a1",
      "SELECT a2",
      "SELECT a12",
      "SELECT a123456",
      "SELECT a12345678",
      "SELECT a 1",
      "SELECT $1",
      "SELECT $2",
      "SELECT $12",
      "SELECT _1",
      "SELECT _2",
      "SELECT \"a\"",
      "SELECT \"b\"",
      "SELECT \"a 1\"",
      "SELECT \"a 2\"",
      "SELECT 'a'",
      "SELECT 'b'",
      "SELECT 1.",
      "SELECT 1.1",
      "SELECT .1",
      "SELECT 1e1",
      "SELECT 1e2",
      "SELECT \xc3\xa4"
      "1",
      "SELECT \xc3\xa4"
      "2",
      "SELECT t1.a, 1",
      "SELECT t2.a, 1",
      "SELECT abcdefgh",
      "SELECT abcdefghi",
      "SELECT a$1",
      "SELECT a$2",
  };
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  for (const std::string& sql : texts) {
    const ShapeHash outline = outline_of(sql, start);
    EXPECT_TRUE(seen.emplace(outline.low(), outline.high()).second) << sql;
  }
}

// What is remembered by outline is what was said of a shape: over texts made of everything that a lexer can trip over,
// with and without digits beside it. The seed is fixed; many pairs do share an outline, or the test would say nothing.
TEST(outline, texts_of_one_outline_have_one_shape) {
  const std::vector<std::string> pieces = {"1",  "2",  "34",   "56",  ".",        "e",   "a", "x",   "$",  "$$",
                                           "'",  "''", "\"",   "(",   ")",        ",",   "-", "--",  "\n", "/*",
                                           "*/", " ",  " in ", "E'",  "\\",       "U&'", "_", "+",   ";",  ":",
                                           "::", "b'", "x'",   "$t$", "\xc3\xa4", "[",   "]", "in(", "0x"};
  std::uint64_t state = 42;
  const auto next = [&state](std::size_t below) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::size_t>(state >> 33) % below;
  };
  std::size_t shared = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string one, other;
    for (std::size_t i = 0, count = 1 + next(12); i < count; ++i) {
      const std::string& piece = pieces[next(pieces.size())];
      const bool is_number = piece[0] >= '0' && piece[0] <= '9' && piece != "0x";
      one += piece;
      other += is_number ? pieces[next(4)] : piece;
    }
    if (one == other) continue;
    const ShapeHash left = outline_of(one, start), right = outline_of(other, start);
    if (left.low() != right.low() || left.high() != right.high()) continue;
    ++shared;
    const Shape first = shape_of(one, start), second = shape_of(other, start);
    ASSERT_EQ(first.kind, second.kind) << one << "\n" << other;
    if (first.kind == ShapeKind::malformed) continue;
    ASSERT_EQ(first, second) << one << "\n" << other;
  }
  EXPECT_GT(shared, 5'000U);
}

TEST(shape_text, rows) {
  const struct {
    const char* sql;
    const char* text;
  } rows[] = {
      {"SELECT  *\n FROM t /* who = 'me' */ WHERE a = 12 AND b='x''y' -- z", "select * from t where a = ? and b=?"},
      {"select count(*) from \"Mixed Case\" where id in (1, 2, -3)",
       "select count(*) from \"Mixed Case\" where id in (?)"},
      {"SELECT E'\\'; secret', $$secret$$, $a$ secret $a$, U&'secret', 1.5e3", "select ?, ?, ?, ?, ?"},
      {"SELECT $1::int, a.b FROM x", "select $?::int, a.b from x"},
      {"SELECT 'unterminated secret", "select ?"},
      {"SELECT \"unterminated", "select"},
      {"", ""},
  };
  for (const auto& row : rows) EXPECT_EQ(shape_text(row.sql, 1000), row.text) << row.sql;
  EXPECT_EQ(shape_text("SELECT abcdef FROM t", 10), "select abc…");
  EXPECT_EQ(shape_text("SELECT äöü FROM t", 8), "select …");
}

}  // namespace
}  // namespace turnout::router
