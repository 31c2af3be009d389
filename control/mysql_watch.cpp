#include "control/mysql_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

constexpr std::chrono::milliseconds pause{250};

constexpr const char* glance_sql = "SELECT @@global.read_only, @@global.server_id";
std::string text_of_deed(WatchDeed deed, router::Side side) {
  const std::string who = router::name(side);
  if (deed == WatchDeed::open) return who + ", the writer, had come up read-only: it takes writes again";
  if (deed == WatchDeed::close)
    return who +
           " took writes although it follows: it is read-only again. Was it restarted? Write read_only=1 into the "
           "option files of both servers; Turnout opens the writer by itself";
  return who +
         ", the writer, is read-only, and not by its options alone: see who has set it, and SET GLOBAL read_only = 0 "
         "there if nobody meant it";
}

// Nothing: it is no server of ours, or cannot be asked.
std::optional<WatchedServer> look_closely(MysqlClient& client, std::uint32_t may_follow) {
  const auto server = look_at(client);
  if (!server) return std::nullopt;
  const auto& dialect = server->dialect();
  const auto origin = client.query(dialect.read_only_origin_sql);
  if (!origin) return std::nullopt;
  WatchedServer seen;
  seen.id = server->id();
  seen.read_only = server->is_read_only();
  seen.by_options = !origin->empty() && origin->text(0) != dialect.origin_when_set;
  seen.follows = std::ranges::any_of(server->links, [may_follow](const auto& link) {
    return (link.reads || link.applies) && (may_follow == 0 || link.writer_id != may_follow);
  });
  return seen;
}

}  // namespace

std::optional<WatchOrders> watch_orders(const drain::State& state) {
  const auto is_done = [&](drain::Step step) { return (state.done & drain::bit(step)) != 0; };
  switch (state.road) {
    case drain::Road::none:
      if (state.phase == drain::Phase::unknown) return std::nullopt;
      return WatchOrders{state.writer, true, state.phase != drain::Phase::finished, false};
    case drain::Road::commit:
      return WatchOrders{router::other(state.from), is_done(drain::Step::open_to), true, true};
    case drain::Road::revert:
      if (state.decision != drain::Decision::abort) return std::nullopt;
      return WatchOrders{state.from, is_done(drain::Step::lower_fence), true, false};
    case drain::Road::forward:  // the proof sees a follower that takes writes
    case drain::Road::start:
    case drain::Road::restart:
      return std::nullopt;
  }
  return std::nullopt;
}

WatchDeed deed_on_writer(const WatchedServer& server, std::uint32_t known_id) {
  if (!server.read_only) return WatchDeed::none;
  return server.by_options && server.id == known_id && !server.follows ? WatchDeed::open : WatchDeed::tell;
}

WatchDeed deed_on_follower(const WatchedServer& server, std::uint32_t known_id) {
  return !server.read_only && server.id == known_id ? WatchDeed::close : WatchDeed::none;
}

void MysqlWatch::start(const std::vector<Record>& records) {
  if (const auto* facts = newest(records, RecordKind::facts); facts != nullptr) {
    const auto topology = mysql_topology_of(facts->data);
    known_[router::index(topology.from)] = topology.from_id;
    known_[router::index(topology.to())] = topology.to_id;
  }
  thread_ = std::thread([this] { loop(); });
}

void MysqlWatch::stop() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void MysqlWatch::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    if (const auto orders = watch_orders(context_.state())) {
      look(router::other(orders->writer));
      look(orders->writer);
    }
    lock.lock();
    wake_.wait_for(lock, pause, [this] { return stopping_; });
  }
}

void MysqlWatch::look(router::Side side) {
  const auto orders = watch_orders(context_.state());
  if (!orders) return;
  const bool is_writer = side == orders->writer;
  if (!(is_writer ? orders->may_open : orders->may_close)) return;
  if (!context_.clear_lost(side)) return;  // what was begun on it may still become true
  auto client = context_.shelf.take(side);
  if (!client) return;
  const auto glance = (*client)->query(glance_sql);
  if (!glance) return;
  auto& known = known_[router::index(side)];
  if (says_read_only(glance->text(0, 0)) != is_writer) {  // as it should be
    known = static_cast<std::uint32_t>(glance->integer(0, 1));
    told_[router::index(side)] = WatchDeed::none;
    return;
  }
  const auto server = look_closely(**client, orders->settles ? known_[router::index(router::other(side))] : 0);
  if (!server) return;
  act(**client, is_writer ? deed_on_writer(*server, known) : deed_on_follower(*server, known), *orders);
}

void MysqlWatch::act(MysqlClient& client, WatchDeed deed, const WatchOrders& orders) {
  const auto side = client.target().side;
  if (deed == WatchDeed::none) return;
  const std::lock_guard turn(turn_);
  if (watch_orders(context_.state()) != orders) return;
  auto& told = told_[router::index(side)];
  const bool is_news = std::exchange(told, deed) != deed;
  if (deed == WatchDeed::tell) {
    if (is_news) context_.tell(deed, side, text_of_deed(deed, side));
    return;
  }
  if (is_news && !context_.audited(deed, side) && deed == WatchDeed::open) {
    told = WatchDeed::none;
    return;
  }
  const auto set = client.query(deed == WatchDeed::close ? std::string("SET GLOBAL ") + client.dialect().fence + " = ON"
                                                         : "SET GLOBAL read_only = OFF");
  if (set || is_news)
    context_.tell(deed, side, text_of_deed(deed, side) + (set ? "" : " (not yet: " + set.error().message() + ")"));
  if (set) told = WatchDeed::none;
}

}  // namespace turnout::control
