#include "control/server_settings.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "control/step_context.h"
#include "control/streams.h"

namespace turnout::control {

namespace {

// One row a database. `connect`: grantees of CONNECT, the default of a NULL acl spelled out.
constexpr const char* databases_sql = R"(
SELECT d.datname, d.datacl::text,
       (SELECT split_part(line, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) line
         WHERE s.setdatabase = d.oid AND s.setrole = 0 AND line LIKE 'default_transaction_read_only=%'),
       (SELECT coalesce(json_agg(DISTINCT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END), '[]')::text
          FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
         WHERE a.privilege_type = 'CONNECT'
           AND (a.grantee = 0 OR NOT pg_get_userbyid(a.grantee) = ANY (SELECT json_array_elements_text($2::json))))
  FROM pg_database d WHERE d.datname = ANY (SELECT json_array_elements_text($1::json)) ORDER BY 1)";

constexpr const char* system_sql =
    "SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only' "
    "AND sourcefile LIKE '%postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1";

std::optional<std::string> optional_text(const boost::json::object& data, std::string_view key) {
  const auto* value = data.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

boost::json::value optional_value(const std::optional<std::string>& text) {
  return text ? boost::json::value(*text) : boost::json::value(nullptr);
}

std::vector<std::string> list_of(const boost::json::value& value) {
  std::vector<std::string> out;
  if (!value.is_array()) return out;
  for (const auto& one : value.get_array()) {
    if (one.is_string()) out.emplace_back(one.get_string());
  }
  return out;
}

bool says_on(const std::string& setting) {
  return setting == "on" || setting == "true" || setting == "yes" || setting == "1" || setting == "t";
}

}  // namespace

PgOutcome<ServerSettings> read_settings(PgClient& client, const std::vector<std::string>& databases,
                                        const std::vector<std::string>& keep) {
  ServerSettings settings;
  settings.side = client.target().side;
  const auto system = client.query(system_sql, window_ms_max);
  if (!system) return system.error();
  if (!system->empty() && !system->is_null(0, 0)) settings.system_read_only = system->text(0, 0);
  const auto rows = client.query(databases_sql, {json_list(databases), json_list(keep)}, window_ms_max);
  if (!rows) return rows.error();
  for (int row = 0; row < rows->size(); ++row) {
    DatabaseSettings one;
    one.database = rows->text(row, 0);
    if (!rows->is_null(row, 1)) one.acl = rows->text(row, 1);
    if (!rows->is_null(row, 2)) one.read_only = rows->text(row, 2);
    boost::system::error_code error;
    one.connect = list_of(boost::json::parse(rows->text(row, 3), error));
    settings.databases.push_back(std::move(one));
  }
  return settings;
}

boost::json::object to_json(const ServerSettings& settings) {
  boost::json::array databases;
  for (const auto& one : settings.databases) {
    boost::json::array connect;
    for (const auto& role : one.connect) connect.emplace_back(role);
    databases.push_back(boost::json::object{{"database", one.database},
                                            {"acl", optional_value(one.acl)},
                                            {"read_only", optional_value(one.read_only)},
                                            {"connect", connect}});
  }
  return {{"side", router::name(settings.side)},
          {"system", optional_value(settings.system_read_only)},
          {"databases", databases}};
}

ServerSettings settings_of(const boost::json::object& data) {
  ServerSettings settings;
  settings.side = text_of(data, "side") == "green" ? router::Side::green : router::Side::blue;
  settings.system_read_only = optional_text(data, "system");
  const auto* databases = data.if_contains("databases");
  if (databases == nullptr || !databases->is_array()) return settings;
  for (const auto& value : databases->get_array()) {
    if (!value.is_object()) continue;
    const auto& one = value.get_object();
    const auto* connect = one.if_contains("connect");
    settings.databases.push_back({text_of(one, "database"), optional_text(one, "acl"), optional_text(one, "read_only"),
                                  connect == nullptr ? std::vector<std::string>{} : list_of(*connect)});
  }
  return settings;
}

std::optional<ServerSettings> unrestored(const std::vector<Record>& records, router::Side side) {
  std::optional<ServerSettings> found;
  for (const auto& record : records) {
    if (text_of(record.data, "side") != router::name(side)) continue;
    // The first one counts: later ones could only have remembered our own change.
    if (record.kind == RecordKind::undo && !found) found = settings_of(record.data);
    if (record.kind == RecordKind::restored) found.reset();
  }
  return found;
}

PgOutcome<PgRows> set_system_read_only(PgClient& client) {
  // Two round trips: ALTER SYSTEM cannot share a transaction with anything.
  if (const auto altered = client.query("ALTER SYSTEM SET default_transaction_read_only = on", window_ms_max);
      !altered) {
    return altered.error();
  }
  return client.query("SELECT pg_reload_conf()", window_ms_max);
}

PgOutcome<PgRows> close_databases(PgClient& client, const ServerSettings& former,
                                  const std::vector<std::string>& keep) {
  std::string sql;
  for (const auto& one : former.databases) {
    const auto database = quote_identifier(one.database);
    sql += "ALTER DATABASE " + database + " SET default_transaction_read_only = on;";
    for (const auto& role : keep)
      sql += "GRANT CONNECT ON DATABASE " + database + " TO " + quote_identifier(role) + ';';
    for (const auto& role : one.connect) {
      sql += "REVOKE CONNECT ON DATABASE " + database + " FROM " + (role.empty() ? "PUBLIC" : quote_identifier(role)) +
             " CASCADE;";
    }
  }
  return client.query("BEGIN READ WRITE;" + sql + "COMMIT", window_ms_max);
}

PgOutcome<PgRows> reopen_databases(PgClient& client, const ServerSettings& former) {
  std::string sql;
  for (const auto& one : former.databases) {
    const auto database = quote_identifier(one.database);
    sql += one.read_only ? "ALTER DATABASE " + database +
                               " SET default_transaction_read_only = " + quote_literal(*one.read_only) + ';'
                         : "ALTER DATABASE " + database + " RESET default_transaction_read_only;";
    // GRANT and REVOKE cannot give back NULL, nor the order of the entries; the catalog itself can.
    sql += "UPDATE pg_catalog.pg_database SET datacl = " +
           (one.acl ? quote_literal(*one.acl) + "::aclitem[]" : std::string("NULL")) +
           " WHERE datname = " + quote_literal(one.database) + ';';
  }
  return client.query("BEGIN READ WRITE;" + sql + "COMMIT", window_ms_max);
}

PgOutcome<PgRows> restore_system(PgClient& client, const ServerSettings& former, bool must_write) {
  const auto& line = former.system_read_only;
  const bool keep_line = line && !(must_write && says_on(*line));
  const std::string sql = keep_line ? "ALTER SYSTEM SET default_transaction_read_only = " + quote_literal(*line)
                                    : std::string("ALTER SYSTEM RESET default_transaction_read_only");
  if (const auto altered = client.query(sql, window_ms_max); !altered) return altered.error();
  return client.query("SELECT pg_reload_conf()", window_ms_max);
}

}  // namespace turnout::control
