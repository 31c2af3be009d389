// One server connection of the shadow's own: outside the pools, so that no client ever waits for it, and within the
// limits that pools share. Runs one request at a time; of one (database, user) and side, always read only. What is said
// on it is for those who know the words: postgres_shadow_lane.h, mysql/shadow_lane.h.
//
// Belongs to the ShadowRunner of its shard. Always true: answered() or failed() of the runner is called once for each
// request that was begun, unless the runner itself closes the lane.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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
  [[nodiscard]] std::uint64_t work() const { return work_; }  // the runner's number of what it is busy with
  [[nodiscard]] std::uint64_t since_ms() const { return since_ms_; }
  [[nodiscard]] std::uint32_t backend_pid() const { return connection_ ? connection_->backend_pid() : 0; }

  // False: a limit that pools share leaves no room.
  [[nodiscard]] bool open();
  void close();
  // Only when idle. The runner's number comes back with the reply; `kept_bytes_max`: of rows that are looked at again.
  void run(const ShadowRead& read, std::uint64_t work, std::uint64_t kept_bytes_max);

 protected:
  // ---- what the protocols know
  [[nodiscard]] virtual std::unique_ptr<Connection> make_connection() = 0;
  // Sends it, or what has to precede it.
  virtual void put(const ShadowRead& read, std::uint64_t kept_bytes_max) = 0;
  virtual void forget_answer() = 0;
  // Ends what runs, or says how: cancelled when the connection is left.
  [[nodiscard]] virtual std::optional<Abandoned> cut_short() = 0;

  // ---- of what the connection tells
  void opened();
  void lost();                             // at login or later, or it is not to be used again
  void rest() { set_state(State::idle); }  // all of the answer is here
  void answered(ShadowReply reply);        // resting, or closed
  void start_clock();
  [[nodiscard]] std::uint64_t clock_us() const;

  ShadowRunner& runner_;
  Account& account_;
  const router::Side side_;
  std::unique_ptr<Connection> connection_;

 private:
  void set_state(State state);

  State state_ = State::closed;
  std::uint64_t work_ = 0, since_ms_ = 0, sent_us_ = 0;
};

}  // namespace turnout::proxy
