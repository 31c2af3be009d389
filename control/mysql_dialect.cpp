#include "control/mysql_dialect.h"

#include <array>
#include <charconv>
#include <utility>

namespace turnout::control {

namespace {

constexpr std::array mariadb_rights = {"READ ONLY ADMIN",
                                       "REPLICATION SLAVE ADMIN",
                                       "CONNECTION ADMIN",
                                       "PROCESS",
                                       "BINLOG MONITOR",
                                       "SLAVE MONITOR",
                                       "SUPER",
                                       "RELOAD"};
// As USER_PRIVILEGES writes them, with spaces for its underscores.
constexpr std::array mysql_rights = {
    "SYSTEM VARIABLES ADMIN",
    "REPLICATION SLAVE ADMIN",
    "CONNECTION ADMIN",
    "PROCESS",
    "REPLICATION CLIENT",
    "XA RECOVER ADMIN",
    "SET ANY DEFINER",
    "EVENT",
    "RELOAD",
};

constexpr const char* mariadb_functions_sql =
    "SELECT LOWER(ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_TYPE <> 'PROCEDURE' "
    "UNION SELECT LOWER(name) FROM mysql.func";
// Components register functions that mysql.func does not have.
constexpr const char* mysql_functions_sql =
    "SELECT LOWER(ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_TYPE <> 'PROCEDURE' "
    "UNION SELECT LOWER(UDF_NAME) FROM performance_schema.user_defined_functions";

// What a login depends on; the rest of the row (when a password was changed) may differ.
constexpr const char* mariadb_accounts_sql =
    "SELECT CONCAT(User, '@', Host), SHA2(CONCAT_WS(' ', JSON_VALUE(Priv, '$.access'), JSON_VALUE(Priv, '$.plugin'), "
    "JSON_VALUE(Priv, '$.authentication_string'), JSON_VALUE(Priv, '$.account_locked')), 256) FROM mysql.global_priv "
    "WHERE User NOT IN ('mariadb.sys', 'root', 'mysql', '')";
constexpr const char* mysql_accounts_sql =
    "SELECT CONCAT(u.User, '@', u.Host), SHA2(CONCAT_WS(' ', u.plugin, HEX(u.authentication_string), u.account_locked, "
    "(SELECT GROUP_CONCAT(p.PRIVILEGE_TYPE ORDER BY 1) FROM information_schema.USER_PRIVILEGES p WHERE p.GRANTEE = "
    "CONCAT(QUOTE(u.User), '@', QUOTE(u.Host)))), 256) FROM mysql.user u WHERE u.User NOT IN ('mysql.sys', "
    "'mysql.session', 'mysql.infoschema', 'root', '')";

constexpr MysqlDialect mariadb = {
    .product = MysqlProduct::mariadb,
    .name = "MariaDB",
    .version_min = 10'010,  // MASTER_DEMOTE_TO_SLAVE
    .version_bound = "MariaDB 10.10 or later on both sides",
    .why_not_older = "an older server cannot become the follower of its follower",
    .links_sql = "SHOW ALL SLAVES STATUS",
    .log_sql = "SHOW MASTER STATUS",
    .link = {"Connection_name", "Master_Host", "Master_User", "Master_Port", "Master_Server_Id", "Slave_IO_Running",
             "Slave_SQL_Running", "Relay_Master_Log_File", "Exec_Master_Log_Pos", "Master_Log_File",
             "Read_Master_Log_Pos"},
    .fence = "read_only",
    .holds_admins = false,
    .read_only_origin_sql =
        "SELECT GLOBAL_VALUE_ORIGIN FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = 'READ_ONLY'",
    .origin_when_set = "SQL",
    .log_updates = "log_slave_updates",
    .position = "gtid_binlog_pos",
    .state = "gtid_binlog_state",
    .state_sql = "SELECT '' AS owned, @@global.gtid_binlog_state AS state",
    .seen_sql = "SELECT @@global.gtid_binlog_pos",
    .applied_sql = "SELECT @@global.gtid_slave_pos",
    .committed_sql = "",  // by GTID alone: its followers' positions in files do not survive a crash
    .committed_in_order_sql = "",
    .by_gtid_bound = "Slave_Pos",
    .by_gtid_advice = "CHANGE MASTER TO MASTER_USE_GTID = slave_pos",
    .follow_advice = "CHANGE MASTER … and START SLAVE",
    .look_advice = "SHOW ALL SLAVES STATUS",
    .event_advice = "on the follower: SET sql_log_bin = 0; ALTER EVENT … DISABLE ON SLAVE",
    .functions_sql = mariadb_functions_sql,
    .accounts_sql = mariadb_accounts_sql,
    .admin_rights = mariadb_rights,
};

constexpr MysqlDialect mysql = {
    .product = MysqlProduct::mysql,
    .name = "MySQL",
    .version_min = 8'004,  // SHOW BINARY LOG STATUS, SET_ANY_DEFINER
    .version_bound = "MySQL 8.4 or later on both sides",
    .why_not_older = "an older server has not the statements that a move takes",
    .links_sql = "SHOW REPLICA STATUS",
    .log_sql = "SHOW BINARY LOG STATUS",
    .link = {"Channel_Name", "Source_Host", "Source_User", "Source_Port", "Source_Server_Id", "Replica_IO_Running",
             "Replica_SQL_Running", "Relay_Source_Log_File", "Exec_Source_Log_Pos", "Source_Log_File",
             "Read_Source_Log_Pos"},
    .fence = "super_read_only",
    .holds_admins = true,
    .read_only_origin_sql =
        "SELECT VARIABLE_SOURCE FROM performance_schema.variables_info WHERE VARIABLE_NAME IN ('read_only', "
        "'super_read_only')",
    .origin_when_set = "DYNAMIC",
    .log_updates = "log_replica_updates",
    .position = "gtid_executed",
    .state = "gtid_executed",
    // A commit is seen, and sent to followers, before it counts as executed; until then its session owns the number. In
    // this order.
    .state_sql = "SELECT @@global.gtid_owned AS owned, @@global.gtid_executed AS state",
    .seen_sql = "SELECT @@global.gtid_owned, @@global.gtid_executed",
    .applied_sql = "SELECT @@global.gtid_executed",
    // Appliers beside each other move the first one only each replica_checkpoint_period; their own rows are part of
    // their transactions.
    .committed_sql = "SELECT Master_log_name, Master_log_pos FROM mysql.slave_relay_log_info WHERE Channel_name = ",
    .committed_in_order_sql =
        "SELECT Master_log_name, Master_log_pos FROM mysql.slave_worker_info WHERE "
        "@@global.replica_preserve_commit_order "
        "AND @@global.binlog_order_commits AND Channel_name = ",
    .by_gtid_bound = "Auto_Position",
    .by_gtid_advice = "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1",
    .follow_advice = "CHANGE REPLICATION SOURCE TO … and START REPLICA",
    .look_advice = "SHOW REPLICA STATUS",
    .event_advice = "on the follower: SET sql_log_bin = 0; ALTER EVENT … DISABLE ON REPLICA",
    .functions_sql = mysql_functions_sql,
    .accounts_sql = mysql_accounts_sql,
    .admin_rights = mysql_rights,
};

std::string words(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const auto part : parts) out += part;
  return out;
}

bool is_mariadb(const MysqlDialect& dialect) {
  return dialect.product == MysqlProduct::mariadb;
}

}  // namespace

const char* name(PositionKind kind) {
  return kind == PositionKind::gtid ? "gtid" : "file";
}

MysqlProduct mysql_product(std::string_view version) {
  return version.find("MariaDB") == std::string_view::npos ? MysqlProduct::mysql : MysqlProduct::mariadb;
}

std::optional<MysqlVersion> mysql_version(std::string_view text) {
  std::uint32_t major = 0, minor = 0;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') return std::nullopt;
  if (std::from_chars(first.ptr + 1, end, minor).ec != std::errc()) return std::nullopt;
  return MysqlVersion{mysql_product(text), major * 1000 + minor};
}

const MysqlDialect& dialect_of(MysqlProduct product) {
  return product == MysqlProduct::mariadb ? mariadb : mysql;
}

std::string wait_sql(const MysqlDialect& dialect, std::string_view position, std::string_view seconds) {
  return words({"SELECT ", is_mariadb(dialect) ? "MASTER_GTID_WAIT(" : "WAIT_FOR_EXECUTED_GTID_SET(", position, ", ",
                seconds, ")"});
}

std::string stop_link_sql(const MysqlDialect& dialect, std::string_view connection) {
  return words({is_mariadb(dialect) ? "STOP SLAVE " : "STOP REPLICA FOR CHANNEL ", connection});
}

std::string start_link_sql(const MysqlDialect& dialect, std::string_view connection) {
  return words({is_mariadb(dialect) ? "START SLAVE " : "START REPLICA FOR CHANNEL ", connection});
}

std::string forget_link_sql(const MysqlDialect& dialect, std::string_view connection) {
  if (is_mariadb(dialect)) return words({"RESET SLAVE ", connection, " ALL"});
  return words({"RESET REPLICA ALL FOR CHANNEL ", connection});
}

std::string follow_sql(const MysqlDialect& dialect, const FollowSource& source, std::string_view connection) {
  const bool old = is_mariadb(dialect);
  const std::string who = old ? "MASTER_" : "SOURCE_";
  auto sql = old ? words({"CHANGE MASTER ", connection, " TO "}) : std::string("CHANGE REPLICATION SOURCE TO ");
  sql += who + "HOST = " + source.host + ", " + who + "PORT = " + std::to_string(source.port) + ", " + who +
         "USER = " + source.user + ", " + who + "PASSWORD = " + source.password + ", " + who + "CONNECT_RETRY = 1, " +
         who + "SSL = " + (source.has_tls ? "1" : "0") + ", " + who +
         "SSL_VERIFY_SERVER_CERT = " + (source.verifies ? "1" : "0");
  for (const auto& [word, value] : source.tls_words) sql += ", " + who + word + " = " + value;
  if (old) return sql + ", MASTER_USE_GTID = slave_pos, MASTER_DEMOTE_TO_SLAVE = 1";
  // By default it would give up after ten tries, a second each. Without TLS, caching_sha2_password takes the password
  // encrypted with the source's key.
  const auto begin = source.begin ? words({"SOURCE_AUTO_POSITION = 0, SOURCE_LOG_FILE = '", source.begin->file,
                                           "', SOURCE_LOG_POS = ", std::to_string(source.begin->offset)})
                                  : std::string("SOURCE_AUTO_POSITION = 1");
  return sql + words({", SOURCE_RETRY_COUNT = 86400, ", begin, ", GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL ", connection});
}

std::optional<MysqlPosition> parse_position(const MysqlDialect& dialect, const std::vector<std::string>& row) {
  if (row.empty()) return std::nullopt;
  if (is_mariadb(dialect)) {
    auto position = parse_gtids(row.back());
    return position ? std::optional<MysqlPosition>(std::move(*position)) : std::nullopt;
  }
  auto set = parse_gtid_set(row.back());
  const auto owned = row.size() > 1 ? parse_owned_gtids(row.front()) : GtidSet();
  if (!set || !owned) return std::nullopt;
  return MysqlPosition(unite(std::move(*set), *owned));
}

std::string position_text(const MysqlPosition& position) {
  if (const auto* const place = std::get_if<LogPosition>(&position)) return place->text();
  std::vector<std::string> parts;
  if (const auto* const set = std::get_if<GtidSet>(&position)) parts = texts_of(*set);
  if (const auto* const gtids = std::get_if<std::vector<Gtid>>(&position))
    for (const auto& gtid : *gtids) parts.push_back(gtid.text());
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

bool covers(const MysqlPosition& applied, const MysqlPosition& position) {
  if (applied.index() != position.index()) return false;
  if (const auto* const wanted = std::get_if<GtidSet>(&position))
    return subtract(*wanted, std::get<GtidSet>(applied)).empty();
  if (const auto* const wanted = std::get_if<LogPosition>(&position))
    return reaches(std::get<LogPosition>(applied), *wanted);
  return covers(std::get<std::vector<Gtid>>(applied), std::get<std::vector<Gtid>>(position));
}

bool goes_by_gtid(std::string_view using_gtid, std::string_view auto_position) {
  return using_gtid == "Slave_Pos" || using_gtid == "Current_Pos" || auto_position == "1";
}

bool is_position(const MysqlDialect& dialect, PositionKind kind, std::string_view text) {
  if (kind == PositionKind::file) return parse_log_position(text).has_value();
  if (is_mariadb(dialect)) {
    const auto position = parse_gtids(text);
    return position && !position->empty();
  }
  const auto set = parse_gtid_set(text);
  return set && !set->empty();
}

std::optional<std::vector<std::string>> written_alone(const MysqlDialect& dialect, std::string_view follower_state,
                                                      std::string_view writer_state, std::string_view writer_owned) {
  if (!is_mariadb(dialect)) {
    const auto follower = parse_gtid_set(follower_state), writer = parse_gtid_set(writer_state);
    const auto owned = parse_owned_gtids(writer_owned);
    if (!follower || !writer || !owned) return std::nullopt;
    return texts_of(subtract(*follower, unite(*writer, *owned)));
  }
  const auto follower = parse_gtids(follower_state), writer = parse_gtids(writer_state);
  if (!follower || !writer) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& gtid : errant(*follower, *writer)) texts.push_back(gtid.text());
  return texts;
}

}  // namespace turnout::control
