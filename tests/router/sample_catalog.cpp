#include "tests/router/sample_catalog.h"

namespace turnout::router::test {

CatalogPtr sample_catalog(std::uint64_t generation, std::string_view deployment) {
  CatalogBuilder builder;
  const std::string db = "app";
  const auto builtin = [&](char volatility, std::initializer_list<const char*> names) {
    for (const char* name : names) builder.add_function(db, {"pg_catalog", name, volatility});
  };
  builtin('i', {"count",
                "sum",
                "max",
                "min",
                "avg",
                "lower",
                "upper",
                "abs",
                "substring",
                "btrim",
                "position",
                "array_agg",
                "string_agg",
                "row_number",
                "rank",
                "generate_series",
                "unnest",
                "jsonb_array_elements",
                "extract",
                "timezone",
                "date_trunc",
                "md5",
                "pg_size_pretty",
                "round",
                "length",
                "like_escape",
                "similar_to_escape"});
  builtin('s', {"now", "to_char", "version", "current_setting", "pg_backend_pid", "has_table_privilege",
                "current_database", "inet_server_addr", "table_to_xml", "to_regclass", "txid_current", "concat",
                "json_agg", "row_to_json", "generate_series", "pg_get_viewdef", "obj_description"});
  builtin('v', {"random",
                "clock_timestamp",
                "gen_random_uuid",
                "nextval",
                "setval",
                "currval",
                "lastval",
                "set_config",
                "setseed",
                "pg_sleep",
                "pg_advisory_lock",
                "pg_try_advisory_lock",
                "pg_advisory_xact_lock",
                "pg_advisory_unlock",
                "pg_notify",
                "lo_create",
                "lo_unlink",
                "lo_import",
                "lo_get",
                "pg_terminate_backend",
                "pg_cancel_backend",
                "pg_reload_conf",
                "pg_switch_wal",
                "pg_is_in_recovery",
                "pg_relation_size",
                "query_to_xml",
                "ts_stat",
                "pg_logical_emit_message",
                "pg_read_file",
                "pg_create_restore_point"});
  builder.add_function(db, {"public", "add_tax", 'i'});
  builder.add_function(db, {"public", "current_rate", 's'});
  const auto stable = [&](const char* name, const char* body) {
    builder.add_function(db, {"public", name, 's'});
    builder.add_function_body(db, {"public", name, body});
  };
  stable("order_total", "SELECT sum(o.total) FROM public.orders o -- audited by log_access\n WHERE o.id = n");
  stable("order_age", "BEGIN RETURN (SELECT now() - made FROM orders WHERE note <> 'EXECUTE user'); END");
  stable("order_facts", "SELECT version, order_total(id), (v_orders.id) FROM \"Mixed\", v_orders");
  stable("factorial", "SELECT CASE WHEN n < 2 THEN 1 ELSE n * factorial(n - 1) END");
  stable("reads_local", "SELECT count(*) FROM local_only");
  stable("reads_sums", "SELECT total FROM v_sums");
  stable("reads_quoted_sums", "SELECT total FROM \"sums\"");
  stable("reads_stock", "BEGIN RETURN (SELECT max(n) FROM stock); END");  // shop has one that is not carried
  stable("reads_catalog", "SELECT relname FROM pg_class");
  stable("reads_number", "SELECT tableoid FROM orders");
  stable("asks_version", "SELECT pg_catalog.version ()");
  stable("asks_user", "SELECT CURRENT_USER::text");
  stable("asks_setting", "SELECT current_setting('app.tenant')");
  stable("builds_text", "BEGIN RETURN QUERY Execute 'SELECT 1 FROM ' || t; END");
  stable("lies", "SELECT nextval('s')");
  stable("lies_deep", "SELECT lies(), 1");
  stable("logs", "SELECT log_access()");
  stable("uses_operator", "SELECT a <?> b FROM orders");
  stable("uses_type", "SELECT a::audited FROM orders");
  stable("uses_any_type", "DECLARE x orders.total%TYPE; BEGIN RETURN 1; END");
  stable("uses_array_type", "SELECT '{orders}'::_regclass::oid[]");
  stable("asks_behind_a_dot", "SELECT n.current_setting");
  stable("draws_behind_a_dot", "SELECT ($1) . \"nextval\"");
  stable("names_columns", "SELECT o.length, o.version, o.to_char FROM orders o");
  stable("open_end", "SELECT 'x");
  stable("round_a", "SELECT round_b()");
  stable("round_b", "SELECT round_a()");
  builder.add_function(db, {"public", "log_access", 'v'});
  builder.add_function(db, {"public", "dblink", 'v'});
  builder.add_function(db, {"public", "dblink_exec", 'v'});
  builder.add_function(db, {"public", "mixed_overloads", 'i'});
  builder.add_function(db, {"public", "mixed_overloads", 'v'});
  builder.add_function(db, {"public", "upper", 'v'});  // an overload for a type of its own
  builder.add_function(db, {"hidden", "abs", 'v'});
  builder.add_function(db, {"public", "touch", 'v'});  // touch(accounts): callable as accounts.touch
  builder.add_function(db, {"public", "op_log", 'v'});

  const auto table = [&](const char* schema, const char* name) {
    builder.add_relation(db, {schema, name, 'r', 'p', true});
  };
  table("public", "accounts");
  table("public", "orders");
  table("public", "items");
  table("public", "items");
  table("public", "stock");
  table("public", "Mixed");
  table("public", "pgbench_accounts");
  table("shop", "orders");
  table("public", "part_1");
  builder.add_relation(db, {"public", "part", 'p', 'p', true});
  builder.add_relation(db, {"public", "part_bad", 'p', 'p', true});
  builder.add_relation(db, {"public", "part_bad_f", 'f', 'p', false});
  builder.add_relation(db, {"public", "local_only", 'r', 'p', false});
  builder.add_relation(db, {"shop", "stock", 'r', 'p', false});
  builder.add_relation(db, {"public", "scratch", 'r', 'u', true});
  builder.add_relation(db, {"public", "sums", 'm', 'p', false});
  builder.add_relation(db, {"public", "remote", 'f', 'p', false});
  builder.add_relation(db, {"public", "orders_id_seq", 'S', 'p', false});
  const auto view = [&](const char* name, const char* sql) {
    builder.add_relation(db, {"public", name, 'v', 'p', false});
    builder.add_definition(db, {"public", name, sql});
  };
  view("v_orders", "SELECT orders.id, orders.total FROM public.orders");
  view("v_deep", "SELECT v_orders.id FROM (public.v_orders JOIN public.accounts ON ((accounts.id = v_orders.id)))");
  view("v_sums", "SELECT sums.total FROM public.sums");
  view("v_log", "SELECT public.log_access() AS log_access, orders.id FROM public.orders");
  view("v_log_deep", "SELECT v_log.id FROM public.v_log");
  view("v_sequence", "SELECT nextval('public.orders_id_seq'::regclass) AS nextval");
  view("v_lock", "SELECT 1 FROM public.orders WHERE pg_try_advisory_lock((orders.id)::bigint)");
  view("v_operator", "SELECT (1 OPERATOR(public.<+>) 2) AS x");
  view("v_gone", "SELECT x.a FROM public.nobody_knows x");
  view("v_rate", "SELECT public.current_rate() AS current_rate FROM public.orders");
  view("v_loop_a", "SELECT v_loop_b.a FROM public.v_loop_b");
  view("v_loop_b", "SELECT v_loop_a.a FROM public.v_loop_a");
  view("v_cat", "SELECT pg_class.relname FROM pg_class");
  view("v_now", "SELECT now() AS now, orders.id FROM public.orders");
  view("v_system_column", "SELECT orders.xmin FROM public.orders");
  view("v_unparsable", "SELECT SOME SYNTAX OF A LATER VERSION");
  builder.add_relation(db, {"public", "v_undefined", 'v', 'p', false});
  table("public", "guarded");  // row security by a volatile function
  builder.add_definition(db, {"public", "guarded", "SELECT (public.log_access() > guarded.id)"});
  table("public", "watched");  // row security that changes nothing
  builder.add_definition(db, {"public", "watched", "SELECT (id = 1)"});
  builder.add_relation_use(db, {"public", "part", "public", "part_1"});
  builder.add_relation_use(db, {"public", "part_bad", "public", "part_bad_f"});

  builder.add_operator(db, {"=", "pg_catalog", 'i'});
  builder.add_operator(db, {"<+>", "public", 'v'});
  builder.add_operator(db, {"<?>", "public", 's'});
  builder.add_type(db, {"audited", 'v'});
  builder.add_type(db, {"plain_enum", 'i'});
  return builder.build(generation, deployment);
}

}  // namespace turnout::router::test
