#include "router/catalog.h"

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_set>
#include <utility>

#include "router/builtins.h"
#include "router/function_body.h"

namespace turnout::router {

namespace {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <typename Value>
using NameMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

// '\0' cannot be part of a name, so the pair is one unambiguous key.
std::string joined(std::string_view schema, std::string_view name) {
  std::string key;
  key.reserve(schema.size() + name.size() + 1);
  return key.append(schema).append(1, '\0').append(name);
}

std::string shown(std::string_view schema, std::string_view name) {
  return std::string(schema).append(".").append(name);
}

bool is_worse(char left, char right) {
  const auto rank = [](char volatility) { return volatility == 'i' ? 0 : volatility == 's' ? 1 : 2; };
  return rank(left) > rank(right);
}

}  // namespace

bool is_system_schema(std::string_view schema) {
  return schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast" || schema == "turnout";
}

struct Catalog::Database {
  enum class Visit : std::uint8_t { not_yet, running, done };
  struct Relation {
    RelationRow row;
    std::vector<std::string> definitions;
    std::vector<std::string> used_relations;  // joined keys
    Effect effect;
    Visit visit = Visit::not_yet;
  };
  struct Body {
    std::string text;
    Effect effect;
    Visit visit = Visit::not_yet;
  };
  // What was told of a relation, perhaps before the relation itself.
  struct Told {
    std::vector<std::string> definitions;
    std::vector<std::string> used_relations;
  };

  std::string name;
  NameMap<char> functions;      // joined key → worst volatility
  NameMap<Body> bodies;         // joined key; of functions that are not volatile
  NameMap<Relation> relations;  // joined key
  NameMap<Effect> operators;    // by name; only what is worse than a read
  NameMap<Effect> types;
  NameMap<std::vector<std::string>> function_schemas;  // by name, without the system's
  NameMap<std::vector<std::string>> relation_schemas;
  NameMap<Told> told;  // joined key; empty once resolved
  std::uint32_t resolving = 0;
  bool carries_everything = true;

  // Look into what they are asked for at the first call, which is always during build(): afterwards nothing changes.
  [[nodiscard]] Effect function(const Catalog& catalog, std::string_view schema, std::string_view function_name);
  const Effect& resolve(const Catalog& catalog, Relation& relation);
  const Effect& resolve(const Catalog& catalog, std::string_view key, Body& body);
  template <typename Subject, typename Find>
  const Effect& look_into(Subject& subject, const Effect& circular, const Effect& too_deep, const Find& find);
  [[nodiscard]] Effect effect_of(const Catalog& catalog, Relation& relation);
  [[nodiscard]] Effect effect_of(const Catalog& catalog, std::string_view key, Body& body);
  // The worst of the user's that is called so, or of the system's without a parenthesis behind it.
  [[nodiscard]] Effect anything(const Catalog& catalog, const std::string& called, std::string_view but_function);
  void resolve_all(const Catalog& catalog);
};

namespace {

void worsen(Effect& effect, const Effect& by) {
  if (by.verdict <= effect.verdict) return;
  effect.verdict = by.verdict;
  effect.why = by.why;
}

}  // namespace

Effect Catalog::Database::function(const Catalog& catalog, std::string_view schema, std::string_view function_name) {
  const std::string key = joined(schema, function_name);
  const auto found = functions.find(key);
  if (found == functions.end()) {
    return {false, Verdict::write, "function " + shown(schema, function_name) + "() is not known"};
  }
  const auto body = found->second == 'v' ? bodies.end() : bodies.find(key);
  if (body != bodies.end()) return resolve(catalog, key, body->second);
  return effect_of_function(schema, function_name, found->second);
}

namespace {

// Without what lies behind it.
Effect effect_of_kind(const RelationRow& row, bool is_defined) {
  const std::string name = shown(row.schema, row.name);
  const auto to_writer = [&](const char* what) { return Effect{true, Verdict::read_writer, name + " " + what}; };
  if (is_system_schema(row.schema)) return to_writer("is a system catalog");
  if (row.persistence == 'u') return to_writer("is unlogged, green does not have its rows");
  if (row.persistence == 't') return {true, Verdict::write, name + " is a temporary table"};
  switch (row.kind) {
    case 'v':
      if (is_defined) return {true, Verdict::read, ""};
      return {true, Verdict::write, name + " is a view whose definition is not known"};
    case 'm':
      return to_writer("is a materialized view, green's is not refreshed with blue's");
    case 'f':
      return to_writer("is a foreign table");
    case 'S':
      return to_writer("is a sequence");
    case 'r':
    case 'p':
      return row.carried ? Effect{true, Verdict::read, ""} : to_writer("is not carried to green");
    default:
      return to_writer("is of a kind that is not carried to green");
  }
}

// Each level holds a parser's stack; people stop at a dozen.
constexpr std::uint32_t views_deep_max = 64;

}  // namespace

// Once. Depth first: what it finds may be asked for again before it is found.
template <typename Subject, typename Find>
const Effect& Catalog::Database::look_into(Subject& subject, const Effect& circular, const Effect& too_deep,
                                           const Find& find) {
  if (subject.visit == Visit::done) return subject.effect;
  if (subject.visit == Visit::running) return circular;
  if (resolving >= views_deep_max) return too_deep;
  ++resolving;
  subject.visit = Visit::running;
  subject.effect = find();
  subject.visit = Visit::done;
  --resolving;
  return subject.effect;
}

// Classifying a definition asks for the relations in it, which come back here.
const Effect& Catalog::Database::resolve(const Catalog& catalog, Relation& relation) {
  static const Effect circular{true, Verdict::read_writer, "its definition refers to itself"};
  static const Effect too_deep{true, Verdict::write, "views nested too deep"};
  return look_into(relation, circular, too_deep, [&] { return effect_of(catalog, relation); });
}

Effect Catalog::Database::effect_of(const Catalog& catalog, Relation& relation) {
  Effect effect = effect_of_kind(relation.row, !relation.definitions.empty());
  const std::string shown_name = shown(relation.row.schema, relation.row.name);
  const auto through = [&](const Effect& used) {
    if (used.verdict == Verdict::read) return;
    // Past a few steps the chain helps nobody, and a tower of views would make the texts grow without bound.
    const bool is_long = used.why.size() > 300;
    worsen(effect, {true, used.verdict, is_long ? used.why : shown_name + " uses: " + used.why});
  };
  for (const std::string& sql : relation.definitions) {
    Classified found = classify(sql, catalog, name, "pg_catalog");
    through({true, found.verdict, std::move(found.why)});
  }
  for (const std::string& used : relation.used_relations) {
    const auto found = relations.find(used);
    through(found == relations.end() ? Effect{false, Verdict::read_writer, "a relation that is not known"}
                                     : resolve(catalog, found->second));
  }
  relation.definitions = {};
  return effect;
}

Effect Catalog::Database::anything(const Catalog& catalog, const std::string& called, std::string_view but_function) {
  Effect worst{true, Verdict::read, ""};
  const bool is_of_system = is_system_schema(called) || called.starts_with("pg_");
  if ((is_of_system && called != "pg_catalog") || is_system_column(called) || is_catalog_type(called))
    worsen(worst, {true, Verdict::read_writer, called + " is the server's own"});
  if (const auto schemas = function_schemas.find(called); schemas != function_schemas.end())
    for (const std::string& schema : schemas->second)
      if (joined(schema, called) != but_function) worsen(worst, function(catalog, schema, called));
  if (const auto schemas = relation_schemas.find(called); schemas != relation_schemas.end())
    for (const std::string& schema : schemas->second)
      worsen(worst, resolve(catalog, relations.find(joined(schema, called))->second));
  // An array type's own name is its element's with an underscore.
  if (called.starts_with('_')) worsen(worst, anything(catalog, called.substr(1), but_function));
  // x t.c%TYPE, x t%ROWTYPE: any type.
  const bool is_any_type = called == "type" || called == "rowtype";
  for (const auto& [type, of_it] : types)
    if (is_any_type || type == called) worsen(worst, of_it);
  return worst;
}

namespace {

// IN, BETWEEN, DISTINCT, CASE, LIKE, !=: these need not stand in a text as they are called.
bool is_meant_by_words(std::string_view operation) {
  constexpr auto meant =
      std::to_array<std::string_view>({"!~", "!~~", "!~~*", "<", "<=", "<>", "=", ">", ">=", "~", "~~", "~~*"});
  static_assert(std::ranges::is_sorted(meant));
  return std::ranges::binary_search(meant, operation);
}

}  // namespace

// What is stable never changes anything, says who made it: at worst its answer belongs to the writer.
// Of an immutable one the caller runs what is looked at here.
const Effect& Catalog::Database::resolve(const Catalog& catalog, std::string_view key, Body& body) {
  static const Effect circular{true, Verdict::read_writer, "functions that call each other"};
  static const Effect too_deep{true, Verdict::read_writer, "functions nested too deep"};
  return look_into(body, circular, too_deep, [&] { return effect_of(catalog, key, body); });
}

Effect Catalog::Database::effect_of(const Catalog& catalog, std::string_view key, Body& body) {
  BodyNames names = names_in_body(body.text);
  const std::size_t split = key.find('\0');
  const std::string shown_name = shown(key.substr(0, split), key.substr(split + 1)) + "()";
  Effect effect{true, Verdict::read, ""};
  if (!names.refusal.empty()) worsen(effect, {true, Verdict::read_writer, std::move(names.refusal)});
  for (const std::string& one : names.names) worsen(effect, anything(catalog, one, key));
  for (const std::string& one : names.calls)
    if (functions.contains(joined("pg_catalog", one))) worsen(effect, function(catalog, "pg_catalog", one));
  for (const auto& [operation, of_it] : operators)
    if (is_meant_by_words(operation) || body.text.find(operation) != std::string::npos) worsen(effect, of_it);
  if (effect.verdict != Verdict::read) {
    const bool is_long = effect.why.size() > 300;
    const auto row = functions.find(key);  // none: made while the rows were read
    const bool is_callers = row != functions.end() && row->second == 'i';
    effect = {true, is_callers ? effect.verdict : Verdict::read_writer,
              is_long ? effect.why : shown_name + ": " + effect.why};
  }
  body.text = {};
  return effect;
}

void Catalog::Database::resolve_all(const Catalog& catalog) {
  for (auto& [key, of_relation] : told) {
    const auto relation = relations.find(key);
    if (relation == relations.end()) continue;
    relation->second.definitions = std::move(of_relation.definitions);
    relation->second.used_relations = std::move(of_relation.used_relations);
  }
  told.clear();
  for (auto& [key, body] : bodies) resolve(catalog, key, body);
  for (auto& [key, relation] : relations) {
    const Effect& effect = resolve(catalog, relation);
    const char kind = relation.row.kind;
    const bool holds_rows_to_see = kind != 'S' && kind != 'i' && kind != 'I' && kind != 'c';
    if (holds_rows_to_see && effect.verdict != Verdict::read && !is_system_schema(relation.row.schema)) {
      carries_everything = false;
    }
  }
}

Catalog::Catalog() = default;
Catalog::~Catalog() = default;

Catalog::Database* Catalog::find(std::string_view database) const {
  const auto found = databases_.find(std::string(database));
  return found == databases_.end() ? nullptr : found->second.get();
}

std::vector<std::string> Catalog::databases() const {
  std::vector<std::string> names;
  names.reserve(databases_.size());
  for (const auto& [database, known] : databases_) names.push_back(database);
  std::sort(names.begin(), names.end());
  return names;
}

bool Catalog::knows(std::string_view database) const {
  return find(database) != nullptr;
}

Effect Catalog::function(std::string_view database, std::string_view schema, std::string_view name) const {
  Database* known = find(database);
  if (known == nullptr) return {false, Verdict::write, "the functions of this database are not known"};
  return known->function(*this, schema, name);
}

Effect Catalog::relation(std::string_view database, std::string_view schema, std::string_view name) const {
  Database* known = find(database);
  if (known == nullptr) return {false, Verdict::write, "the relations of this database are not known"};
  const auto found = known->relations.find(joined(schema, name));
  if (found == known->relations.end()) {
    return {false, Verdict::read_writer, "relation " + shown(schema, name) + " is not known"};
  }
  return known->resolve(*this, found->second);
}

Effect Catalog::operation(std::string_view database, std::string_view name) const {
  const Database* known = find(database);
  if (known == nullptr) return {false, Verdict::write, "the operators of this database are not known"};
  const auto found = known->operators.find(name);
  return found == known->operators.end() ? Effect{true, Verdict::read, ""} : found->second;
}

Effect Catalog::type(std::string_view database, std::string_view name) const {
  const Database* known = find(database);
  if (known == nullptr) return {false, Verdict::write, "the types of this database are not known"};
  const auto found = known->types.find(name);
  return found == known->types.end() ? Effect{true, Verdict::read, ""} : found->second;
}

namespace {

std::vector<std::string_view> schemas_in(const NameMap<std::vector<std::string>>& by_name, std::string_view name) {
  const auto found = by_name.find(name);
  if (found == by_name.end()) return {};
  return {found->second.begin(), found->second.end()};
}

}  // namespace

std::vector<std::string_view> Catalog::schemas_of_function(std::string_view database, std::string_view name) const {
  const Database* known = find(database);
  return known == nullptr ? std::vector<std::string_view>{} : schemas_in(known->function_schemas, name);
}

std::vector<std::string_view> Catalog::schemas_of_relation(std::string_view database, std::string_view name) const {
  const Database* known = find(database);
  return known == nullptr ? std::vector<std::string_view>{} : schemas_in(known->relation_schemas, name);
}

bool Catalog::carries_everything(std::string_view database) const {
  const Database* known = find(database);
  return known != nullptr && known->carries_everything;
}

CatalogBuilder::CatalogBuilder() : catalog_(new Catalog) {}
CatalogBuilder::~CatalogBuilder() = default;

Catalog::Database& CatalogBuilder::database(std::string_view name) {
  auto& slot = catalog_->databases_[std::string(name)];
  if (!slot) {
    slot = std::make_unique<Catalog::Database>();
    slot->name = name;
  }
  return *slot;
}

void CatalogBuilder::add_database(std::string_view database) {
  this->database(database);
}

void CatalogBuilder::add_function(std::string_view database, const FunctionRow& row) {
  Catalog::Database& known = this->database(database);
  const auto [slot, is_new] = known.functions.try_emplace(joined(row.schema, row.name), row.volatility);
  if (!is_new && is_worse(row.volatility, slot->second)) slot->second = row.volatility;
  if (is_new && !is_system_schema(row.schema)) known.function_schemas[row.name].push_back(row.schema);
}

void CatalogBuilder::add_function_body(std::string_view database, const FunctionBodyRow& row) {
  this->database(database).bodies[joined(row.schema, row.name)].text = row.body;
}

void CatalogBuilder::add_relation(std::string_view database, const RelationRow& row) {
  Catalog::Database& known = this->database(database);
  const auto [slot, is_new] = known.relations.try_emplace(joined(row.schema, row.name));
  slot->second.row = row;
  if (is_new && !is_system_schema(row.schema)) known.relation_schemas[row.name].push_back(row.schema);
}

void CatalogBuilder::add_definition(std::string_view database, const DefinitionRow& row) {
  this->database(database).told[joined(row.schema, row.name)].definitions.push_back(row.sql);
}

void CatalogBuilder::add_relation_use(std::string_view database, const RelationUse& row) {
  this->database(database).told[joined(row.schema, row.name)].used_relations.push_back(
      joined(row.used_schema, row.used_name));
}

void CatalogBuilder::add_operator(std::string_view database, const OperatorRow& row) {
  const bool is_builtin = is_system_schema(row.function_schema);
  Effect effect{true, Verdict::read, ""};
  if (row.volatility != 'i' && row.volatility != 's') {
    effect = {true, Verdict::write, "an operator " + row.name + " runs a volatile function"};
  } else if (row.volatility == 's' && !is_builtin) {
    effect = {true, Verdict::read_writer, "an operator " + row.name + " runs a function that may read anything"};
  }
  if (effect.verdict != Verdict::read) {
    worsen(this->database(database).operators.try_emplace(row.name, Effect{true, Verdict::read, ""}).first->second,
           effect);
  }
}

void CatalogBuilder::add_type(std::string_view database, const TypeRow& row) {
  if (row.volatility == 'i') return;
  const Effect effect =
      row.volatility == 's'
          ? Effect{true, Verdict::read_writer, "type " + row.name + " runs a function that may read anything"}
          : Effect{true, Verdict::write, "type " + row.name + " runs a volatile function"};
  worsen(this->database(database).types.try_emplace(row.name, Effect{true, Verdict::read, ""}).first->second, effect);
}

CatalogPtr CatalogBuilder::build(std::uint64_t generation, std::string_view deployment) {
  for (auto& [name, database] : catalog_->databases_) database->resolve_all(*catalog_);
  catalog_->generation_ = generation;
  catalog_->identity_ = std::hash<std::string_view>{}(deployment)*0x9e3779b97f4a7c15ULL + generation;
  return std::exchange(catalog_, std::unique_ptr<Catalog>(new Catalog));
}

CatalogPtr empty_catalog() {
  static const CatalogPtr nothing = CatalogBuilder().build(0);
  return nothing;
}

}  // namespace turnout::router
