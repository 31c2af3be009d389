#include "conf/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "conf/document.h"
#include "conf/quantity.h"

namespace turnout::conf {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Load : public testing::Test {
 protected:
  void SetUp() override {
    before_ = fs::current_path();
    fs::current_path(fs::path(TURNOUT_SOURCE_DIR) / "tests/conf");
  }
  void TearDown() override { fs::current_path(before_); }

 private:
  fs::path before_;
};

std::string content(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// The messages of a text, one a line; empty when it was accepted.
std::string mistakes_of(const std::string& text) {
  try {
    static_cast<void>(parse(text, "x.yaml"));
    return {};
  } catch (const Invalid& invalid) {
    return invalid.what();
  }
}

constexpr const char* minimal =
    "deployments:\n  app:\n    listen: [\"127.0.0.1:6432\"]\n    blue: \"127.0.0.1:5431\"\n    admin: { user: turnout "
    "}\n"
    "    auth: trust\n";

TEST_F(Load, WhatIsNotWrittenHasTheDefaultsOfTheHeader) {
  const auto config = parse(minimal, "x.yaml");
  ASSERT_EQ(config.deployments.size(), 1U);
  const Deployment& deployment = config.deployments[0];
  const Deployment fresh;
  EXPECT_EQ(deployment.name, "app");
  EXPECT_EQ(deployment.green, std::nullopt);
  EXPECT_EQ(deployment.pool.size, fresh.pool.size);
  EXPECT_EQ(deployment.limits.message_bytes_max, fresh.limits.message_bytes_max);
  EXPECT_EQ(deployment.cutover.window_ms_max, fresh.cutover.window_ms_max);
  EXPECT_EQ(deployment.ramp.ladder, fresh.ramp.ladder);
  EXPECT_EQ(deployment.client_tls.mode, TlsMode::disable);
  EXPECT_EQ(deployment.server_tls.mode, TlsMode::prefer);
  EXPECT_EQ(config.control.listen, (Address{"127.0.0.1", 6480, {}}));
  EXPECT_EQ(config.control.state_dir, "/var/lib/turnout");
  EXPECT_EQ(config.workers, 0U);
  EXPECT_EQ(config.log_level, "info");
  EXPECT_EQ(config.file, "x.yaml");
}

TEST_F(Load, ReplicationInheritsWhatIsNotWritten) {
  const auto config = load("good/smallest.yaml");
  const auto& deployment = config.deployments.at(0);
  EXPECT_EQ(deployment.admin.password, "admin secret");
  EXPECT_EQ(deployment.replication.login.user, "turnout");
  EXPECT_EQ(deployment.replication.login.password, "admin secret");
  EXPECT_EQ(deployment.replication.blue_address, deployment.blue);
  EXPECT_EQ(deployment.replication.green_address, *deployment.green);
  // A user of its own without a password file has no password: the admin's is not tried on somebody else.
  const auto other = parse(std::string(minimal) + "    replication: { user: other }\n", "x.yaml");
  EXPECT_EQ(other.deployments.at(0).replication.login.user, "other");
  EXPECT_EQ(other.deployments.at(0).replication.login.password, "");
}

TEST_F(Load, APasswordFileOfTheSameUserIsItsOwn) {
  const auto config =
      parse(std::string(minimal) + "    replication: { password_file: files/replication.pass }\n", "x.yaml");
  EXPECT_EQ(config.deployments.at(0).replication.login.user, "turnout");
  EXPECT_EQ(config.deployments.at(0).replication.login.password, "replication secret");
}

TEST_F(Load, EveryKeyArrivesInItsField) {
  const auto config = load("good/full.yaml");
  EXPECT_EQ(config.workers, 3U);
  EXPECT_EQ(config.log_level, "debug");
  EXPECT_EQ(config.control.listen.text(), "0.0.0.0:6481");
  EXPECT_EQ(config.control.token, "a-long-random-token");
  EXPECT_EQ(config.control.state_dir, "files");
  EXPECT_EQ(config.dns.ttl_ms_min, 2'000U);
  EXPECT_EQ(config.dns.ttl_ms_max, 30'000U);
  EXPECT_EQ(config.dns.timeout_ms, 700U);
  EXPECT_THAT(config.dns.servers, ElementsAre(Address{"127.0.0.1", 5353, {}}, Address{"::1", 53, {}}));
  const auto& d = config.deployments.at(0);
  EXPECT_EQ(d.name, "app-1_x");
  EXPECT_THAT(d.listen, ElementsAre(Address{"127.0.0.1", 6432, {}}, Address{"::1", 6432, {}},
                                    Address{{}, 0, "/tmp/turnout.sock"}));
  EXPECT_EQ(d.blue.text(), "db-blue.example:5431");
  ASSERT_TRUE(d.green.has_value());
  EXPECT_EQ(d.green->text(), "unix:/run/postgresql/.s.PGSQL.5432");
  EXPECT_EQ(d.admin.user, "turnout");
  EXPECT_EQ(d.admin.password, "admin secret");
  EXPECT_EQ(d.replication.login.user, "replicator");
  EXPECT_EQ(d.replication.login.password, "replication secret");
  EXPECT_EQ(d.replication.blue_address.text(), "10.0.0.1:5431");
  EXPECT_EQ(d.replication.green_address.text(), "10.0.0.2:5432");
  EXPECT_EQ(d.replication.tls, TlsMode::require);
  EXPECT_EQ(d.auth, ClientAuth::md5);
  EXPECT_EQ(d.users_file, "files/users.txt");
  EXPECT_THAT(d.databases, ElementsAre("app", "with space"));
  EXPECT_THAT(d.waive, ElementsAre("superuser_sessions", "replica_identity"));
  EXPECT_THAT(d.cdc, ElementsAre("debezium_orders"));
}

TEST_F(Load, AnAuthQueryIsReadWithItsRole) {
  const auto config = load("good/full.yaml");
  const AuthQuery& query = config.deployments.at(1).auth_query;
  EXPECT_EQ(query.query, "SELECT usename, secret FROM access.secret_of($1)");
  EXPECT_EQ(query.login.user, "asker");
  EXPECT_EQ(query.login.password, "replication secret");
  EXPECT_EQ(query.database, "app");
  EXPECT_EQ(query.cache_ms, 5'000U);
  EXPECT_EQ(query.cache_users_max, 12U);
  EXPECT_FALSE(config.deployments.at(0).auth_query.is_set());
}

TEST_F(Load, PassthroughAsksAsTheAdmin) {
  const auto config = parse(
      "deployments:\n  app:\n    listen: [\"127.0.0.1:6432\"]\n    blue: \"127.0.0.1:5431\"\n"
      "    admin: { user: turnout, password_file: files/admin.pass }\n    users: passthrough\n",
      "x.yaml");
  const AuthQuery& query = config.deployments.at(0).auth_query;
  EXPECT_TRUE(query.query.find("pg_catalog.pg_authid") != std::string::npos) << query.query;
  EXPECT_EQ(query.login.user, "turnout");
  EXPECT_EQ(query.login.password, "admin secret");
  EXPECT_EQ(config.deployments.at(0).users_file, "");
}

TEST_F(Load, PassthroughOfMysqlAsksNobodyButTheClient) {
  const auto config = parse(
      "deployments:\n  app:\n    protocol: mysql\n    listen: [\"127.0.0.1:6432\"]\n    blue: \"127.0.0.1:5431\"\n"
      "    admin: { user: turnout, password_file: files/admin.pass }\n    users: passthrough\n",
      "x.yaml");
  EXPECT_TRUE(config.deployments.at(0).passes_passwords);
  EXPECT_FALSE(config.deployments.at(0).auth_query.is_set());
  EXPECT_EQ(config.deployments.at(0).users_file, "");
}

TEST_F(Load, EveryNumberArrivesInItsField) {
  const auto config = load("good/full.yaml");
  const auto& d = config.deployments.at(0);
  EXPECT_EQ(d.pool.mode, PoolMode::session);
  EXPECT_EQ(d.pool.size, 7U);
  EXPECT_EQ(d.pool.size_min, 3U);
  EXPECT_EQ(d.pool.reserve, 4U);
  EXPECT_EQ(d.pool.reserve_after_ms, 6'000U);
  EXPECT_EQ(d.pool.opening_max, 5U);
  EXPECT_EQ(d.pool.lifetime_jitter_percent, 14U);
  EXPECT_EQ(d.pool.wait_ms_max, 11'000U);
  EXPECT_EQ(d.pool.idle_ms_max, 12'000U);
  EXPECT_EQ(d.pool.lifetime_ms_max, 780'000U);
  EXPECT_EQ(d.pool.connect_ms_max, 1'400U);
  EXPECT_EQ(d.pool.prepared_statements_max, 15U);
  EXPECT_EQ(d.limits.clients_max, 101U);
  EXPECT_EQ(d.limits.server_connections_max, 103U);
  EXPECT_EQ(d.limits.server_connections_per_user_max, 104U);
  EXPECT_EQ(d.limits.server_connections_per_database_max, 105U);
  EXPECT_EQ(d.limits.cancels_max, 106U);
  EXPECT_EQ(d.limits.cancels_per_second_max, 107U);
  EXPECT_EQ(d.limits.login_ms_max, 2'000U);
  EXPECT_EQ(d.limits.unproven_logins_max, 108U);
  EXPECT_EQ(d.limits.idle_in_transaction_ms_max, 180'000U);
  EXPECT_EQ(d.limits.client_idle_ms_max, 14'400'000U);
  EXPECT_EQ(d.limits.message_bytes_max, 33'554'432U);
  EXPECT_EQ(d.limits.startup_bytes_max, 8'192U);
  EXPECT_EQ(d.limits.replication_clients_max, 3U);
  EXPECT_EQ(d.limits.buffered_message_bytes_max, 1'048'576U);
  EXPECT_EQ(d.limits.session_channels_max, 16U);
  EXPECT_EQ(d.limits.channels_max, 17U);
  EXPECT_EQ(d.limits.notification_queue_bytes_max, 3U * 1024 * 1024);
  EXPECT_EQ(d.hold.sessions_max, 102U);
  EXPECT_EQ(d.hold.bytes_max, 134'217'728U);
  EXPECT_EQ(d.hold.release_per_ms, 9U);
  EXPECT_EQ(d.cutover.lag_ms_max, 50U);
  EXPECT_EQ(d.cutover.lag_bytes_max, 2'097'152U);
  EXPECT_EQ(d.cutover.transaction_ms_max, 1'000U);
  EXPECT_EQ(d.cutover.drain_ms_max, 1'000U);
  EXPECT_EQ(d.cutover.proof_ms_max, 1'500U);
  EXPECT_EQ(d.cutover.window_ms_max, 4'000U);
  EXPECT_EQ(d.cutover.cooling_ms, 86'400'000U);
  EXPECT_EQ(d.cutover.slot_retained_bytes_max, 2'147'483'648U);
  EXPECT_EQ(d.cutover.check_interval_ms, 20'000U);
  EXPECT_EQ(d.cutover.rehearsal_ms_max, 259'200'000U);
  EXPECT_EQ(d.cutover.fence, Fence::database);
  EXPECT_EQ(d.ramp.policy, TokenPolicy::bounded);
  EXPECT_EQ(d.ramp.bounded_ms, 300U);
  EXPECT_EQ(d.ramp.sample_ms, 20U);
  EXPECT_EQ(d.ramp.lag_bytes_max, 8'388'608U);
  EXPECT_THAT(d.ramp.ladder, ElementsAre(5U, 100U));
  EXPECT_EQ(d.ramp.hold_ms, 60'000U);
  EXPECT_EQ(d.ramp.samples_min, 10U);
  EXPECT_EQ(d.compare.piece_rows, 2'000U);
  EXPECT_EQ(d.compare.rows_per_second, 1'000U);
  EXPECT_EQ(d.compare.lag_bytes_max, 4'194'304U);
  EXPECT_EQ(d.compare.statement_ms_max, 10'000U);
  EXPECT_EQ(d.compare.rounds, 3U);
  EXPECT_EQ(d.compare.differences_max, 50U);
  EXPECT_EQ(d.shadow.queue_max, 50U);
  EXPECT_EQ(d.shadow.bytes_max, 2'097'152U);
  EXPECT_EQ(d.shadow.connections_max, 3U);
  EXPECT_EQ(d.shadow.result_bytes_max, 1'048'576U);
  EXPECT_EQ(d.shadow.statement_ms_max, 7'000U);
  EXPECT_EQ(d.shadow.lag_ms_max, 2'000U);
  EXPECT_EQ(d.shadow.brackets, 2U);
  EXPECT_EQ(d.shadow.shapes_max, 40U);
  EXPECT_EQ(d.client_tls.mode, TlsMode::verify_ca);
  EXPECT_EQ(d.server_tls.mode, TlsMode::verify_full);
  EXPECT_EQ(d.server_tls.channel_binding, ChannelBinding::disable);
  for (const auto& tls : {d.client_tls, d.server_tls}) {
    EXPECT_EQ(tls.certificate_file, "files/tls.pem");
    EXPECT_EQ(tls.key_file, "files/tls.pem");
    EXPECT_EQ(tls.ca_file, "files/tls.pem");
  }
}

void collect_keys(const TreeNode& node, const std::string& path, std::set<std::string>& keys) {
  for (const auto& entry : node.entries) {
    const bool is_name = path == "deployments";
    const std::string below = (path.empty() ? "" : path + ".") + (is_name ? "D" : entry.key);
    // What stands in these two are names of users and databases, not keys.
    const bool is_key = below == "deployments.D.ramp.users" || below == "deployments.D.ramp.databases";
    if (entry.value.kind == TreeNode::Kind::map && !is_key) {
      collect_keys(entry.value, below, keys);
    } else {
      keys.insert(below);
    }
  }
}

struct Documented {
  std::string key;
  std::string standard;  // the text of the default's cell
};

// The rows of the table in conf/README.md: | `key` | default | meaning |
std::vector<Documented> documented() {
  std::vector<Documented> rows;
  std::istringstream lines(content(fs::path(TURNOUT_SOURCE_DIR) / "conf/README.md"));
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> cells;
    std::istringstream parts(line);
    for (std::string cell; std::getline(parts, cell, '|');) cells.push_back(cell);
    const bool is_row = cells.size() >= 4 &&
                        (cells[1].starts_with(" `deployments.") || cells[1].starts_with(" `control.") ||
                         cells[1].starts_with(" `dns.") || cells[1] == " `workers` " || cells[1] == " `log_level` ");
    if (is_row) rows.push_back({cells[1].substr(2, cells[1].size() - 4), cells[2].substr(1, cells[2].size() - 2)});
  }
  return rows;
}

TEST_F(Load, TheTableOfTheReadmeHasEveryKeyOfTheFullFile) {
  std::vector<Mistake> mistakes;
  std::set<std::string> written;
  collect_keys(read_document(content("good/full.yaml"), "full.yaml", mistakes), {}, written);
  std::set<std::string> described;
  for (const auto& row : documented()) described.insert(row.key);
  EXPECT_EQ(written, described);
}

// A key that no row and no line of full.yaml mentions shows itself in "known here".
TEST_F(Load, TheFullFileHasEveryKeyOfTheSchema) {
  const std::string full = content("good/full.yaml");
  for (const std::string section : {"pool", "limits", "hold", "cutover", "ramp", "compare", "shadow", "client_tls",
                                    "server_tls", "replication", "admin"}) {
    const auto message = mistakes_of(
        std::string(minimal) +
        (section == "admin" ? "  b:\n    listen: [\"127.0.0.1:1\"]\n    blue: \"127.0.0.1:5431\"\n    auth: trust\n"
                            : "") +
        "    " + section + ": { qqqqqqqq: 1 }\n");
    const auto known = message.find("known here: ");
    ASSERT_NE(known, std::string::npos) << message;
    std::istringstream names(message.substr(known + 12, message.find('\n', known) - known - 12));
    for (std::string name; names >> name;) {
      if (name.back() == ',') name.pop_back();
      EXPECT_THAT(full, HasSubstr(name + ":")) << section;
    }
  }
}

TEST_F(Load, TheDefaultsOfTheReadmeAreThoseOfTheHeader) {
  const auto fresh = parse(minimal, "x.yaml");
  int checked = 0;
  for (const auto& row : documented()) {
    const bool is_literal = row.standard.starts_with('`') && row.standard.find(' ') == std::string::npos;
    const auto dot = row.key.rfind('.');
    if (!is_literal || row.key.find(".D.") == std::string::npos || row.key.find("replication.") != std::string::npos)
      continue;
    const std::string inside = row.key.substr(14);
    if (inside.find('.') == std::string::npos || inside.find("sslmode") != std::string::npos) continue;
    const std::string value = row.standard.substr(1, row.standard.size() - 2);
    const bool is_query = inside.starts_with("users.");
    const auto text = std::string(minimal) + "    " + inside.substr(0, inside.find('.')) + ":\n      " +
                      (is_query ? "query: q $1\n      user: u\n      " : "") + row.key.substr(dot + 1) + ": " + value +
                      "\n";
    const auto config = parse(text, "x.yaml");
    const auto& a = config.deployments.at(0);
    const auto& b = fresh.deployments.at(0);
    EXPECT_TRUE(a.pool.size == b.pool.size && a.pool.wait_ms_max == b.pool.wait_ms_max && a.pool.mode == b.pool.mode &&
                a.pool.idle_ms_max == b.pool.idle_ms_max && a.pool.lifetime_ms_max == b.pool.lifetime_ms_max &&
                a.pool.connect_ms_max == b.pool.connect_ms_max &&
                a.pool.prepared_statements_max == b.pool.prepared_statements_max &&
                a.pool.size_min == b.pool.size_min && a.pool.reserve == b.pool.reserve &&
                a.pool.reserve_after_ms == b.pool.reserve_after_ms && a.pool.opening_max == b.pool.opening_max &&
                a.pool.lifetime_jitter_percent == b.pool.lifetime_jitter_percent)
        << row.key;
    EXPECT_TRUE(a.limits.clients_max == b.limits.clients_max && a.limits.login_ms_max == b.limits.login_ms_max &&
                a.limits.idle_in_transaction_ms_max == b.limits.idle_in_transaction_ms_max &&
                a.limits.client_idle_ms_max == b.limits.client_idle_ms_max &&
                a.limits.message_bytes_max == b.limits.message_bytes_max &&
                a.limits.startup_bytes_max == b.limits.startup_bytes_max &&
                a.limits.buffered_message_bytes_max == b.limits.buffered_message_bytes_max &&
                a.limits.server_connections_max == b.limits.server_connections_max &&
                a.limits.server_connections_per_user_max == b.limits.server_connections_per_user_max &&
                a.limits.server_connections_per_database_max == b.limits.server_connections_per_database_max &&
                a.limits.cancels_max == b.limits.cancels_max &&
                a.limits.cancels_per_second_max == b.limits.cancels_per_second_max &&
                a.limits.unproven_logins_max == b.limits.unproven_logins_max)
        << row.key;
    const AuthQuery query;
    EXPECT_TRUE(a.auth_query.database == query.database && a.auth_query.cache_ms == query.cache_ms &&
                a.auth_query.cache_users_max == query.cache_users_max)
        << row.key;
    EXPECT_EQ(a.limits.replication_clients_max, b.limits.replication_clients_max) << row.key;
    EXPECT_TRUE(a.hold.sessions_max == b.hold.sessions_max && a.hold.bytes_max == b.hold.bytes_max &&
                a.hold.release_per_ms == b.hold.release_per_ms)
        << row.key;
    EXPECT_TRUE(a.cutover.lag_ms_max == b.cutover.lag_ms_max && a.cutover.lag_bytes_max == b.cutover.lag_bytes_max &&
                a.cutover.transaction_ms_max == b.cutover.transaction_ms_max &&
                a.cutover.drain_ms_max == b.cutover.drain_ms_max && a.cutover.proof_ms_max == b.cutover.proof_ms_max &&
                a.cutover.window_ms_max == b.cutover.window_ms_max && a.cutover.cooling_ms == b.cutover.cooling_ms &&
                a.cutover.slot_retained_bytes_max == b.cutover.slot_retained_bytes_max &&
                a.cutover.check_interval_ms == b.cutover.check_interval_ms &&
                a.cutover.rehearsal_ms_max == b.cutover.rehearsal_ms_max && a.cutover.fence == b.cutover.fence)
        << row.key;
    EXPECT_TRUE(a.ramp.policy == b.ramp.policy && a.ramp.bounded_ms == b.ramp.bounded_ms &&
                a.ramp.sample_ms == b.ramp.sample_ms && a.ramp.lag_bytes_max == b.ramp.lag_bytes_max &&
                a.ramp.hold_ms == b.ramp.hold_ms && a.ramp.samples_min == b.ramp.samples_min)
        << row.key;
    EXPECT_TRUE(a.compare.piece_rows == b.compare.piece_rows &&
                a.compare.rows_per_second == b.compare.rows_per_second &&
                a.compare.lag_bytes_max == b.compare.lag_bytes_max &&
                a.compare.statement_ms_max == b.compare.statement_ms_max && a.compare.rounds == b.compare.rounds &&
                a.compare.differences_max == b.compare.differences_max)
        << row.key;
    EXPECT_TRUE(a.shadow.queue_max == b.shadow.queue_max && a.shadow.bytes_max == b.shadow.bytes_max &&
                a.shadow.connections_max == b.shadow.connections_max &&
                a.shadow.result_bytes_max == b.shadow.result_bytes_max &&
                a.shadow.statement_ms_max == b.shadow.statement_ms_max && a.shadow.lag_ms_max == b.shadow.lag_ms_max &&
                a.shadow.brackets == b.shadow.brackets && a.shadow.shapes_max == b.shadow.shapes_max)
        << row.key;
    ++checked;
  }
  EXPECT_GE(checked, 49);
}

TEST_F(Load, WhatCannotBeReadIsNamed) {
  const auto message = [](const std::string& file) -> std::string {
    try {
      static_cast<void>(load(file));
      return "accepted";
    } catch (const Invalid& invalid) {
      return invalid.what();
    }
  };
  EXPECT_EQ(message("gone.yaml"), "gone.yaml: cannot be read: No such file or directory");
  EXPECT_EQ(message("files"), "files: is a directory; name the configuration file");
}

TEST_F(Load, LimitsOfTheText) {
  const std::string comment = "# " + std::string(text_bytes_max, 'x') + "\n";
  EXPECT_THAT(mistakes_of(comment + minimal), HasSubstr("x.yaml: the file has"));
  EXPECT_THAT(mistakes_of(comment + minimal), HasSubstr("at most 1 MiB"));
  const std::string fits =
      std::string(minimal) + "# " + std::string(text_bytes_max - std::string(minimal).size() - 2, 'x');
  EXPECT_EQ(mistakes_of(fits), "");

  std::string many = std::string(minimal) + "    waive: [";
  for (int i = 0; i < 1'001; ++i) many += "a, ";
  EXPECT_THAT(mistakes_of(many + "a]\n"), HasSubstr("has more than 1000 items"));
  std::string more = "deployments: [";
  for (std::size_t i = 0; i <= nodes_max; ++i) more += "a, ";
  EXPECT_THAT(mistakes_of(more + "a]\n"), HasSubstr("more than 100000 values"));
  // Deep enough for any recursion to show: the depth is counted, not survived.
  EXPECT_THAT(mistakes_of(std::string(400'000, '[')), HasSubstr("levels deep"));
  std::string deployments = "deployments:\n";
  for (int i = 0; i <= 64; ++i) deployments += "  d" + std::to_string(i) + ":\n";
  EXPECT_THAT(mistakes_of(deployments), HasSubstr("deployments: has more than 64 entries"));
}

// Whatever is cut off: an answer, never a crash, and never acceptance of half a deployment.
TEST_F(Load, EveryPrefixAndEveryFlippedByteGetsAnAnswer) {
  const std::string full = content("good/full.yaml");
  for (std::size_t size = 0; size < full.size(); ++size) {
    const auto message = mistakes_of(full.substr(0, size));
    if (full.substr(0, size).find("auth:") == std::string::npos) {
      EXPECT_FALSE(message.empty()) << "accepted the first " << size << " bytes";
    }
  }
  constexpr std::string_view bytes =
      ":\n[}\"&\t\xff"
      "0*-";
  for (std::size_t at = 0; at < full.size(); ++at) {
    auto broken = full;
    broken[at] = bytes[at % bytes.size()];
    std::istringstream lines(mistakes_of(broken));
    for (std::string line; std::getline(lines, line);) EXPECT_TRUE(line.starts_with("x.yaml:")) << line;
  }
}

TEST_F(Load, ASecretIsNeverInAMessage) {
  const auto message = mistakes_of(std::string(minimal) + "    replication: { password_file: files/two_lines }\n");
  EXPECT_THAT(message, HasSubstr("several lines"));
  EXPECT_EQ(message.find("one"), std::string::npos) << message;
}

TEST_F(Load, AnUnreadableSecretIsNamed) {
  EXPECT_THAT(mistakes_of(std::string(minimal) + "    users: files/users.txt/below\n"), HasSubstr("Not a directory"));
  if (geteuid() == 0) return;  // root may read whatever is there
  const auto file = fs::temp_directory_path() / ("turnout-conf-" + std::to_string(getpid()));
  std::ofstream(file) << "secret\n";
  fs::permissions(file, fs::perms::none);
  EXPECT_THAT(mistakes_of(std::string(minimal) + "    users: " + file.string() + "\n"), HasSubstr("Permission denied"));
  fs::remove(file);
}

TEST_F(Load, SharedNamesOfOneFileDoNotMixDeployments) {
  const auto config =
      parse(std::string(minimal) +
                "    pool: { size: 5 }\n  second:\n    listen: [\"127.0.0.1:6433\"]\n    blue: \"127.0.0.1:5431\"\n"
                "    admin: { user: other }\n    auth: trust\n",
            "x.yaml");
  ASSERT_EQ(config.deployments.size(), 2U);
  EXPECT_EQ(config.deployments[0].pool.size, 5U);
  EXPECT_EQ(config.deployments[1].pool.size, Pool{}.size);
  EXPECT_EQ(config.deployments[1].admin.user, "other");
}

}  // namespace
}  // namespace turnout::conf
