#include "router/shadow_facts.h"

#include <pg_query.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "router/builtins.h"
#include "router/classify.h"
#include "router/parse_tree.h"
#include "router/shape.h"

namespace turnout::router {

namespace {

using Value = ParseTree::Value;

// Aggregates whose value holds the order in which they met their input.
constexpr auto gathering = std::to_array<std::string_view>({
    "array_agg",
    "json_agg",
    "json_agg_strict",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "string_agg",
    "xmlagg",
});
// The time of the transaction or statement: the two sides never ask at the same moment.
constexpr auto clocks = std::to_array<std::string_view>({
    "now",
    "statement_timestamp",
    "transaction_timestamp",
});
// A condition chooses rows by the time, which is hardly ever seen; elsewhere the time is in the answer.
constexpr auto conditions = std::to_array<std::string_view>({
    "agg_filter",
    "havingClause",
    "quals",
    "whereClause",
});
static_assert(std::ranges::is_sorted(gathering) && std::ranges::is_sorted(clocks) &&
              std::ranges::is_sorted(conditions));

class Facts {
 public:
  explicit Facts(const ParseTree& tree) : tree_(tree) {}

  ShadowFacts run() {
    const Value* statements = tree_.child(tree_.root(), "stmts");
    const Value* raw = statements == nullptr ? nullptr : tree_.first_child(*statements);
    if (raw == nullptr) return never("it has no statement");
    if (tree_.next_sibling(*raw) != nullptr) return never("it has several statements");
    const Value* statement = tree_.child(*raw, "stmt");
    const Value* select = statement == nullptr ? nullptr : tree_.child(*statement, "SelectStmt");
    if (select == nullptr) return never("it is no SELECT");
    look_at_outermost(*select);
    walk(*select);
    return std::move(facts_);
  }

 private:
  static ShadowFacts never(std::string why) {
    ShadowFacts facts;
    facts.never_same = std::move(why);
    return facts;
  }
  void look_at_outermost(const Value& select) {
    facts_.is_ordered = tree_.child(select, "sortClause") != nullptr;
    const Value* distinct = tree_.child(select, "distinctClause");
    const Value* on = distinct == nullptr ? nullptr : tree_.first_child(*distinct);
    const bool is_distinct_on = on != nullptr && tree_.first_child(*on) != nullptr;
    facts_.cuts_by_order = is_distinct_on;
  }
  // Without recursion: a statement may be nested as deep as its length allows.
  void walk(const Value& from) {
    std::vector<std::pair<const Value*, bool>> open{{&from, false}};
    while (!open.empty()) {
      const auto [value, in_condition] = open.back();
      open.pop_back();
      const bool is_condition = in_condition || std::ranges::binary_search(conditions, value->key);
      look_at(*value, is_condition);
      for (const Value* child = tree_.first_child(*value); child != nullptr; child = tree_.next_sibling(*child))
        open.emplace_back(child, is_condition);
    }
  }
  void look_at(const Value& value, bool in_condition) {
    if (value.key == "limitCount" || value.key == "limitOffset") facts_.cuts_by_order = true;
    if (value.key == "over") facts_.numbers_rows = true;
    if (value.key == "FuncCall") look_at_call(value, in_condition);
    if (value.key == "SQLValueFunction") look_at_word(value, in_condition);
    if (value.key == "RangeTableSample" && tree_.child(value, "repeatable") == nullptr) say("TABLESAMPLE");
  }
  void look_at_call(const Value& call, bool in_condition) {
    const std::string called = last_name(call);
    if (is_harmless_volatile(called)) return say(called + "()");
    if (std::ranges::binary_search(clocks, called) || (called == "age" && has_one_argument(call)))
      return meet_clock(called + "()", in_condition);
    if (std::ranges::binary_search(gathering, called) && tree_.child(call, "agg_order") == nullptr)
      facts_.gathers_freely = true;
  }
  void look_at_word(const Value& word, bool in_condition) {
    std::string op = tree_.child_text(word, "op");
    constexpr std::string_view prefix = "SVFOP_";
    if (op.starts_with(prefix)) op.erase(0, prefix.size());
    if (op.starts_with("CURRENT_DATE") || op.starts_with("CURRENT_TIME") || op.starts_with("LOCALTIME"))
      meet_clock(op, in_condition);
  }
  void meet_clock(const std::string& what, bool in_condition) {
    if (in_condition)
      facts_.depends_on_time = true;
    else
      say(what);
  }
  void say(const std::string& why) {
    if (facts_.never_same.empty()) facts_.never_same = why;
  }
  [[nodiscard]] std::string last_name(const Value& call) const {
    const Value* list = tree_.child(call, "funcname");
    std::string last;
    if (list == nullptr) return last;
    for (const Value* item = tree_.first_child(*list); item != nullptr; item = tree_.next_sibling(*item))
      if (const Value* string = tree_.child(*item, "String")) last = tree_.child_text(*string, "sval");
    return last;
  }
  [[nodiscard]] bool has_one_argument(const Value& call) const {
    const Value* list = tree_.child(call, "args");
    const Value* first = list == nullptr ? nullptr : tree_.first_child(*list);
    return first != nullptr && tree_.next_sibling(*first) == nullptr;
  }

  const ParseTree& tree_;
  ShadowFacts facts_;
};

struct FreeParse {
  void operator()(PgQueryParseResult* result) const {
    pg_query_free_parse_result(*result);
    delete result;
  }
};

}  // namespace

ShadowFacts shadow_facts(std::string_view sql) {
  const auto never = [](std::string why) {
    ShadowFacts facts;
    facts.never_same = std::move(why);
    return facts;
  };
  // The same bounds as the classifier's: they keep the parser's own recursion within a worker's stack.
  const Shape shape = shape_of(sql, ShapeHash(0));
  if (sql.size() > classified_bytes_max || shape.kind == ShapeKind::malformed || shape.tokens > classified_tokens_max)
    return never("it is too long to be looked into");
  const std::unique_ptr<PgQueryParseResult, FreeParse> parsed(
      new PgQueryParseResult(pg_query_parse(std::string(sql).c_str())));
  if (parsed->error != nullptr) return never("it cannot be parsed");
  const std::optional<ParseTree> tree = ParseTree::read(parsed->parse_tree);
  return tree ? Facts(*tree).run() : never("the parser's answer is not understood");
}

}  // namespace turnout::router
