// One server connection of the shadow's own: outside the pools, so that no client ever waits for it, and within the
// limits that pools share. Runs what it was given, in order; of one (database, user) and side, always read only. What
// is said on it is for those who know the words: postgres_shadow_lane.h, mysql/shadow_lane.h.
//
// Belongs to the ShadowRunner of its shard. Always true: answered() of the runner is called once for each read that was
// begun, or failed() once for all that are left of them, unless the runner itself closes the lane.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "proxy/connection.h"
#include "proxy/shadow_read.h"
#include "router/routing_table.h"
#include "router/shadow_rows.h"

namespace turnout::proxy {

class Account;
class ShadowRunner;

struct ShadowReply {
  router::KeptAnswer answer;
  std::uint64_t us = 0;  // how long it took; 0 = it cannot be compared with a client's
};

class ShadowLane {
 public:
  enum class State { closed, opening, idle, busy };

  ShadowLane(ShadowRunner& runner, Account& account, router::Side side);
  virtual ~ShadowLane() = default;  // each kind closes itself
  ShadowLane(const ShadowLane&) = delete;
  ShadowLane& operator=(const ShadowLane&) = delete;

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] Account& account() const { return account_; }
  [[nodiscard]] router::Side side() const { return side_; }
  // The runner's numbers of what it is busy with: the first one's, and the next behind the last one's.
  [[nodiscard]] std::uint64_t work() const { return work_; }
  [[nodiscard]] std::uint64_t work_end() const { return work_end_; }
  [[nodiscard]] std::uint64_t since_ms() const { return since_ms_; }
  [[nodiscard]] std::uint32_t backend_pid() const { return connection_ ? connection_->backend_pid() : 0; }

  // False: a limit that pools share leaves no room.
  [[nodiscard]] bool open();
  void close();
  // Only when idle. How many of them it has taken: the first one always, of the others as many as may go with it. Their
  // numbers count on from `work`, and come back with the replies; `kept_bytes_max`: of rows that are looked at again.
  [[nodiscard]] std::size_t run(std::span<const ShadowRead* const> reads, std::uint64_t work,
                                std::uint64_t kept_bytes_max);

 protected:
  // ---- what the protocols know
  [[nodiscard]] virtual std::unique_ptr<Connection> make_connection() = 0;
  // Sends them, or what has to precede the first one; how many.
  [[nodiscard]] virtual std::size_t put(std::span<const ShadowRead* const> reads, std::uint64_t kept_bytes_max) = 0;
  virtual void forget_answer() = 0;
  // Ends what runs, or says how: cancelled when the connection is left.
  [[nodiscard]] virtual std::optional<Abandoned> cut_short() = 0;

  // ---- of what the connection tells
  void opened();
  void lost();                       // at login or later, or it is not to be used again
  void rest();                       // all of the answer is here: idle, or busy with the next one
  void answered(ShadowReply reply);  // behind rest(), or closed
  void start_clock();
  [[nodiscard]] std::uint64_t clock_us() const;

  ShadowRunner& runner_;
  Account& account_;
  const router::Side side_;
  std::unique_ptr<Connection> connection_;

 private:
  void set_state(State state);

  State state_ = State::closed;
  std::uint64_t work_ = 0, work_end_ = 0, since_ms_ = 0, sent_us_ = 0;
};

}  // namespace turnout::proxy
