#include "control/mysql_topology.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "control/decision_store.h"

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

std::uint32_t number_of(const std::string& digits) {
  std::uint32_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
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
  return number_of(variable("server_id"));
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
  link.port = number_of(rows.text(row, column.port));
  link.writer_id = number_of(rows.text(row, column.writer_id));
  link.reads = rows.text(row, column.reads) == "Yes";  // not "Connecting"
  link.applies = rows.text(row, column.applies) == "Yes";
  link.by_gtid = goes_by_gtid(rows.text(row, "Using_Gtid"), rows.text(row, "Auto_Position"));
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

MysqlOutcome<MysqlServer> look_at(MysqlClient& client) {
  std::string sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN (";
  for (const char* name : variable_names) sql += mysql_literal(name) + (name == variable_names.back() ? ")" : ", ");
  const auto variables = client.query(sql);
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
  const auto links = client.query(dialect.links_sql);
  if (!links) return links.error();
  for (std::size_t row = 0; row < links->size(); ++row) server.links.push_back(link_of(dialect, *links, row));
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
  return topology;
}

boost::json::object to_json(const MysqlTopology& topology) {
  return {{"from", router::name(topology.from)},
          {"from_id", topology.from_id},
          {"to_id", topology.to_id},
          {"connection", topology.connection}};
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
  return topology;
}

}  // namespace turnout::control
