// Connections of the control side to a MySQL pair, kept open between uses, as control/shelf.h has them for Postgres.
//
// Always true: a lent connection belongs to one thread; one that was lost in the middle of something is remembered by
// its number until forget_lost() was told that the server has it no more, because what it was doing may still be on its
// way. No session's settings are changed on a connection that comes back. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "control/mysql_client.h"

namespace turnout::control {

class MysqlShelf {
 public:
  class Loan {
   public:
    Loan(MysqlShelf& shelf, MysqlClient client) : shelf_(&shelf), client_(std::move(client)) {}
    ~Loan() {
      if (shelf_ != nullptr) shelf_->put(std::move(client_));
    }
    Loan(Loan&& other) noexcept : shelf_(std::exchange(other.shelf_, nullptr)), client_(std::move(other.client_)) {}
    Loan& operator=(Loan&&) = delete;
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    MysqlClient* operator->() { return &client_; }
    MysqlClient& operator*() { return client_; }

   private:
    MysqlShelf* shelf_;
    MysqlClient client_;
  };

  // `where`: the present addresses of a side, so that nothing here waits for a name server (control/shelf.h).
  using Where = std::function<std::vector<conf::Address>(router::Side)>;
  explicit MysqlShelf(const conf::Deployment& deployment, Where where = {})
      : where_(std::move(where)), deployment_(deployment) {}

  [[nodiscard]] MysqlOutcome<Loan> take(router::Side side);
  // Never one from the shelf: what a new session is told, and deadlines of its own.
  [[nodiscard]] MysqlOutcome<MysqlClient> fresh(router::Side side, std::uint32_t ms_max) const;
  // Opens connections until `count` are on the shelf. The first error, or "".
  [[nodiscard]] std::string warm(router::Side side, std::size_t count);
  void close_all();
  void reconfigure(const conf::Deployment& deployment);
  // Before a reload the side may have been another server, and its name may lead elsewhere now.
  [[nodiscard]] bool leads_there_still(const MysqlClient& client) const;

  [[nodiscard]] std::vector<std::uint64_t> lost(router::Side side) const;
  void forget_lost(router::Side side, std::uint64_t number);
  // A connection from fresh() that stays open is one of ours, until it is taken back (0: there is none).
  void keep(router::Side side, std::uint64_t number, std::uint64_t instead_of);
  // Numbers of the connections that are lent, kept, or on the shelf.
  [[nodiscard]] std::vector<std::uint64_t> numbers(router::Side side) const;

 private:
  struct OfSide {
    std::vector<MysqlClient> idle;
    std::vector<std::uint64_t> lent, lost, kept;
  };
  void put(MysqlClient client);
  // With `mutex_`:
  [[nodiscard]] MysqlTarget target_of_today(router::Side side) const;
  [[nodiscard]] bool is_of_today(const MysqlClient& client) const;
  [[nodiscard]] MysqlTarget target(router::Side side) const;

  const Where where_;
  mutable std::mutex mutex_;
  conf::Deployment deployment_;
  std::array<OfSide, 2> sides_;
};

}  // namespace turnout::control
