#include "control/mysql_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "control/mysql_own_writes.h"
#include "control/mysql_position.h"
#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

constexpr std::chrono::milliseconds pause{250};

std::string text_of_deed(WatchDeed deed, const MysqlDialect& dialect, router::Side side) {
  const std::string who = router::name(side);
  if (deed == WatchDeed::open) return who + ", the writer, had come up read-only: it takes writes again";
  if (deed == WatchDeed::close)
    return who + " took writes although it follows: it is read-only again. Was it restarted? Write " + dialect.fence +
           "=1 into the option files of both servers; Turnout opens the writer by itself";
  return who + ", the writer, is read-only, and is left so: somebody has set it, or it is not known that " +
         router::name(router::other(side)) +
         " is closed and has nothing that it has not. SET GLOBAL read_only = 0 there if nobody meant it";
}

// By file and position: what it has read is in the writer's log, which the writer has whole.
bool has_read_no_more(MysqlClient& writer, const ReplicaLink& link) {
  const auto log = log_files(writer);
  return log && link.read && bytes_behind(*log, *link.read);
}

// The numbers from 2000 on are the client library's own: nobody has answered.
bool is_by_server(const MysqlError& error) {
  return error.number >= 1000 && error.number < 2000;
}

// Nothing: it cannot be asked.
std::optional<WatchedServer> look_closely(MysqlClient& client, const MysqlServer& server, std::uint32_t may_follow) {
  const auto& dialect = server.dialect();
  const auto origin = client.query(dialect.read_only_origin_sql);
  if (!origin) return std::nullopt;
  WatchedServer seen;
  seen.id = server.id();
  seen.read_only = server.is_read_only();
  seen.by_options = !origin->empty();
  for (std::size_t row = 0; row < origin->size(); ++row)
    seen.by_options &= origin->text(row) != dialect.origin_when_set;
  seen.has_link = !server.links.empty();
  seen.follows = std::ranges::any_of(server.links, [may_follow](const auto& link) {
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
      // Before the machine has taken what the store says, it is no order.
      if (state.epoch == 0 && !is_done(drain::Step::publish_normal)) return std::nullopt;
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
  const bool is_itself = server.by_options && server.id == known_id && !server.follows;
  return is_itself && server.other_is_behind ? WatchDeed::open : WatchDeed::tell;
}

WatchDeed deed_on_follower(const WatchedServer& server, std::uint32_t known_id, bool may_lack_link) {
  const bool is_ours = server.id == known_id && (server.has_link || may_lack_link);
  return !server.read_only && is_ours ? WatchDeed::close : WatchDeed::none;
}

bool Refusals::leaves_out() {
  if (left_out_ == 0) return false;
  --left_out_;
  return true;
}

void Refusals::refused() {
  left_out_ = next_ - 1;
  next_ = std::min(2 * next_, looks_max);
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
  auto& refusals = refusals_[router::index(side)];
  if (refusals.leaves_out()) return;
  if (!context_.clear_lost(side)) return;  // what was begun on it may still become true
  auto client = context_.shelf.take(side);
  if (!client) {
    // One that is not there at all is looked for each time: a follower that comes up may take writes.
    if (is_by_server(client.error())) refusals.refused();
    return;
  }
  refusals.let_in();
  const char* const closed_by = is_writer ? "read_only" : (*client)->dialect().fence;
  const auto glance = (*client)->query(std::string("SELECT @@global.") + closed_by + ", @@global.server_id");
  if (!glance) return;
  auto& known = known_[router::index(side)];
  if (says_read_only(glance->text(0, 0)) != is_writer) {  // as it should be
    known = static_cast<std::uint32_t>(glance->integer(0, 1));
    told_[router::index(side)] = WatchDeed::none;
    return;
  }
  const auto server = look_at(**client);
  if (!server) return;
  auto seen = look_closely(**client, *server, orders->settles ? known_[router::index(router::other(side))] : 0);
  if (!seen) return;
  if (!is_writer) {
    seen->read_only = server->is_on(closed_by);
    return act(**client, deed_on_follower(*seen, known, orders->settles), *orders);
  }
  seen->other_is_behind = is_behind(router::other(side), **client, *server);
  act(**client, deed_on_writer(*seen, known), *orders);
}

// The writer may be open only while the other side is closed, and has not gone on without it, nor kept what it has
// lost.
bool MysqlWatch::is_behind(router::Side side, MysqlClient& writer_client, const MysqlServer& writer) {
  auto other = context_.shelf.take(side);
  if (!other) return false;
  const auto server = look_at(**other);
  if (!server || !server->is_read_only()) return false;
  const auto link = choose_link(server->links, writer.id()).link;
  if (kind_of(writer, *server, link) == PositionKind::file) {
    if (!link || !has_read_no_more(writer_client, *link)) return false;
    const auto own = look_for_own_writes(**other, context_.closed_at(side));
    return own && own->behind.empty();
  }
  const auto& dialect = writer.dialect();
  const auto alone =
      written_alone(dialect, server->variable(dialect.state), writer.variable(dialect.state), writer.owned);
  return alone && alone->empty();
}

void MysqlWatch::act(MysqlClient& client, WatchDeed deed, const WatchOrders& orders) {
  const auto side = client.target().side;
  if (deed == WatchDeed::none) return;
  const std::lock_guard turn(turn_);
  if (watch_orders(context_.state()) != orders) return;
  auto& told = told_[router::index(side)];
  const bool is_news = std::exchange(told, deed) != deed;
  if (deed == WatchDeed::tell) {
    if (is_news) context_.tell(deed, side, text_of_deed(deed, client.dialect(), side));
    return;
  }
  if (is_news && !context_.audited(deed, side) && deed == WatchDeed::open) {
    told = WatchDeed::none;
    return;
  }
  const auto set = client.query(deed == WatchDeed::close ? std::string("SET GLOBAL ") + client.dialect().fence + " = ON"
                                                         : "SET GLOBAL read_only = OFF");
  if (set || is_news)
    context_.tell(
        deed, side,
        text_of_deed(deed, client.dialect(), side) + (set ? "" : " (not yet: " + set.error().message() + ")"));
  if (set) told = WatchDeed::none;
}

}  // namespace turnout::control
