// The whole data path of MySQL in one process: two fake servers, real sockets, two workers; pools, holds and flips are
// those of PostgreSQL (relay_test.cpp).
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "protocol/mysql/command.h"
#include "protocol/mysql/reply.h"
#include "proxy/proxy.h"
#include "router/ramp.h"
#include "tests/proxy/fake_mysql.h"

namespace turnout::proxy {
namespace {

using std::chrono::milliseconds;
namespace my = protocol::mysql;

class MysqlRelay : public ::testing::Test {
 protected:
  void begin(std::uint32_t pool_size, conf::PoolMode mode = conf::PoolMode::transaction, std::uint32_t workers = 2) {
    port_ = FakeMysql("port").port();
    users_file_ = testing::TempDir() + "mysql-users-" + std::to_string(::getpid()) + "-" + std::to_string(port_);
    std::ofstream(users_file_) << "\"app\" \"" << fake_mysql_password << "\"\n"
                               << "\"reader\" \"" << fake_mysql_password << "\"\n";
    conf::Deployment deployment;
    deployment.name = "app";
    deployment.protocol = conf::Protocol::mysql;
    deployment.listen = {{"127.0.0.1", port_, ""}};
    deployment.blue = {"127.0.0.1", blue_.port(), ""};
    deployment.green = conf::Address{"127.0.0.1", green_.port(), ""};
    deployment.admin.user = "turnout";
    deployment.admin.password = fake_mysql_password;
    deployment.users_file = users_file_;
    deployment.server_tls.mode = conf::TlsMode::disable;
    deployment.pool.size = pool_size;
    deployment.pool.mode = mode;
    deployment.pool.wait_ms_max = 20'000;
    conf::Config config;
    config.deployments = {deployment};
    config.workers = workers;
    proxy_ = std::make_unique<Proxy>(config);
    publish();
    proxy_->start();
  }

  ~MysqlRelay() override {
    proxy_.reset();
    std::remove(users_file_.c_str());
  }

  void publish() {
    ++table_.version;
    proxy_->publish(0, std::make_shared<router::RoutingTable>(table_));
  }

  template <typename Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 5000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return false;
  }

  bool reached() {
    return eventually([this] { return proxy_->levels(0).version == table_.version; });
  }

  // What clients have asked that server; a connection that opens late asks things of its own.
  static std::ptrdiff_t asked_by_clients(const FakeMysql& server) {
    const std::vector<std::string> texts = server.texts();
    return std::count_if(texts.begin(), texts.end(), [](const std::string& text) {
      return text == "SELECT 1" || text == "SELECT @@time_zone" || text == "BEGIN" || text == "COMMIT";
    });
  }

  static bool is_open(std::uint16_t status) { return (status & my::status::in_transaction) != 0; }

  FakeMysql blue_{"blue"}, green_{"green"};
  router::RoutingTable table_;
  std::uint16_t port_ = 0;
  std::string users_file_;
  std::unique_ptr<Proxy> proxy_;
};

TEST_F(MysqlRelay, ManyClientsShareAFewConnectionsOverTwoWorkers) {
  begin(3);
  ASSERT_TRUE(FakeMysqlClient(port_, "app").is_logged_in()) << "from here on no worker has to ask as the admin";
  std::atomic<int> wrong{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 12; ++c)
    clients.emplace_back([&] {
      FakeMysqlClient client(port_, "app");
      if (!client.is_logged_in()) ++wrong;
      for (int i = 0; i < 40; ++i) {
        if (!is_open(client.query("BEGIN").status)) ++wrong;
        if (client.query("SELECT 1").row != "blue") ++wrong;
        if (is_open(client.query("COMMIT").status)) ++wrong;
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(blue_.most_at_once(), 3u + 1u) << "one of them is the admin's";
}

TEST_F(MysqlRelay, WrongPasswordsAndUnknownUsersAreToldAlike) {
  begin(2);
  EXPECT_EQ(FakeMysqlClient(port_, "app", "wrong").login_error(), 1045);
  EXPECT_EQ(FakeMysqlClient(port_, "nobody").login_error(), 1045);
  EXPECT_TRUE(FakeMysqlClient(port_, "app").is_logged_in());
}

TEST_F(MysqlRelay, AnErrorIsTheServersAndTheSessionGoesOn) {
  begin(1);
  FakeMysqlClient client(port_, "app");
  EXPECT_EQ(client.query("SELECT nonsense").error, 1054);
  EXPECT_EQ(client.query("SELECT 1").row, "blue");
  FakeMysqlClient other(port_, "app");
  EXPECT_EQ(other.query("SELECT 1").row, "blue") << "the connection was given back";
}

TEST_F(MysqlRelay, ASettingFollowsItsSession) {
  begin(1);
  FakeMysqlClient mine(port_, "app"), other(port_, "app");
  EXPECT_EQ(mine.query("SET time_zone = '+03:00'").error, 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(other.query("SELECT @@time_zone").row, "SYSTEM");
    EXPECT_EQ(mine.query("SELECT @@time_zone").row, "+03:00");
  }
}

// A connection that passes from one waiting session to the next must not come by with nothing done but SET.
TEST_F(MysqlRelay, AClientHearsOfItsSessionWhatItWouldHearFromItsServer) {
  begin(1);
  FakeMysqlClient client(port_, "app"), other(port_, "app");
  const auto is_told = [](const FakeMysqlClient::Reply& reply) {
    return (reply.status & my::status::session_state_changed) != 0;
  };
  EXPECT_TRUE(is_told(client.query("SET time_zone = '+01:00'"))) << "as the server's own settings have it";
  EXPECT_FALSE(is_told(client.query("SET session_track_system_variables = 'sort_buffer_size'")));
  EXPECT_FALSE(is_told(client.query("SET time_zone = '+02:00'"))) << "not any more";
  EXPECT_TRUE(is_told(other.query("SET time_zone = '+03:00'"))) << "its own wish only";
  EXPECT_EQ(other.query("SELECT @@time_zone").row, "+03:00");
  EXPECT_EQ(client.query("SELECT @@time_zone").row, "+02:00") << "Turnout goes on hearing everything";
  EXPECT_FALSE(is_told(client.query("SET time_zone = '+04:00'"))) << "on whatever connection";
  for (const auto& info : proxy_->clients(0)) EXPECT_EQ(info.pinned_by, "");
  client.query("SET session_track_system_variables = '', time_zone = '+05:00'");
  EXPECT_EQ(proxy_->clients(0).size(), 2U);
  const auto clients = proxy_->clients(0);
  EXPECT_TRUE(std::any_of(clients.begin(), clients.end(), [](const auto& info) { return !info.pinned_by.empty(); }))
      << "what is set behind it in one text nobody tells of";
}

TEST_F(MysqlRelay, WhoWaitsForAConnectionWithSettingsOfItsOwnGetsToItsCommand) {
  begin(1);
  FakeMysqlClient holder(port_, "app");
  std::vector<std::unique_ptr<FakeMysqlClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<FakeMysqlClient>(port_, "app"));
    EXPECT_EQ(clients.back()->query("SET time_zone = '+0" + std::to_string(i) + ":00'").error, 0);
  }
  holder.query("BEGIN");
  std::vector<std::future<FakeMysqlClient::Reply>> replies;
  for (auto& client : clients)
    replies.push_back(std::async(std::launch::async, [&client] { return client->query("SELECT @@time_zone"); }));
  ASSERT_TRUE(eventually([this] {
    const auto all = proxy_->clients(0);
    return std::count_if(all.begin(), all.end(), [](const ClientInfo& info) { return info.state == "waiting"; }) == 4;
  }));
  const std::size_t before = blue_.texts().size();
  holder.query("COMMIT");
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(replies[static_cast<std::size_t>(i)].get().row, "+0" + std::to_string(i) + ":00");
  EXPECT_LE(blue_.texts().size() - before, 9u) << "a COMMIT, and for each session its setting and its question";
}

TEST_F(MysqlRelay, AUserVariablePins) {
  begin(2);
  FakeMysqlClient mine(port_, "app");
  mine.query("SET @a = 1");
  ASSERT_TRUE(eventually([this] {
    const auto clients = proxy_->clients(0);
    return clients.size() == 1 && clients[0].pinned_by == "user_variable";
  }));
  EXPECT_EQ(proxy_->levels(0).side[0].writes_in_flight, 1u);
}

TEST_F(MysqlRelay, WorkIsHeldAndRunsOnTheNewWriter) {
  for (const conf::PoolMode mode : {conf::PoolMode::transaction, conf::PoolMode::session}) {
    begin(2, mode);
    FakeMysqlClient running(port_, "app"), waiting(port_, "app");
    EXPECT_EQ(waiting.query("SET time_zone = '+03:00'").error, 0);
    running.query("BEGIN");
    EXPECT_EQ(running.query("SELECT 1").row, "blue");

    table_.hold = router::Hold::writes;
    publish();
    ASSERT_TRUE(reached());
    auto held = std::async(std::launch::async, [&] { return waiting.query("SELECT @@time_zone FOR UPDATE"); });
    ASSERT_TRUE(eventually([this] { return proxy_->levels(0).held_sessions == 1; }));
    EXPECT_EQ(running.query("SELECT 1").row, "blue") << "a running transaction goes on to its end";
    EXPECT_EQ(proxy_->levels(0).side[0].writes_in_flight, 1u);
    running.query("COMMIT");
    ASSERT_TRUE(eventually([this] { return proxy_->levels(0).side[0].writes_in_flight == 0; }));
    EXPECT_EQ(running.ping().error, 0) << "a health check is answered in a hold";

    const std::ptrdiff_t on_blue = asked_by_clients(blue_);
    table_.writer = router::Side::green;
    table_.sides[0].may_write = false;
    table_.hold = router::Hold::nothing;
    publish();
    ASSERT_TRUE(reached());
    EXPECT_EQ(held.get().row, "+03:00") << "with its settings";
    EXPECT_EQ(running.query("SELECT 1").row, "green");
    EXPECT_EQ(asked_by_clients(blue_), on_blue) << "nothing new went to the old writer";
    proxy_.reset();
    std::remove(users_file_.c_str());
    table_ = {};
  }
}

TEST_F(MysqlRelay, AProvenReadGoesOnWhileWritesAreHeld) {
  begin(2);
  FakeMysqlClient client(port_, "app");
  EXPECT_EQ(client.query("SELECT 1").row, "blue");
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_EQ(client.query("SELECT 1").row, "blue");
  table_.hold_reads_on = router::Side::green;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_EQ(client.query("SELECT 1").row, "green");
  EXPECT_EQ(proxy_->levels(0).held_sessions, 0u);
  EXPECT_EQ(proxy_->levels(0).side[0].writes_in_flight, 0u);
}

TEST_F(MysqlRelay, ReadsMoveByWeightAndWhatFailsThereIsTheWriters) {
  begin(2);
  FakeMysqlClient client(port_, "app");
  table_.ramp.percent = 100;
  table_.ramp.threshold = router::threshold_all;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_EQ(client.query("UPDATE t SET a = 1").error, 0);
  EXPECT_EQ(client.query("SELECT 1").row, "blue") << "nothing is proven yet, and the session has written";
  proxy_->tokens(0).proven.store(1'000);
  EXPECT_EQ(client.query("SELECT 1").row, "green");
  const auto asked = [](const FakeMysql& server, const std::string& text) {
    const std::vector<std::string> texts = server.texts();
    return std::count(texts.begin(), texts.end(), text);
  };
  EXPECT_EQ(asked(green_, "SET SESSION TRANSACTION READ ONLY"), 1);
  EXPECT_EQ(asked(blue_, "SET SESSION TRANSACTION READ ONLY"), 0);
  EXPECT_EQ(client.query("SELECT 1 FOR UPDATE").row, "blue");
  EXPECT_EQ(client.query("SELECT nonsense").error, 1054) << "of the writer, too";
  EXPECT_EQ(asked(green_, "SELECT nonsense"), 1);
  EXPECT_EQ(asked(blue_, "SELECT nonsense"), 1);
  EXPECT_EQ(proxy_->counters(0).detours, 1u);
  EXPECT_EQ(client.query("SELECT 1").row, "green");
  EXPECT_TRUE(is_open(client.query("BEGIN").status));
  EXPECT_EQ(client.query("SELECT 1").row, "blue") << "a transaction is the writer's";
  EXPECT_FALSE(is_open(client.query("COMMIT").status));
  EXPECT_EQ(client.query("SET time_zone = '+03:00'").error, 0);
  EXPECT_EQ(client.query("SELECT 1").row, "green");
  EXPECT_EQ(asked(green_, "SET `time_zone` = '+03:00'") + asked(green_, "SET time_zone = '+03:00'"), 1) << "it follows";
}

TEST_F(MysqlRelay, AWriterThatSaysReadOnlyGetsNoWorkUntilItSaysOtherwise) {
  begin(2);
  FakeMysqlClient client(port_, "app");
  EXPECT_EQ(client.query("SELECT 1").row, "blue");
  green_.is_read_only = true;
  table_.writer = router::Side::green;
  table_.sides[1].prove_writable = true;
  publish();
  ASSERT_TRUE(reached());
  auto waiting = std::async(std::launch::async, [&] { return client.query("SELECT 1"); });
  ASSERT_TRUE(eventually([this] { return proxy_->levels(0).side[1].unproven != 0; }));
  EXPECT_EQ(waiting.wait_for(milliseconds(50)), std::future_status::timeout);
  green_.is_read_only = false;
  EXPECT_EQ(waiting.get().row, "green");
}

TEST_F(MysqlRelay, AChangeOfUserIsAnotherSessionOnTheSameSocket) {
  begin(2);
  FakeMysqlClient client(port_, "app");
  client.query("SET time_zone = '+03:00'");
  client.query("SET @a = 1");
  client.query("BEGIN");
  const auto changed = client.change_user("reader");
  EXPECT_FALSE(changed.closed);
  EXPECT_FALSE(is_open(changed.status)) << "its transaction is over";
  EXPECT_EQ(client.query("SELECT @@time_zone").row, "SYSTEM");
  const auto clients = proxy_->clients(0);
  ASSERT_EQ(clients.size(), 1u);
  EXPECT_EQ(clients[0].user, "reader");
  EXPECT_EQ(clients[0].id, client.number());
  EXPECT_EQ(clients[0].pinned_by, "");
  EXPECT_EQ(proxy_->levels(0).side[0].writes_in_flight, 0u);
  EXPECT_EQ(client.change_user("app").error, 0);
  EXPECT_EQ(client.query("SELECT 1").row, "blue");
}

TEST_F(MysqlRelay, ARefusedChangeOfUserGoesOnWithTheFormerOne) {
  begin(2);
  FakeMysqlClient client(port_, "app");
  for (int turn = 0; turn < 3; ++turn) {
    client.query("SET time_zone = '+03:00'");
    client.query("BEGIN");
    EXPECT_EQ(client.change_user(turn == 1 ? "nobody" : "reader", "wrong").error, 1045);
    EXPECT_FALSE(is_open(client.ping().status)) << "its transaction is over";
    EXPECT_EQ(client.query("SELECT @@time_zone").row, "SYSTEM");
    const auto clients = proxy_->clients(0);
    ASSERT_EQ(clients.size(), 1u);
    EXPECT_EQ(clients[0].user, "app");
    EXPECT_EQ(clients[0].id, client.number());
  }
  EXPECT_EQ(client.change_user("reader").error, 1047) << "three wrong passwords are enough for one connection";
  EXPECT_EQ(client.query("SELECT 1").row, "blue");
  EXPECT_EQ(client.change_user("app").error, 1047);
}

TEST_F(MysqlRelay, ClientsAreGreetedWithTheServersOwnCollation) {
  begin(1);
  FakeMysqlClient first(port_, "app"), second(port_, "app");
  EXPECT_EQ(first.collation(), fake_mysql_collation) << "it had to be asked for first";
  EXPECT_EQ(second.collation(), fake_mysql_collation);
}

TEST_F(MysqlRelay, AKillFindsItsSessionOnWhateverWorker) {
  begin(4);
  std::vector<std::unique_ptr<FakeMysqlClient>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(std::make_unique<FakeMysqlClient>(port_, "app"));
  FakeMysqlClient foreign(port_, "reader");
  for (std::size_t killer = 0; killer < 4; ++killer) {
    const std::size_t victim = (killer + 1) % 4;
    auto running = std::async(std::launch::async, [&] { return clients[victim]->query("SELECT SLEEP(60)"); });
    const std::size_t sleeps = killer + 1;
    ASSERT_TRUE(eventually([&] {
      const std::vector<std::string> texts = blue_.texts();
      return static_cast<std::size_t>(std::count(texts.begin(), texts.end(), "SELECT SLEEP(60)")) == sleeps;
    }));
    const std::string number = std::to_string(clients[victim]->number());
    EXPECT_EQ(foreign.query("KILL QUERY " + number).error, 1095);
    EXPECT_EQ(clients[killer]->query("KILL QUERY " + number).error, 0);
    EXPECT_EQ(running.get().error, 1317);
    EXPECT_EQ(clients[victim]->query("SELECT 1").row, "blue");
  }
  EXPECT_EQ(clients[0]->query("KILL 1").error, 1094) << "the servers' own numbers are nobody's here";
  EXPECT_EQ(clients[0]->query("KILL " + std::to_string(clients[1]->number())).error, 0);
  EXPECT_TRUE(clients[1]->query("SELECT 1").closed);
  EXPECT_EQ(clients[0]->query("KILL " + std::to_string(clients[0]->number())).error, 1927);
  EXPECT_TRUE(clients[0]->query("SELECT 1").closed);
}

TEST_F(MysqlRelay, WhatIsHeldIsKilledWithoutAServer) {
  begin(2);
  FakeMysqlClient killer(port_, "app"), victim(port_, "app");
  EXPECT_EQ(victim.query("SELECT 1").row, "blue");
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  auto held = std::async(std::launch::async, [&] { return victim.query("SELECT 2 FOR UPDATE"); });
  ASSERT_TRUE(eventually([this] { return proxy_->levels(0).held_sessions == 1; }));
  EXPECT_EQ(killer.query("KILL QUERY " + std::to_string(victim.number())).error, 0);
  EXPECT_EQ(held.get().error, 1317);
  EXPECT_EQ(proxy_->levels(0).held_sessions, 0u);
  EXPECT_EQ(proxy_->levels(0).client_errors, 0u) << "it was its own wish";
}

TEST_F(MysqlRelay, WhatAClientLeftRunningIsKilledAndItsConnectionUsedAgain) {
  begin(1);
  EXPECT_EQ(FakeMysqlClient(port_, "app").query("SELECT 1").row, "blue");
  const std::uint64_t before = blue_.connections();
  {
    FakeMysqlClient gone(port_, "app");
    std::string payload, message;
    my::put_query(payload, "SELECT SLEEP(60)", my::always);
    my::put_message(message, 0, payload);
    gone.send(message);
    ASSERT_TRUE(eventually([this] { return blue_.texts().back() == "SELECT SLEEP(60)"; }));
  }
  FakeMysqlClient next(port_, "app");
  EXPECT_EQ(next.query("SELECT 1").row, "blue");
  EXPECT_EQ(blue_.connections(), before + 1) << "the one that brought the KILL";
}

TEST_F(MysqlRelay, AKilledSessionsStatementEndsAlsoOnARetiredConnection) {
  begin(2);
  FakeMysqlClient killer(port_, "app"), victim(port_, "app");
  EXPECT_EQ(victim.set_option().error, 0) << "nobody else gets this connection any more";
  auto running = std::async(std::launch::async, [&] { return victim.query("SELECT SLEEP(60)"); });
  ASSERT_TRUE(eventually([this] {  // a connection that opens late asks things of its own behind it
    const std::vector<std::string> texts = blue_.texts();
    return std::find(texts.begin(), texts.end(), "SELECT SLEEP(60)") != texts.end();
  }));
  EXPECT_EQ(killer.query("KILL " + std::to_string(victim.number())).error, 0);
  EXPECT_TRUE(running.get().closed);
  EXPECT_TRUE(eventually([this] {
    const std::vector<std::string> texts = blue_.texts();
    return std::any_of(texts.begin(), texts.end(), [](const auto& text) { return text.starts_with("KILL QUERY "); });
  })) << "it would run on for a minute, with its locks";
}

TEST_F(MysqlRelay, WhatAnotherSessionLeftBehindIsNotShown) {
  begin(1);
  FakeMysqlClient first(port_, "app"), second(port_, "app");
  const auto texts_of = [this](std::size_t last) {
    std::vector<std::string> texts = blue_.texts();
    texts.erase(texts.begin(), texts.end() - static_cast<std::ptrdiff_t>(std::min(last, texts.size())));
    return texts;
  };
  using Texts = std::vector<std::string>;
  const std::string blank = "DO (SELECT 1 FROM (SELECT 1) AS nothing)";
  EXPECT_EQ(first.query("SELECT nonsense").error, 1054);
  EXPECT_EQ(second.query("SHOW WARNINGS").error, 0);
  EXPECT_EQ(texts_of(2), (Texts{blank, "SHOW WARNINGS"})) << "it has run nothing yet";
  EXPECT_EQ(second.query("SHOW WARNINGS").error, 0);
  EXPECT_EQ(texts_of(2), (Texts{"SHOW WARNINGS", "SHOW WARNINGS"})) << "what it has left itself";
  EXPECT_EQ(first.query("SHOW WARNINGS").error, 1235) << "its error was on a connection that another one has had since";
  EXPECT_EQ(first.query("KILL LAST_INSERT_ID()").error, 1235) << "nothing of it reaches the server";
  EXPECT_EQ(first.query("SELECT LAST_INSERT_ID()").row, "blue");
  EXPECT_EQ(texts_of(2), (Texts{"SET last_insert_id = 0", "SELECT LAST_INSERT_ID()"}));
}

TEST_F(MysqlRelay, WhoLooksBackGetsTheConnectionThatItHadLast) {
  begin(2, conf::PoolMode::transaction, 1);
  FakeMysqlClient mine(port_, "app"), other(port_, "app");
  EXPECT_TRUE(is_open(other.query("BEGIN").status));
  EXPECT_EQ(mine.query("SELECT nonsense").error, 1054);
  EXPECT_EQ(other.query("COMMIT").error, 0) << "the other connection is on top of the idle ones now";
  EXPECT_EQ(mine.query("SHOW WARNINGS").error, 0);
}

TEST_F(MysqlRelay, AnErrorOfTurnoutsOwnIsWhatTheNextStatementSees) {
  begin(1);
  FakeMysqlClient client(port_, "app");
  EXPECT_EQ(client.query("KILL 1").error, 1094);
  EXPECT_EQ(client.query("SHOW WARNINGS").row, "blue");
  const std::vector<std::string> texts = blue_.texts();
  ASSERT_GE(texts.size(), 2U);
  EXPECT_EQ(texts[texts.size() - 2],
            "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1094, MESSAGE_TEXT = 'Unknown thread id: 1'");
}

TEST_F(MysqlRelay, BrokenPacketsEndOneSession) {
  begin(2);
  FakeMysqlClient broken(port_, "app"), other(port_, "app");
  broken.send(std::string("\1\0\0\5\3", 5));
  EXPECT_TRUE(broken.read_reply().closed) << "what is said unasked has number 0, which this client takes for the end";
  ASSERT_TRUE(eventually([this] { return proxy_->clients(0).size() == 1; }));
  EXPECT_EQ(other.query("SELECT 1").row, "blue");
}

}  // namespace
}  // namespace turnout::proxy
