// Connections of the control side, kept open between uses: opened and warm before the window, one thread each while
// lent.
//
// Always true: a lent connection belongs to one thread; it comes back only idle and outside a transaction; a connection
// that was lost in the middle of something is remembered by its backend's pid until forget_lost() was told that this
// backend is gone, because what it was doing may still be on its way. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "control/pg_client.h"

namespace turnout::control {

class Shelf {
 public:
  class Loan {
   public:
    Loan(Shelf& shelf, PgClient client) : shelf_(&shelf), client_(std::move(client)) {}
    ~Loan() { give_back(); }
    Loan(Loan&& other) noexcept
        : shelf_(std::exchange(other.shelf_, nullptr)), client_(std::move(other.client_)), keep_(other.keep_) {}
    Loan& operator=(Loan&&) = delete;
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    PgClient* operator->() { return &client_; }
    PgClient& operator*() { return client_; }
    void discard() { keep_ = false; }  // close it afterwards: its session was changed

   private:
    void give_back();
    Shelf* shelf_;
    PgClient client_;
    bool keep_ = true;
  };

  // `deployment`'s addresses and login; the application name marks our backends in pg_stat_activity.
  // `where`: the present addresses of a side, so that nothing here waits for a name server.
  using Where = std::function<std::vector<conf::Address>(router::Side)>;
  explicit Shelf(const conf::Deployment& deployment, Where where = {})
      : where_(std::move(where)), deployment_(deployment) {}

  [[nodiscard]] PgOutcome<Loan> take(router::Side side, const std::string& database, std::uint32_t ms_max);
  // Never one from the shelf: what a new session is told by the server.
  [[nodiscard]] PgOutcome<PgClient> fresh(router::Side side, const std::string& database, std::uint32_t ms_max) const;
  // Opens connections until `count` are on the shelf, at the same time. The first error, or "".
  [[nodiscard]] std::string warm(router::Side side, const std::string& database, std::size_t count,
                                 std::uint32_t ms_max);
  void close_all();
  void reconfigure(const conf::Deployment& deployment);
  [[nodiscard]] PgTarget target(router::Side side, const std::string& database) const;

  // Backends whose connection we lost in the middle of a statement.
  [[nodiscard]] std::vector<std::int32_t> lost(router::Side side) const;
  void forget_lost(router::Side side, std::int32_t pid);
  // Pids of the connections that are lent or on the shelf.
  [[nodiscard]] std::vector<std::int32_t> pids(router::Side side) const;

 private:
  using Key = std::pair<router::Side, std::string>;
  void put(PgClient client, bool keep);

  const Where where_;
  mutable std::mutex mutex_;
  conf::Deployment deployment_;
  std::map<Key, std::vector<PgClient>> idle_;
  std::map<router::Side, std::vector<std::int32_t>> lent_;
  std::map<router::Side, std::vector<std::int32_t>> lost_;
};

}  // namespace turnout::control
