#include "control/type_loader.h"

#include "control/step_context.h"

namespace turnout::control {

namespace pg = protocol::pg;

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;

// Arrays are known by their element, whatever they are called; toast and temporary ones have names of one server.
constexpr const char* types_sql = R"(
SELECT t.oid::bigint, CASE WHEN e.oid IS NOT NULL THEN 'a' ELSE t.typtype::text END,
       coalesce(e.oid, r.rngsubtype, m.rngtypid, t.typbasetype)::bigint,
       CASE WHEN e.oid IS NOT NULL THEN format('%I.%I[]', en.nspname, e.typname) ELSE format('%I.%I', n.nspname, t.typname) END
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
  LEFT JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace
  LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
  LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid
 WHERE t.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)' ORDER BY 4)";

// Everything else whose number a client may see in the catalogs. Large objects are copied with their numbers.
constexpr const char* objects_sql = R"(
SELECT c.oid::bigint, format('relation %I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)'
UNION ALL SELECT oid::bigint, format('schema %I', nspname) FROM pg_catalog.pg_namespace
 WHERE oid >= 16384 AND nspname !~ '^pg_(toast|temp)'
UNION ALL SELECT oid::bigint, format('role %I', rolname) FROM pg_catalog.pg_roles WHERE oid >= 16384
UNION ALL SELECT oid::bigint, format('database %I', datname) FROM pg_catalog.pg_database WHERE oid >= 16384
UNION ALL SELECT o.oid::bigint, i.type || ' ' || i.identity FROM (
  SELECT tableoid, oid FROM pg_catalog.pg_proc UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_constraint
  UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_attrdef UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_operator
  UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_opclass UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_opfamily
  UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_collation UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_extension
  UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_language UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_policy
  UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_cast UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_rewrite
  UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_statistic_ext) o,
  LATERAL pg_catalog.pg_identify_object(o.tableoid, o.oid, 0) i
 WHERE o.oid >= 16384 AND i.identity IS NOT NULL AND i.identity !~ 'pg_(toast|temp)'
 ORDER BY 2)";

pg::TypeKind kind_of(const std::string& letter) {
  switch (letter.empty() ? 'b' : letter.front()) {
    case 'a':
      return pg::TypeKind::array;
    case 'c':
      return pg::TypeKind::composite;
    case 'd':
      return pg::TypeKind::domain;
    case 'r':
      return pg::TypeKind::range;
    case 'm':
      return pg::TypeKind::multirange;
    default:
      return pg::TypeKind::plain;
  }
}

pg::Oid oid_of(const PgRows& rows, int row, int column) {
  return static_cast<pg::Oid>(rows.integer(row, column));
}

}  // namespace

PgOutcome<pg::ObjectOids> read_object_oids(PgClient& client) {
  pg::ObjectOids read;
  const auto types = client.query(types_sql, quiet_ms_max);
  if (!types) return types.error();
  for (int row = 0; row < types->size(); ++row)
    read.types.push_back(
        {types->text(row, 3), oid_of(*types, row, 0), kind_of(types->text(row, 1)), oid_of(*types, row, 2)});
  const auto objects = client.query(objects_sql, quiet_ms_max);
  if (!objects) return objects.error();
  for (int row = 0; row < objects->size(); ++row)
    read.objects.push_back({objects->text(row, 1), oid_of(*objects, row, 0)});
  return read;
}

PgOutcome<std::string> load_types_mark(Shelf& shelf, router::Side side, const std::string& database) {
  auto loan = shelf.take(side, database, connect_ms_max);
  if (!loan) return loan.error();
  const auto rows = (*loan)->query(
      "SELECT count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0) FROM pg_catalog.pg_type WHERE oid >= 16384",
      quiet_ms_max);
  if (!rows) return rows.error();
  return rows->text(0, 0);
}

PgOutcome<pg::ObjectOids> load_object_oids(Shelf& shelf, router::Side side, const std::string& database) {
  auto loan = shelf.take(side, database, connect_ms_max);
  if (!loan) return loan.error();
  return read_object_oids(**loan);
}

}  // namespace turnout::control
