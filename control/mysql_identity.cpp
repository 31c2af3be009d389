#include "control/mysql_identity.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace turnout::control {

namespace {

constexpr std::string_view none = "-";
constexpr std::string_view nothing_before = "[]";

std::string or_none(const std::string& text) {
  return text.empty() ? std::string(none) : text;
}

// "" = there is no such file.
std::string gtids_before(MysqlClient& client, const std::string& log) {
  const auto rows = client.query("SHOW BINLOG EVENTS IN " + mysql_literal(log) + " LIMIT 4");
  if (!rows) return "";
  for (std::size_t row = 0; row < rows->size(); ++row) {
    if (rows->text(row, "Event_type") != "Gtid_list") continue;
    auto list = rows->text(row, "Info");
    std::erase_if(list, [](unsigned char c) { return std::isspace(c) != 0; });
    return list;
  }
  return "";
}

}  // namespace

std::string text_of(const MysqlIdentity& identity) {
  if (!identity.uuid.empty()) return identity.uuid;
  if (identity.id.empty()) return "";
  // The name of a file may have spaces in it.
  return "server_id " + identity.id + ' ' + or_none(identity.machine) + ' ' + or_none(identity.before) + ' ' +
         identity.log;
}

MysqlIdentity mysql_identity_of(std::string_view text) {
  constexpr std::string_view of_mariadb = "server_id ";
  MysqlIdentity identity;
  if (!text.starts_with(of_mariadb)) {
    identity.uuid = text;
    return identity;
  }
  text.remove_prefix(of_mariadb.size());
  for (std::string* part : {&identity.id, &identity.machine, &identity.before}) {
    const auto end = std::min(text.find(' '), text.size());
    if (const auto word = text.substr(0, end); word != none) *part = word;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  identity.log = text;
  return identity;
}

Likeness likeness(const MysqlIdentity& known, const MysqlIdentity& seen) {
  if (!known.uuid.empty() || !seen.uuid.empty()) return known.uuid == seen.uuid ? Likeness::same : Likeness::other;
  if (known.id.empty() || known.id != seen.id) return Likeness::other;
  if (!known.machine.empty() && known.machine == seen.machine) return Likeness::same;
  const bool has_log = !known.log.empty() && !known.before.empty() && known.before != nothing_before;
  return has_log ? Likeness::in_its_log : Likeness::other;
}

MysqlOutcome<MysqlIdentity> ask_identity(MysqlClient& client) {
  MysqlIdentity identity;
  const auto rows = client.query(
      "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', 'server_uid', 'log_bin')");
  if (!rows) return rows.error();
  const auto variable = [&](std::string_view name) {
    for (std::size_t row = 0; row < rows->size(); ++row)
      if (rows->text(row, 0) == name) return rows->text(row, 1);
    return std::string();
  };
  identity.uuid = variable("server_uuid");
  if (!identity.uuid.empty()) return identity;
  identity.id = variable("server_id");
  identity.machine = variable("server_uid");
  if (variable("log_bin") != "ON") return identity;
  // Who may not ask for it is known by the rest.
  const auto log = client.query(client.dialect().log_sql);
  if (!log || log->empty()) return identity;
  identity.log = log->text(0, "File");
  identity.before = gtids_before(client, identity.log);
  return identity;
}

bool is_server(MysqlClient& client, const MysqlIdentity& seen, const std::string& known) {
  const auto bound = mysql_identity_of(known);
  const auto look = likeness(bound, seen);
  return look == Likeness::same || (look == Likeness::in_its_log && gtids_before(client, bound.log) == bound.before);
}

Witness mysql_witness(const MysqlTarget& target, const std::string& known, std::uint32_t ms_max) {
  auto client = MysqlClient::connect(target, ms_max);
  if (!client) return {};
  const auto seen = ask_identity(*client);
  if (!seen) return {};
  return {true, text_of(*seen), !known.empty() && is_server(*client, *seen, known)};
}

}  // namespace turnout::control
