#include "control/server_settings.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "control/step_context.h"
#include "control/streams.h"

namespace turnout::control {

namespace {

// One row a database. `connect`: grantees of CONNECT, the default of a NULL acl spelled out. Roles: logins whose own
// setting says that they may write, whatever the database says; superusers are nobody's to hold.
constexpr const char* databases_sql = R"(
SELECT d.datname, d.datacl::text,
       (SELECT split_part(line, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) line
         WHERE s.setdatabase = d.oid AND s.setrole = 0 AND line LIKE 'default_transaction_read_only=%'),
       (SELECT coalesce(json_agg(DISTINCT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END), '[]')::text
          FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
         WHERE a.privilege_type = 'CONNECT'
           AND (a.grantee = 0 OR NOT pg_get_userbyid(a.grantee) = ANY (SELECT json_array_elements_text($2::json)))),
       (SELECT coalesce(json_agg(json_build_object('to', g.grantee, 'by', g.grantor, 'plain', g.plain, 'grantable', g.grantable) ORDER BY g.at), '[]')::text
          FROM (SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END AS grantee,
                       pg_get_userbyid(a.grantor) AS grantor, min(a.ordinality) AS at,
                       coalesce(string_agg(a.privilege_type, ', ' ORDER BY a.ordinality) FILTER (WHERE NOT a.is_grantable), '') AS plain,
                       coalesce(string_agg(a.privilege_type, ', ' ORDER BY a.ordinality) FILTER (WHERE a.is_grantable), '') AS grantable
                  FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) WITH ORDINALITY
                       AS a (grantor, grantee, privilege_type, is_grantable, ordinality)
                 GROUP BY a.grantee, a.grantor) g),
       (SELECT coalesce(json_agg(json_build_object('role', r.rolname, 'read_only',
                 (SELECT split_part(line, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) line
                   WHERE s.setrole = r.oid AND s.setdatabase = d.oid AND line LIKE 'default_transaction_read_only=%'))
               ORDER BY r.rolname), '[]')::text
          FROM pg_roles r
         WHERE r.rolcanlogin AND NOT r.rolsuper AND EXISTS (
               SELECT 1 FROM pg_db_role_setting s, unnest(s.setconfig) line
                WHERE s.setrole = r.oid AND s.setdatabase IN (0, d.oid) AND line LIKE 'default_transaction_read_only=%'
                  AND NOT split_part(line, '=', 2)::boolean))
  FROM pg_database d WHERE d.datname = ANY (SELECT json_array_elements_text($1::json)) ORDER BY 1)";

constexpr const char* system_sql =
    "SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only' "
    "AND sourcefile LIKE '%postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1";

constexpr const char* read_only_name = "default_transaction_read_only";

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

std::vector<Grant> grants_of(const boost::json::value& value) {
  std::vector<Grant> out;
  if (!value.is_array()) return out;
  for (const auto& one : value.get_array()) {
    if (!one.is_object()) continue;
    const auto& grant = one.get_object();
    out.push_back({text_of(grant, "to"), text_of(grant, "by"), text_of(grant, "plain"), text_of(grant, "grantable")});
  }
  return out;
}

std::vector<RoleSetting> roles_of(const boost::json::value& value) {
  std::vector<RoleSetting> out;
  if (!value.is_array()) return out;
  for (const auto& one : value.get_array()) {
    if (one.is_object())
      out.push_back({text_of(one.get_object(), "role"), optional_text(one.get_object(), "read_only")});
  }
  return out;
}

boost::json::value parsed(const std::string& text) {
  boost::system::error_code error;
  auto value = boost::json::parse(text, error);
  return error ? boost::json::value(nullptr) : value;
}

const boost::json::value& member(const boost::json::object& data, std::string_view key) {
  static const boost::json::value nothing;
  const auto* value = data.if_contains(key);
  return value == nullptr ? nothing : *value;
}

std::string grantee(const std::string& role) {
  return role.empty() ? "PUBLIC" : quote_identifier(role);
}

// "ALTER DATABASE d SET …" or "… RESET …"
std::string setting_sql(const std::string& whose, const std::optional<std::string>& value) {
  return "ALTER " + whose +
         (value ? std::string(" SET ") + read_only_name + " = " + quote_literal(*value)
                : std::string(" RESET ") + read_only_name) +
         ';';
}

std::string role_in_database(const RoleSetting& role, const DatabaseSettings& where) {
  return "ROLE " + quote_identifier(role.role) + " IN DATABASE " + quote_identifier(where.database);
}

std::string read_only_sql(const ServerSettings& former) {
  std::string sql;
  for (const auto& one : former.databases) {
    sql += setting_sql("DATABASE " + quote_identifier(one.database), "on");
    if (former.whole_server) continue;
    for (const auto& role : one.roles) sql += setting_sql(role_in_database(role, one), "on");
  }
  return sql;
}

std::string settings_back_sql(const ServerSettings& former, bool must_write) {
  const auto wanted = [must_write](const std::optional<std::string>& value) {
    return must_write && value && says_on(*value) ? std::nullopt : value;
  };
  std::string sql;
  for (const auto& one : former.databases) {
    sql += setting_sql("DATABASE " + quote_identifier(one.database), wanted(one.read_only));
    if (former.whole_server) continue;
    for (const auto& role : one.roles) sql += setting_sql(role_in_database(role, one), wanted(role.read_only));
  }
  return sql;
}

std::string doors_back_sql(PgClient& client, const ServerSettings& former, const std::vector<std::string>& keep) {
  std::string sql;
  for (const auto& one : former.databases) {
    if (one.grants.empty() && !former.whole_server) continue;  // not touched: a follower keeps its doors open
    if (client.parameter("is_superuser") != "on") {
      sql += grants_sql(one, keep);
      continue;
    }
    // GRANT and REVOKE cannot give back NULL; the catalog itself can.
    sql += "UPDATE pg_catalog.pg_database SET datacl = " +
           (one.acl ? quote_literal(*one.acl) + "::aclitem[]" : std::string("NULL")) +
           " WHERE datname = " + quote_literal(one.database) + ';';
  }
  return sql;
}

PgOutcome<PgRows> in_one_transaction(PgClient& client, const std::string& sql) {
  return client.query("BEGIN READ WRITE;" + sql + "COMMIT", window_ms_max);
}

void add_unknown(ServerSettings& known, ServerSettings more) {
  for (auto& one : more.databases) {
    const auto same = std::find_if(known.databases.begin(), known.databases.end(),
                                   [&](const auto& other) { return other.database == one.database; });
    if (same == known.databases.end()) {
      known.databases.push_back(std::move(one));
      continue;
    }
    for (auto& role : one.roles) {
      const bool is_known = std::any_of(same->roles.begin(), same->roles.end(),
                                        [&](const auto& other) { return other.role == role.role; });
      if (!is_known) same->roles.push_back(std::move(role));
    }
  }
}

}  // namespace

bool says_on(const std::string& setting) {
  return setting == "on" || setting == "true" || setting == "yes" || setting == "1" || setting == "t" || setting == "y";
}

PgOutcome<ServerSettings> read_settings(PgClient& client, const std::vector<std::string>& databases,
                                        const std::vector<std::string>& keep, bool whole_server) {
  ServerSettings settings;
  settings.side = client.target().side;
  settings.whole_server = whole_server;
  if (whole_server) {
    const auto system = client.query(system_sql, window_ms_max);
    if (!system) return system.error();
    if (!system->empty() && !system->is_null(0, 0)) settings.system_read_only = system->text(0, 0);
  }
  const auto rows = client.query(databases_sql, {json_list(databases), json_list(keep)}, window_ms_max);
  if (!rows) return rows.error();
  for (int row = 0; row < rows->size(); ++row) {
    DatabaseSettings one;
    one.database = rows->text(row, 0);
    if (!rows->is_null(row, 1)) one.acl = rows->text(row, 1);
    if (!rows->is_null(row, 2)) one.read_only = rows->text(row, 2);
    one.connect = list_of(parsed(rows->text(row, 3)));
    one.grants = grants_of(parsed(rows->text(row, 4)));
    if (!whole_server) one.roles = roles_of(parsed(rows->text(row, 5)));
    settings.databases.push_back(std::move(one));
  }
  return settings;
}

boost::json::object to_json(const ServerSettings& settings) {
  boost::json::array databases;
  for (const auto& one : settings.databases) {
    boost::json::array connect, grants, roles;
    for (const auto& role : one.connect) connect.emplace_back(role);
    for (const auto& grant : one.grants) {
      grants.push_back(boost::json::object{
          {"to", grant.to}, {"by", grant.by}, {"plain", grant.plain}, {"grantable", grant.grantable}});
    }
    for (const auto& role : one.roles)
      roles.push_back(boost::json::object{{"role", role.role}, {"read_only", optional_value(role.read_only)}});
    databases.push_back(boost::json::object{{"database", one.database},
                                            {"acl", optional_value(one.acl)},
                                            {"read_only", optional_value(one.read_only)},
                                            {"connect", connect},
                                            {"grants", grants},
                                            {"roles", roles}});
  }
  return {{"side", router::name(settings.side)},
          {"fence", settings.whole_server ? "server" : "database"},
          {"system", optional_value(settings.system_read_only)},
          {"databases", databases}};
}

ServerSettings settings_of(const boost::json::object& data) {
  ServerSettings settings;
  settings.side = text_of(data, "side") == "green" ? router::Side::green : router::Side::blue;
  settings.whole_server = text_of(data, "fence") != "database";  // older records do not say
  settings.system_read_only = optional_text(data, "system");
  const auto& databases = member(data, "databases");
  if (!databases.is_array()) return settings;
  for (const auto& value : databases.get_array()) {
    if (!value.is_object()) continue;
    const auto& one = value.get_object();
    settings.databases.push_back({text_of(one, "database"), optional_text(one, "acl"), optional_text(one, "read_only"),
                                  list_of(member(one, "connect")), grants_of(member(one, "grants")),
                                  roles_of(member(one, "roles"))});
  }
  return settings;
}

bool same_effect(const ServerSettings& one, const ServerSettings& other) {
  const auto same = [](const DatabaseSettings& a, const DatabaseSettings& b) {
    return a.database == b.database && a.read_only == b.read_only && a.connect == b.connect && a.grants == b.grants &&
           a.roles == b.roles;
  };
  return one.system_read_only == other.system_read_only &&
         std::equal(one.databases.begin(), one.databases.end(), other.databases.begin(), other.databases.end(), same);
}

std::optional<ServerSettings> unrestored(const std::vector<Record>& records, router::Side side) {
  std::optional<ServerSettings> found;
  for (const auto& record : records) {
    if (text_of(record.data, "side") != router::name(side)) continue;
    if (record.kind == RecordKind::restored) found.reset();
    if (record.kind != RecordKind::undo) continue;
    // The first one counts: later ones could only have remembered our own change of what it names.
    if (found)
      add_unknown(*found, settings_of(record.data));
    else
      found = settings_of(record.data);
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

PgOutcome<PgRows> set_databases_read_only(PgClient& client, const ServerSettings& former) {
  return in_one_transaction(client, read_only_sql(former));
}

PgOutcome<PgRows> close_databases(PgClient& client, const ServerSettings& former,
                                  const std::vector<std::string>& keep) {
  std::string sql = read_only_sql(former);
  for (const auto& one : former.databases) {
    const auto database = quote_identifier(one.database);
    for (const auto& role : keep)
      sql += "GRANT CONNECT ON DATABASE " + database + " TO " + quote_identifier(role) + ';';
    for (const auto& role : one.connect)
      sql += "REVOKE CONNECT ON DATABASE " + database + " FROM " + grantee(role) + " CASCADE;";
  }
  return in_one_transaction(client, sql);
}

std::string grants_sql(const DatabaseSettings& former, const std::vector<std::string>& keep) {
  const auto database = quote_identifier(former.database);
  // Those whom only the fence has let in hold something now that the former list does not name.
  std::vector<std::string> everybody = keep;
  for (const auto& grant : former.grants) everybody.push_back(grant.to);
  std::string sql;
  for (const auto& role : everybody)
    sql += "REVOKE ALL ON DATABASE " + database + " FROM " + grantee(role) + " CASCADE;";
  // A new entry is appended, so giving them in the former order gives the former text.
  for (const auto& grant : former.grants) {
    const auto give = [&](const std::string& privileges, const char* option) {
      if (privileges.empty()) return;
      sql += "GRANT " + privileges + " ON DATABASE " + database + " TO " + grantee(grant.to) + option + ';';
    };
    give(grant.plain, "");
    give(grant.grantable, " WITH GRANT OPTION");
  }
  return sql;
}

PgOutcome<PgRows> reopen_databases(PgClient& client, const ServerSettings& former, const std::vector<std::string>& keep,
                                   bool must_write) {
  return in_one_transaction(client, settings_back_sql(former, must_write) + doors_back_sql(client, former, keep));
}

PgOutcome<PgRows> let_in(PgClient& client, const ServerSettings& former, const std::vector<std::string>& keep) {
  return in_one_transaction(client, doors_back_sql(client, former, keep));
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
