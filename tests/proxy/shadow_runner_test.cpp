// The shadow in one process with two fake servers: what is compared, what is dropped and why, and what becomes of its
// connections when a server, a client or the operator takes something away. Also run under the sanitizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proxy/proxy.h"
#include "router/catalog.h"
#include "router/shadow.h"
#include "tests/proxy/fake_server.h"

namespace turnout::proxy {
namespace {

using router::ShadowDrop;
using router::ShadowOutcome;
using router::Side;

constexpr std::uint64_t ever_after = 1'000'000;  // a sample that shows all that a test does

class Shadow : public ::testing::Test {
 protected:
  void begin(const std::string& name_of_green, const conf::Shadow& limits = limits_of_test()) {
    green_ = std::make_unique<FakeServer>(name_of_green);
    port_ = FakeServer("port").port();
    conf::Deployment deployment;
    deployment.name = "app";
    deployment.listen = {{"127.0.0.1", port_, ""}};
    deployment.blue = {"127.0.0.1", blue_.port(), ""};
    deployment.green = conf::Address{"127.0.0.1", green_->port(), ""};
    deployment.auth = conf::ClientAuth::trust;
    deployment.server_tls.mode = conf::TlsMode::disable;
    deployment.shadow = limits;
    conf::Config config;
    config.deployments = {deployment};
    config.workers = 2;
    proxy_ = std::make_unique<Proxy>(config);
    router::CatalogBuilder catalog;
    catalog.add_database("app");
    proxy_->publish_catalog(0, catalog.build(1, "app"));
    proxy_->tokens(0).proven = ever_after;
    table_.shadow.percent = 100;
    publish();
    proxy_->start();
  }

  static conf::Shadow limits_of_test() {
    conf::Shadow limits;
    limits.brackets = 2;
    limits.lag_ms_max = 60'000;  // a loaded machine drops nothing
    return limits;
  }

  void publish() {
    ++table_.version;
    proxy_->publish(0, std::make_shared<router::RoutingTable>(table_));
  }

  bool reached() {
    return eventually([this] { return proxy_->levels(0).version == table_.version; });
  }

  template <typename Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 10'000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  void look() {
    for (const router::ShadowBook::Look& look : proxy_->shadow_looks(0)) seen_.add(look);
  }
  std::uint64_t count(ShadowOutcome outcome) {
    look();
    std::uint64_t sum = 0;
    for (const auto* shape : seen_.shapes({}, seen_.size())) sum += shape->outcomes[router::index(outcome)];
    return sum;
  }
  std::uint64_t count(ShadowDrop drop) {
    look();
    return seen_.drops()[static_cast<std::size_t>(drop)];
  }
  // Reads until that is so; no client ever gets another answer than the writer's.
  template <typename Condition>
  bool reads_until(Condition condition) {
    FakeClient client(port_, "app");
    return eventually([&] {
      EXPECT_EQ(client.query("SELECT 1").row, "blue");
      return condition();
    });
  }
  [[nodiscard]] static bool was_asked(const FakeServer& server) {
    const auto texts = server.texts();
    return std::ranges::find(texts, "SELECT 1") != texts.end();
  }

  FakeServer blue_{"blue"};
  std::unique_ptr<FakeServer> green_;
  router::RoutingTable table_;
  router::ShadowBook seen_{100};
  std::uint16_t port_ = 0;
  std::unique_ptr<Proxy> proxy_;
};

TEST_F(Shadow, EqualAnswersAreTheSame) {
  begin("blue");
  EXPECT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= 30; }));
  EXPECT_TRUE(was_asked(*green_));
  EXPECT_EQ(count(ShadowOutcome::different) + count(ShadowOutcome::failed) + count(ShadowOutcome::not_compared), 0U);
}

TEST_F(Shadow, AnotherRowIsADifferenceAndIsToldWithoutItsValue) {
  begin("quite another");
  ASSERT_TRUE(reads_until([&] { return count(ShadowOutcome::different) >= 1; }));
  const auto shapes = seen_.shapes({}, 1);
  EXPECT_EQ(shapes[0]->different, "other values: 1 row, in x");
  EXPECT_EQ(shapes[0]->latency[0].count(), shapes[0]->latency[1].count());
  EXPECT_EQ(count(ShadowOutcome::same), 0U);
}

TEST_F(Shadow, AnErrorOfOneSideIsAFailure) {
  begin("blue");
  green_->fails_reads = true;
  ASSERT_TRUE(reads_until([&] { return count(ShadowOutcome::failed) >= 1; }));
  EXPECT_EQ(seen_.shapes({}, 1)[0]->different, "the writer gives 1 row, the other side error 25006");
}

// A read does not run before the other side has what its answer showed; then it does, or is dropped.
TEST_F(Shadow, AReadWaitsForTheOtherSideToCatchUp) {
  begin("blue");
  proxy_->tokens(0).proven = 0;
  FakeClient client(port_, "app");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.query("SELECT 1").row, "blue");
  EXPECT_FALSE(was_asked(*green_));
  proxy_->tokens(0).proven = ever_after;
  EXPECT_TRUE(eventually([&] { return count(ShadowOutcome::same) == 20; }));
}

TEST_F(Shadow, OneThatNeverCatchesUpIsNeverAsked) {
  conf::Shadow limits = limits_of_test();
  limits.lag_ms_max = 100;
  begin("blue", limits);
  proxy_->tokens(0).proven = 0;
  EXPECT_TRUE(reads_until([&] { return count(ShadowDrop::behind) >= 5; }));
  EXPECT_FALSE(was_asked(*green_));
}

TEST_F(Shadow, TheQueueAndTheMemoryHaveAnEnd) {
  conf::Shadow limits = limits_of_test();
  limits.queue_max = 5;
  begin("blue", limits);
  proxy_->tokens(0).proven = 0;
  FakeClient client(port_, "app");
  for (int i = 0; i < 30; ++i) EXPECT_EQ(client.query("SELECT 1").row, "blue");
  EXPECT_EQ(count(ShadowDrop::queue_full), 25U);
}

TEST_F(Shadow, WhatNeedsMoreMemoryThanThereIsIsDropped) {
  conf::Shadow limits = limits_of_test();
  limits.bytes_max = 6'000;
  begin("blue", limits);
  FakeClient client(port_, "app");
  const std::string long_text = "SELECT '" + std::string(8'000, 'x') + "'";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.query(long_text).row, "blue");
  EXPECT_EQ(count(ShadowDrop::memory), 5U);
  // Of what was dropped nothing is kept.
  EXPECT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= 30; }));
}

TEST_F(Shadow, AServerThatHangsUpOrTalksNonsenseCostsTheReadAndNoMore) {
  begin("blue");
  green_->hangs_up = true;
  EXPECT_TRUE(reads_until([&] { return count(ShadowDrop::no_server) >= 2; }));
  green_->hangs_up = false;
  green_->talks_nonsense = true;
  const std::uint64_t before = count(ShadowDrop::no_server);
  EXPECT_TRUE(reads_until([&] { return count(ShadowDrop::no_server) >= before + 2; }));
  green_->talks_nonsense = false;
  EXPECT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= 5; }));
  EXPECT_EQ(count(ShadowOutcome::different) + count(ShadowOutcome::failed), 0U);
}

// Of users that the other side refuses nothing is compared; those of others are.
TEST_F(Shadow, WhoIsRefusedKeepsNobodyWaiting) {
  conf::Shadow limits = limits_of_test();
  limits.queue_max = 20;
  begin("blue", limits);
  green_->refuses_strangers = true;
  FakeClient known(port_, "app");
  std::vector<std::unique_ptr<FakeClient>> strangers;
  for (int i = 0; i < 4; ++i) strangers.push_back(std::make_unique<FakeClient>(port_, "stranger" + std::to_string(i)));
  std::uint64_t reads = 0;
  EXPECT_TRUE(eventually([&] {
    for (const auto& stranger : strangers) stranger->query("SELECT 1");
    known.query("SELECT 1");
    ++reads;
    return count(ShadowOutcome::same) >= 200;
  }));
  EXPECT_GE(count(ShadowOutcome::same), reads / 2) << "of the reads that it is to run";
  EXPECT_GE(count(ShadowDrop::no_server), 4U);
}

// Reads without end on the one connection that a side has.
class BusyShadow : public Shadow {
 protected:
  void begin_busy(const std::string& name_of_green) {
    conf::Shadow limits = limits_of_test();
    limits.connections_max = 2;
    begin(name_of_green, limits);
    green_->delay_ms = 5;
    for (int i = 0; i < 4; ++i)
      readers_.emplace_back([this](const std::stop_token& over) {
        FakeClient client(port_, "app");
        while (!over.stop_requested()) EXPECT_EQ(client.query("SELECT 1").row, "blue");
      });
    ASSERT_TRUE(eventually([&] { return count(ShadowDrop::queue_full) >= 100; }));
  }
  ~BusyShadow() override { readers_.clear(); }

  std::vector<std::jthread> readers_;
};

TEST_F(BusyShadow, ADifferenceIsTriedAllTheSame) {
  begin_busy("quite another");
  EXPECT_TRUE(eventually([&] { return count(ShadowOutcome::different) >= 1; }));
}

TEST_F(BusyShadow, TheReadsOfAnotherUserHaveTheirTurn) {
  begin_busy("blue");
  FakeClient other(port_, "another");
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(other.query("SELECT 2").row, "blue");
    const auto texts = green_->texts();
    return std::ranges::find(texts, "SELECT 2") != texts.end();
  }));
}

class Trains : public Shadow {
 protected:
  static constexpr std::uint64_t reads = 3 * router::ShadowTrain::reads_max;

  // The client's shape is known to be quick, and so many of its reads wait.
  void let_reads_wait(const conf::Shadow& limits = limits_of_test()) {
    begin("blue", limits);
    client_ = std::make_unique<FakeClient>(port_, "app");  // one, for every worker has its own shadow
    ASSERT_TRUE(eventually([&] {
      read();
      return timed() >= router::ShadowTrain::timed_enough;
    }));
    ASSERT_TRUE(eventually([&] { return count(ShadowOutcome::same) == read_; }));
    proxy_->tokens(0).proven = 0;
    for (std::uint64_t i = 0; i < reads; ++i) read();
  }
  void read() {
    EXPECT_EQ(client_->query("SELECT 1").row, "blue");
    ++read_;
  }
  void let_them_run_slowly(int delay_ms) {
    green_->delay_ms = delay_ms;
    proxy_->tokens(0).proven = ever_after;
    const std::uint64_t asked = green_->queries();
    ASSERT_TRUE(eventually([&] { return green_->queries() > asked; }));
  }
  void costs_its_reads_and_no_more(std::atomic<bool>& fault) {
    fault = true;
    proxy_->tokens(0).proven = ever_after;
    EXPECT_TRUE(eventually([&] { return count(ShadowDrop::no_server) == reads; }));
    fault = false;
    const std::uint64_t same = count(ShadowOutcome::same);
    EXPECT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= same + 5; }));
    EXPECT_EQ(count(ShadowOutcome::different) + count(ShadowOutcome::failed), 0U);
  }
  std::uint64_t timed() {
    look();
    const auto shapes = seen_.shapes({}, 1);
    return shapes.empty() ? 0 : shapes[0]->latency[1].count();
  }

  std::unique_ptr<FakeClient> client_;
  std::uint64_t read_ = 0;
};

TEST_F(Trains, QuickReadsGoTogetherAndTheFirstOneIsTimed) {
  let_reads_wait();
  const std::uint64_t before = timed();
  proxy_->tokens(0).proven = ever_after;
  EXPECT_TRUE(eventually([&] { return count(ShadowOutcome::same) == read_; }));
  EXPECT_LE(timed(), before + reads / 2) << "on a busy machine they are less quick, and trains shorter";
}

TEST_F(Trains, AllOfOneAreLostWithItsConnection) {
  let_reads_wait();
  costs_its_reads_and_no_more(green_->hangs_up);
}

TEST_F(Trains, AnErrorIsOneReadsOwn) {
  let_reads_wait();
  const std::uint64_t same = count(ShadowOutcome::same);
  green_->fails_reads = true;
  proxy_->tokens(0).proven = ever_after;
  EXPECT_TRUE(eventually([&] { return count(ShadowOutcome::failed) + count(ShadowOutcome::unproven) == reads; }));
  EXPECT_EQ(count(ShadowOutcome::same), same);
  EXPECT_EQ(count(ShadowDrop::no_server), 0U);
}

TEST_F(Trains, AHoldLeavesNothingOfOne) {
  let_reads_wait();
  let_them_run_slowly(100);
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_TRUE(proxy_->shadow_pids(0, Side::green).empty());
  EXPECT_TRUE(eventually([&] { return green_->open() == 0; }));
  EXPECT_GE(count(ShadowDrop::interrupted), reads - 5);
}

// A cancel ends one read, and the server begins the next one: each may hang as the first one did.
TEST_F(Trains, AHoldCancelsOneReadAfterTheOther) {
  conf::Shadow limits = limits_of_test();
  limits.connections_max = 2;  // one a side
  let_reads_wait(limits);
  let_them_run_slowly(700);
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_TRUE(eventually([&] { return green_->open() == 0; }));
  EXPECT_GE(green_->cancels(), 12U);
}

TEST_F(Trains, OffInTheMidstOfOneLeavesNothing) {
  let_reads_wait();
  let_them_run_slowly(50);
  table_.shadow.percent = 0;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_TRUE(eventually([&] { return green_->open() == 0; }));
  EXPECT_EQ(client_->query("SELECT 1").row, "blue");
}

TEST_F(Trains, NonsenseInOneCostsItsReadsAndNoMore) {
  let_reads_wait();
  costs_its_reads_and_no_more(green_->talks_nonsense);
}

// The connection is lost while it idles; the next read opens another one.
TEST_F(Shadow, ALostConnectionIsReplaced) {
  begin("blue");
  green_->ends_behind_answer = true;
  EXPECT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= 3; }));
  EXPECT_GE(green_->connections(), 3U);
}

TEST_F(Shadow, AHoldLeavesNothingRunningOnEitherSide) {
  begin("blue");
  green_->delay_ms = 300;
  ASSERT_TRUE(reads_until([&] { return was_asked(*green_); }));
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_TRUE(proxy_->shadow_pids(0, Side::green).empty());
  EXPECT_TRUE(proxy_->shadow_pids(0, Side::blue).empty());
  EXPECT_TRUE(eventually([&] { return green_->cancels() >= 1; })) << "what ran there still was not cancelled";
  EXPECT_TRUE(eventually([&] { return green_->open() == 0; }));
  EXPECT_GE(count(ShadowDrop::interrupted), 1U);
  green_->delay_ms = 0;
  table_.hold = router::Hold::nothing;
  publish();
  EXPECT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= 5; })) << "it goes on behind the hold";
}

TEST_F(Shadow, OffTakesEverythingAway) {
  begin("blue");
  ASSERT_TRUE(reads_until([&] { return was_asked(*green_); }));
  table_.shadow.percent = 0;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_TRUE(eventually([&] { return green_->open() == 0; }));
  const std::uint64_t asked = green_->queries();
  FakeClient client(port_, "app");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.query("SELECT 1").row, "blue");
  EXPECT_EQ(green_->queries(), asked);
}

// The report on the former writer is a new one, and as much is proven for it as for the one before.
TEST_F(Shadow, WhatWasProvenBeforeAMoveIsProvenAgainBehindIt) {
  begin("quite another");
  FakeClient client(port_, "app");  // one session: each worker has proven things of its own
  const auto reads_until_proven = [&](std::uint64_t different, std::uint64_t unproven) {
    return eventually([&] {
      static_cast<void>(client.query("SELECT 1"));
      return count(ShadowOutcome::different) >= different && count(ShadowOutcome::unproven) >= unproven;
    });
  };
  ASSERT_TRUE(reads_until_proven(10, 50)) << "as often as it is";
  table_.hold = router::Hold::all;
  publish();
  ASSERT_TRUE(reached());
  look();
  seen_ = router::ShadowBook{100};
  table_.writer = Side::green;
  table_.hold = router::Hold::nothing;
  publish();
  EXPECT_TRUE(reads_until_proven(1, 0));
}

// The writer's answer is on its way, the copy waits for it, and nobody is there any more; nor is, at times, the shadow.
TEST_F(Shadow, AClientThatGoesInTheMidstOfAReadTakesItsCopyAlong) {
  begin("blue");
  blue_.delay_ms = 20;
  for (int i = 0; i < 40; ++i) {
    FakeClient client(port_, "app");
    client.ask("SELECT 1");
    if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (i % 4 == 0) {
      table_.shadow.percent = table_.shadow.percent == 0 ? 100 : 0;
      publish();
    }
  }
  blue_.delay_ms = 0;
  table_.shadow.percent = 100;
  publish();
  EXPECT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= 5; }));
}

TEST_F(Shadow, NeverMoreConnectionsThanItsLimit) {
  begin("blue");
  ASSERT_TRUE(reads_until([&] { return count(ShadowOutcome::same) >= 5; }));
  EXPECT_LE(green_->most_at_once(), 2U * limits_of_test().connections_max);
  EXPECT_LE(blue_.most_at_once(), 2U + 2U * limits_of_test().connections_max);
}

}  // namespace
}  // namespace turnout::proxy
