// The shadow before two fake MySQL servers: what is compared, what its connections are told first, and that a hold
// leaves none. The queue, the trials and the limits are those of PostgreSQL (shadow_runner_test.cpp).
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "proxy/mysql/shadow_request.h"
#include "proxy/proxy.h"
#include "router/catalog.h"
#include "router/mysql_classify.h"
#include "router/shadow.h"
#include "tests/proxy/fake_mysql.h"

namespace turnout::proxy {
namespace {

using router::ShadowOutcome;
using router::Side;

class MysqlShadow : public ::testing::Test {
 protected:
  void begin(const std::string& name_of_green) {
    green_ = std::make_unique<FakeMysql>(name_of_green);
    port_ = FakeMysql("port").port();
    users_file_ = testing::TempDir() + "shadow-users-" + std::to_string(::getpid()) + "-" + std::to_string(port_);
    std::ofstream(users_file_) << "\"app\" \"" << fake_mysql_password << "\"\n";
    conf::Deployment deployment;
    deployment.name = "app";
    deployment.protocol = conf::Protocol::mysql;
    deployment.listen = {{"127.0.0.1", port_, ""}};
    deployment.blue = {"127.0.0.1", blue_.port(), ""};
    deployment.green = conf::Address{"127.0.0.1", green_->port(), ""};
    deployment.admin.user = "turnout";
    deployment.admin.password = fake_mysql_password;
    deployment.users_file = users_file_;
    deployment.server_tls.mode = conf::TlsMode::disable;
    deployment.shadow.brackets = 2;
    deployment.shadow.lag_ms_max = 60'000;  // a loaded machine drops nothing
    deployment.shadow.statement_ms_max = 2'500;
    conf::Config config;
    config.deployments = {deployment};
    config.workers = 2;
    proxy_ = std::make_unique<Proxy>(config);
    router::CatalogBuilder catalog;
    catalog.add_database(std::string(router::mysql_catalog_database));
    proxy_->publish_catalog(0, catalog.build(1, "app"));
    proxy_->tokens(0).proven = 1'000'000;  // shows all that a test does
    table_.shadow.percent = 100;
    publish();
    proxy_->start();
  }

  ~MysqlShadow() override {
    proxy_.reset();
    std::remove(users_file_.c_str());
  }

  void publish() {
    ++table_.version;
    proxy_->publish(0, std::make_shared<router::RoutingTable>(table_));
  }

  template <typename Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 10'000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }
  std::uint64_t count(ShadowOutcome outcome) {
    for (const router::ShadowBook::Look& look : proxy_->shadow_looks(0)) seen_.add(look);
    std::uint64_t sum = 0;
    for (const auto* shape : seen_.shapes({}, seen_.size())) sum += shape->outcomes[router::index(outcome)];
    return sum;
  }
  // Reads until that is so; no client ever gets another answer than the writer's.
  template <typename Condition>
  bool reads_until(FakeMysqlClient& client, Condition condition) {
    return eventually([&] {
      EXPECT_EQ(client.query("SELECT 1").row, "blue");
      return condition();
    });
  }
  [[nodiscard]] bool was_told(std::string_view text) const {
    const auto texts = green_->texts();
    return std::ranges::find(texts, text) != texts.end();
  }

  FakeMysql blue_{"blue"};
  std::unique_ptr<FakeMysql> green_;
  router::RoutingTable table_;
  router::ShadowBook seen_{100};
  std::uint16_t port_ = 0;
  std::string users_file_;
  std::unique_ptr<Proxy> proxy_;
};

TEST_F(MysqlShadow, EqualAnswersAreTheSameAndRunReadOnlyUnderATimeLimit) {
  begin("blue");
  FakeMysqlClient client(port_, "app");
  EXPECT_TRUE(reads_until(client, [&] { return count(ShadowOutcome::same) >= 30; }));
  EXPECT_EQ(count(ShadowOutcome::different) + count(ShadowOutcome::failed) + count(ShadowOutcome::not_compared), 0U);
  EXPECT_TRUE(was_told("SELECT 1"));
  EXPECT_TRUE(was_told("SET SESSION TRANSACTION READ ONLY"));
  EXPECT_TRUE(was_told("SET max_statement_time = 2.500"));
}

TEST_F(MysqlShadow, AnotherRowIsADifferenceAndIsToldWithoutItsValue) {
  begin("quite another");
  FakeMysqlClient client(port_, "app");
  ASSERT_TRUE(reads_until(client, [&] { return count(ShadowOutcome::different) >= 1; }));
  EXPECT_EQ(seen_.shapes({}, 1)[0]->different, "other values: 1 row, in x");
  EXPECT_EQ(count(ShadowOutcome::same), 0U);
}

TEST_F(MysqlShadow, TheSameErrorIsTheSameAnswer) {
  begin("blue");
  FakeMysqlClient client(port_, "app");
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(client.query("SELECT nonsense").error, 1054);
    return count(ShadowOutcome::same) >= 5;
  }));
  EXPECT_EQ(count(ShadowOutcome::failed), 0U);
}

TEST_F(MysqlShadow, ReadsOfTransactionsAndOfSessionsThatArePinnedHaveNone) {
  begin("blue");
  FakeMysqlClient client(port_, "app");
  for (int i = 0; i < 5; ++i) {
    client.query("BEGIN");
    EXPECT_EQ(client.query("SELECT 1").row, "blue");
    client.query("COMMIT");
  }
  client.query("SET @mine = 1");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.query("SELECT 1").row, "blue");
  FakeMysqlClient other(port_, "app");
  std::ptrdiff_t reads = 0;
  EXPECT_TRUE(reads_until(other, [&] { return ++reads, count(ShadowOutcome::same) >= 1; }));
  const auto texts = green_->texts();
  EXPECT_LE(std::ranges::count(texts, "SELECT 1"), reads) << "of that one alone";
  EXPECT_FALSE(was_told("BEGIN"));
}

TEST_F(MysqlShadow, SettingsOfTheSessionAreSetThereFirst) {
  begin("blue");
  FakeMysqlClient client(port_, "app");
  client.query("SET time_zone = '+02:00'");
  EXPECT_TRUE(reads_until(client, [&] { return count(ShadowOutcome::same) >= 5; }));
  EXPECT_TRUE(was_told("SET max_statement_time = 2.500, time_zone = '+02:00'"));
}

TEST_F(MysqlShadow, AHoldAndTheEndLeaveNoConnections) {
  begin("blue");
  FakeMysqlClient client(port_, "app");
  for (const bool is_hold : {true, false}) {
    ASSERT_TRUE(reads_until(client, [&] { return !proxy_->shadow_pids(0, Side::green).empty(); }));
    table_.hold = is_hold ? router::Hold::writes : router::Hold::nothing;
    table_.shadow.percent = is_hold ? 100 : 0;
    publish();
    ASSERT_TRUE(eventually([this] { return proxy_->levels(0).version == table_.version; }));
    EXPECT_TRUE(proxy_->shadow_pids(0, Side::green).empty());
    table_.hold = router::Hold::nothing;
    table_.shadow.percent = 100;
    publish();
  }
  EXPECT_TRUE(reads_until(client, [&] { return count(ShadowOutcome::same) >= 5; })) << "it goes on";
}

class MysqlTrains : public MysqlShadow {
 protected:
  static constexpr std::uint64_t reads = 3 * router::ShadowTrain::reads_max;

  // The client's shape is known to be quick, and so many of its reads wait.
  void let_reads_wait(const char* also = nullptr) {
    begin("blue");
    client_ = std::make_unique<FakeMysqlClient>(port_, "app");  // one, for every worker has its own shadow
    ASSERT_TRUE(eventually([&] {
      read("SELECT 1");
      return timed() >= router::ShadowTrain::timed_enough;
    }));
    ASSERT_TRUE(eventually([&] { return count(ShadowOutcome::same) == read_; }));
    proxy_->tokens(0).proven = 0;
    for (std::uint64_t i = 0; i < reads; ++i) read(also != nullptr && i % 4 == 3 ? also : "SELECT 1");
  }
  void read(const char* sql) {
    client_->query(sql);
    ++read_;
  }
  void let_them_go() { proxy_->tokens(0).proven = 1'000'000; }
  std::uint64_t timed() {
    static_cast<void>(count(ShadowOutcome::same));
    const auto shapes = seen_.shapes({}, 1);
    return shapes.empty() ? 0 : shapes[0]->latency[1].count();
  }

  std::unique_ptr<FakeMysqlClient> client_;
  std::uint64_t read_ = 0;
};

TEST_F(MysqlTrains, QuickReadsGoTogetherAndTheFirstOneIsTimed) {
  let_reads_wait();
  const std::uint64_t before = timed();
  let_them_go();
  EXPECT_TRUE(eventually([&] { return count(ShadowOutcome::same) == read_; }));
  EXPECT_LE(timed(), before + reads / 2) << "on a busy machine they are less quick, and trains shorter";
}

TEST_F(MysqlTrains, AnErrorIsOneReadsOwn) {
  let_reads_wait("SELECT nonsense");
  let_them_go();
  EXPECT_TRUE(eventually([&] { return count(ShadowOutcome::same) == read_; }));
  EXPECT_EQ(count(ShadowOutcome::failed) + count(ShadowOutcome::different), 0U);
}

TEST_F(MysqlTrains, WhatHasToBeSetGoesFirst) {
  let_reads_wait();
  client_->query("SET time_zone = '+02:00'");
  for (int i = 0; i < 8; ++i) read("SELECT 1");
  let_them_go();
  EXPECT_TRUE(eventually([&] { return count(ShadowOutcome::same) == read_; }));
  const auto texts = green_->texts();
  const auto set = std::ranges::find(texts, "SET time_zone = '+02:00'");
  EXPECT_GE(texts.end() - set, 8) << "behind it the reads under it";
}

TEST_F(MysqlTrains, AHoldLeavesNothingOfOne) {
  let_reads_wait();
  green_->delay_ms = 200;
  const auto asked = [&] { return std::ranges::count(green_->texts(), "SELECT 1"); };
  const auto before = asked();
  let_them_go();
  ASSERT_TRUE(eventually([&] { return asked() > before; }));
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(eventually([this] { return proxy_->levels(0).version == table_.version; }));
  EXPECT_TRUE(proxy_->shadow_pids(0, Side::green).empty());
  EXPECT_TRUE(eventually([&] { return green_->open() == 0; }));
  EXPECT_LE(asked(), before + 12) << "two lanes: none of them goes on with its train";
}

TEST(MysqlShadowRequest, TheTimeLimitInTheProductsOwnWords) {
  mysql::Variables session;
  static_cast<void>(session.set("sql_mode", "ANSI"));
  const auto limit = [&](std::uint32_t ms, bool is_mariadb, const char* name) {
    const mysql::Variables variables = mysql::shadow_variables(session, ms, is_mariadb);
    EXPECT_NE(variables.find("sql_mode"), nullptr);
    return variables.find(name) == nullptr ? std::string() : *variables.find(name);
  };
  EXPECT_EQ(limit(30'000, true, "max_statement_time"), "30.000");
  EXPECT_EQ(limit(7, true, "max_statement_time"), "0.007");
  EXPECT_EQ(limit(30'000, false, "max_execution_time"), "30000");
}

TEST(MysqlShadowRequest, ThePlanIsAskedForAsTheReadWasMade) {
  mysql::ShadowRequest request;
  request.sql = "SELECT ?";
  request.key = "shop\0\0SELECT ?";
  request.execute = "x";
  const auto asked = request.explained();
  EXPECT_EQ(asked->text(), "EXPLAIN FORMAT=TRADITIONAL SELECT ?");
  EXPECT_NE(static_cast<const mysql::ShadowRequest&>(*asked).key, request.key) << "another statement";
}

}  // namespace
}  // namespace turnout::proxy
