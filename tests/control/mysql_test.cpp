// What the MySQL executor concludes from what servers say; no server is asked.
#include <gtest/gtest.h>

#include <algorithm>

#include "control/mysql_events.h"
#include "control/mysql_fence.h"
#include "control/mysql_preflight.h"
#include "control/mysql_sessions.h"
#include "control/mysql_settle.h"
#include "control/mysql_topology.h"
#include "control/mysql_watch.h"

namespace turnout::control {
namespace {

ReplicaLink link_to(std::uint32_t writer_id, const std::string& connection = "") {
  ReplicaLink link;
  link.connection = connection;
  link.writer_id = writer_id;
  link.reads = link.applies = link.by_gtid = true;
  return link;
}

MysqlServer server(const std::string& id) {
  MysqlServer made;
  made.variables = {{"version", "10.11.19-MariaDB-0+deb12u1-log"},
                    {"server_id", id},
                    {"hostname", "here"},
                    {"port", "33" + id},
                    {"datadir", "/data" + id},
                    {"read_only", "OFF"},
                    {"log_bin", "ON"},
                    {"log_slave_updates", "ON"},
                    {"binlog_format", "ROW"},
                    {"gtid_strict_mode", "ON"},
                    {"gtid_binlog_pos", "0-7-10"},
                    {"gtid_binlog_state", "0-7-10"}};
  return made;
}

MysqlPair healthy() {
  MysqlPair pair{router::Side::blue, server("7"), server("8"), ""};
  pair.there.variables["read_only"] = "ON";
  pair.there.links = {link_to(7)};
  return pair;
}

MysqlPair healthy_mysql() {
  auto pair = healthy();
  for (auto* one : {&pair.here, &pair.there}) {
    for (const char* name : {"gtid_strict_mode", "gtid_binlog_pos", "gtid_binlog_state", "log_slave_updates"})
      one->variables.erase(name);
    one->variables["version"] = "9.7.4-2";
    one->variables["server_uuid"] = "of " + one->variable("server_id");
    one->variables["gtid_mode"] = one->variables["log_replica_updates"] = "ON";
    one->variables["gtid_executed"] = "e275f630-e6df-11f1-93c0-02fc00000001:1-10";
  }
  return pair;
}

Verdict verdict_of(const MysqlPair& pair, const std::string& name) {
  CheckList list;
  judge_servers(pair, list);
  judge_replication(pair, list);
  judge_own_writes(pair, list);
  const auto found = std::find_if(list.checks.begin(), list.checks.end(), [&](auto& one) { return one.name == name; });
  EXPECT_NE(found, list.checks.end()) << name;
  return found == list.checks.end() ? Verdict::fail : found->verdict;
}

TEST(MysqlTopology, reads_a_row_of_slave_status) {
  const MysqlRows rows(
      {"Connection_name", "Master_Host", "Master_Port", "Master_Server_Id", "Slave_IO_Running", "Slave_SQL_Running",
       "Using_Gtid", "Last_IO_Error", "Last_SQL_Error", "Replicate_Do_DB"},
      {{"up", "10.0.0.1", "3306", "7", "Connecting", "Yes", "Slave_Pos", "cannot connect", "", "shop"}});
  const auto link = link_of(dialect_of(MysqlProduct::mariadb), rows, 0);
  EXPECT_EQ(link.connection, "up");
  EXPECT_EQ(link.port, 3306U);
  EXPECT_EQ(link.writer_id, 7U);
  EXPECT_FALSE(link.reads) << "it tries to";
  EXPECT_TRUE(link.applies);
  EXPECT_TRUE(link.by_gtid);
  EXPECT_EQ(link.error, "cannot connect");
  EXPECT_EQ(link.filters, std::vector<std::string>{"Replicate_Do_DB=shop"});
}

TEST(MysqlTopology, reads_a_row_of_replica_status) {
  const MysqlRows rows({"Channel_Name", "Source_Host", "Source_Port", "Source_Server_Id", "Replica_IO_Running",
                        "Replica_SQL_Running", "Auto_Position"},
                       {{"up", "10.0.0.1", "3306", "7", "Yes", "Yes", "1"}});
  const auto link = link_of(dialect_of(MysqlProduct::mysql), rows, 0);
  EXPECT_EQ(link.connection, "up");
  EXPECT_EQ(link.port, 3306U);
  EXPECT_EQ(link.writer_id, 7U);
  EXPECT_TRUE(link.runs_from(7));
  EXPECT_FALSE(link.runs_from(8)) << "it bears the name, and leads elsewhere";
  EXPECT_TRUE(link.by_gtid);
}

TEST(MysqlTopology, chooses_the_link_by_the_writers_id) {
  EXPECT_EQ(choose_link({link_to(3, "other"), link_to(7, "ours")}, 7).link->connection, "ours");
  EXPECT_FALSE(choose_link({link_to(3)}, 7).link) << "it follows somebody else";
  EXPECT_FALSE(choose_link({}, 7).link);
  EXPECT_FALSE(choose_link({link_to(7, "a"), link_to(7, "b")}, 7).link) << "which of the two?";
}

TEST(MysqlTopology, read_only_in_every_spelling) {
  for (const char* on : {"1", "ON", "NO_LOCK", "NO_LOCK_NO_ADMIN"}) EXPECT_TRUE(says_read_only(on)) << on;
  for (const char* off : {"0", "OFF"}) EXPECT_FALSE(says_read_only(off)) << off;
}

TEST(MysqlTopology, survives_the_store) {
  const MysqlTopology topology{router::Side::green, 8, 7, "up", {true, false, {{"SSL_CA", "/ca"}}}};
  const auto back = mysql_topology_of(to_json(topology));
  EXPECT_EQ(back.from, router::Side::green);
  EXPECT_EQ(back.from_id, 8U);
  EXPECT_EQ(back.to_id, 7U);
  EXPECT_EQ(back.connection, "up");
  EXPECT_EQ(back.tls, topology.tls);
  EXPECT_EQ(back.kind, PositionKind::gtid);
  EXPECT_FALSE(back.reverse_made);
  const MysqlTopology by_file{router::Side::blue, 7, 8, "", {}, PositionKind::file, true};
  EXPECT_EQ(mysql_topology_of(to_json(by_file)).kind, PositionKind::file);
  EXPECT_TRUE(mysql_topology_of(to_json(by_file)).reverse_made);
  auto of_an_older_turnout = to_json(topology);
  of_an_older_turnout.erase("positions");
  of_an_older_turnout.erase("reverse_made");
  EXPECT_EQ(mysql_topology_of(of_an_older_turnout).kind, PositionKind::gtid);
}

TEST(MysqlPreflight, a_healthy_pair_passes) {
  for (const auto& pair : {healthy(), healthy_mysql()}) {
    CheckList list;
    judge_servers(pair, list);
    judge_replication(pair, list);
    judge_own_writes(pair, list);
    for (const auto& check : list.checks)
      EXPECT_EQ(check.verdict, Verdict::pass) << check.name << ": " << check.measured;
  }
}

// Without GTIDs, as MySQL comes; with what makes positions in files outlive a crash.
MysqlPair healthy_by_file() {
  auto pair = healthy_mysql();
  for (auto* one : {&pair.here, &pair.there}) {
    one->variables["gtid_mode"] = "OFF";
    one->variables["gtid_executed"] = "";
    one->variables["relay_log_recovery"] = "ON";
  }
  pair.there.links[0].by_gtid = false;
  return pair;
}

TEST(MysqlPreflight, the_kind_of_position_is_the_pairs) {
  EXPECT_EQ(healthy().kind(), PositionKind::gtid);
  EXPECT_EQ(healthy_mysql().kind(), PositionKind::gtid);
  EXPECT_EQ(healthy_by_file().kind(), PositionKind::file);
  auto pair = healthy_mysql();
  pair.there.links[0].by_gtid = false;
  EXPECT_EQ(pair.kind(), PositionKind::file) << "it has them, and does not go by them";
  pair = healthy_mysql();
  pair.there.variables["gtid_mode"] = "ON_PERMISSIVE";
  EXPECT_EQ(pair.kind(), PositionKind::file);
  pair = healthy_by_file();
  pair.there.links.clear();
  EXPECT_EQ(pair.kind(), PositionKind::file) << "an empty set would be covered by anything";
  pair = healthy();
  pair.there.links[0].by_gtid = false;
  EXPECT_EQ(pair.kind(), PositionKind::gtid) << "MariaDB has them always: it is told to use them";
}

TEST(MysqlPreflight, by_file_and_position) {
  struct Row {
    const char* check;
    Verdict verdict;
    void (*spoil)(MysqlPair&);
  };
  const Row rows[] = {
      {"binlog", Verdict::pass, [](MysqlPair&) {}},
      {"replication.active", Verdict::pass, [](MysqlPair&) {}},
      {"replication.gtid", Verdict::warn, [](MysqlPair&) {}},
      {"replication.gtid", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["relay_log_recovery"] = "OFF"; }},
      {"replication.gtid", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["relay_log_recovery"] = "OFF"; }},
      {"replication.gtid", Verdict::fail,
       [](MysqlPair& pair) {
         pair.here.links = {link_to(8)};
         pair.here.links[0].reads = pair.here.links[0].applies = false;
       }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["gtid_mode"] = "OFF_PERMISSIVE"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["log_replica_updates"] = "OFF"; }},
  };
  for (const auto& row : rows) {
    auto pair = healthy_by_file();
    row.spoil(pair);
    EXPECT_EQ(verdict_of(pair, row.check), row.verdict) << row.check << ", row " << &row - rows;
  }
}

TEST(MysqlPreflight, what_a_followers_log_proves) {
  const auto verdict = [](OwnWrites found) {
    CheckList list;
    judge_own_writes(found, list);
    return list.checks.front().verdict;
  };
  EXPECT_EQ(verdict({"b.1:4", true, true, {}, {}}), Verdict::pass);
  EXPECT_EQ(verdict({"b.1:4", false, true, {}, {}}), Verdict::warn) << "older ones are not known";
  EXPECT_EQ(verdict({"", false, false, {}, {}}), Verdict::warn);
  EXPECT_EQ(verdict({"b.1:4", true, true, {}, {"b.1:200"}}), Verdict::warn) << "the copy may be made of it";
  EXPECT_EQ(verdict({"b.1:4", true, true, {"b.1:900"}, {}}), Verdict::fail);
}

TEST(MysqlPreflight, each_fault_of_a_mysql_pair_has_its_check) {
  struct Row {
    const char* check;
    Verdict verdict;
    void (*spoil)(MysqlPair&);
  };
  const Row rows[] = {
      {"version", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["version"] = "8.0.41"; }},
      {"version", Verdict::warn, [](MysqlPair& pair) { pair.here.variables["version"] = "8.4.1"; }},
      {"version", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["version"] = "11.4.1-MariaDB"; }},
      {"identity", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["version"] = "11.4.1-MariaDB"; }},
      {"identity", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["server_uuid"] = "of 7"; }},
      {"identity", Verdict::fail, [](MysqlPair& pair) { pair.replaced = "green is 3, but was 2"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["gtid_mode"] = "ON_PERMISSIVE"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["log_replica_updates"] = "OFF"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["gtid_executed"] = ""; }},
      {"replication.gtid", Verdict::fail, [](MysqlPair& pair) { pair.there.links[0].by_gtid = false; }},
      {"green.no_writes", Verdict::fail,
       [](MysqlPair& pair) { pair.there.variables["gtid_executed"] += ",\n00000000-e6df-11f1-93c0-02fc00000002:1"; }},
      {"green.no_writes", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["gtid_executed"] = "0-7-10"; }},
  };
  for (const auto& row : rows) {
    auto pair = healthy_mysql();
    row.spoil(pair);
    EXPECT_EQ(verdict_of(pair, row.check), row.verdict) << row.check << ", row " << &row - rows;
  }
}

TEST(MysqlPreflight, each_fault_has_its_check) {
  struct Row {
    const char* check;
    Verdict verdict;
    void (*spoil)(MysqlPair&);
  };
  const Row rows[] = {
      {"identity", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["server_id"] = "7"; }},
      {"identity", Verdict::fail,
       [](MysqlPair& pair) {
         pair.there = pair.here;
         pair.there.variables["server_id"] = "9";
       }},
      {"version", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["version"] = "9.7.4"; }},
      {"version", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["version"] = "10.6.1-MariaDB"; }},
      {"version", Verdict::warn, [](MysqlPair& pair) { pair.there.variables["version"] = "11.4.1-MariaDB"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["log_bin"] = "OFF"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["log_slave_updates"] = "OFF"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["binlog_format"] = "STATEMENT"; }},
      {"binlog", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["gtid_binlog_pos"] = ""; }},
      {"settings.parity", Verdict::warn, [](MysqlPair& pair) { pair.there.variables["sql_mode"] = "ANSI"; }},
      {"green.read_only", Verdict::warn, [](MysqlPair& pair) { pair.there.variables["read_only"] = "OFF"; }},
      {"green.read_only", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["read_only"] = "ON"; }},
      {"replication.active", Verdict::fail, [](MysqlPair& pair) { pair.there.links[0].applies = false; }},
      {"replication.active", Verdict::fail, [](MysqlPair& pair) { pair.there.links.clear(); }},
      {"replication.errors", Verdict::fail, [](MysqlPair& pair) { pair.there.links[0].error = "1062"; }},
      {"replication.gtid", Verdict::fail, [](MysqlPair& pair) { pair.there.links[0].by_gtid = false; }},
      {"replication.gtid", Verdict::warn, [](MysqlPair& pair) { pair.here.variables["gtid_strict_mode"] = "OFF"; }},
      {"replication.filters", Verdict::fail,
       [](MysqlPair& pair) { pair.there.links[0].filters = {"Replicate_Do_DB=a"}; }},
      {"replication.filters", Verdict::fail, [](MysqlPair& pair) { pair.here.variables["Binlog_Ignore_DB"] = "a"; }},
      {"replication.active", Verdict::fail, [](MysqlPair& pair) { pair.here.links = {link_to(8)}; }},
      {"green.no_writes", Verdict::fail,
       [](MysqlPair& pair) { pair.there.variables["gtid_binlog_state"] = "0-7-10,0-8-11"; }},
      {"green.no_writes", Verdict::fail, [](MysqlPair& pair) { pair.there.variables["gtid_binlog_state"] = "?"; }},
  };
  for (const auto& row : rows) {
    auto pair = healthy();
    row.spoil(pair);
    EXPECT_EQ(verdict_of(pair, row.check), row.verdict) << row.check << ", row " << &row - rows;
  }
}

TEST(MysqlSessions, who_passes_a_fence) {
  const auto users =
      passing_users({"root", "dba"}, {{"ann", "dba"}, {"bob", "night"}, {"night", "dba"}, {"eve", "reader"}});
  EXPECT_EQ(users, (std::set<std::string>{"root", "dba", "ann", "night", "bob"}));
}

TEST(MysqlSessions, the_end_of_a_connection) {
  EXPECT_EQ(end_of_host("127.0.0.1:54321"), (std::pair<std::string, int>{"127.0.0.1", 54321}));
  EXPECT_EQ(end_of_host("::1:54321"), (std::pair<std::string, int>{"::1", 54321}));
  EXPECT_EQ(end_of_host("localhost"), (std::pair<std::string, int>{"localhost", -1}));
  EXPECT_EQ(end_of_host("db:"), (std::pair<std::string, int>{"db:", -1}));
}

TEST(MysqlSessions, who_else_reads_the_log) {
  const auto reader = [](std::uint64_t number, const char* user, const char* host) {
    return MysqlSession{number, user, host, "Binlog Dump GTID", ""};
  };
  const auto numbers = [](const std::vector<MysqlSession>& readers) {
    std::vector<std::uint64_t> out;
    for (const auto& one : readers) out.push_back(one.number);
    return out;
  };
  const std::vector<MysqlSession> readers = {reader(1, "repl", "10.0.0.9:40000"), reader(2, "repl", "10.0.0.2:40001"),
                                             reader(3, "cdc", "10.0.0.2:40002")};
  using Numbers = std::vector<std::uint64_t>;
  EXPECT_EQ(numbers(other_log_readers(readers, "repl", "10.0.0.2")), (Numbers{1, 3}));
  EXPECT_EQ(numbers(other_log_readers(readers, "repl", "green.example")), (Numbers{2, 3})) << "one of them it is";
  EXPECT_EQ(numbers(other_log_readers(readers, "nobody", "10.0.0.2")), (Numbers{1, 2, 3}));
  EXPECT_TRUE(other_log_readers({}, "repl", "10.0.0.2").empty());
}

TEST(MysqlSessions, what_changes_the_schema) {
  for (const char* sql :
       {"ALTER TABLE t ADD c INT", "/* tool */ create index i ON t (c)", "CREATE OR REPLACE TABLE t (a INT)",
        "-- x\nDROP TABLE t", "truncate t", "RENAME TABLE a TO b", "OPTIMIZE TABLE t"})
    EXPECT_TRUE(changes_schema(sql)) << sql;
  for (const char* sql :
       {"", "SELECT 'ALTER TABLE t'", "CREATE TEMPORARY TABLE t (a INT)", "INSERT INTO t VALUES (1)",
        "CREATE OR REPLACE TEMPORARY TABLE t (a INT)", "DROP TEMPORARY TABLE t", "SHOW CREATE TABLE t"})
    EXPECT_FALSE(changes_schema(sql)) << sql;
}

TEST(MysqlFence, former_settings_are_the_first_ones_that_were_not_put_back) {
  const auto record = [](RecordKind kind, const MysqlSettings& settings) {
    return Record{"app", 1, kind, to_json(settings)};
  };
  const MysqlSettings former{router::Side::blue, false, true}, ours{router::Side::blue, true, false};
  const auto undo = record(RecordKind::undo, former), later = record(RecordKind::undo, ours);
  const Record restored{"app", 1, RecordKind::restored, {{"side", "blue"}}};
  EXPECT_EQ(mysql_unrestored({undo, later}, router::Side::blue), former);
  EXPECT_FALSE(mysql_unrestored({undo, restored}, router::Side::blue));
  EXPECT_FALSE(mysql_unrestored({undo}, router::Side::green));
  EXPECT_EQ(mysql_unrestored({undo, restored, later}, router::Side::blue), ours);
}

TEST(MysqlSettle, the_old_writer_begins_where_its_log_ends) {
  conf::Deployment config;
  config.green = conf::Address{"10.0.0.2", 3307, ""};
  config.admin = {"turnout", "it's", ""};
  EXPECT_EQ(follow_side_sql(dialect_of(MysqlProduct::mariadb), config, router::Side::green, "up", {}),
            "CHANGE MASTER 'up' TO MASTER_HOST = '10.0.0.2', MASTER_PORT = 3307, MASTER_USER = 'turnout', "
            "MASTER_PASSWORD = 'it''s', MASTER_CONNECT_RETRY = 1, MASTER_SSL = 0, MASTER_SSL_VERIFY_SERVER_CERT = 0, "
            "MASTER_USE_GTID = slave_pos, MASTER_DEMOTE_TO_SLAVE = 1");
  config.replication.login = {"repl", "x", ""};
  const LinkTls tls{true, true, {{"SSL_CA", "/it's/ca"}}};
  const auto sql = follow_side_sql(dialect_of(MysqlProduct::mariadb), config, router::Side::green, "", tls);
  EXPECT_EQ(follow_side_sql(dialect_of(MysqlProduct::mysql), config, router::Side::green, "up", tls),
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '10.0.0.2', SOURCE_PORT = 3307, SOURCE_USER = 'repl', "
            "SOURCE_PASSWORD = 'x', SOURCE_CONNECT_RETRY = 1, SOURCE_SSL = 1, SOURCE_SSL_VERIFY_SERVER_CERT = 1, "
            "SOURCE_SSL_CA = '/it''s/ca', SOURCE_SSL_CAPATH = '', SOURCE_SSL_CERT = '', SOURCE_SSL_KEY = '', "
            "SOURCE_SSL_CRL = '', SOURCE_SSL_CRLPATH = '', SOURCE_SSL_CIPHER = '', SOURCE_RETRY_COUNT = 86400, "
            "SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY "
            "= 1 FOR CHANNEL 'up'");
  EXPECT_NE(sql.find("MASTER_USER = 'repl'"), std::string::npos);
  EXPECT_NE(sql.find("MASTER_SSL = 1, MASTER_SSL_VERIFY_SERVER_CERT = 1, MASTER_SSL_CA = '/it''s/ca'"),
            std::string::npos);
}

TEST(MysqlSettle, by_file_it_begins_where_the_new_writers_log_ended) {
  conf::Deployment config;
  config.green = conf::Address{"10.0.0.2", 3307, ""};
  config.admin = {"turnout", "x", ""};
  EXPECT_EQ(follow_side_sql(dialect_of(MysqlProduct::mysql), config, router::Side::green, "up", {},
                            LogPosition{"binlog.000012", 345}),
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '10.0.0.2', SOURCE_PORT = 3307, SOURCE_USER = 'turnout', "
            "SOURCE_PASSWORD = 'x', SOURCE_CONNECT_RETRY = 1, SOURCE_SSL = 0, SOURCE_SSL_VERIFY_SERVER_CERT = 0, "
            "SOURCE_RETRY_COUNT = 86400, SOURCE_AUTO_POSITION = 0, SOURCE_LOG_FILE = 'binlog.000012', SOURCE_LOG_POS = "
            "345, GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL 'up'");
}

TEST(MysqlSettle, a_place_in_a_log_is_set_once) {
  EXPECT_EQ(reverse_deed({}, 8, false), ReverseDeed::make);
  EXPECT_EQ(reverse_deed({}, 8, true), ReverseDeed::refuse) << "somebody has taken it away";
  EXPECT_EQ(reverse_deed(link_to(0), 8, false), ReverseDeed::start) << "it has never been connected";
  EXPECT_EQ(reverse_deed(link_to(8), 8, false), ReverseDeed::start)
      << "made, not recorded, and begun when the server was restarted";
  EXPECT_EQ(reverse_deed(link_to(8), 8, true), ReverseDeed::start);
  EXPECT_EQ(reverse_deed(link_to(3), 8, true), ReverseDeed::refuse) << "it leads elsewhere";
}

TEST(MysqlNumbers, of_every_type) {
  EXPECT_EQ(last_of_type("tinyint(4)"), 127U);
  EXPECT_EQ(last_of_type("smallint(5) unsigned"), 65'535U);
  EXPECT_EQ(last_of_type("mediumint(9)"), 8'388'607U);
  EXPECT_EQ(last_of_type("int(11)"), 2'147'483'647U);
  EXPECT_EQ(last_of_type("int(10) unsigned zerofill"), 4'294'967'295U);
  EXPECT_EQ(last_of_type("bigint(20)"), 9'223'372'036'854'775'807U);
  EXPECT_EQ(last_of_type("bigint(20) unsigned"), 18'446'744'073'709'551'615U);
  EXPECT_EQ(last_of_type("double"), 0U) << "not counted in";
}

TEST(MysqlNumbers, room_and_order) {
  EXPECT_TRUE(nearly_full({{"a", {1, 127}}, {"b", {114, 127}}, {"c", {1'000'000, 0}}}).empty());
  EXPECT_EQ(nearly_full({{"a", {115, 127}}, {"b", {~0ULL, ~0ULL}}}).size(), 2U);
  EXPECT_TRUE(given_out_again({{"a", {7, 0}}}, {{"a", {7, 0}}, {"b", {1, 0}}}).empty());
  EXPECT_TRUE(given_out_again({{"a", {7, 0}}}, {}).empty()) << "schema.parity tells that";
  EXPECT_EQ(given_out_again({{"a", {9, 0}}, {"b", {2, 0}}}, {{"a", {7, 0}}, {"b", {3, 0}}}),
            std::vector<std::string>{"a: 7 there, 9 here"});
}

drain::State state_on(drain::Road road, router::Side from) {
  drain::State state;
  state.road = road;
  state.writer = state.from = from;
  return state;
}

TEST(MysqlWatch, a_server_that_refuses_is_asked_less_and_less) {
  Refusals refusals;
  std::vector<int> asked_at;
  for (int look = 0; look < 36; ++look) {
    if (refusals.leaves_out()) continue;
    asked_at.push_back(look);
    refusals.refused();
  }
  EXPECT_EQ(asked_at, (std::vector<int>{0, 2, 6, 14, 22, 30}));
  refusals.let_in();
  EXPECT_FALSE(refusals.leaves_out());
  refusals.refused();
  EXPECT_TRUE(refusals.leaves_out());
  EXPECT_FALSE(refusals.leaves_out());
}

TEST(MysqlWatch, what_it_may_do_and_when) {
  using drain::Road;
  const auto blue = router::Side::blue, green = router::Side::green;
  auto state = state_on(Road::none, blue);
  EXPECT_FALSE(watch_orders(state)) << "nobody has read the store yet";
  state.done = drain::bit(drain::Step::publish_normal);
  EXPECT_EQ(watch_orders(state), (WatchOrders{blue, true, true, false}));
  state.phase = drain::Phase::finished;
  EXPECT_EQ(watch_orders(state), (WatchOrders{blue, true, false, false})) << "the other one is nobody's any more";
  state.phase = drain::Phase::unknown;
  EXPECT_FALSE(watch_orders(state));
  for (const auto road : {Road::forward, Road::start, Road::restart}) EXPECT_FALSE(watch_orders(state_on(road, blue)));
  state = state_on(Road::commit, blue);
  EXPECT_EQ(watch_orders(state), (WatchOrders{green, false, true, true}));
  state.done = drain::bit(drain::Step::open_to);
  EXPECT_EQ(watch_orders(state), (WatchOrders{green, true, true, true}));
  state = state_on(Road::revert, green);
  EXPECT_FALSE(watch_orders(state)) << "the store may still say commit";
  state.decision = drain::Decision::abort;
  EXPECT_EQ(watch_orders(state), (WatchOrders{green, false, true, false}));
  state.done = drain::bit(drain::Step::lower_fence);
  EXPECT_EQ(watch_orders(state), (WatchOrders{green, true, true, false}));
}

TEST(MysqlWatch, opens_what_a_restart_has_closed_and_nothing_else) {
  const WatchedServer writer{
      .id = 7, .read_only = true, .by_options = true, .follows = false, .has_link = false, .other_is_behind = true};
  EXPECT_EQ(deed_on_writer(writer, 7), WatchDeed::open);
  EXPECT_EQ(deed_on_writer(writer, 8), WatchDeed::tell) << "another server";
  EXPECT_EQ(deed_on_writer(writer, 0), WatchDeed::tell) << "never seen as the writer";
  auto other = writer;
  other.read_only = false;
  EXPECT_EQ(deed_on_writer(other, 7), WatchDeed::none);
  other = writer;
  other.by_options = false;
  EXPECT_EQ(deed_on_writer(other, 7), WatchDeed::tell) << "somebody has set it";
  other = writer;
  other.follows = true;
  EXPECT_EQ(deed_on_writer(other, 7), WatchDeed::tell) << "it follows somebody";
  other = writer;
  other.other_is_behind = false;
  EXPECT_EQ(deed_on_writer(other, 7), WatchDeed::tell)
      << "the other side may be the writer, or has what this one has lost";
}

TEST(MysqlWatch, closes_the_follower_that_was_closed) {
  const WatchedServer follower{
      .id = 8, .read_only = false, .by_options = true, .follows = true, .has_link = true, .other_is_behind = false};
  EXPECT_EQ(deed_on_follower(follower, 8, false), WatchDeed::close);
  EXPECT_EQ(deed_on_follower(follower, 0, false), WatchDeed::none) << "never prepared";
  EXPECT_EQ(deed_on_follower(follower, 9, false), WatchDeed::none) << "another server";
  auto other = follower;
  other.by_options = false;
  EXPECT_EQ(deed_on_follower(other, 8, false), WatchDeed::close) << "whoever has opened it";
  other.read_only = true;
  EXPECT_EQ(deed_on_follower(other, 8, false), WatchDeed::none);
  other = follower;
  other.follows = other.has_link = false;
  EXPECT_EQ(deed_on_follower(other, 8, false), WatchDeed::none) << "it is being made anew, or has been made the writer";
  EXPECT_EQ(deed_on_follower(other, 8, true), WatchDeed::close) << "its link is still to come";
}

TEST(MysqlEvents, are_enabled_by_their_definer) {
  const auto sql = [](const std::string& definer) { return enable_sql({"shop", "a`b", definer, "", "", "", ""}); };
  EXPECT_EQ(sql("app@%"), "ALTER DEFINER = `app`@`%` EVENT `shop`.`a``b` ENABLE");
  EXPECT_EQ(sql("o'br@en@10.0.%"), "ALTER DEFINER = `o'br@en`@`10.0.%` EVENT `shop`.`a``b` ENABLE")
      << "a user may have an @";
  EXPECT_EQ(sql("clerks@"), "ALTER DEFINER = `clerks` EVENT `shop`.`a``b` ENABLE") << "a role";
}

}  // namespace
}  // namespace turnout::control
