#include "router/names.h"

#include <string>
#include <utility>

#include "router/builtins.h"

namespace turnout::router {

namespace {

void keep_worse(Effect& worst, Effect other) {
  if (!other.known) return;
  if (!worst.known || other.verdict > worst.verdict) worst = std::move(other);
}

bool is_temporary_schema(std::string_view schema) {
  return schema == "pg_temp" || schema.starts_with("pg_temp_") || schema.starts_with("pg_toast_temp_");
}

Effect effect_of_system_relation(std::string_view name) {
  // It shows default_transaction_read_only, which a read connection has and the client's own has not.
  if (name == "pg_settings") {
    return {true, Verdict::write, "pg_settings would see that the connection is a read connection"};
  }
  return {true, Verdict::read_writer, std::string(name) + " is a system catalog"};
}

}  // namespace

Names::Names(const Catalog& catalog, std::string_view database, SearchPath path)
    : catalog_(catalog), database_(database), path_(std::move(path)) {}

Effect Names::relation(std::string_view schema, std::string_view name) const {
  if (is_temporary_schema(schema)) return {true, Verdict::write, "temporary tables belong to one session"};
  if (is_system_schema(schema)) return effect_of_system_relation(name);
  if (!schema.empty()) return catalog_.relation(database_, schema, name);

  Effect found{false, Verdict::read_writer, ""};
  // Whoever "$user" is: any schema that has the name may be the one.
  if (path_.has_user_schema) {
    for (const std::string_view other : catalog_.schemas_of_relation(database_, name)) {
      keep_worse(found, catalog_.relation(database_, other, name));
    }
  }
  for (const std::string& in_path : path_.schemas) {
    if (is_temporary_schema(in_path)) continue;
    if (in_path == "pg_catalog" && name.starts_with("pg_") && catalog_.knows(database_)) {
      keep_worse(found, effect_of_system_relation(name));
      break;
    }
    Effect here = catalog_.relation(database_, in_path, name);
    if (!here.known) continue;
    keep_worse(found, std::move(here));
    break;
  }
  if (found.known) return found;
  if (!catalog_.knows(database_)) return catalog_.relation(database_, "", name);
  return {false, Verdict::read_writer, "relation " + std::string(name) + " is not known"};
}

// Overloads of one name may stand in several schemas of the path, and the argument types decide, not the order.
Effect Names::function(std::string_view schema, std::string_view name) const {
  if (!schema.empty()) return catalog_.function(database_, schema, name);
  Effect found{false, Verdict::write, ""};
  for (const std::string& in_path : path_.schemas) keep_worse(found, catalog_.function(database_, in_path, name));
  if (path_.has_user_schema) {
    for (const std::string_view other : catalog_.schemas_of_function(database_, name)) {
      keep_worse(found, catalog_.function(database_, other, name));
    }
  }
  if (found.known) return found;
  return {false, Verdict::write, "function " + std::string(name) + "() is not known"};
}

Effect Names::type(std::string_view schema, std::string_view name) const {
  if (is_catalog_type(name)) {
    return {true, Verdict::read_writer, "a value of type " + std::string(name) + " is read from the system catalogs"};
  }
  if (schema == "pg_catalog" && !catalog_.knows(database_)) return {true, Verdict::read, ""};
  Effect effect = catalog_.type(database_, name);
  // An array type's own name is its element's with an underscore.
  if (name.starts_with('_')) keep_worse(effect, type(schema, name.substr(1)));
  return effect;
}

Effect Names::operation(std::string_view name) const {
  return catalog_.operation(database_, name);
}

Effect Names::member(std::string_view name) const {
  if (is_system_column(name)) {
    return {true, Verdict::read_writer, std::string(name) + " is a system column, it differs between the servers"};
  }
  if (!catalog_.knows(database_)) return {false, Verdict::write, "the functions of this database are not known"};
  Effect effect{true, Verdict::read, ""};
  if (!takes_no_argument(name)) keep_worse(effect, catalog_.function(database_, "pg_catalog", name));
  for (const std::string_view schema : catalog_.schemas_of_function(database_, name)) {
    keep_worse(effect, catalog_.function(database_, schema, name));
  }
  // Or the cast to a type: (5).positive is positive(5), is 5::positive.
  keep_worse(effect, type({}, name));
  if (effect.verdict == Verdict::read) return effect;
  effect.why = "." + std::string(name) + " may be the call of " + effect.why;
  return effect;
}

}  // namespace turnout::router
