#include "control/compare_catalog.h"

#include <algorithm>

namespace turnout::control {

namespace {

constexpr std::uint32_t ask_ms_max = 30'000;

// The key: the primary key, else the replica identity's index, else any unique one without NULLs. `ordered_alike`:
// types whose order is a matter of their values alone; texts only where they are ordered by byte.
constexpr const char* facts_sql = R"(
SELECT a.attname, format_type(a.atttypid, -1), format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
       a.attnotnull, coalesce(k.position, 0),
       b.typnamespace = 'pg_catalog'::regnamespace AND (
         b.typname IN ('int2', 'int4', 'int8', 'oid', 'numeric', 'float4', 'float8', 'bool', 'uuid', 'bytea', 'date',
                       'time', 'timestamp', 'timestamptz', 'name')
         OR b.typname IN ('text', 'varchar', 'bpchar') AND EXISTS (
           SELECT FROM pg_collation o WHERE o.oid = a.attcollation AND CASE o.collprovider
             WHEN 'd' THEN (SELECT coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'b' OR
                                   coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' AND
                                   d.datcollate IN ('C', 'POSIX') FROM pg_database d WHERE d.datname = current_database())
             WHEN 'b' THEN true WHEN 'c' THEN o.collcollate IN ('C', 'POSIX') ELSE false END)),
       EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid AND x.indpred IS NULL
                                        AND x.indkey[0] = a.attnum),
       c.relkind = 'p', size.rows, size.blocks
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT i.* FROM pg_index i
     WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
       AND NOT EXISTS (SELECT FROM unnest(i.indkey) WITH ORDINALITY u(attnum, at)
                         JOIN pg_attribute m ON m.attrelid = c.oid AND m.attnum = u.attnum
                        WHERE u.at <= i.indnkeyatts AND NOT m.attnotnull)
     ORDER BY i.indisprimary DESC, i.indisreplident DESC, i.indexrelid LIMIT 1) best ON true
  LEFT JOIN LATERAL (
    SELECT coalesce(sum(greatest(p.reltuples, 0)), 0)::bigint AS rows,
           coalesce(max(pg_relation_size(p.oid) / current_setting('block_size')::bigint), 0) AS blocks
      FROM pg_class p WHERE p.relkind = 'r' AND
           (p.oid = c.oid OR p.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf))) size ON true
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
  LEFT JOIN LATERAL (SELECT u.at AS position FROM unnest(best.indkey) WITH ORDINALITY u(attnum, at)
                      WHERE u.attnum = a.attnum AND u.at <= best.indnkeyatts) k ON true
 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
)";

std::string literals(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& one : names) out += (out.empty() ? "" : ", ") + quote_literal(one);
  return out.empty() ? "NULL" : out;
}

// Of several publications the wider one counts: a list of columns or a filter only if all of them have one.
void add_publication(std::vector<PublishedTable>& list, PublishedTable one) {
  const auto known =
      std::find_if(list.begin(), list.end(), [&](const auto& other) { return other.table == one.table; });
  if (known == list.end()) {
    list.push_back(std::move(one));
    return;
  }
  for (const auto& column : one.columns) {
    if (std::find(known->columns.begin(), known->columns.end(), column) == known->columns.end())
      known->columns.push_back(column);
  }
  if (one.filter.empty()) known->filter.clear();
  if (!known->filter.empty()) known->filter = '(' + known->filter + ") OR (" + one.filter + ')';
}

}  // namespace

PgOutcome<TableFacts> read_table_facts(PgClient& client, const TableName& table) {
  const auto rows = client.query(facts_sql, {table.schema, table.name}, ask_ms_max);
  if (!rows) return rows.error();
  TableFacts facts;
  facts.exists = !rows->empty();
  for (int row = 0; row < rows->size(); ++row) {
    facts.is_partitioned = rows->boolean(row, 8);
    facts.rows_estimate = rows->integer(row, 9);
    facts.blocks = rows->integer(row, 10);
    if (rows->is_null(row, 0)) continue;  // a table without any column
    ColumnFact one;
    one.name = rows->text(row, 0);
    one.type = rows->text(row, 1);
    one.shown_type = rows->text(row, 2);
    one.generated = rows->boolean(row, 3);
    one.not_null = rows->boolean(row, 4);
    one.key_position = static_cast<int>(rows->integer(row, 5));
    one.ordered_alike = rows->boolean(row, 6);
    one.leads_an_index = rows->boolean(row, 7);
    facts.columns.push_back(std::move(one));
  }
  return facts;
}

PgOutcome<HashMethod> common_hash(PgClient& writer, PgClient& follower) {
  const std::string sql =
      "SELECT hashtextextended('turnout' COLLATE \"C\", 0)::text || ' ' || current_setting('server_encoding')";
  const auto here = writer.query(sql, ask_ms_max);
  if (!here) return here.error();
  const auto there = follower.query(sql, ask_ms_max);
  if (!there) return there.error();
  return here->text(0, 0) == there->text(0, 0) ? HashMethod::quick : HashMethod::portable;
}

PgOutcome<std::vector<PublishedTable>> published_tables(PgClient& writer, PgClient& follower, const Stream& stream) {
  const auto published = writer.query(
      "SELECT schemaname, tablename, coalesce(to_jsonb(p) ->> 'rowfilter', ''), "
      "coalesce(to_jsonb(p) -> 'attnames', '[]')::text FROM pg_publication_tables p WHERE pubname IN (" +
          literals(stream.publications) + ") AND schemaname <> 'turnout' ORDER BY 1, 2",
      ask_ms_max);
  if (!published) return published.error();
  const auto carried = follower.query(
      "SELECT n.nspname, c.relname, r.srsubstate FROM pg_subscription_rel r JOIN pg_class c ON c.oid = "
      "r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.srsubid = " +
          std::to_string(stream.subscription_oid),
      ask_ms_max);
  if (!carried) return carried.error();
  std::vector<PublishedTable> out;
  for (int row = 0; row < published->size(); ++row) {
    add_publication(out, {{published->text(row, 0), published->text(row, 1)},
                          texts_of_json(published->text(row, 3)),
                          published->text(row, 2),
                          false,
                          false,
                          stream.subscription});
  }
  for (int row = 0; row < carried->size(); ++row) {
    const TableName table{carried->text(row, 0), carried->text(row, 1)};
    const auto known = std::find_if(out.begin(), out.end(), [&](const auto& one) { return one.table == table; });
    if (known == out.end()) continue;
    known->is_carried = true;
    known->is_ready = carried->text(row, 2) == "r";
  }
  return out;
}

PgOutcome<std::vector<std::string>> unpublished_tables(PgClient& writer, const Stream& whole) {
  const auto rows = writer.query(
      "WITH published AS MATERIALIZED (SELECT c.oid FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = "
      "p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE p.pubname IN (" +
          literals(whole.publications) +
          // A partition goes with its root, a root with its partitions.
          ")), carried AS MATERIALIZED (SELECT oid FROM published UNION SELECT relid::oid FROM published, "
          "pg_partition_ancestors(oid) UNION SELECT relid::oid FROM published, pg_partition_tree(oid)) "
          "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
          "WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN "
          "('information_schema', 'turnout') AND c.oid NOT IN (SELECT oid FROM carried WHERE oid IS NOT NULL) "
          "ORDER BY 1",
      ask_ms_max);
  if (!rows) return rows.error();
  std::vector<std::string> out;
  for (int row = 0; row < rows->size(); ++row) out.push_back(whole.database + '.' + rows->text(row, 0));
  return out;
}

PgOutcome<bool> marker_travels(PgClient& follower, const Stream& stream) {
  const auto rows = follower.query(
      "SELECT 1 FROM pg_subscription_rel WHERE srrelid = to_regclass('turnout.marker') AND srsubstate = 'r' AND "
      "srsubid = " +
          std::to_string(stream.subscription_oid),
      ask_ms_max);
  if (!rows) return rows.error();
  return !rows->empty();
}

}  // namespace turnout::control
