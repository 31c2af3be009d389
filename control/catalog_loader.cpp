#include "control/catalog_loader.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "control/step_context.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;

// What runs functions that no text names, with all that is made of such a type. Which texts that concerns: 'a', who
// names the type (a cast that has to be asked for); 'c', functions and operators that take it or give it as well (a
// domain's check; pg_depend would not name Postgres' own); 'v', whoever has a value of it (casts that nobody asks for,
// comparing and hashing without an operator, numbers that belong to one server). Support functions in C are believed:
// those of PostGIS are volatile for want of a word.
constexpr const char* types_sql =
    "WITH RECURSIVE used(type, function, scope) AS (SELECT castsource, castfunc, 'v' FROM pg_cast WHERE oid >= 16384 "
    "AND castsource >= 16384 AND (castcontext = 'i' OR casttarget IN ('json'::regtype, 'jsonb'::regtype)) UNION ALL "
    "SELECT casttarget, castfunc, CASE WHEN castcontext <> 'i' THEN 'a' WHEN casttarget >= 16384 THEN 'v' "
    "WHEN castsource < 16384 THEN 'c' ELSE 'a' END FROM pg_cast WHERE oid >= 16384 UNION ALL "
    "SELECT contypid, (regexp_matches(conbin::text, ':(?:op)?funcid (\\d+)', 'g'))[1]::oid, 'c' FROM pg_constraint "
    "WHERE contypid <> 0 UNION ALL "
    "SELECT o.opcintype, s.amproc, 'v' FROM pg_opclass o JOIN pg_amproc s ON s.amprocfamily = o.opcfamily JOIN pg_proc "
    "f ON f.oid = s.amproc JOIN pg_language l ON l.oid = f.prolang WHERE (o.opcdefault OR o.opcintype >= 16384) AND "
    "l.lanname NOT IN ('internal', 'c') UNION ALL "
    "SELECT o.opcintype, p.oprcode, 'v' FROM pg_opclass o JOIN pg_amop a ON a.amopfamily = o.opcfamily JOIN "
    "pg_operator p ON p.oid = a.amopopr WHERE o.oid >= 16384 AND (o.opcdefault OR o.opcintype >= 16384)), "
    "touchy(type, volatility, scope) AS (SELECT u.type, CASE WHEN f.oid < 16384 AND f.provolatile = 's' THEN 'i' ELSE "
    "f.provolatile END::text, u.scope FROM used u JOIN pg_proc f ON f.oid = u.function WHERE f.provolatile <> 'i' "
    "UNION SELECT oid, 's', 'v' FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND "
    "(typname ~ '^reg' OR typname = 'aclitem') "
    "UNION SELECT m.type, y.volatility, CASE WHEN y.scope = 'c' AND NOT m.keeps THEN 'v' ELSE y.scope END FROM touchy "
    "y "
    "JOIN (SELECT typbasetype AS of, oid AS type, true AS keeps FROM pg_type WHERE typtype = 'd' UNION ALL "
    "SELECT typelem, oid, false FROM pg_type WHERE typcategory = 'A' UNION ALL "
    "SELECT a.atttypid, t.oid, false FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid WHERE t.typtype = "
    "'c' AND t.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped UNION ALL "
    "SELECT r.rngsubtype, x.type, false FROM pg_range r CROSS JOIN LATERAL (VALUES (r.rngtypid), (r.rngmultitypid)) "
    "x(type)) m ON m.of = y.type) "
    "SELECT t.typname, max(y.volatility), max(y.scope), t.oid FROM touchy y JOIN pg_type t ON t.oid = y.type WHERE "
    "y.volatility <> 'i' GROUP BY 1, 4";

// $1 of the questions below: those types.
#define TOUCHY_TYPES "json_to_recordset($1::json) AS y(type oid, volatility text, scope text)"

// Overloads of one name: the worst volatility counts. 'v' sorts after 's' after 'i'.
// An aggregate itself is always said to be immutable: the user's are what their functions are. What takes or gives a
// value of a type that runs functions runs them; populating a record does so for columns that no text names.
constexpr const char* functions_sql =
    "SELECT n.nspname, p.proname, max(CASE WHEN p.prokind IN ('f', 'a', 'w') THEN greatest(p.provolatile::text, "
    "(SELECT max(f.provolatile::text) FROM pg_aggregate a JOIN pg_proc f ON f.oid IN (a.aggtransfn, a.aggfinalfn, "
    "a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) "
    "WHERE p.prokind = 'a' AND p.oid >= 16384 AND a.aggfnoid = p.oid), t.volatility) ELSE 'v' END) "
    "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN (SELECT f.oid, max(y.volatility) "
    "FROM " TOUCHY_TYPES
    ", pg_proc f CROSS JOIN LATERAL unnest(coalesce(f.proallargtypes, f.proargtypes) || "
    "f.prorettype) used(type) WHERE y.scope <> 'a' AND (y.type = used.type OR y.volatility = 'v' AND f.proname ~ "
    "'^jsonb?_populate_record') GROUP BY 1) t(oid, volatility) ON t.oid = p.oid GROUP BY 1, 2";

// What stable functions run, with their arguments and results (types, defaults), where it is in a language of SQL's
// names: of all overloads, or of none. Not those whose settings say that names and literals mean something else there,
// or that a read connection refuses; nor where bytes above 0x7f may be capital letters. Of immutable ones the defaults
// and the types of arguments, where those may say something.
constexpr const char* bodies_sql =
    "SELECT n.nspname, p.proname, string_agg(CASE p.provolatile WHEN 'i' THEN concat_ws(E'\\n', "
    "oidvectortypes(p.proargtypes), pg_get_expr(p.proargdefaults, 0)) ELSE concat_ws(E'\\n', "
    "coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), pg_get_function_arguments(p.oid), "
    "pg_get_function_result(p.oid)) END, E'\\n' ORDER BY p.oid) "
    "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang "
    "WHERE p.oid >= 16384 AND (p.provolatile = 's' OR p.provolatile = 'i' AND (p.pronargdefaults > 0 OR "
    "oidvectortypes(p.proargtypes) ~ '\\mreg' OR EXISTS (SELECT FROM pg_type t WHERE t.oid = ANY (p.proargtypes) AND "
    "(t.typtype = 'd' OR EXISTS (SELECT FROM pg_cast c WHERE c.oid >= 16384 AND c.casttarget = t.oid))))) GROUP BY 1, "
    "2 "
    "HAVING bool_and(p.provolatile = 'i' OR p.prokind = 'f' AND l.lanname IN ('sql', 'plpgsql') AND "
    "NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s ~* '^(standard_conforming_strings|transaction_)' "
    "OR s ~* '^search_path=.*(information_schema|pg_toast|turnout)') AND "
    "(getdatabaseencoding() = 'UTF8' OR p.prosrc !~ '[^\\x01-\\x7f]')) "
    "AND coalesce(sum(length(p.prosrc)) FILTER (WHERE p.provolatile = 's'), 0) <= 65536";

// A partitioned table is carried if every partition is; which tables are ready is the follower's book.
constexpr const char* relations_sql =
    "SELECT n.nspname, c.relname, c.relkind::text, c.relpersistence::text FROM pg_class c JOIN pg_namespace n ON n.oid "
    "= c.relnamespace "
    "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)'";

// Published with every row and every column; through which name does not matter here.
constexpr const char* published_sql =
    "SELECT DISTINCT t.schemaname, t.tablename FROM pg_publication_tables t WHERE t.pubname = ANY "
    "(SELECT json_array_elements_text($1::json)) AND t.rowfilter IS NULL AND cardinality(t.attnames) = "
    "(SELECT count(*) FROM pg_attribute a WHERE a.attrelid = format('%I.%I', t.schemaname, t.tablename)::regclass AND "
    "a.attnum > 0 "
    "AND NOT a.attisdropped AND a.attgenerated = '')";

constexpr const char* partitions_sql =
    "SELECT pn.nspname, p.relname, cn.nspname, c.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent "
    "JOIN pg_namespace pn ON pn.oid = p.relnamespace JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON "
    "cn.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p', 'f') AND p.relkind IN ('r', 'p')";

// What reading a view or a table with row security runs, and what values of its columns may run; names are written out
// because the session's search_path is "".
constexpr const char* definitions_sql =
    "SELECT n.nspname, c.relname, pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('v', 'm') UNION ALL "
    "SELECT n.nspname, c.relname, 'SELECT ' || pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p JOIN pg_class c ON "
    "c.oid = p.polrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.polqual IS NOT NULL AND p.polcmd IN ('*', 'r') UNION "
    "SELECT n.nspname, c.relname, format('SELECT NULL::%I.%I', tn.nspname, t.typname) FROM " TOUCHY_TYPES
    " JOIN pg_type t ON t.oid = y.type JOIN pg_namespace tn ON tn.oid = t.typnamespace JOIN pg_attribute a ON "
    "a.atttypid = t.oid JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
    "y.scope = 'v' AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND c.oid >= 16384";

// What it calls, what comparing its operands may, and an index whose own functions stand behind it.
constexpr const char* operators_sql =
    "SELECT o.oprname, fn.nspname, max(f.provolatile) FROM pg_operator o JOIN pg_proc f ON f.oid = o.oprcode "
    "JOIN pg_namespace fn ON fn.oid = f.pronamespace GROUP BY 1, 2 UNION ALL "
    "SELECT o.oprname, '', max(y.volatility) FROM pg_operator o JOIN " TOUCHY_TYPES
    " ON y.type IN (o.oprleft, o.oprright, o.oprresult) WHERE y.scope <> 'a' AND (y.volatility = 'v' OR y.type >= "
    "16384) GROUP BY 1 UNION ALL "
    "SELECT o.oprname, '', max(f.provolatile) FROM pg_amproc s JOIN pg_proc f ON f.oid = s.amproc JOIN pg_language l "
    "ON l.oid = f.prolang JOIN pg_amop a ON a.amopfamily = s.amprocfamily JOIN pg_operator o ON o.oid = a.amopopr "
    "WHERE l.lanname NOT IN ('internal', 'c') GROUP BY 1";

#undef TOUCHY_TYPES

char letter(const std::string& text, char otherwise) {
  return text.empty() ? otherwise : text.front();
}

using Name = std::pair<std::string, std::string>;

// One database's part. The first error ends it.
class DatabaseCatalog {
 public:
  DatabaseCatalog(router::CatalogBuilder& builder, PgClient& writer, const Stream& stream, const std::set<Name>& ready)
      : builder_(builder), writer_(writer), stream_(stream), ready_(ready) {}

  // The same rows give the same number, in whatever order they came.
  [[nodiscard]] std::uint64_t content() const { return content_; }

  [[nodiscard]] std::optional<PgError> load() {
    builder_.add_database(stream_.database);
    types();
    functions();
    relations();
    definitions();
    children();
    operators();
    return error_;
  }

 private:
  PgRows ask(const char* sql, int columns, const std::vector<std::string>& parameters = {}) {
    if (error_) return {};
    auto rows = parameters.empty() ? writer_.query(sql, quiet_ms_max) : writer_.query(sql, parameters, quiet_ms_max);
    if (rows) {
      for (int row = 0; row < rows->size(); ++row) {
        std::string all = sql;
        for (int column = 0; column < columns; ++column) all += '\x01' + rows->text(row, column);
        content_ += std::hash<std::string>{}(all)*0x9e3779b97f4a7c15ULL;
      }
      return std::move(*rows);
    }
    error_ = rows.error();
    return {};
  }

  void functions() {
    const auto rows = ask(functions_sql, 3, {types_});
    for (int row = 0; row < rows.size(); ++row) {
      builder_.add_function(stream_.database, {rows.text(row, 0), rows.text(row, 1), letter(rows.text(row, 2), 'v')});
    }
    const auto bodies = ask(bodies_sql, 3);
    for (int row = 0; row < bodies.size(); ++row) {
      builder_.add_function_body(stream_.database, {bodies.text(row, 0), bodies.text(row, 1), bodies.text(row, 2)});
    }
  }

  void relations() {
    std::set<Name> published;
    const auto names = ask(published_sql, 2, {json_list(stream_.publications)});
    for (int row = 0; row < names.size(); ++row) published.emplace(names.text(row, 0), names.text(row, 1));
    std::map<Name, std::vector<Name>> partitions;
    const auto parts = ask(partitions_sql, 4);
    for (int row = 0; row < parts.size(); ++row) {
      partitions[{parts.text(row, 0), parts.text(row, 1)}].emplace_back(parts.text(row, 2), parts.text(row, 3));
    }
    const auto rows = ask(relations_sql, 4);
    for (int row = 0; row < rows.size(); ++row) {
      const Name name{rows.text(row, 0), rows.text(row, 1)};
      const bool carried = is_carried(name, published, partitions, 0);
      builder_.add_relation(stream_.database, {name.first, name.second, letter(rows.text(row, 2), 'r'),
                                               letter(rows.text(row, 3), 'p'), carried});
    }
  }

  // Itself, or all of its partitions (which may have partitions again).
  bool is_carried(const Name& name, const std::set<Name>& published,
                  const std::map<Name, std::vector<Name>>& partitions, int depth) const {
    if (published.contains(name) && ready_.contains(name)) return true;
    const auto found = partitions.find(name);
    if (found == partitions.end() || found->second.empty() || depth > 16) return false;
    for (const auto& part : found->second) {
      if (!is_carried(part, published, partitions, depth + 1)) return false;
    }
    return true;
  }

  void definitions() {
    const auto rows = ask(definitions_sql, 3, {types_});
    for (int row = 0; row < rows.size(); ++row) {
      builder_.add_definition(stream_.database, {rows.text(row, 0), rows.text(row, 1), rows.text(row, 2)});
    }
  }

  void children() {
    const auto rows = ask(partitions_sql, 4);
    for (int row = 0; row < rows.size(); ++row) {
      builder_.add_relation_use(stream_.database,
                                {rows.text(row, 0), rows.text(row, 1), rows.text(row, 2), rows.text(row, 3)});
    }
  }

  void operators() {
    const auto rows = ask(operators_sql, 3, {types_});
    for (int row = 0; row < rows.size(); ++row) {
      builder_.add_operator(stream_.database, {rows.text(row, 0), rows.text(row, 1), letter(rows.text(row, 2), 'v')});
    }
  }

  void types() {
    boost::json::array known;
    const auto rows = ask(types_sql, 4);
    for (int row = 0; row < rows.size(); ++row) {
      builder_.add_type(stream_.database, {rows.text(row, 0), letter(rows.text(row, 1), 'v')});
      known.push_back(boost::json::object{
          {"type", rows.text(row, 3)}, {"volatility", rows.text(row, 1)}, {"scope", rows.text(row, 2)}});
    }
    types_ = boost::json::serialize(known);
  }

  router::CatalogBuilder& builder_;
  PgClient& writer_;
  const Stream& stream_;
  const std::set<Name>& ready_;
  std::optional<PgError> error_;
  std::string types_ = "[]";  // what runs functions by itself, as TOUCHY_TYPES reads it
  std::uint64_t content_ = 0;
};

}  // namespace

PgOutcome<LoadedCatalog> load_catalog(Shelf& shelf, const Topology& topology, std::uint64_t generation,
                                      const std::string& deployment) {
  router::CatalogBuilder builder;
  std::uint64_t content = 0;
  for (const auto& stream : topology.merged()) {
    std::set<Name> ready;
    auto follower = shelf.take(topology.to(), stream.database, connect_ms_max);
    if (!follower) return follower.error();
    const auto rows = (*follower)->query(
        "SELECT n.nspname, c.relname FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace "
        "n ON n.oid = "
        "c.relnamespace WHERE r.srsubstate = 'r'",  // of all streams of this database
        quiet_ms_max);
    if (!rows) return rows.error();
    for (int row = 0; row < rows->size(); ++row) {
      ready.emplace(rows->text(row, 0), rows->text(row, 1));
      content += std::hash<std::string>{}(stream.database + '\x01' + rows->text(row, 0) + '\x01' + rows->text(row, 1));
    }
    auto writer = shelf.fresh(topology.from, stream.database, connect_ms_max);  // its search_path is changed
    if (!writer) return writer.error();
    const auto emptied = writer->query("SELECT set_config('search_path', '', false)", connect_ms_max);
    if (!emptied) return emptied.error();
    DatabaseCatalog database(builder, *writer, stream, ready);
    if (const auto error = database.load()) return *error;
    content += database.content() * (2 * std::hash<std::string>{}(stream.database) + 1);
  }
  return LoadedCatalog{builder.build(generation, deployment), content};
}

}  // namespace turnout::control
