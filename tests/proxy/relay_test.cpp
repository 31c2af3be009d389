// The whole data path in one process: two fake servers, real sockets, two workers. Also run under the thread sanitizer.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "proxy/proxy.h"
#include "router/catalog.h"
#include "tests/proxy/fake_server.h"

namespace turnout::proxy {
namespace {

using std::chrono::milliseconds;

bool connect_loopback(int fd, std::uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(port);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
}

std::uint16_t free_port() {
  return FakeServer("port").port();
}

class Relay : public ::testing::Test {
 protected:
  void begin(std::uint32_t pool_size, std::uint32_t workers = 2, std::uint32_t wait_ms_max = 20'000) {
    port_ = free_port();
    conf::Deployment deployment;
    deployment.name = "app";
    deployment.listen = {{"127.0.0.1", port_, ""}};
    deployment.blue = {"127.0.0.1", blue_.port(), ""};
    deployment.green = conf::Address{"127.0.0.1", green_.port(), ""};
    deployment.auth = conf::ClientAuth::trust;
    deployment.server_tls.mode = conf::TlsMode::disable;
    deployment.pool.size = pool_size;
    deployment.pool.wait_ms_max = wait_ms_max;
    conf::Config config;
    config.deployments = {deployment};
    config.workers = workers;
    proxy_ = std::make_unique<Proxy>(config);
    publish();
    proxy_->start();
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

  // Blue has `sql` and has not answered it when the hold comes; then it ends with `status`.
  void hold_while_it_is_on_its_way(FakeClient& client, const std::string& sql, char status) {
    ASSERT_EQ(client.query("SELECT 1").row, "blue");
    blue_.delay_ms = 1'000;
    client.ask(sql);
    ASSERT_TRUE(eventually([&] { return blue_.texts().back() == sql; }));
    blue_.delay_ms = 0;
    table_.hold = router::Hold::writes;
    publish();
    ASSERT_TRUE(reached());
    EXPECT_EQ(proxy_->levels(0).side[0].begin_later, 1u);
    EXPECT_EQ(client.read_reply().status, status);
    ASSERT_TRUE(eventually([&] { return proxy_->levels(0).side[0].writes_in_flight == 0; }));
    EXPECT_EQ(proxy_->levels(0).side[0].begin_later, 0u);
  }

  void goes_on_with_its_transaction_on_green(FakeClient& client) {
    table_.writer = router::Side::green;
    table_.hold = router::Hold::nothing;
    publish();
    ASSERT_TRUE(reached());
    EXPECT_EQ(client.query("SELECT 1").row, "green");
    EXPECT_EQ(client.query("COMMIT").status, 'I');
    const std::vector<std::string> expected{"BEGIN", "SELECT 1", "COMMIT"};
    EXPECT_EQ(green_.texts(), expected);
  }

  FakeServer blue_{"blue"}, green_{"green"};
  router::RoutingTable table_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Proxy> proxy_;
};

TEST_F(Relay, ManyClientsShareAFewConnectionsOverTwoWorkers) {
  begin(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 12; ++c)
    clients.emplace_back([&, c] {
      FakeClient client(port_, "app", "client" + std::to_string(c));
      for (int i = 0; i < 60; ++i) {
        if (client.query("BEGIN").status != 'T') ++wrong;
        if (client.query("SELECT 1").row != "blue") ++wrong;
        if (client.query("COMMIT").status != 'I') ++wrong;
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(blue_.most_at_once(), 3u);
  EXPECT_EQ(green_.connections(), 0u);
}

// The session has its answer, and keeps nothing of the connection: what becomes of that one is nothing to its client.
TEST_F(Relay, TheLastWordsOfAServerBehindAnAnswerReachNobody) {
  blue_.ends_behind_answer = true;
  begin(2);
  FakeClient client(port_, "app");
  for (int i = 0; i < 20; ++i) {
    const FakeClient::Reply reply = client.query("SELECT 1");
    EXPECT_EQ(reply.row, "blue");
    EXPECT_EQ(reply.sqlstate, "");
    EXPECT_FALSE(reply.closed);
  }
}

// Several connections ask at once and are refused: each of them asks again.
TEST_F(Relay, AServerThatRefusesProtocol32IsAskedWith30) {
  blue_.knows_only_3_0 = true;
  begin(4);
  std::atomic<int> wrong{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c)
    clients.emplace_back([&] {
      FakeClient client(port_, "app");
      if (client.query("BEGIN").status != 'T' || client.query("SELECT 1").row != "blue") ++wrong;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Relay, AHoldKeepsWorkAndAFlipMovesItAll) {
  begin(4);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<int> answered{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c)
    clients.emplace_back([&] {
      FakeClient client(port_, "app");
      while (!stop) {
        const auto reply = client.query("INSERT x");
        if (!reply.sqlstate.empty() || reply.closed) ++wrong;
        ++answered;
      }
    });
  ASSERT_TRUE(eventually([&] { return answered > 50; }));
  for (int round = 0; round < 4; ++round) {
    const router::Side from = table_.writer;
    const router::Side to = router::other(from);
    FakeServer& old_writer = from == router::Side::blue ? blue_ : green_;
    table_.sides[router::index(to)].may_write = true;
    table_.sides[router::index(to)].warm = true;
    publish();
    ASSERT_TRUE(reached());
    ASSERT_TRUE(eventually([&] { return proxy_->levels(0).side[router::index(to)].warming == 0; }));
    table_.hold = router::Hold::writes;
    publish();
    ASSERT_TRUE(reached());
    ASSERT_TRUE(eventually([&] { return proxy_->levels(0).side[router::index(from)].writes_in_flight == 0; }));
    table_.sides[router::index(from)].may_write = false;
    publish();
    ASSERT_TRUE(reached());
    ASSERT_TRUE(eventually([&] { return proxy_->levels(0).side[router::index(from)].write_connections == 0; }));
    EXPECT_EQ(proxy_->write_pids(0, from).size(), proxy_->sealed_pids(0, from).size());
    ASSERT_TRUE(eventually([&] { return proxy_->levels(0).held_sessions == 8; }));
    const std::uint64_t before = old_writer.queries();
    table_.writer = to;
    table_.sides[router::index(to)].warm = false;
    table_.sides[router::index(to)].prove_writable = true;
    publish();
    ASSERT_TRUE(reached());
    table_.hold = router::Hold::nothing;
    publish();
    ASSERT_TRUE(reached());
    ASSERT_TRUE(eventually([&] { return proxy_->levels(0).held_sessions == 0; }));
    const int now = answered;
    ASSERT_TRUE(eventually([&] { return answered > now + 50; }));
    EXPECT_EQ(old_writer.queries(), before) << "work reached the old writer after it was drained";
    EXPECT_GE(proxy_->hold_times(0).held, 8u);
    table_.sides[router::index(to)].prove_writable = false;
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Relay, AnUnprovenWriterGetsNoWork) {
  begin(2);
  FakeClient client(port_, "app");
  ASSERT_EQ(client.query("SELECT 1").row, "blue");
  green_.is_read_only = true;
  table_.writer = router::Side::green;
  table_.sides[1].prove_writable = true;
  publish();
  ASSERT_TRUE(reached());
  client.ask("SELECT 1");
  std::this_thread::sleep_for(milliseconds(100));
  for (const std::string& text : green_.texts()) EXPECT_EQ(text, "SHOW transaction_read_only");
  green_.is_read_only = false;
  EXPECT_EQ(client.read_reply().row, "green");
}

// Behind the flip a write waits for a connection that is proven; a read does not, and goes where reads went in the
// hold.
TEST_F(Relay, ReadsKeepClearOfTheWorkThatIsReleased) {
  begin(4);
  router::CatalogBuilder catalog;
  catalog.add_database("app");
  proxy_->publish_catalog(0, catalog.build(1, "app"));
  FakeClient writer(port_, "app"), reader(port_, "app");
  ASSERT_EQ(writer.query("INSERT 1").sqlstate, "");
  ASSERT_EQ(reader.query("SELECT 1").row, "blue");
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  writer.ask("INSERT 2");
  ASSERT_TRUE(eventually([this] { return proxy_->levels(0).held_sessions == 1; }));
  green_.is_read_only = true;
  table_.writer = table_.hold_reads_on = router::Side::green;
  table_.sides[1].prove_writable = true;
  table_.hold = router::Hold::nothing;
  publish();
  ASSERT_TRUE(reached());
  ASSERT_TRUE(eventually([this] { return proxy_->levels(0).held_sessions == 0; }));
  EXPECT_EQ(reader.query("SELECT 1").row, "green");
  for (const std::string& text : green_.texts()) EXPECT_NE(text, "INSERT 2");
  green_.is_read_only = false;
  EXPECT_EQ(writer.read_reply().sqlstate, "");
}

// All of them at one instant would be felt by those who read there: each makes its server read its configuration.
TEST_F(Relay, ConnectionsAreProvenAFewAtATime) {
  begin(12);
  std::vector<std::unique_ptr<FakeClient>> clients;
  for (int c = 0; c < 12; ++c) {
    clients.push_back(std::make_unique<FakeClient>(port_, "app"));
    ASSERT_EQ(clients.back()->query("BEGIN").status, 'T');
  }
  for (const auto& client : clients) ASSERT_EQ(client->query("COMMIT").status, 'I');
  table_.sides[1].warm = true;
  publish();
  ASSERT_TRUE(reached());
  ASSERT_TRUE(eventually([this] { return proxy_->levels(0).side[1].warming == 0; }));
  ASSERT_GE(green_.open(), 8U);
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  green_.delay_ms = 20;
  table_.writer = router::Side::green;
  table_.sides[1].warm = false;
  table_.sides[1].prove_writable = true;
  table_.hold = router::Hold::nothing;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_TRUE(eventually([this] { return proxy_->levels(0).side[1].unproven == 0; })) << "all of them have their turn";
  EXPECT_GE(green_.most_proofs_at_once(), 1U);
  EXPECT_LE(green_.most_proofs_at_once(), 2U) << "one on each of two workers";
  for (const auto& client : clients) EXPECT_EQ(client->query("SELECT 1").row, "green");
}

// An error in what fills the caches is no reason to have no connection.
TEST_F(Relay, WarmConnectionsFillTheirCachesBeforeTheyCount) {
  for (const bool fails : {false, true}) {
    FakeClient client(port_ == 0 ? (begin(2), port_) : port_, "app");
    EXPECT_EQ(client.query("SELECT 1").row, "blue");
    green_.fails_reads = fails;
    green_.delay_ms = 100;
    const std::size_t before = green_.texts().size();
    table_.sides[1].warm = true;
    publish();
    ASSERT_TRUE(reached());
    ASSERT_TRUE(eventually([this] { return proxy_->levels(0).side[1].warming == 1; }));
    ASSERT_TRUE(eventually([&] { return green_.texts().size() > before; }));
    EXPECT_EQ(proxy_->levels(0).side[1].warming, 1u) << "asked, not yet answered";
    ASSERT_TRUE(eventually([this] { return proxy_->levels(0).side[1].warming == 0; }));
    ASSERT_EQ(green_.texts().size(), before + 1);
    EXPECT_NE(green_.texts().back().find("pg_catalog.pg_attribute"), std::string::npos);
    green_.delay_ms = 0;
    green_.fails_reads = false;
    table_.writer = router::Side::green;
    publish();
    ASSERT_TRUE(reached());
    EXPECT_EQ(client.query("SELECT 1").row, "green");
    EXPECT_EQ(green_.connections(), fails ? 2u : 1u);
    table_ = {};
    proxy_.reset();
    port_ = 0;
  }
}

TEST_F(Relay, ATransactionOfNothingButBeginMovesUnseen) {
  begin(2);
  FakeClient client(port_, "app");
  ASSERT_EQ(client.query("BEGIN").status, 'T');
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  ASSERT_TRUE(eventually([&] { return proxy_->levels(0).side[0].writes_in_flight == 0; }));
  goes_on_with_its_transaction_on_green(client);
}

// The server may have yet to read it: a fence now would make it a transaction that cannot write.
TEST_F(Relay, ABeginThatIsOnItsWayAtTheHoldIsWaitedForAndMovesUnseen) {
  begin(2);
  FakeClient client(port_, "app");
  hold_while_it_is_on_its_way(client, "BEGIN", 'T');
  EXPECT_EQ(blue_.texts().back(), "ROLLBACK");
  goes_on_with_its_transaction_on_green(client);
}

TEST_F(Relay, AStatementThatIsOnItsWayAtTheHoldIsWaitedFor) {
  begin(2);
  FakeClient client(port_, "app");
  hold_while_it_is_on_its_way(client, "INSERT x", 'I');
}

TEST_F(Relay, ARunningTransactionIsNotHeld) {
  begin(2);
  FakeClient client(port_, "app");
  client.query("BEGIN");
  client.query("INSERT x");
  table_.hold = router::Hold::writes;
  publish();
  ASSERT_TRUE(reached());
  EXPECT_EQ(proxy_->levels(0).side[0].writes_in_flight, 1u);
  EXPECT_EQ(client.query("INSERT y").status, 'T');
  EXPECT_EQ(client.query("COMMIT").status, 'I');
  EXPECT_TRUE(eventually([&] { return proxy_->levels(0).side[0].writes_in_flight == 0; }));
}

TEST_F(Relay, HeldWorkCanBeCancelledAndTheSessionGoesOn) {
  begin(2);
  FakeClient client(port_, "app");
  ASSERT_EQ(client.query("SELECT 1").row, "blue");
  table_.hold = router::Hold::all;
  publish();
  ASSERT_TRUE(reached());
  client.ask("INSERT x");
  ASSERT_TRUE(eventually([&] { return proxy_->levels(0).held_sessions == 1; }));
  {
    std::string packet;
    const auto put = [&packet](std::uint32_t value) {
      for (int shift = 24; shift >= 0; shift -= 8) packet.push_back(static_cast<char>(value >> shift));
    };
    put(16);
    put(80877102);
    put(client.pid());
    put(client.key());
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    ASSERT_TRUE(connect_loopback(fd, port_));
    ASSERT_EQ(::send(fd, packet.data(), packet.size(), MSG_NOSIGNAL), 16);
    const auto reply = client.read_reply();
    EXPECT_EQ(reply.sqlstate, "57014");
    EXPECT_EQ(reply.status, 'I');
    ::close(fd);
  }
  EXPECT_EQ(proxy_->levels(0).client_errors, 0u) << "the client has asked for this one";
  table_.hold = router::Hold::nothing;
  publish();
  EXPECT_EQ(client.query("SELECT 1").row, "blue");
}

TEST_F(Relay, WorkThatHasWaitedTooLongIsAnErrorOfOurs) {
  begin(1, 1, 1'000);
  FakeClient first(port_, "app");
  FakeClient second(port_, "app");
  ASSERT_EQ(first.query("BEGIN").status, 'T');
  ASSERT_EQ(first.query("INSERT x").status, 'T');
  EXPECT_FALSE(second.query("INSERT y").sqlstate.empty());
  EXPECT_EQ(proxy_->levels(0).client_errors, 1u);
}

TEST_F(Relay, ParametersFollowTheSessionAndLeakToNobody) {
  begin(1, 1);
  FakeClient one(port_, "app", "one");
  FakeClient two(port_, "app", "two");
  one.query("SET work_mem TO '7MB'");
  two.query("SELECT 1");
  one.query("SELECT 2");
  const auto texts = blue_.texts();
  const auto has = [&](const std::string& part) {
    return std::any_of(texts.begin(), texts.end(),
                       [&](const auto& text) { return text.find(part) != std::string::npos; });
  };
  EXPECT_TRUE(has("RESET work_mem;")) << "the second session must not inherit it";
  EXPECT_TRUE(has("SET work_mem TO '7MB';")) << "and the first gets it back";
  EXPECT_TRUE(has("SET application_name TO 'two';"));
}

TEST_F(Relay, AClientThatVanishesLeavesNoTransactionBehind) {
  begin(1, 1);
  {
    FakeClient client(port_, "app");
    client.query("BEGIN");
    client.query("INSERT x");
  }
  FakeClient next(port_, "app");
  EXPECT_EQ(next.query("SELECT 1").status, 'I');
  EXPECT_GE(blue_.connections(), 2u) << "the dirty connection was closed, not handed on";
}

TEST(RelayAlone, AServerThatIsDownIsNamedAtLogin) {
  const std::uint16_t port = free_port();
  conf::Deployment deployment;
  deployment.name = "app";
  deployment.listen = {{"127.0.0.1", port, ""}};
  deployment.blue = {"127.0.0.1", free_port(), ""};  // nobody listens there any more
  deployment.auth = conf::ClientAuth::trust;
  conf::Config config;
  config.deployments = {deployment};
  Proxy proxy(config);
  proxy.publish(0, std::make_shared<router::RoutingTable>());
  proxy.start();
  const FakeClient client(port, "app");
  EXPECT_FALSE(client.is_logged_in());
  EXPECT_EQ(client.login_sqlstate(), "08001");
}

}  // namespace
}  // namespace turnout::proxy
