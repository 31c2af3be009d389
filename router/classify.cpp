#include "router/classify.h"

#include <pg_query.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "router/builtins.h"
#include "router/catalog.h"
#include "router/names.h"
#include "router/parse_tree.h"
#include "router/search_path.h"
#include "router/shape.h"

namespace turnout::router {

namespace {

using Value = ParseTree::Value;

// JSON levels of the tree, four or so to a level of SQL. Our own walk recurses; a text that a person or a program wrote
// for a purpose stays far below.
constexpr std::uint32_t depth_max = 2'000;

// Nodes that do nothing by themselves: what is in them decides.
constexpr auto plain_nodes = std::to_array<std::string_view>({
    "A_ArrayExpr",
    "A_Indices",
    "A_Star",
    "BitString",
    "BoolExpr",
    "Boolean",
    "BooleanTest",
    "CaseWhen",
    "CoalesceExpr",
    "CollateClause",
    "ColumnDef",
    "CommonTableExpr",
    "Float",
    "GroupingFunc",
    "GroupingSet",
    "Integer",
    "List",
    "MinMaxExpr",
    "NamedArgExpr",
    "NullTest",
    "ParamRef",
    "RangeFunction",
    "RangeSubselect",
    "RangeTableFunc",
    "RangeTableFuncCol",
    "ResTarget",
    "RowExpr",
    "SetToDefault",
    "String",
    "TypeCast",
    "WindowDef",
    "XmlExpr",
    "XmlSerialize",
});
static_assert(std::ranges::is_sorted(plain_nodes));

// Objects that stand in a field without their node name, and are looked into like a plain node.
constexpr auto plain_fields = std::to_array<std::string_view>({
    "collClause",
    "cycle_clause",
    "over",
    "search_clause",
});

bool is_node_name(std::string_view key) {
  return !key.empty() && key[0] >= 'A' && key[0] <= 'Z';
}

// "CreateTableAsStmt" → "CREATE TABLE AS"
std::string statement_name(std::string_view node) {
  if (node.ends_with("Stmt")) node.remove_suffix(4);
  std::string out;
  for (const char c : node) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && !out.empty()) out += ' ';
    out += upper || c < 'a' || c > 'z' ? c : static_cast<char>(c - 32);
  }
  return out;
}

class Walker {
 public:
  Walker(const ParseTree& tree, Names names) : tree_(tree), names_(std::move(names)) {}

  Classified run() {
    const Value* statements = tree_.child(tree_.root(), "stmts");
    if (statements == nullptr) return {Verdict::write, "the parser gave no statements", false};
    for (const Value* raw = tree_.first_child(*statements); raw != nullptr; raw = tree_.next_sibling(*raw)) {
      const Value* statement = tree_.child(*raw, "stmt");
      const Value* node = statement == nullptr ? nullptr : tree_.first_child(*statement);
      if (node == nullptr) return {Verdict::write, "an empty statement node", false};
      take_statement(*node);
    }
    return std::move(found_);
  }

 private:
  void say(Verdict verdict, std::string why) {
    if (verdict <= found_.verdict) return;
    found_.verdict = verdict;
    found_.why = std::move(why);
  }
  void say(Effect effect) { say(effect.verdict, std::move(effect.why)); }

  void take_statement(const Value& node);
  void take_explain(const Value& node);
  void take_show(const Value& node);
  void take_select(const Value& node);
  void take_with(const Value& with);
  void take(const Value& value);
  void take_children(const Value& of);
  void take_node(const Value& node);
  void take_field(const Value& value);
  void take_relation(const Value& node);
  void take_call(const Value& node);
  void take_setting_call(const Value& node);
  void take_column(const Value& node);
  void take_expression(const Value& node);
  void take_operator(const Value& names);
  void take_type(const Value& type);
  void take_session_word(const Value& node);

  [[nodiscard]] std::vector<std::string> strings(const Value* list) const;

  const ParseTree& tree_;
  Names names_;
  std::vector<std::string> table_expressions_;  // CTE names in scope here
  Classified found_{Verdict::read, "", false};
};

std::vector<std::string> Walker::strings(const Value* list) const {
  std::vector<std::string> out;
  if (list == nullptr) return out;
  for (const Value* item = tree_.first_child(*list); item != nullptr; item = tree_.next_sibling(*item)) {
    if (const Value* string = tree_.child(*item, "String")) out.push_back(tree_.child_text(*string, "sval"));
  }
  return out;
}

// ---- statements

void Walker::take_statement(const Value& node) {
  if (node.key == "SelectStmt") return take_select(node);
  if (node.key == "ExplainStmt") return take_explain(node);
  if (node.key == "VariableShowStmt") return take_show(node);
  say(Verdict::write, statement_name(node.key) + " is not a read");
}

// Without ANALYZE nothing is executed. An ANALYZE with a value (false, 0, 'off') counts as ANALYZE: the value may be a
// literal, and a verdict must not hang on one.
void Walker::take_explain(const Value& node) {
  if (const Value* options = tree_.child(node, "options")) {
    for (const Value* item = tree_.first_child(*options); item != nullptr; item = tree_.next_sibling(*item)) {
      const Value* option = tree_.child(*item, "DefElem");
      if (option == nullptr || tree_.child_text(*option, "defname") == "analyze") {
        return say(Verdict::write, "EXPLAIN ANALYZE executes its statement");
      }
    }
  }
  const Value* query = tree_.child(node, "query");
  const Value* inner = query == nullptr ? nullptr : tree_.first_child(*query);
  static constexpr auto planned_only =
      std::to_array<std::string_view>({"DeleteStmt", "InsertStmt", "MergeStmt", "SelectStmt", "UpdateStmt"});
  if (inner == nullptr || !std::ranges::binary_search(planned_only, inner->key)) {
    return say(Verdict::write, "EXPLAIN of a utility statement");
  }
  say(Verdict::read_writer, "EXPLAIN shows the plan of one server");
}

// A read connection answers `on` where the client's own would say `off`: a driver that asks would think it is on a
// standby. Such questions wait.
bool is_about_read_only(std::string_view setting) {
  return setting == "transaction_read_only" || setting == "default_transaction_read_only" || setting == "all";
}

void Walker::take_show(const Value& node) {
  const std::string setting = tree_.child_text(node, "name");
  if (is_about_read_only(setting)) {
    return say(Verdict::write, "SHOW " + setting + " would see that the connection is a read connection");
  }
  say(Verdict::read_writer, "SHOW speaks of the server or the session");
}

void Walker::take_select(const Value& node) {
  const std::size_t outer_scope = table_expressions_.size();
  if (const Value* with = tree_.child(node, "withClause")) take_with(*with);
  for (const Value* field = tree_.first_child(node); field != nullptr; field = tree_.next_sibling(*field)) {
    if (field->key == "withClause") continue;
    if (field->key == "intoClause") {
      say(Verdict::write, "SELECT INTO creates a table");
    } else if (field->key == "lockingClause") {
      say(Verdict::write, "FOR UPDATE/SHARE locks rows");
    } else if (field->key == "larg" || field->key == "rarg") {
      take_select(*field);  // the arms of UNION and its kin stand without their node name
    } else {
      take(*field);
    }
  }
  table_expressions_.resize(outer_scope);
}

// A name of WITH is known to what follows it, and to itself and its brothers only if RECURSIVE. Getting this wrong
// would take a real table for a harmless name.
void Walker::take_with(const Value& with) {
  const bool recursive = tree_.child(with, "recursive") != nullptr;
  const Value* list = tree_.child(with, "ctes");
  if (list == nullptr) return say(Verdict::write, "WITH without a list");
  const auto add_name = [&](const Value& item) {
    if (const Value* cte = tree_.child(item, "CommonTableExpr")) {
      table_expressions_.push_back(tree_.child_text(*cte, "ctename"));
    }
  };
  for (const Value* item = tree_.first_child(*list); item != nullptr && recursive; item = tree_.next_sibling(*item)) {
    add_name(*item);
  }
  for (const Value* item = tree_.first_child(*list); item != nullptr; item = tree_.next_sibling(*item)) {
    take(*item);
    if (!recursive) add_name(*item);
  }
}

// ---- the walk

void Walker::take(const Value& value) {
  if (found_.verdict == Verdict::write) return;  // nothing can make it worse
  if (value.kind == ParseTree::Kind::array) return take_children(value);
  if (value.kind != ParseTree::Kind::object) return;
  const Value* first = tree_.first_child(value);
  if (first == nullptr) return;
  if (is_node_name(first->key)) return take_node(*first);
  take_field(value);
}

void Walker::take_children(const Value& of) {
  for (const Value* child = tree_.first_child(of); child != nullptr; child = tree_.next_sibling(*child)) take(*child);
}

// An object in a field whose type says what it is.
void Walker::take_field(const Value& value) {
  if (value.key == "typeName") return take_type(value);
  if (value.key == "alias") return;
  if (std::ranges::binary_search(plain_fields, value.key)) return take_children(value);
  say(Verdict::write, "a part that is not understood: " + std::string(value.key));
}

void Walker::take_node(const Value& node) {
  const std::string_view kind = node.key;
  if (kind == "A_Const" || kind == "Alias") return;
  if (kind == "ColumnRef") return take_column(node);
  if (kind == "A_Expr") return take_expression(node);
  if (kind == "RangeVar") return take_relation(node);
  if (kind == "FuncCall") return take_call(node);
  if (kind == "SelectStmt") return take_select(node);
  if (kind == "SQLValueFunction") return take_session_word(node);
  if (kind == "TypeName") return take_type(node);
  if (kind == "A_Indirection") {
    for (const std::string& member : strings(tree_.child(node, "indirection"))) say(names_.member(member));
  } else if (kind == "SubLink") {
    if (const Value* names = tree_.child(node, "operName")) take_operator(*names);
    if (tree_.child(node, "testexpr") != nullptr) say(names_.operation("="));
  } else if (kind == "CaseExpr") {
    if (tree_.child(node, "arg") != nullptr) say(names_.operation("="));
  } else if (kind == "JoinExpr") {
    if (tree_.child(node, "usingClause") != nullptr || tree_.child(node, "isNatural") != nullptr) {
      say(names_.operation("="));
    }
  } else if (kind == "SortBy") {
    if (const Value* names = tree_.child(node, "useOp")) take_operator(*names);
  } else if (kind == "RangeTableSample") {
    for (const std::string& method : strings(tree_.child(node, "method"))) {
      if (method != "system" && method != "bernoulli" && method != "pg_catalog") {
        return say(Verdict::write, "TABLESAMPLE " + method + " is not known");
      }
    }
  } else if (!std::ranges::binary_search(plain_nodes, kind)) {
    return say(Verdict::write, statement_name(kind) + " is not a read");
  }
  take_children(node);
}

// ---- what names mean

void Walker::take_relation(const Value& node) {
  const std::string schema = tree_.child_text(node, "schemaname");
  const std::string relation = tree_.child_text(node, "relname");
  if (schema.empty() && std::ranges::find(table_expressions_, relation) != table_expressions_.end()) return;
  say(names_.relation(schema, relation));
}

void Walker::take_call(const Value& node) {
  const std::vector<std::string> names = strings(tree_.child(node, "funcname"));
  if (names.empty()) return say(Verdict::write, "a call without a name");
  const std::string schema = names.size() == 1 ? std::string() : names[names.size() - 2];
  say(names_.function(schema, names.back()));
  if (names.back() == "current_setting") take_setting_call(node);
  for (const Value* field = tree_.first_child(node); field != nullptr; field = tree_.next_sibling(*field)) {
    if (field->key != "funcname") take(*field);
  }
}

void Walker::take_setting_call(const Value& node) {
  const Value* arguments = tree_.child(node, "args");
  const Value* first = arguments == nullptr ? nullptr : tree_.first_child(*arguments);
  const Value* constant = first == nullptr ? nullptr : tree_.child(*first, "A_Const");
  const Value* string = constant == nullptr ? nullptr : tree_.child(*constant, "sval");
  if (string == nullptr) return say(Verdict::write, "current_setting() of a setting that is not written out");
  found_.by_literal = true;
  std::string setting = tree_.child_text(*string, "sval");
  for (char& c : setting) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (is_about_read_only(setting)) {
    say(Verdict::write, "current_setting('" + setting + "') would see that the connection is a read connection");
  }
}

// a.b is a column of a, or, where a has no such column, the call b(a).
void Walker::take_column(const Value& node) {
  const std::vector<std::string> names = strings(tree_.child(node, "fields"));
  if (names.empty()) return;  // *
  if (is_system_column(names.back())) {
    return say(Verdict::read_writer, names.back() + " is a system column, it differs between the servers");
  }
  // A word of its own since 16, which the parser of 15 takes for a column.
  if (names.size() == 1 && names.front() == "system_user") {
    return say(Verdict::read_writer, "SYSTEM_USER speaks of the session");
  }
  for (std::size_t i = 1; i < names.size(); ++i) say(names_.member(names[i]));
}

void Walker::take_expression(const Value& node) {
  const std::string kind = tree_.child_text(node, "kind");
  if (kind.starts_with("AEXPR_BETWEEN") || kind.starts_with("AEXPR_NOT_BETWEEN")) {
    for (const char* name : {"<", "<=", ">", ">="}) say(names_.operation(name));
  } else if (const Value* names = tree_.child(node, "name")) {
    take_operator(*names);
  }
  for (const Value* field = tree_.first_child(node); field != nullptr; field = tree_.next_sibling(*field)) {
    if (field->key != "name") take(*field);
  }
}

void Walker::take_operator(const Value& list) {
  const std::vector<std::string> names = strings(&list);
  if (names.empty()) return say(Verdict::write, "an operator without a name");
  if (names.size() > 1 && names[names.size() - 2] == "pg_catalog") return;
  say(names_.operation(names.back()));
}

void Walker::take_type(const Value& type) {
  const std::vector<std::string> names = strings(tree_.child(type, "names"));
  if (names.empty() || tree_.child(type, "pct_type") != nullptr) {
    return say(Verdict::write, "a type that is not written out");
  }
  say(names_.type(names.size() == 1 ? std::string_view() : std::string_view(names[names.size() - 2]), names.back()));
}

// CURRENT_DATE and the other times are the same everywhere; CURRENT_USER, CURRENT_SCHEMA, … speak of the session.
void Walker::take_session_word(const Value& node) {
  const std::string word = tree_.child_text(node, "op");
  if (word.starts_with("SVFOP_CURRENT_DATE") || word.starts_with("SVFOP_CURRENT_TIME") ||
      word.starts_with("SVFOP_LOCALTIME")) {
    return;
  }
  say(Verdict::read_writer, word.substr(std::min<std::size_t>(6, word.size())) + " speaks of the session");
}

struct FreeParse {
  void operator()(PgQueryParseResult* result) const {
    pg_query_free_parse_result(*result);
    delete result;
  }
};

}  // namespace

Classified classify(std::string_view sql, const Catalog& catalog, std::string_view database,
                    std::string_view search_path) {
  const auto write = [](std::string why) { return Classified{Verdict::write, std::move(why), false}; };
  if (sql.size() > classified_bytes_max) return write("longer than 64 KiB, not looked into");
  const Shape shape = shape_of(sql, ShapeHash(0));
  if (shape.kind == ShapeKind::malformed) return write("an unterminated literal or comment, or a zero byte");
  if (shape.tokens > classified_tokens_max) return write("too many tokens, not looked into");
  std::optional<SearchPath> path = SearchPath::read(search_path);
  if (!path) return write("the search_path is not understood");

  const std::unique_ptr<PgQueryParseResult, FreeParse> parsed(
      new PgQueryParseResult(pg_query_parse(std::string(sql).c_str())));
  if (parsed->error != nullptr) {
    return write(std::string("not parsed: ") + parsed->error->message);
  }
  const std::optional<ParseTree> tree = ParseTree::read(parsed->parse_tree);
  if (!tree) return write("the parser's answer is not understood");
  if (tree->depth_max() > depth_max) return write("nested too deep, not looked into");
  const bool leads_into_system = std::ranges::any_of(
      path->schemas, [](const std::string& schema) { return schema != "pg_catalog" && is_system_schema(schema); });
  Classified found = Walker(*tree, Names(catalog, database, *std::move(path))).run();
  // What functions and views find by that path was not looked up in it.
  if (leads_into_system && found.verdict == Verdict::read)
    found = {Verdict::read_writer, "the search_path leads into the server's own schemas", found.by_literal};
  return found;
}

}  // namespace turnout::router
