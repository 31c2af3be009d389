// Watches what lies between the two sides: how far green is behind, which positions a session may rely on, and which
// sessions read on green while a ramp is on. One thread a deployment.
//
// Always true: a sample is numbered before its position is taken, and proven only when the follower has applied that
// position; the ramp is never touched while a cutover holds (RouteBook says so).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "control/lag_numbers.h"
#include "control/mysql_follow.h"
#include "control/route_book.h"
#include "control/shelf.h"
#include "control/streams.h"
#include "control/type_book.h"
#include "proxy/proxy.h"
#include "router/catalog.h"
#include "router/ramp.h"

namespace turnout::control {

// Positions of the writer's log, numbered in the order in which they were taken. Pure.
class Positions {
 public:
  void add(std::uint64_t number, std::uint64_t position, std::int64_t at_ms);
  // The newest sample that is covered by what the follower has applied; 0 = none yet.
  [[nodiscard]] std::uint64_t proven(std::uint64_t applied);
  // How long the oldest sample that is not applied has been waiting.
  [[nodiscard]] std::int64_t lag_ms(std::int64_t now_ms) const;
  void clear();

 private:
  struct One {
    std::uint64_t number = 0, position = 0;
    std::int64_t at_ms = 0;
  };
  std::deque<One> waiting_;
  std::uint64_t proven_ = 0;
};
// The end of the last record before an insert position: the headers of a new page or segment are no record, and a
// follower would never report a position behind them on an idle server.
[[nodiscard]] std::uint64_t without_page_header(std::uint64_t insert_position);

class Sampler {
 public:
  struct Context {
    proxy::DeploymentIndex index = 0;
    std::string deployment;
    std::function<conf::Deployment()> config;
    Shelf& shelf;
    proxy::Proxy& proxy;
    RouteBook& routes;
    TypeBook& types;
    std::function<void(std::string)> on_event;  // eviction and return, one line each
    // After every look, with what is in force then (ramp_keeper.h).
    std::function<void(const router::RoutingTable&, std::int64_t now_ms)> after_look;
    MysqlShelf* mysql = nullptr;  // of a MySQL deployment: its servers are asked instead of `shelf`'s
  };
  explicit Sampler(Context context);
  ~Sampler() { stop(); }
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  void start();
  void stop();
  // "" = the new weight is in force; else why not.
  [[nodiscard]] std::string shift(int percent);
  // The same for the share of the reads that are run on the other side as well.
  [[nodiscard]] std::string cast_shadow(int percent);
  // Reads the catalogs of the writer, and the types of both sides, and gives them to the data path; "" or why not.
  [[nodiscard]] std::string load_catalog(router::Side writer);
  [[nodiscard]] router::CatalogPtr catalog() const;
  [[nodiscard]] LagNumbers lag() const;
  [[nodiscard]] double actual_ratio() const { return actual_ratio_.load(); }

 private:
  using Clock = std::chrono::steady_clock;
  void loop();
  [[nodiscard]] std::int64_t sample_period_ms(const conf::Ramp& ramp) const;
  void look(const router::RoutingTable& table, const conf::Deployment& config);
  [[nodiscard]] bool sample(const router::RoutingTable& table);
  [[nodiscard]] bool sample_mysql(const router::RoutingTable& table);
  [[nodiscard]] std::string load_mysql(router::Side writer);
  void take_catalog(router::CatalogPtr catalog, std::uint64_t content);
  void watch_reader(const router::RoutingTable& table);
  void choose(const router::RoutingTable& table);
  void judge_lag(const router::RoutingTable& table, bool known, const conf::Ramp& bounds);
  void refresh_catalog(const router::RoutingTable& table);
  [[nodiscard]] std::string definitions_mark(const router::RoutingTable& table);
  void measure(const router::RoutingTable& table);
  [[nodiscard]] bool connect(router::Side writer);
  [[nodiscard]] std::int64_t now_ms() const;

  Context context_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  LagNumbers lag_;
  router::CatalogPtr catalog_;
  std::uint64_t catalog_generation_ = 0, catalog_content_ = 0;
  std::atomic<double> actual_ratio_{0};
  std::mutex loading_;  // one catalog at a time

  // Of the thread alone.
  std::optional<PgClient> writer_;
  std::optional<PgClient> reader_;  // of the side that follows: while it lives, that side has not crashed
  // Streams that began before this (the writer's clock) are trusted for what is durable only.
  std::string doubted_until_ = "-infinity";
  std::optional<Topology> topology_;
  Positions positions_;
  std::uint64_t last_position_ = 0;
  std::uint32_t quiet_samples_ = 0;           // in a row, with the same position
  std::unique_ptr<MysqlFollow> mysql_;        // instead of those five, if that is the protocol
  std::optional<router::ReadSet> read_set_;   // by bytes, for every policy
  std::optional<router::ReadSet> fresh_set_;  // by time, for policy `bounded`
  std::string definitions_;                   // of the writer, when the catalog was read
  std::uint64_t last_reads_[2] = {0, 0};
  std::int64_t chosen_at_ms_ = 0, measured_at_ms_ = 0, catalog_at_ms_ = 0, definitions_at_ms_ = 0, types_at_ms_ = 0,
               discovered_at_ms_ = 0, retry_at_ms_ = 0, reader_asked_at_ms_ = 0;
  std::uint64_t table_epoch_ = 0;
  router::Side table_writer_ = router::Side::blue;

  std::thread thread_;
};

}  // namespace turnout::control
