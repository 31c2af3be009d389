// Who takes writes in a MariaDB pair, also after a server was restarted: read_only does not outlive that, and an option
// file says the same of a server whether it writes or follows.
//
// Always true: a follower that takes writes is closed again, if it was closed before and still has the link that it
// follows by; a writer is opened only where its read_only is that of its options, which nobody has touched since it
// started, where it is the server that was the writer, and follows nobody, and where the other side answers, is closed,
// and has nothing that the writer has not. What somebody has set on a writer stays, and is told. Nothing is done while
// an attempt may change who writes; settle() returns when nothing of the watch is under way any more, and nothing that
// a lost connection of it has left. One thread a deployment; what it concludes is pure.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/decision_store.h"
#include "control/mysql_shelf.h"
#include "control/mysql_topology.h"
#include "drain/cutover.h"

namespace turnout::control {

// What may be done now. Nothing: the machine may be about to change it.
struct WatchOrders {
  router::Side writer = router::Side::blue;
  bool may_open = false;   // the writer
  bool may_close = false;  // the other side
  bool settles = false;    // the writer's own link from the former one may be there still
  friend bool operator==(const WatchOrders&, const WatchOrders&) = default;
};
[[nodiscard]] std::optional<WatchOrders> watch_orders(const drain::State& state);

struct WatchedServer {
  std::uint32_t id = 0;  // server_id
  bool read_only = false;
  bool by_options = false;       // nobody has set read_only since it started
  bool follows = false;          // somebody it should not
  bool has_link = false;         // to follow by, running or not
  bool other_is_behind = false;  // the other side is closed, and has nothing that this one has not
};
enum class WatchDeed : std::uint8_t { none, open, close, tell };
// `known_id` is that of the server that was seen in that role, 0 = none was.
[[nodiscard]] WatchDeed deed_on_writer(const WatchedServer& server, std::uint32_t known_id);
// `may_lack_link`: the way back is still to be made. At rest a server that has none is being rebuilt, or somebody
// else's.
[[nodiscard]] WatchDeed deed_on_follower(const WatchedServer& server, std::uint32_t known_id, bool may_lack_link);

// A server that answers a login with a refusal is not asked four times a second. Counted in looks. Pure.
class Refusals {
 public:
  [[nodiscard]] bool leaves_out();  // this look
  void refused();
  void let_in() { *this = {}; }

 private:
  static constexpr unsigned looks_max = 8;  // two seconds
  unsigned left_out_ = 0, next_ = 2;
};

class MysqlWatch {
 public:
  struct Context {
    MysqlShelf& shelf;
    std::function<drain::State()> state;
    std::function<bool(router::Side)> clear_lost;  // false: a statement of ours may still be under way there
    std::function<bool(WatchDeed, router::Side)> audited;
    std::function<std::optional<LogPosition>(router::Side)> closed_at;  // mysql_own_writes.h
    std::function<void(WatchDeed, router::Side, const std::string& text)> tell;
  };

  explicit MysqlWatch(Context context) : context_(std::move(context)) {}
  ~MysqlWatch() { stop(); }
  MysqlWatch(const MysqlWatch&) = delete;
  MysqlWatch& operator=(const MysqlWatch&) = delete;

  void start(const std::vector<Record>& records);
  void stop();
  // Behind a change of state that ends the former orders.
  void settle() { const std::lock_guard turn(turn_); }

 private:
  void loop();
  void look(router::Side side);
  [[nodiscard]] bool is_behind(router::Side side, MysqlClient& writer_client, const MysqlServer& writer);
  void act(MysqlClient& client, WatchDeed deed, const WatchOrders& orders);

  Context context_;
  std::mutex turn_;  // while something is being done
  std::array<std::uint32_t, 2> known_{};
  std::array<WatchDeed, 2> told_{};  // what goes on as it is, or goes on failing
  std::array<Refusals, 2> refusals_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace turnout::control
