#include "router/builtins.h"

#include <algorithm>
#include <array>
#include <string>

namespace turnout::router {

namespace {

// Volatile by the catalog because two calls differ, yet they change nothing: an answer from green is as good.
constexpr auto harmless_volatile = std::to_array<std::string_view>({
    "clock_timestamp",
    "gen_random_uuid",
    "random",
    "random_normal",
    "timeofday",
    "uuidv4",
    "uuidv7",
});

// Volatile, change nothing, but speak of one server: monitoring and drivers' "which server is this" questions, which
// must not wait while writes are held.
constexpr auto server_volatile = std::to_array<std::string_view>({
    "current_query",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_relation_size",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
});

// Immutable, of values that are numbers of one server: an enum's, or a row's or an array's that may hold one.
constexpr auto server_immutable = std::to_array<std::string_view>({
    "hash_array",
    "hash_array_extended",
    "hash_record",
    "hash_record_extended",
    "hashenum",
    "hashenumextended",
});

// Stable functions of Postgres 15 to 18 whose answer follows from their arguments, the session's parameters (which
// travel with the session) and the time. A stable function that is not here may look at the catalogs, at the server or
// at relations named by its arguments (current_setting, has_table_privilege, table_to_xml, …).
constexpr auto portable_stable = std::to_array<std::string_view>({
    "age",
    "anytextcat",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date",
    "date_add",
    "date_cmp_timestamptz",
    "date_eq_timestamptz",
    "date_ge_timestamptz",
    "date_gt_timestamptz",
    "date_le_timestamptz",
    "date_lt_timestamptz",
    "date_ne_timestamptz",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "in_range",
    "interval_pl_timestamptz",
    "json_agg",
    "json_agg_strict",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "money",
    "now",
    "numeric",
    "overlaps",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "statement_timestamp",
    "textanycat",
    "time",
    "timestamp",
    "timestamp_cmp_timestamptz",
    "timestamp_eq_timestamptz",
    "timestamp_ge_timestamptz",
    "timestamp_gt_timestamptz",
    "timestamp_le_timestamptz",
    "timestamp_lt_timestamptz",
    "timestamp_ne_timestamptz",
    "timestamptz",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "timestamptz_eq_date",
    "timestamptz_eq_timestamp",
    "timestamptz_ge_date",
    "timestamptz_ge_timestamp",
    "timestamptz_gt_date",
    "timestamptz_gt_timestamp",
    "timestamptz_le_date",
    "timestamptz_le_timestamp",
    "timestamptz_lt_date",
    "timestamptz_lt_timestamp",
    "timestamptz_mi_interval",
    "timestamptz_ne_date",
    "timestamptz_ne_timestamp",
    "timestamptz_pl_interval",
    "timetz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "transaction_timestamp",
    "ts_headline",
    "ts_lexize",
    "ts_match_tq",
    "ts_match_tt",
    "websearch_to_tsquery",
    "xml",
    "xml_is_well_formed",
});

constexpr auto catalog_types = std::to_array<std::string_view>({
    "aclitem",
    "regclass",
    "regcollation",
    "regconfig",
    "regdatabase",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
});

constexpr auto system_columns = std::to_array<std::string_view>({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"});

// The lookups are binary searches; a table out of order would lose entries without a word.
static_assert(std::ranges::is_sorted(harmless_volatile) && std::ranges::is_sorted(server_volatile) &&
              std::ranges::is_sorted(server_immutable) && std::ranges::is_sorted(portable_stable) &&
              std::ranges::is_sorted(catalog_types) && std::ranges::is_sorted(system_columns));

bool has(const auto& table, std::string_view name) {
  return std::ranges::binary_search(table, name);
}

Effect effect_of_builtin(std::string_view name, char volatility, const std::string& shown) {
  Effect speaks_of_server{true, Verdict::read_writer, shown + " speaks of the server or the session"};
  if (volatility != 'i' && volatility != 's') {
    if (has(harmless_volatile, name)) return {true, Verdict::read, ""};
    if (has(server_volatile, name)) return speaks_of_server;
    return {true, Verdict::write, shown + " is volatile"};
  }
  if (name.starts_with("pg_") || has(server_immutable, name)) return speaks_of_server;
  if (volatility == 's' && !has(portable_stable, name)) return speaks_of_server;
  return {true, Verdict::read, ""};
}

}  // namespace

Effect effect_of_function(std::string_view schema, std::string_view name, char volatility) {
  const std::string shown = std::string(schema).append(".").append(name).append("()");
  if (is_system_schema(schema)) return effect_of_builtin(name, volatility, shown);
  if (volatility == 'i') return {true, Verdict::read, ""};
  // With nothing known of its body it may read relations that are not carried, or the catalogs.
  if (volatility == 's') return {true, Verdict::read_writer, shown + " may read anything: it is stable, not immutable"};
  return {true, Verdict::write, shown + " is volatile"};
}

bool is_harmless_volatile(std::string_view name) {
  return has(harmless_volatile, name);
}
bool takes_no_argument(std::string_view name) {
  return name == "version";
}
bool is_catalog_type(std::string_view name) {
  return has(catalog_types, name);
}
bool is_system_column(std::string_view name) {
  return has(system_columns, name);
}

}  // namespace turnout::router
