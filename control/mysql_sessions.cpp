#include "control/mysql_sessions.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "router/mysql_lexer.h"

namespace turnout::control {

namespace {

constexpr const char* sessions_sql =
    "SELECT ID, USER, HOST, COMMAND, LEFT(COALESCE(INFO, ''), 1000) FROM information_schema.PROCESSLIST WHERE ";
constexpr const char* of_clients =
    "ID <> CONNECTION_ID() AND USER NOT IN ('system user', 'event_scheduler') AND COMMAND NOT IN ('Daemon', "
    "'Binlog Dump', 'Binlog Dump GTID', 'Slave_IO', 'Slave_SQL', 'Slave_worker')";
constexpr const char* of_log_readers = "COMMAND IN ('Binlog Dump', 'Binlog Dump GTID')";
constexpr std::array<std::string_view, 8> words_of_ddl = {"alter",    "create", "drop",     "rename",
                                                          "truncate", "repair", "optimize", "analyze"};
// Users and roles: information_schema.USER_PRIVILEGES has no roles. READ ONLY ADMIN is bit 33; up to 10.10 SUPER, bit
// 15, had the right in it (sql/privilege.h).
constexpr const char* holders_sql =
    "SELECT DISTINCT User FROM mysql.global_priv WHERE CAST(JSON_VALUE(Priv, '$.access') AS UNSIGNED) & "
    "IF(VERSION() REGEXP '^10[.]([0-9]|10)[.]', 8589967360, 8589934592)";
constexpr const char* everybody_sql = "SELECT DISTINCT User FROM mysql.global_priv";
constexpr const char* roles_sql = "SELECT User, Role FROM mysql.roles_mapping";

constexpr unsigned no_such_thread = 1094;

MysqlOutcome<std::vector<MysqlSession>> list(MysqlClient& client, const char* which) {
  const auto rows = client.query(std::string(sessions_sql) + which);
  if (!rows) return rows.error();
  std::vector<MysqlSession> out;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    out.push_back({static_cast<std::uint64_t>(rows->integer(row)), rows->text(row, 1), rows->text(row, 2),
                   rows->text(row, 3), rows->text(row, 4)});
  }
  return out;
}

}  // namespace

std::set<std::string> passing_users(const std::vector<std::string>& holders,
                                    const std::vector<std::pair<std::string, std::string>>& roles) {
  std::set<std::string> out(holders.begin(), holders.end());
  for (bool has_grown = true; has_grown;) {
    has_grown = false;
    for (const auto& [user, role] : roles) has_grown = (out.contains(role) && out.insert(user).second) || has_grown;
  }
  return out;
}

MysqlOutcome<std::set<std::string>> ask_passing_users(MysqlClient& client) {
  if (client.dialect().holds_admins) return std::set<std::string>();
  auto found = client.query(holders_sql);
  if (!found) return found.error();
  const auto names_of = [](const MysqlRows& rows) {
    std::vector<std::string> names;
    for (std::size_t row = 0; row < rows.size(); ++row) names.push_back(rows.text(row));
    return names;
  };
  auto holders = names_of(*found);
  if (std::find(holders.begin(), holders.end(), "PUBLIC") != holders.end()) {
    const auto everybody = client.query(everybody_sql);
    if (!everybody) return everybody.error();
    holders = names_of(*everybody);
  }
  const auto mapped = client.query(roles_sql);
  if (!mapped) return mapped.error();
  std::vector<std::pair<std::string, std::string>> roles;
  for (std::size_t row = 0; row < mapped->size(); ++row) roles.emplace_back(mapped->text(row, 0), mapped->text(row, 1));
  return passing_users(holders, roles);
}

MysqlOutcome<bool> kill_session(MysqlClient& client, std::uint64_t number) {
  const auto killed = client.query("KILL CONNECTION " + std::to_string(number));
  if (killed) return true;
  if (killed.error().number == no_such_thread) return false;
  return killed.error();
}

MysqlOutcome<std::vector<MysqlSession>> list_sessions(MysqlClient& client) {
  return list(client, of_clients);
}

MysqlOutcome<std::vector<MysqlSession>> list_log_readers(MysqlClient& client) {
  return list(client, of_log_readers);
}

std::vector<MysqlSession> other_log_readers(std::vector<MysqlSession> readers, const std::string& user,
                                            const std::string& host) {
  const auto has_user = [&](const MysqlSession& reader) { return reader.user == user; };
  auto follower = std::ranges::find_if(
      readers, [&](const MysqlSession& reader) { return has_user(reader) && end_of_host(reader.host).first == host; });
  if (follower == readers.end()) follower = std::ranges::find_if(readers, has_user);
  if (follower != readers.end()) readers.erase(follower);
  return readers;
}

bool changes_schema(std::string_view sql) {
  router::MysqlLexer lexer(sql);
  const auto first = lexer.next();
  if (!std::ranges::any_of(words_of_ddl, [&](std::string_view word) { return first.is_word(word); })) return false;
  auto next = lexer.next();
  if (next.is_word("or")) {  // OR REPLACE
    (void)lexer.next();
    next = lexer.next();
  }
  return !next.is_word("temporary");
}

OwnConnections OwnConnections::look(MysqlContext& context, router::Side side) {
  auto& step = context.step;
  OwnConnections ours;
  for (const auto number : context.shelf.numbers(side)) ours.numbers_.insert(number);
  for (const auto number : step.proxy.write_pids(step.index, side)) ours.numbers_.insert(number);
  for (const auto number : step.proxy.sealed_pids(step.index, side)) ours.numbers_.insert(number);
  for (const auto& client : step.proxy.clients(step.index)) {
    if (client.side == router::name(side) && client.server_pid != 0) ours.numbers_.insert(client.server_pid);
  }
  ours.sockets_ = OwnSockets::look(step.proxy.addresses_so_far(step.index, side));
  return ours;
}

bool OwnConnections::has(const MysqlSession& session) const {
  const auto [address, port] = end_of_host(session.host);
  return numbers_.contains(session.number) || sockets_.contains(address, port);
}

std::pair<std::string, int> end_of_host(const std::string& host) {
  const auto colon = host.rfind(':');
  int port = -1;
  if (colon == std::string::npos) return {host, port};
  const char* const end = host.data() + host.size();
  const auto read = std::from_chars(host.data() + colon + 1, end, port);
  if (read.ec != std::errc() || read.ptr != end) return {host, -1};
  return {host.substr(0, colon), port};
}

MysqlOutcome<std::vector<std::string>> prepared_xids(MysqlClient& client) {
  const auto rows = client.query("XA RECOVER");
  if (!rows) return rows.error();
  std::vector<std::string> out;
  for (std::size_t row = 0; row < rows->size(); ++row) out.push_back(rows->text(row, "data"));
  return out;
}

}  // namespace turnout::control
