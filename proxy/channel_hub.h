// LISTEN for many sessions: of one (database, user), one server connection a side that listens to all their channels.
//
// A session that ran LISTEN is listening on its own server connection; the hub takes the channels over so that the
// connection can be lent to others (router/subscriptions.h says how nothing is lost or doubled; session_listen.cpp is
// the session's half). The hub lives on one worker, the account's home; sessions of all workers reach it by posting,
// and it posts what they hear back. Posts arrive in the order they were sent, so the order of a channel is kept.
//
// Always true:
//  - notifications come from the writer's line only. The other side's line is opened by `warm` and stands, with every
//    channel, before a cutover holds anything (it is counted in the level `warming`);
//  - at a flip the former writer's line is read up to a NOTIFY of our own, sent after the fence: what the new one
//  brings
//    meanwhile waits behind it;
//  - a line that is lost may have missed something: its sessions end with 57P01, as they would with their own server.
// PostgreSQL allows NOTIFY in a read-only transaction, so the fence does not stop our marks (manual, "SET
// TRANSACTION").
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/server_connection.h"
#include "router/routing_table.h"
#include "router/subscriptions.h"

namespace turnout::proxy {

class Account;
class ChannelHub;
class Shard;

// A NotificationResponse as it goes to clients, shared by all that hear it.
using NotificationPtr = std::shared_ptr<const std::string>;

// The hub of that account, on its home worker; `order` runs there, later.
void tell_hub(const Shard& shard, SharedAccount& account, std::function<void(ChannelHub&)> order);

// Our own channel, by which marks travel; nobody outside knows its name.
[[nodiscard]] std::string mark_channel(const Deployment& deployment);
// What a mark says.
[[nodiscard]] std::string hear_mark(router::SessionNumber session, std::uint32_t ticket);
// From here on, the backend that sends this notifies for `session`; 0: for nobody that listens.
[[nodiscard]] std::string owner_mark(router::SessionNumber session);
// All that the session has notified so far lies before this.
[[nodiscard]] std::string echo_mark(router::SessionNumber session, std::uint32_t echo);
// A backend's pid as clients are told it: never one that could be a session's own.
[[nodiscard]] std::uint32_t foreign_pid(std::uint32_t backend_pid);

class ChannelHub final : public LineKeeper {
 public:
  explicit ChannelHub(Account& account);
  ~ChannelHub() override;

  // ---- from sessions
  // `marked`: the newest ticket whose mark the session has sent; 0 = none.
  void subscribe(router::SessionNumber session, std::uint32_t ticket, std::uint32_t marked,
                 const router::Channels& channels);
  void unsubscribe(router::SessionNumber session, const router::Channels& channels);
  void unsubscribe_all(router::SessionNumber session);

  // ---- from the shard
  void apply_orders();
  bool sweep();  // true: wants the next one soon
  [[nodiscard]] std::vector<std::uint32_t> pids(router::Side side) const;

  // ---- from the lines
  void line_opened(ServerConnection& connection) override;
  void line_failed(ServerConnection& connection, const LoginFailure& failure) override;
  void line_answered(ServerConnection& connection) override;
  void line_notified(ServerConnection& connection, protocol::pg::Bytes body) override;
  void line_read() override;

 private:
  struct Line {
    std::unique_ptr<ServerConnection> connection;
    bool is_open = false;                                   // logged in
    std::uint64_t sent = 0, answered = 0;                   // queries
    std::unordered_map<std::string, std::uint64_t> listen;  // channel → the query that listens to it
    std::uint64_t retry_at_ms = 0;
    bool counts_as_warming = false;
    std::unordered_map<std::uint32_t, router::SessionNumber> owners;  // by backend pid
  };
  using Messages = std::vector<std::pair<NotificationPtr, std::vector<router::SessionNumber>>>;
  struct Waiting {
    std::uint32_t pid;
    std::string channel, payload;
  };

  static void hand_out(Shard& shard, const Messages& messages);
  [[nodiscard]] Shard& shard() const;
  [[nodiscard]] router::Side side_of(const ServerConnection& connection) const;
  [[nodiscard]] Line& line(router::Side side) { return lines_[router::index(side)]; }
  [[nodiscard]] bool is_wanted(router::Side side) const;
  [[nodiscard]] bool is_standing(const Line& line, const std::string& channel) const;
  void open(router::Side side);
  void close(router::Side side);
  void lost(router::Side side);
  void send(router::Side side, const std::string& sql);
  void listen(router::Side side, const router::Channels& channels);
  void unlisten(const router::Channels& channels);
  void settle_lines();
  template <typename Do>
  void tell_session(router::SessionNumber number, Do what) const;
  void tell_ready();
  void publish_warming();
  void begin_flip(router::Side former);
  void finish_flip();
  void take_mark(router::Side side, std::uint32_t pid, const std::string& payload);
  void deliver(std::uint32_t pid, std::string_view channel, std::string_view payload);
  void flush();
  void end_sessions();

  Account& account_;
  const std::string mark_channel_;
  router::Subscriptions subscriptions_;
  std::array<Line, 2> lines_;
  router::Side writer_;
  // Since the flip, until the former writer's line has brought the mark.
  bool is_flipping_ = false;
  std::uint64_t flip_number_ = 0;
  std::uint64_t flip_began_ms_ = 0;
  std::vector<Waiting> behind_flip_;
  std::size_t behind_flip_bytes_ = 0;
  std::uint64_t unused_since_ms_ = 0;
  std::vector<Messages> outboxes_;  // by worker
};

}  // namespace turnout::proxy
