// What the classifier knows of the databases: functions with their volatility, relations with their kind and whether
// they are carried to green, and what lies behind views. A value: control builds a new one from catalog queries,
// workers share it; nothing in it ever changes.
//
// Always true: views and functions are resolved when the catalog is built, so a lookup never follows a chain; a name
// that is not in the catalog is `unknown`, and the classifier treats that as the worse case; a database that was never
// added knows nothing at all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "router/classify.h"

namespace turnout::router {

// ---- rows that control reads from the writer's catalogs (names as stored there: unquoted, case kept)

struct FunctionRow {
  std::string schema;
  std::string name;
  char volatility = 'v';  // pg_proc.provolatile; overloads of one name: the worst counts
};

// Of a stable function of the user's: all that its overloads of that name run, with their arguments, if it can be read
// (function_body.h). An immutable one is believed, but not the defaults and the types of its arguments: they are the
// caller's.
struct FunctionBodyRow {
  std::string schema;
  std::string name;
  std::string body;
};

struct RelationRow {
  std::string schema;
  std::string name;
  char kind = 'r';         // pg_class.relkind: r p v m f S …
  char persistence = 'p';  // pg_class.relpersistence: p u t
  bool carried = false;    // published with all rows and columns, and `r`eady on green. Partitioned: every partition
};

// A query that reading this relation runs; it is classified like a client's. Of every view: pg_get_viewdef(); of every
// row security policy for SELECT: "SELECT " + pg_get_expr(polqual, polrelid). Both as shown with an empty search_path,
// so that only pg_catalog's names are bare. (pg_depend is no substitute: it leaves out Postgres' own functions, nextval
// too.) A view that nobody defined is a write.
struct DefinitionRow {
  std::string schema;
  std::string name;
  std::string sql;
};

// Reading this relation reads another one too: a parent its partitions and inheritance children.
struct RelationUse {
  std::string schema, name;
  std::string used_schema, used_name;
};

// An operator by name, with the volatility of its function; a type with the worst volatility of its domain checks and
// of the functions of casts to it, where `s`tability is the user's word (input functions of ordinary types need not be
// told).
struct OperatorRow {
  std::string name;
  std::string function_schema;
  char volatility = 'i';
};
struct TypeRow {
  std::string name;
  char volatility = 'i';
};

// What using a name does to the verdict of a text.
struct Effect {
  bool known = false;  // false: the catalog has never heard of it
  Verdict verdict = Verdict::write;
  std::string why;  // filled where the verdict is not `read`
};

class Catalog {
 public:
  ~Catalog();

  // Names as the parser gives them: unquoted, folded. Only the exact (schema, name); paths are the classifier's.
  [[nodiscard]] bool knows(std::string_view database) const;
  [[nodiscard]] Effect function(std::string_view database, std::string_view schema, std::string_view name) const;
  [[nodiscard]] Effect relation(std::string_view database, std::string_view schema, std::string_view name) const;
  // Of any operator, of any type of that name: `read` unless a row said otherwise.
  [[nodiscard]] Effect operation(std::string_view database, std::string_view name) const;
  [[nodiscard]] Effect type(std::string_view database, std::string_view name) const;
  // Schemas (without pg_catalog and information_schema) that hold this function or relation.
  [[nodiscard]] std::vector<std::string_view> schemas_of_function(std::string_view database,
                                                                  std::string_view name) const;
  [[nodiscard]] std::vector<std::string_view> schemas_of_relation(std::string_view database,
                                                                  std::string_view name) const;

  [[nodiscard]] std::vector<std::string> databases() const;  // sorted
  // Every relation that can be read is carried: no matview, unlogged, foreign or unpublished table; sequences do not
  // count. False for a database that is not known.
  [[nodiscard]] bool carries_everything(std::string_view database) const;

  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  // Part of every cache key: differs between deployments and between generations.
  [[nodiscard]] std::uint64_t identity() const { return identity_; }

 private:
  friend class CatalogBuilder;
  struct Database;
  Catalog();
  [[nodiscard]] Database* find(std::string_view database) const;

  std::unordered_map<std::string, std::unique_ptr<Database>> databases_;
  std::uint64_t generation_ = 0;
  std::uint64_t identity_ = 0;
};

class CatalogBuilder {
 public:
  CatalogBuilder();
  ~CatalogBuilder();

  // Rows for `database`; the order does not matter. add_database() alone makes it known, with nothing in it.
  void add_database(std::string_view database);
  void add_function(std::string_view database, const FunctionRow& row);
  void add_function_body(std::string_view database, const FunctionBodyRow& row);
  void add_relation(std::string_view database, const RelationRow& row);
  void add_definition(std::string_view database, const DefinitionRow& row);
  void add_relation_use(std::string_view database, const RelationUse& row);
  void add_operator(std::string_view database, const OperatorRow& row);
  void add_type(std::string_view database, const TypeRow& row);

  // Resolves the views, 20 µs and more for each, and the functions. `generation` grows with every build of a
  // deployment. The builder is empty afterwards.
  [[nodiscard]] CatalogPtr build(std::uint64_t generation, std::string_view deployment = {});

 private:
  std::unique_ptr<Catalog> catalog_;
  Catalog::Database& database(std::string_view name);
};

// Knows no database: only texts that touch no relation, function or operator are reads.
[[nodiscard]] CatalogPtr empty_catalog();

}  // namespace turnout::router
