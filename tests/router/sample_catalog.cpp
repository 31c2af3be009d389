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
                "like_escape"});
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
  for (const char* view : {"v_orders", "v_deep", "v_sums", "v_log", "v_log_deep", "v_gone", "v_rate", "v_loop_a",
                           "v_loop_b", "v_cat", "v_now"}) {
    builder.add_relation(db, {"public", view, 'v', 'p', false});
  }
  const auto uses = [&](const char* view, const char* relation) {
    builder.add_relation_use(db, {"public", view, "public", relation});
  };
  uses("v_orders", "orders");
  uses("v_deep", "v_orders");
  uses("v_deep", "accounts");
  uses("v_sums", "sums");
  uses("v_log", "orders");
  uses("v_log_deep", "v_log");
  uses("v_gone", "nobody_knows");
  uses("v_rate", "orders");
  uses("v_loop_a", "v_loop_b");
  uses("v_loop_b", "v_loop_a");
  uses("part", "part_1");
  uses("part_bad", "part_bad_f");
  builder.add_relation_use(db, {"public", "v_cat", "pg_catalog", "pg_class"});
  builder.add_function_use(db, {"public", "v_log", "public", "log_access"});
  builder.add_function_use(db, {"public", "v_rate", "public", "current_rate"});
  builder.add_function_use(db, {"public", "v_now", "pg_catalog", "now"});

  builder.add_operator(db, {"=", "pg_catalog", 'i'});
  builder.add_operator(db, {"<+>", "public", 'v'});
  builder.add_operator(db, {"<?>", "public", 's'});
  builder.add_type(db, {"audited", 'v'});
  builder.add_type(db, {"plain_enum", 'i'});
  return builder.build(generation, deployment);
}

}  // namespace turnout::router::test
