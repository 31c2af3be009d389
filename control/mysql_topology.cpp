#include "control/mysql_topology.h"

#include <algorithm>
#include <array>

namespace turnout::control {

namespace {

constexpr std::array variable_names = {
    "version",
    "server_id",
    "server_uuid",
    "hostname",
    "port",
    "datadir",
    "read_only",
    "super_read_only",
    "log_bin",
    "log_slave_updates",
    "log_replica_updates",
    "binlog_format",
    "gtid_strict_mode",
    "gtid_binlog_pos",
    "gtid_slave_pos",
    "gtid_mode",
    "relay_log_recovery",
    "gtid_executed",
    "event_scheduler",
    "sql_mode",
    "character_set_server",
    "collation_server",
    "gtid_binlog_state",
    "time_zone",
    "lower_case_table_names",
    "max_allowed_packet",
    "auto_increment_increment",
    "auto_increment_offset",
    "max_connections",
    "default_storage_engine",
};

constexpr std::array filter_columns = {
    "Replicate_Do_DB",
    "Replicate_Ignore_DB",
    "Replicate_Do_Table",
    "Replicate_Ignore_Table",
    "Replicate_Wild_Do_Table",
    "Replicate_Wild_Ignore_Table",
    "Replicate_Rewrite_DB",
    // The position moves on over what these leave out, so no proof by position would miss it.
    "Replicate_Do_Domain_Ids",
    "Replicate_Ignore_Domain_Ids",
    "Replicate_Ignore_Server_Ids",
};

// Of a server, or its port.
std::uint32_t small_number(const std::string& digits) {
  return static_cast<std::uint32_t>(mysql_number(digits));
}

}  // namespace

std::string MysqlServer::variable(const std::string& name) const {
  const auto found = variables.find(name);
  return found == variables.end() ? std::string() : found->second;
}

bool MysqlServer::is_on(const std::string& name) const {
  const auto value = variable(name);
  return value == "1" || value == "ON";
}

std::uint32_t MysqlServer::id() const {
  return small_number(variable("server_id"));
}

bool MysqlServer::is_read_only() const {
  return says_read_only(variable("read_only"));
}

const MysqlDialect& MysqlServer::dialect() const {
  return dialect_of(mysql_product(variable("version")));
}

bool says_read_only(const std::string& value) {
  return !value.empty() && value != "0" && value != "OFF";
}

ReplicaLink link_of(const MysqlDialect& dialect, const MysqlRows& rows, std::size_t row) {
  const auto& column = dialect.link;
  ReplicaLink link;
  link.connection = rows.text(row, column.connection);
  link.host = rows.text(row, column.host);
  link.user = rows.text(row, column.user);
  link.port = small_number(rows.text(row, column.port));
  link.writer_id = small_number(rows.text(row, column.writer_id));
  link.reads = rows.text(row, column.reads) == "Yes";  // not "Connecting"
  link.applies = rows.text(row, column.applies) == "Yes";
  link.by_gtid = goes_by_gtid(rows.text(row, "Using_Gtid"), rows.text(row, "Auto_Position"));
  link.tls = link_tls_of(dialect, rows, row);
  link.executed = log_position_of(rows.text(row, column.log_file), rows.text(row, column.log_position));
  link.read = log_position_of(rows.text(row, column.read_file), rows.text(row, column.read_position));
  const auto applying = rows.text(row, "Last_SQL_Error"), reading = rows.text(row, "Last_IO_Error");
  link.error = applying.empty() ? reading : applying;
  for (const char* filter : filter_columns) {
    if (const auto value = rows.text(row, filter); !value.empty())
      link.filters.push_back(std::string(filter) + '=' + value);
  }
  return link;
}

ChosenLink choose_link(const std::vector<ReplicaLink>& links, std::uint32_t writer_id) {
  ChosenLink chosen;
  for (const auto& link : links) {
    if (link.writer_id != writer_id) continue;
    if (chosen.link) return {std::nullopt, "it reads from the writer on two connections"};
    chosen.link = link;
  }
  if (chosen.link) return chosen;
  chosen.why_not = links.empty() ? "it has no replication connection"
                                 : "none of its replication connections reads from the writer (server_id " +
                                       std::to_string(writer_id) + ")";
  return chosen;
}

PositionKind kind_of(const MysqlServer& from, const MysqlServer& to, const std::optional<ReplicaLink>& link) {
  if (from.dialect().product == MysqlProduct::mariadb) return PositionKind::gtid;
  const bool have_gtids = from.variable("gtid_mode") == "ON" && to.variable("gtid_mode") == "ON";
  return have_gtids && (!link || link->by_gtid) ? PositionKind::gtid : PositionKind::file;
}

std::string left_over_link(const std::vector<ReplicaLink>& of_writer, const std::string& connection) {
  for (const auto& link : of_writer) {
    if (link.connection == connection)
      return "the writer has a replication connection of its own, '" + connection + "': RESET REPLICA ALL FOR CHANNEL";
  }
  return "";
}

std::string against_pair(const MysqlServer& from, const MysqlServer& to) {
  if (from.dialect().product != to.dialect().product)
    return std::string("one is ") + from.dialect().name + ", the other " + to.dialect().name +
           ": they do not follow each other by GTID";
  const bool same_place = from.variable("hostname") == to.variable("hostname") &&
                          from.variable("port") == to.variable("port") &&
                          from.variable("datadir") == to.variable("datadir");
  if (same_place) return "both addresses lead to the same server";
  if (from.id() == to.id()) return "both servers have server_id " + std::to_string(from.id());
  const auto uuid = from.variable("server_uuid");
  if (!uuid.empty() && uuid == to.variable("server_uuid"))
    return "both servers have server_uuid " + uuid + ": the copy has taken auto.cnf along";
  return "";
}

MysqlOutcome<std::vector<ReplicaLink>> links_of(MysqlClient& client) {
  const auto rows = client.query(client.dialect().links_sql);
  if (!rows) return rows.error();
  std::vector<ReplicaLink> links;
  for (std::size_t row = 0; row < rows->size(); ++row) links.push_back(link_of(client.dialect(), *rows, row));
  return links;
}

MysqlOutcome<MysqlServer> look_at(MysqlClient& client) {
  std::string sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN (";
  for (const char* name : variable_names) sql += (name == variable_names.front() ? "" : ", ") + mysql_literal(name);
  for (const char* name : tls_file_settings) sql += std::string(", ") + mysql_literal(name);
  const auto variables = client.query(sql + ')');
  if (!variables) return variables.error();
  MysqlServer server;
  for (std::size_t row = 0; row < variables->size(); ++row)
    server.variables[variables->text(row, 0)] = variables->text(row, 1);
  const auto& dialect = client.dialect();
  // SHOW would cut it.
  const auto state = client.query(dialect.state_sql);
  if (!state) return state.error();
  server.variables[dialect.state] = state->text(0, "state");
  server.owned = state->text(0, "owned");
  const auto log = client.query(dialect.log_sql);  // no row without a binary log
  if (!log) return log.error();
  for (const char* filter : {"Binlog_Do_DB", "Binlog_Ignore_DB"}) server.variables[filter] = log->text(0, filter);
  auto links = links_of(client);
  if (!links) return links.error();
  server.links = std::move(*links);
  return server;
}

MysqlOutcome<MysqlTopology> discover(MysqlShelf& shelf, router::Side from) {
  MysqlTopology topology;
  topology.from = from;
  auto writer = shelf.take(from);
  if (!writer) return writer.error();
  auto follower = shelf.take(topology.to());
  if (!follower) return follower.error();
  const auto here = look_at(**writer);
  if (!here) return here.error();
  const auto there = look_at(**follower);
  if (!there) return there.error();
  if (auto against = against_pair(*here, *there); !against.empty())
    return MysqlError{(*follower)->target().text(), 0, std::move(against), false};
  const auto chosen = choose_link(there->links, here->id());
  if (!chosen.link) return MysqlError{(*follower)->target().text(), 0, chosen.why_not, false};
  topology.from_id = here->id();
  topology.to_id = there->id();
  topology.connection = chosen.link->connection;
  topology.tls = chosen.link->tls;
  topology.kind = kind_of(*here, *there, chosen.link);
  return topology;
}

boost::json::object to_json(const MysqlTopology& topology) {
  return {{"from", router::name(topology.from)},
          {"from_id", topology.from_id},
          {"to_id", topology.to_id},
          {"connection", topology.connection},
          {"positions", name(topology.kind)},
          {"reverse_made", topology.reverse_made},
          {"tls", to_json(topology.tls)}};
}

MysqlTopology mysql_topology_of(const boost::json::object& facts) {
  MysqlTopology topology;
  topology.from = text_of(facts, "from") == "green" ? router::Side::green : router::Side::blue;
  const auto number = [&](const char* key) {
    const auto* value = facts.if_contains(key);
    return value == nullptr || !value->is_number() ? std::uint32_t{0} : value->to_number<std::uint32_t>();
  };
  topology.from_id = number("from_id");
  topology.to_id = number("to_id");
  topology.connection = text_of(facts, "connection");
  if (const auto* tls = facts.if_contains("tls"); tls != nullptr && tls->is_object())
    topology.tls = link_tls_of(tls->get_object());
  if (text_of(facts, "positions") == name(PositionKind::file)) topology.kind = PositionKind::file;
  const auto* const made = facts.if_contains("reverse_made");
  topology.reverse_made = made != nullptr && made->is_bool() && made->get_bool();
  return topology;
}

std::optional<LinkTls> has_followed_by(const std::vector<Record>& records, router::Side side) {
  std::optional<LinkTls> found;
  for (const auto& record : records) {
    if (record.kind == RecordKind::binding && !text_of(record.data, "finished").empty()) found.reset();
    if (record.kind != RecordKind::facts) continue;
    if (const auto topology = mysql_topology_of(record.data); topology.to() == side) found = topology.tls;
  }
  return found;
}

}  // namespace turnout::control
