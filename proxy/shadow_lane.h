// One server connection of the shadow's own: outside the pools, so that no client ever waits for it, and within the
// limits that pools share. Runs one request at a time; of one (database, user) and side, always read only.
//
// Belongs to the ShadowRunner of its shard. Always true: answered() or failed() of the runner is called once for each
// request that was begun, unless the runner itself closes the lane.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/server_connection.h"
#include "proxy/shadow_request.h"
#include "router/routing_table.h"
#include "router/shadow_rows.h"

namespace turnout::proxy {

class Account;
class ShadowRunner;

struct ShadowReply {
  router::KeptAnswer answer;
  std::uint64_t us = 0;  // how long it took; 0 = it cannot be compared with a client's
};

class ShadowLane final : public LineKeeper {
 public:
  enum class State { closed, opening, idle, busy };

  ShadowLane(ShadowRunner& runner, Account& account, router::Side side);
  ~ShadowLane() override;

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
  void run(const ShadowRequest& request, std::uint64_t work, std::uint64_t kept_bytes_max);

  // ---- from the connection
  void line_opened(ServerConnection& line) override;
  void line_failed(ServerConnection& line, const LoginFailure& failure) override;
  void line_answered(ServerConnection& line) override;
  void line_notified(ServerConnection& line, protocol::pg::Bytes body) override;
  void line_read() override;
  [[nodiscard]] bool reads_itself() const override { return true; }
  [[nodiscard]] std::size_t line_bytes(ServerConnection& line, protocol::pg::Bytes data) override;

 private:
  void set_state(State state);
  void finish();

  ShadowRunner& runner_;
  Account& account_;
  const router::Side side_;
  State state_ = State::closed;
  std::unique_ptr<ServerConnection> connection_;
  protocol::pg::TypeMapPtr types_;  // of the request that runs; null where numbers are those that clients know
  std::optional<router::AnswerReader> reader_;
  std::uint64_t work_ = 0, since_ms_ = 0, sent_us_ = 0;
  bool is_as_usual_ = false, prepares_ = false, is_prepared_ = false;
};

}  // namespace turnout::proxy
