#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "router/builtins.h"
#include "router/catalog.h"
#include "router/function_body.h"
#include "router/parse_tree.h"
#include "router/search_path.h"

namespace turnout::router {
namespace {

using testing::ElementsAre;

TEST(search_path, rows) {
  struct Row {
    const char* text;
    std::vector<std::string> schemas;
    bool user;
  };
  const Row rows[] = {
      {"", {"pg_catalog", "public"}, true},
      {"   ", {"pg_catalog", "public"}, true},
      {"\"$user\", public", {"pg_catalog", "public"}, true},
      {"public", {"pg_catalog", "public"}, false},
      {"A,\"B\" , 'c'", {"pg_catalog", "a", "B", "c"}, false},
      {"public, pg_catalog", {"public", "pg_catalog"}, false},
      {"''", {"pg_catalog"}, false},
      {"\"\"", {"pg_catalog"}, false},
      {"\"a\"\"b\"", {"pg_catalog", "a\"b"}, false},
      {"\"a, b\"", {"pg_catalog", "a, b"}, false},
  };
  for (const Row& row : rows) {
    const auto path = SearchPath::read(row.text);
    ASSERT_TRUE(path.has_value()) << row.text;
    EXPECT_EQ(path->schemas, row.schemas) << row.text;
    EXPECT_EQ(path->has_user_schema, row.user) << row.text;
  }
  for (const char* text : {",", "a,", ",a", "a b", "\"a", "'a", "a\"b\"", "a,,b", "\"a\"b"}) {
    EXPECT_FALSE(SearchPath::read(text).has_value()) << text;
  }
}

TEST(catalog, the_worst_overload_counts_in_any_order) {
  CatalogBuilder builder;
  for (const char* order : {"iv", "vi", "sv"}) {
    for (const char* c = order; *c != 0; ++c) builder.add_function("d", {"s", order, *c});
  }
  const CatalogPtr catalog = builder.build(1);
  for (const char* order : {"iv", "vi", "sv"}) {
    EXPECT_EQ(catalog->function("d", "s", order).verdict, Verdict::write) << order;
  }
}

TEST(catalog, a_builder_is_empty_after_build) {
  CatalogBuilder builder;
  builder.add_relation("d", {"s", "t", 'r', 'p', true});
  const CatalogPtr first = builder.build(1);
  const CatalogPtr second = builder.build(2);
  EXPECT_TRUE(first->relation("d", "s", "t").known);
  EXPECT_FALSE(second->knows("d"));
  EXPECT_EQ(second->generation(), 2U);
  EXPECT_NE(first->identity(), second->identity());
}

TEST(catalog, schema_and_name_do_not_run_together) {
  CatalogBuilder builder;
  builder.add_relation("d", {"a.b", "c", 'r', 'p', true});
  const CatalogPtr catalog = builder.build(1);
  EXPECT_FALSE(catalog->relation("d", "a", "b.c").known);
  EXPECT_TRUE(catalog->relation("d", "a.b", "c").known);
}

TEST(catalog, definitions_may_be_told_before_their_relation) {
  CatalogBuilder builder;
  builder.add_definition("d", {"s", "v", "SELECT s.f() FROM s.t"});
  builder.add_relation("d", {"s", "v", 'v', 'p', false});
  builder.add_relation("d", {"s", "t", 'r', 'p', true});
  builder.add_function("d", {"s", "f", 'v'});
  const Effect effect = builder.build(1)->relation("d", "s", "v");
  EXPECT_EQ(effect.verdict, Verdict::write);
  EXPECT_EQ(effect.why, "s.v uses: s.f() is volatile");
}

TEST(catalog, policies_and_partitions_count_like_views) {
  CatalogBuilder builder;
  builder.add_relation("d", {"s", "t", 'r', 'p', true});
  builder.add_definition("d", {"s", "t", "SELECT s.policy()"});
  builder.add_function("d", {"s", "policy", 'v'});
  builder.add_relation("d", {"s", "p", 'p', 'p', true});
  builder.add_relation("d", {"s", "p1", 'r', 'p', false});
  builder.add_relation_use("d", {"s", "p", "s", "p1"});
  const CatalogPtr catalog = builder.build(1);
  EXPECT_EQ(catalog->relation("d", "s", "t").verdict, Verdict::write);
  EXPECT_EQ(catalog->relation("d", "s", "p").verdict, Verdict::read_writer);
  EXPECT_FALSE(catalog->carries_everything("d"));
}

TEST(catalog, towers_of_views) {
  for (const int height : {20, 2'000}) {
    CatalogBuilder builder;
    builder.add_relation("d", {"s", "v0", 'm', 'p', false});
    for (int i = 1; i <= height; ++i) {
      builder.add_relation("d", {"s", "v" + std::to_string(i), 'v', 'p', false});
      builder.add_definition("d", {"s", "v" + std::to_string(i), "SELECT 1 FROM s.v" + std::to_string(i - 1)});
    }
    const CatalogPtr catalog = builder.build(1);
    EXPECT_EQ(catalog->relation("d", "s", "v20").known, true);
    EXPECT_NE(catalog->relation("d", "s", "v" + std::to_string(height)).verdict, Verdict::read);
    EXPECT_LT(catalog->relation("d", "s", "v" + std::to_string(height)).why.size(), 400U);
  }
}

TEST(builtins, rows) {
  struct Row {
    const char* schema;
    const char* function;
    char volatility;
    Verdict verdict;
  };
  const Row rows[] = {
      {"pg_catalog", "abs", 'i', Verdict::read},
      {"pg_catalog", "now", 's', Verdict::read},
      {"pg_catalog", "version", 's', Verdict::read_writer},
      {"pg_catalog", "some_new_stable_function", 's', Verdict::read_writer},
      {"pg_catalog", "some_new_volatile_function", 'v', Verdict::write},
      {"pg_catalog", "random", 'v', Verdict::read},
      {"pg_catalog", "uuidv7", 'v', Verdict::read},
      {"pg_catalog", "pg_typeof", 's', Verdict::read_writer},
      {"pg_catalog", "pg_sleep", 'v', Verdict::write},
      {"pg_catalog", "xml_is_well_formed", 's', Verdict::read},
      {"public", "random", 'v', Verdict::write},
      {"public", "now", 's', Verdict::read_writer},
      {"public", "pg_mine", 'i', Verdict::read},
      {"public", "odd", 'x', Verdict::write},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(effect_of_function(row.schema, row.function, row.volatility).verdict, row.verdict) << row.function;
  }
}

TEST(function_body, names_and_calls) {
  const BodyNames found =
      names_in_body("SELECT Sum (t.x), \"Odd Name\", 'a literal' /* a comment */ FROM t -- and one more");
  EXPECT_EQ(found.refusal, "");
  EXPECT_THAT(found.names, ElementsAre("Odd Name", "from", "select", "sum", "t", "x"));
  EXPECT_THAT(found.calls, ElementsAre("sum", "x"));
}

TEST(function_body, what_its_names_do_not_tell) {
  for (const char* body : {"EXECUTE q", "SELECT 'x", "SELECT U&\"a\"", "SELECT user", "/* x", "SELECT Session_User"})
    EXPECT_NE(names_in_body(body).refusal, "") << body;
  for (const char* body : {"", "SELECT \"execute\"", "SELECT 'EXECUTE'", "SELECT executed"})
    EXPECT_EQ(names_in_body(body).refusal, "") << body;
  EXPECT_EQ(names_in_body(std::string(63, 'a')).refusal, "");
  EXPECT_NE(names_in_body(std::string(64, 'a')).refusal, "") << "the server would look for 63 of them";
}

TEST(function_body, what_words_mean_without_naming_it) {
  const auto verdict = [](const char* operation, const char* body) {
    CatalogBuilder builder;
    builder.add_operator("d", {operation, "s", 's'});
    builder.add_function("d", {"s", "f", 's'});
    builder.add_function_body("d", {"s", "f", body});
    return builder.build(1)->function("d", "s", "f").verdict;
  };
  EXPECT_EQ(verdict("=", "SELECT a IN (1, 2)"), Verdict::read_writer);
  EXPECT_EQ(verdict("<>", "SELECT a != b"), Verdict::read_writer);
  EXPECT_EQ(verdict("~~", "SELECT a LIKE b"), Verdict::read_writer);
  EXPECT_EQ(verdict("<?>", "SELECT a LIKE b"), Verdict::read);
}

TEST(function_body, of_an_immutable_one_only_what_the_caller_runs_counts) {
  CatalogBuilder builder;
  builder.add_function("d", {"pg_catalog", "nextval", 'v'});
  for (const char* name : {"plain", "numbered", "named", "worse"}) builder.add_function("d", {"s", name, 'i'});
  builder.add_function_body("d", {"s", "numbered", "integer\nnextval('s'::regclass)"});
  builder.add_function_body("d", {"s", "named", "regclass"});
  builder.add_function("d", {"s", "worse", 'v'});
  builder.add_function_body("d", {"s", "worse", "integer"});
  const CatalogPtr catalog = builder.build(1);
  EXPECT_EQ(catalog->function("d", "s", "plain").verdict, Verdict::read);
  EXPECT_EQ(catalog->function("d", "s", "numbered").verdict, Verdict::write);
  EXPECT_EQ(catalog->function("d", "s", "named").verdict, Verdict::read_writer);
  EXPECT_EQ(catalog->function("d", "s", "worse").verdict, Verdict::write);
}

TEST(function_body, of_functions_that_call_functions_all_count_wherever_it_begins) {
  for (const char* end : {"SELECT 1", "SELECT nextval('s')"}) {
    CatalogBuilder builder;
    builder.add_function("d", {"pg_catalog", "nextval", 'v'});
    for (int i = 0; i < 20; ++i) {
      const std::string called = i == 0 ? end : "SELECT s.f" + std::to_string(i - 1) + "()";
      builder.add_function_body("d", {"s", "f" + std::to_string(i), called});
      builder.add_function("d", {"s", "f" + std::to_string(i), 's'});
    }
    builder.add_function_body("d", {"s", "worse", "SELECT 1"});  // it has a volatile overload
    builder.add_function("d", {"s", "worse", 's'});
    builder.add_function("d", {"s", "worse", 'v'});
    const CatalogPtr catalog = builder.build(1);
    const Verdict expected = end == std::string_view("SELECT 1") ? Verdict::read : Verdict::read_writer;
    for (int i = 0; i < 20; ++i) EXPECT_EQ(catalog->function("d", "s", "f" + std::to_string(i)).verdict, expected) << i;
    EXPECT_LT(catalog->function("d", "s", "f19").why.size(), 400U);
    EXPECT_EQ(catalog->function("d", "s", "worse").verdict, Verdict::write);
  }
}

TEST(parse_tree, reads_what_the_parser_writes) {
  const auto tree = ParseTree::read(R"({"a":[{"b":"x\"\\\n\u0041\u003c"},{}],"c":12,"d":true})");
  ASSERT_TRUE(tree.has_value());
  const auto* list = tree->child(tree->root(), "a");
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(tree->child_text(*tree->first_child(*list), "b"), "x\"\\\nA<");
  EXPECT_EQ(tree->child(tree->root(), "c")->raw, "12");
  EXPECT_EQ(tree->child(tree->root(), "e"), nullptr);
  EXPECT_EQ(tree->depth_max(), 3U);
}

TEST(parse_tree, every_cut_is_refused) {
  const std::string json = R"({"a":[{"b":"x\"y"},[]],"c":12})";
  for (std::size_t size = 0; size < json.size(); ++size) {
    EXPECT_FALSE(ParseTree::read(json.substr(0, size)).has_value()) << json.substr(0, size);
  }
  for (const char* wrong : {"{} ", "{\"a\"}", "{\"a\":}", "[1 2]x", "{\"a\":1,}", "[,]", "{a:1}"}) {
    EXPECT_FALSE(ParseTree::read(wrong).has_value()) << wrong;
  }
}

TEST(parse_tree, depth_costs_no_stack) {
  std::string json(1'000'000, '[');
  json.append(1'000'000, ']');
  const auto tree = ParseTree::read(std::move(json));
  ASSERT_TRUE(tree.has_value());
  EXPECT_EQ(tree->depth_max(), 999'999U);
}

}  // namespace
}  // namespace turnout::router
