// Are the two databases the same where it matters: keys, columns, types, extensions, sequences?

#include "control/preflight_look.h"
#include "control/sequence_book.h"
#include "control/sequences.h"

namespace turnout::control {

// UPDATE and DELETE of such a table fail on the publisher itself.
const char* const no_identity_sql = R"(
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_'
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
   AND (c.relreplident = 'n'
     OR (c.relreplident = 'd' AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND i.indisvalid))
     OR (c.relreplident = 'i' AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid)))
 ORDER BY 1)";

namespace {

void check_replica_identity(Look& look) {
  constexpr const char* name = "replica_identity";
  std::vector<std::string> bad;
  for (const auto side : {look.from, look.to}) {
    for (const auto& database : look.topology.databases()) {
      const auto rows = look.ask(name, side, database, no_identity_sql);
      if (!rows) return;
      for (int row = 0; row < rows->size(); ++row) bad.push_back(rows->text(row, 0) + " on " + router::name(side));
    }
  }
  look.verdict(name, Verdict::fail, bad, "every table has one",
               "a valid primary key, or REPLICA IDENTITY USING INDEX or FULL",
               "ALTER TABLE … ADD PRIMARY KEY, or ALTER TABLE … REPLICA IDENTITY FULL, on both sides");
}

constexpr const char* columns_sql = R"(
SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname),
       format_type(a.atttypid, a.atttypmod) || '|' || a.attnotnull::text || '|' || (a.atthasdef OR a.attidentity <> '')::text || '|' || a.attgenerated::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_')";

// Additive on the follower is fine; what breaks apply, or the application after the flip, is not.
void check_schema_parity(Look& look) {
  constexpr const char* name = "schema.parity";
  std::vector<std::string> bad;
  for (const auto& database : look.topology.databases()) {
    const auto here = look.names(name, look.from, database, columns_sql);
    const auto there = look.names(name, look.to, database, columns_sql);
    if (!here || !there) return;
    for (const auto& [column, kind] : *here) {
      const auto found = there->find(column);
      if (found == there->end()) {
        bad.push_back(column + " is missing on " + router::name(look.to));
      } else if (found->second.substr(0, found->second.find('|')) != kind.substr(0, kind.find('|'))) {
        bad.push_back(column + " has another type on " + router::name(look.to));
      }
    }
    for (const auto& [column, kind] : *there) {
      const bool must_be_given = kind.find("|true|false|") != std::string::npos;
      if (must_be_given && !here->contains(column))
        bad.push_back(column + " is NOT NULL without a default, only on " + router::name(look.to));
    }
  }
  look.verdict(name, Verdict::fail, bad, "every column is there with its type",
               "the follower has all columns; its own are nullable or have defaults",
               "make the change on both sides (expand first, contract after the cooling)");
}

// Types of their own, by name: drivers remember OIDs, which two servers give differently.
constexpr const char* types_sql = R"(
SELECT format('%I.%I', n.nspname, t.typname), t.oid::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'turnout') AND n.nspname !~ '^pg_' AND t.typcategory <> 'A'
   AND (t.typtype IN ('e', 'd', 'r', 'b') OR (t.typtype = 'c' AND c.relkind = 'c')))";

// Other numbers are translated by the data path (protocol/pg/type_map.h), which matches types by name.
void check_type_oids(Look& look) {
  constexpr const char* name = "types.oids";
  std::vector<std::string> bad;
  std::size_t differing = 0;
  for (const auto& database : look.topology.databases()) {
    const auto here = look.names(name, look.from, database, types_sql);
    const auto there = look.names(name, look.to, database, types_sql);
    if (!here || !there) return;
    for (const auto& [type, oid] : *here) {
      const auto found = there->find(type);
      if (found == there->end())
        bad.push_back("type " + type + " is missing on " + router::name(look.to));
      else if (found->second != oid)
        ++differing;
    }
  }
  look.verdict(name, Verdict::fail, bad,
               differing == 0 ? "equal"
                              : std::to_string(differing) +
                                    " types have other OIDs on green; clients are shown blue's, also inside arrays, "
                                    "composites and ranges",
               "every type of the writer is on the follower, by name", "create it there");
}

void check_extensions(Look& look) {
  constexpr const char* name = "extensions.parity";
  std::vector<std::string> missing, versions;
  for (const auto& database : look.topology.databases()) {
    constexpr const char* sql = "SELECT extname, extversion FROM pg_extension";
    const auto here = look.names(name, look.from, database, sql);
    const auto there = look.names(name, look.to, database, sql);
    if (!here || !there) return;
    for (const auto& [extension, version] : *here) {
      const auto found = there->find(extension);
      if (found == there->end()) {
        missing.push_back(extension + " is missing in " + database + " on " + router::name(look.to));
      } else if (found->second != version) {
        versions.push_back(extension + ' ' + version + " here, " + found->second + " there");
      }
    }
  }
  const std::string bound = "every extension of the writer is on the follower";
  if (!missing.empty()) return look.fail(name, some_of(missing), bound, "CREATE EXTENSION there");
  look.verdict(name, Verdict::warn, versions, "the same", bound,
               "compare the release notes; ALTER EXTENSION … UPDATE where the older one is meant to go");
}

void check_sequences(Look& look) {
  constexpr const char* name = "sequences.readable";
  std::vector<std::string> bad;
  std::size_t count = 0;
  for (const auto& database : look.topology.databases()) {
    std::vector<SequenceState> states[2];
    for (const auto side : {look.from, look.to}) {
      auto loan = look.context.shelf.take(side, database, quiet_ms_max);
      if (!loan) return look.fail(name, loan.error().message(), "", "see that this server answers");
      auto read = read_sequence_book(**loan);
      if (!read)
        return look.fail(name, read.error().message(), "", "turnout's admin must be able to read every sequence");
      states[side == look.from ? 0 : 1] = std::move(read->states);
    }
    count += states[0].size();
    for (const auto& gap : sequence_gaps(states[0], states[1])) bad.push_back(database + ": " + gap);
  }
  look.verdict(name, Verdict::fail, bad, std::to_string(count) + " sequences",
               "readable, and there on both sides with the same step",
               "create what is missing, with the same INCREMENT");
}

void check_unsupported(Look& look) {
  constexpr const char* name = "unsupported_objects";
  std::vector<std::string> found;
  for (const auto& database : look.topology.databases()) {
    const auto rows = look.ask(
        name, look.from, database,
        "SELECT c.oid::regclass::text || CASE c.relkind WHEN 'm' THEN ' (materialized view)' ELSE ' (unlogged)' END "
        "FROM pg_class c JOIN "
        "pg_namespace n ON n.oid = c.relnamespace WHERE (c.relkind = 'm' OR (c.relkind = 'r' AND c.relpersistence = "
        "'u')) AND n.nspname !~ "
        "'^pg_' UNION ALL SELECT count(*) || ' large objects' FROM pg_largeobject_metadata HAVING count(*) > 0");
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) found.push_back(database + ": " + rows->text(row, 0));
  }
  look.verdict(name, Verdict::warn, found, "none", "nothing that logical replication leaves out",
               "refresh, fill or copy them on the follower by hand, or do without");
}

}  // namespace

void check_schemas(Look& look) {
  check_replica_identity(look);
  check_schema_parity(look);
  check_type_oids(look);
  check_extensions(look);
  check_sequences(look);
  check_unsupported(look);
}

}  // namespace turnout::control
