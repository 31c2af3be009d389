// What the sampler asks of a MySQL or MariaDB pair: where the writer's log ends, and how far the other side has applied
// it.
//
// Always true: a sample is numbered before its position is taken, and proven only when the follower has committed that
// position whole (mysql_dialect.h: what a position is). The follower tells it of itself; when the connection to it is
// lost nothing is proven any more, because a crash takes back what was not yet durable. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "control/lag_numbers.h"
#include "control/mysql_dialect.h"
#include "control/mysql_shelf.h"
#include "control/route_book.h"
#include "proxy/proxy.h"

namespace turnout::control {

// Positions of the writer's log, numbered in the order in which they were taken. Pure.
class LogPositions {
 public:
  void add(std::uint64_t number, MysqlPosition position, std::int64_t at_ms);
  // The newest sample that is covered by what the follower has applied; 0 = none yet.
  [[nodiscard]] std::uint64_t proven(const MysqlPosition& applied);
  // How long the oldest sample that is not applied has been waiting.
  [[nodiscard]] std::int64_t lag_ms(std::int64_t now_ms) const;
  void clear();

 private:
  struct One {
    std::uint64_t number = 0;
    MysqlPosition position;
    std::int64_t at_ms = 0;
  };
  std::deque<One> waiting_;
  std::uint64_t proven_ = 0;
};

class MysqlFollow {
 public:
  MysqlFollow(MysqlShelf& shelf, proxy::Proxy& proxy, proxy::DeploymentIndex index, const RouteBook& routes)
      : shelf_(shelf), proxy_(proxy), index_(index), routes_(routes) {}
  ~MysqlFollow() { forget(); }
  MysqlFollow(const MysqlFollow&) = delete;
  MysqlFollow& operator=(const MysqlFollow&) = delete;

  // Nothing: one of the servers does not answer. `proves`: the data path has to know.
  [[nodiscard]] std::optional<LagNumbers> look(const router::RoutingTable& table, bool proves, std::int64_t now_ms);
  void forget();  // another one is the writer now

 private:
  [[nodiscard]] bool connect(router::Side writer);
  [[nodiscard]] bool is_good(const std::optional<MysqlClient>& client) const;
  [[nodiscard]] bool open(std::optional<MysqlClient>& client, router::Side side);
  void close(std::optional<MysqlClient>& client);
  void lose_reader();
  [[nodiscard]] bool learn_kind();
  [[nodiscard]] std::optional<MysqlPosition> ask_seen();
  [[nodiscard]] std::optional<MysqlPosition> ask_applied();
  void ask_bytes(std::int64_t now_ms);

  MysqlShelf& shelf_;
  proxy::Proxy& proxy_;
  const proxy::DeploymentIndex index_;
  const RouteBook& routes_;
  std::optional<MysqlClient> writer_, reader_;
  PositionKind kind_ = PositionKind::gtid;
  std::uint32_t writer_id_ = 0;
  LogPositions positions_;
  std::optional<MysqlPosition> applied_;  // at the last look, over the connection that there is
  double bytes_ = 0;
  std::int64_t bytes_at_ms_ = 0;
};

}  // namespace turnout::control
