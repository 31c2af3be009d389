#include "proxy/pool.h"

#include <algorithm>

#include "proxy/client.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace {

constexpr std::uint64_t sweep_ms = 50;      // between sweeps while somebody waits
constexpr std::uint64_t recent_ms = 1'000;  // a refused login is tried again well within this
constexpr std::uint64_t sealed_ms = 1'000;  // longer than the held work needs to be done
// A waiter of our own goes first unless somebody on another worker has waited longer by this much: handing a connection
// over costs two system calls and a wake-up.
constexpr std::uint64_t fairness_us = 2'000;
constexpr std::size_t proofs_at_once_min = 1, proof_rounds = 8;

// Asked when a session gives it back: under load that never ends no connection would be idle at its end. A new one
// serves at least once, however short the lifetime.
bool is_too_old(const conf::Pool& limits, const Connection& connection, std::uint64_t now_ms) {
  const std::uint64_t lifetime_ms = own_lifetime_ms(limits, connection.id());
  return lifetime_ms != 0 && now_ms > connection.opened_ms() + lifetime_ms;
}

}  // namespace

Pool::Pool(Account& account, router::Side side, router::Access access)
    : account_(account), side_(side), access_(access) {}

Pool::~Pool() = default;

Shard& Pool::shard() const {
  return account_.shard;
}

Quota& Pool::quota() const {
  return account_.shared.quota[router::index(side_)][router::index(access_)];
}

bool Pool::is_allowed() const {
  const router::SideOrders& orders = shard().table().sides[router::index(side_)];
  return access_ == router::Access::write ? orders.may_write : orders.may_read;
}

bool Pool::may_work(const Connection& connection) const {
  return prove_since_version_ == 0 || connection.proven_version >= prove_since_version_;
}

std::uint32_t Pool::opening() const {
  return static_cast<std::uint32_t>(std::count_if(connections_.begin(), connections_.end(), [](const auto& connection) {
    return connection->state() < Connection::State::proving;
  }));
}

Connection* Pool::find(std::uint64_t id) const {
  for (const auto& connection : connections_)
    if (connection->id() == id) return connection.get();
  return nullptr;
}

// ---- taking and giving ---------------------------------------------------------------------------------------------

Connection* Pool::take(Client& session, std::uint64_t wanted) {
  if (waiters_.empty() && !idle_.empty()) {
    if (wanted != 0 && idle_.back()->id() != wanted) {
      const auto found =
          std::find_if(idle_.begin(), idle_.end(), [wanted](const Connection* c) { return c->id() == wanted; });
      if (found != idle_.end()) std::rotate(found, found + 1, idle_.end());
    }
    Connection* const connection = idle_.back();
    idle_.pop_back();
    connection->lease_to(session);
    return connection;
  }
  waiters_.push_back(&session);
  shard().numbers.waiting.add();
  open_for_waiters();
  publish_waiting();
  shard().worker.loop.tick_within(sweep_ms);
  return nullptr;
}

Connection* Pool::take_spare(Client& session) {
  if (!idle_.empty()) {
    Connection* const connection = idle_.back();
    idle_.pop_back();
    connection->lease_to(session);
    return connection;
  }
  if (is_allowed() && !is_backing_off() && opening() == 0 && take_unit(size_max())) start_one();
  return nullptr;
}

void Pool::forget(Client& session) {
  const auto erased = std::erase(waiters_, &session);
  shard().numbers.waiting.subtract(erased);
  publish_waiting();
}

std::deque<Client*> Pool::take_waiters() {
  std::deque<Client*> waiters;
  waiters.swap(waiters_);
  shard().numbers.waiting.subtract(waiters.size());
  publish_waiting();
  return waiters;
}

void Pool::publish_waiting() {
  const std::uint64_t since = waiters_.empty() ? 0 : waiters_.front()->waiting_since_us();
  const std::size_t self = shard().worker.index;
  quota().set_waiting(self, since);
  if (waiters_.size() != 1 || shard().worker.peers() == 1) return;
  // Somebody begins to wait here: an idle connection of another worker shall come over.
  SharedAccount* const shared = &account_.shared;
  const DeploymentIndex deployment = shard().deployment.index;
  for (std::size_t i = 0; i < shard().worker.peers(); ++i) {
    if (i == self) continue;
    Worker& peer = shard().worker.peer(i);
    peer.loop.post([&peer, shared, deployment, side = side_, access = access_, self] {
      peer.shard(deployment).account(*shared).pool(side, access).lend_to_peer(self);
    });
  }
}

void Pool::lend_to_peer(std::size_t worker) {
  if (!waiters_.empty() || idle_.empty()) return;
  Connection* const connection = idle_.front();
  idle_.erase(idle_.begin());
  migrate(*connection, worker);
}

// Of a connection that has become idle without having been a session's: who waits elsewhere has asked when it was not
// there yet. Later: it may still be at work here, and it moves to another thread.
void Pool::lend_if_wanted() {
  if (idle_.empty() || !waiters_.empty()) return;
  std::size_t worker = 0;
  std::uint64_t since_us = 0;
  if (!quota().oldest_elsewhere(shard().worker.index, worker, since_us)) return;
  shard().worker.loop.post([this, worker] { lend_to_peer(worker); });
}

std::unique_ptr<Connection> Pool::release(Connection& connection) {
  std::erase(idle_, &connection);
  std::erase(sealed_, &connection);
  const auto at = std::find_if(connections_.begin(), connections_.end(),
                               [&](const auto& owned) { return owned.get() == &connection; });
  std::unique_ptr<Connection> owned = std::move(*at);
  *at = std::move(connections_.back());
  connections_.pop_back();
  publish_numbers();
  return owned;
}

void Pool::migrate(Connection& connection, std::size_t worker) {
  connection.detach_from_loop();
  // std::function copies its target, hence the shared wrapper around something that is owned once.
  auto parcel = std::make_shared<std::unique_ptr<Connection>>(release(connection));
  Worker& peer = shard().worker.peer(worker);
  SharedAccount* const shared = &account_.shared;
  const DeploymentIndex deployment = shard().deployment.index;
  peer.loop.post([&peer, parcel, shared, deployment, side = side_, access = access_] {
    peer.shard(deployment).account(*shared).pool(side, access).adopt(std::move(*parcel));
  });
}

void Pool::adopt(std::unique_ptr<Connection> connection) {
  Connection& adopted = *connection;
  connections_.push_back(std::move(connection));
  adopted.attach_to_pool(*this);
  adopted.is_retired = is_retired(adopted);
  publish_numbers();
  make_idle(adopted);
  lend_if_wanted();
}

void Pool::give_back(Connection& connection) {
  connection.end_lease();
  if (connection.cancels_in_flight != 0) return;  // a late cancel must not hit the next session: see cancel_finished
  // Now, not at its next use: what its former session has locked would keep others waiting until then.
  if (connection.suspect && connection.last_session == 0)
    connection.clean();
  else
    pass_on(connection);
}

void Pool::cleaned(Connection& connection) {
  // Later: passing it on may move it to another thread, and it is still at work here.
  shard().worker.loop.post([this, id = connection.id()] {
    Connection* const cleaned = find(id);
    if (cleaned == nullptr || cleaned->state() != Connection::State::cleaning) return;
    cleaned->become_idle();
    if (cleaned->cancels_in_flight == 0) pass_on(*cleaned);
  });
}

void Pool::pass_on(Connection& connection) {
  const bool may_end = warm_target_ == 0 && shard().table().hold == router::Hold::nothing;
  if (may_end && is_too_old(shard().settings->conf.pool, connection, shard().worker.loop.now_ms())) {
    remove(connection);
    return;
  }
  std::size_t worker = 0;
  std::uint64_t since_us = 0;
  if (is_allowed() && !connection.is_retired && quota().oldest_elsewhere(shard().worker.index, worker, since_us)) {
    const bool ours_first = !waiters_.empty() && waiters_.front()->waiting_since_us() <= since_us + fairness_us;
    if (!ours_first) {
      migrate(connection, worker);
      return;
    }
  }
  make_idle(connection);
}

// Of one that is still at work, reading: who gets it may be through with it at once, and then it may move to another
// thread or be closed.
void Pool::make_idle_later(Connection& connection) {
  connection.become_idle();
  shard().worker.loop.post([this, id = connection.id()] {
    Connection* const ready = find(id);
    if (ready == nullptr || ready->state() != Connection::State::idle) return;
    if (std::find(idle_.begin(), idle_.end(), ready) != idle_.end() || is_sealed(*ready)) return;
    make_idle(*ready);
    prove_idle();
    lend_if_wanted();
    if (!waiters_.empty()) open_for_waiters();  // one more may be on its way now
  });
}

void Pool::make_idle(Connection& connection) {
  if (!is_allowed() || connection.is_retired) {
    remove(connection);
    return;
  }
  connection.become_idle();
  if (!may_work(connection)) {
    prove_idle();
    publish_numbers();
    return;
  }
  if (shard().must_give_way(*this)) {
    give_way(connection);
    shard().room_was_made();
    return;
  }
  idle_.push_back(&connection);
  serve_waiters();
}

void Pool::serve_waiters() {
  bool served = false;
  while (!waiters_.empty() && !idle_.empty()) {
    Client* const session = waiters_.front();
    Connection* const connection = idle_.back();
    waiters_.pop_front();
    idle_.pop_back();
    shard().numbers.waiting.subtract();
    connection->lease_to(*session);
    session->served(*connection);
    served = true;
  }
  if (served) publish_waiting();
}

void Pool::remove(Connection& connection) {
  std::unique_ptr<Connection> owned = release(connection);
  std::optional<Abandoned> abandoned = owned->abandoned();
  Transport leaving = owned->take_leave();
  // At an address that the side has left there is another server, or none: it does not count here any more.
  if (leaving.is_open() && !owned->is_retired) {
    ++closing_;
    shard().add_farewell(
        std::make_unique<Farewell>(shard(), std::move(leaving), std::move(abandoned), [this] { farewell_over(); }));
  } else {
    give_unit();
  }
  shard().worker.loop.bury(std::move(owned));
  if (!waiters_.empty()) open_for_waiters();
}

void Pool::farewell_over() {
  --closing_;
  give_unit();
  if (!waiters_.empty()) open_for_waiters();
}

// ---- heard from connections ----------------------------------------------------------------------------------------

void Pool::proof_answered(Connection& connection, bool writable) {
  if (writable) {
    connection.proven_version = shard().table().version;
    make_idle_later(connection);
  } else {
    connection.become_idle();  // asked again by the sweep
    prove_again_ms_ = shard().worker.loop.now_ms() + 1;
    shard().worker.loop.tick_soon();
    const bool keeps_default = shard().table().sides[router::index(side_)].keeps_default;
    if (keeps_default && connection.opened_version < prove_since_version_) replace_later(connection);
  }
  publish_numbers();
}

// It began under a default that has gone, and has it for life. Later: it is still at work here, reading.
void Pool::replace_later(Connection& connection) {
  shard().worker.loop.post([this, id = connection.id()] {
    Connection* const old = find(id);
    if (old == nullptr || old->state() != Connection::State::idle || may_work(*old)) return;
    remove(*old);
    if (waiters_.empty() && is_allowed() && !is_backing_off() && may_open_one_more() && take_unit(size_max()))
      start_one();
  });
}

void Pool::proved(Connection& connection) {
  connection.proven_version = shard().table().version;
  publish_numbers();
}

void Pool::set_parked(Connection& connection, bool is_parked) {
  connection.is_parked = is_parked;
  publish_numbers();
}

void Pool::cancel_finished(std::uint64_t connection_id, bool is_certain) {
  Connection* const connection = find(connection_id);
  if (connection == nullptr || connection->cancels_in_flight == 0) return;
  --connection->cancels_in_flight;
  if (!is_certain) connection->is_retired = true;
  if (connection->cancels_in_flight != 0 || connection->state() != Connection::State::idle) return;
  if (connection->suspect && connection->last_session == 0 && !connection->is_retired)
    connection->clean();
  else
    pass_on(*connection);
}

// ---- orders and time -----------------------------------------------------------------------------------------------

void Pool::apply_orders() {
  const router::SideOrders& orders = shard().table().sides[router::index(side_)];
  if (access_ == router::Access::write && orders.prove_writable) {
    if (prove_since_version_ == 0) prove_since_version_ = shard().table().version;
  } else {
    prove_since_version_ = 0;
  }
  if (is_allowed())
    unseal();
  else
    seal_idle();
  warm();
  prove_idle();
  publish_numbers();
}

bool Pool::is_retired(const Connection& connection) const {
  const auto& addresses = *shard().addresses[router::index(side_)];
  return std::find(addresses.begin(), addresses.end(), connection.address()) == addresses.end();
}

void Pool::addresses_changed() {
  for (const auto& connection : connections_) connection->is_retired = is_retired(*connection);
  if (shard().table().hold != router::Hold::nothing) return;  // the sweep does it when the hold is over
  const std::vector<Connection*> idle = idle_;
  for (Connection* connection : idle)
    if (connection->is_retired) remove(*connection);
}

// A backend that exits costs its server some milliseconds of CPU, and a window closes a whole pool of them. So they
// stay open, with nothing owed on them and nothing ever sent, until the hold is over; then they go one by one.
void Pool::seal_idle() {
  if (idle_.empty()) return;
  sealed_.insert(sealed_.end(), idle_.begin(), idle_.end());
  idle_.clear();
  sealed_at_ms_ = shard().worker.loop.now_ms();
}

void Pool::unseal() {
  const std::vector<Connection*> back = std::exchange(sealed_, {});
  for (Connection* connection : back) make_idle(*connection);
}

bool Pool::is_sealed(const Connection& connection) const {
  return connection.is_parked || std::find(sealed_.begin(), sealed_.end(), &connection) != sealed_.end();
}

void Pool::warm() {
  const router::SideOrders& orders = shard().table().sides[router::index(side_)];
  const bool wanted = access_ == router::Access::write ? orders.warm : orders.warm_reads;
  warm_target_ = 0;
  if (!wanted || account_.sessions == 0) return;
  const auto writers = account_.pool(shard().table().writer, router::Access::write).connections().size();
  const auto fair_share = std::max<std::size_t>(1, size_max() / shard().worker.peers());
  // Reads alone need fewer than reads and writes did.
  const auto needed = access_ == router::Access::write ? writers : (writers + 1) / 2;
  warm_target_ = static_cast<std::uint32_t>(std::clamp<std::size_t>(needed, 1, fair_share));
  while (connections_.size() < warm_target_ && !is_backing_off() && may_warm_one_more()) {
    if (!take_unit(size_max())) {
      // The other workers have them all, and lend them: no more will come.
      warm_target_ = static_cast<std::uint32_t>(connections_.size());
      break;
    }
    start_one();
  }
}

// A backend that starts takes its server some milliseconds of CPU; all of them at once would be felt by those who work.
// Before a hold there is time. In one there is none.
bool Pool::may_warm_one_more() const {
  constexpr std::uint32_t rounds = 16;
  const bool has_time = is_warming() && shard().table().hold == router::Hold::nothing;
  return !has_time || opening() < std::max(1U, warm_target_ / rounds);
}

// A few at a time, so that those who wait longest get the first and all are not at work at one instant: the first
// command behind a reload makes a backend read its whole configuration.
void Pool::prove_idle() {
  if (prove_since_version_ == 0 || !is_allowed() || shard().worker.loop.now_ms() < prove_again_ms_) return;
  std::erase_if(idle_, [this](Connection* connection) { return !may_work(*connection); });
  std::vector<Connection*> unproven;
  std::size_t asked = 0;
  for (const auto& connection : connections_) {
    if (connection->state() == Connection::State::proving) ++asked;
    if (connection->state() == Connection::State::idle && !may_work(*connection) && connection->cancels_in_flight == 0)
      unproven.push_back(connection.get());
  }
  std::ranges::sort(unproven, {}, &Connection::proof_asked);
  const std::size_t asked_max = std::max(proofs_at_once_min, (asked + unproven.size()) / proof_rounds);
  for (Connection* connection : unproven) {
    if (asked++ >= asked_max) break;
    connection->proof_asked = ++proofs_asked_;
    connection->prove();
  }
  serve_waiters();
}

void Pool::sweep() {
  const std::uint64_t now_ms = shard().worker.loop.now_ms();
  const bool may_close_sealed = shard().table().hold == router::Hold::nothing && now_ms - sealed_at_ms_ > sealed_ms;
  if (!sealed_.empty() && may_close_sealed) remove(*sealed_.back());
  const conf::Pool& limits = shard().settings->conf.pool;
  for (std::size_t i = 0; i < connections_.size();) {
    Connection& connection = *connections_[i];
    const bool is_opening = connection.state() < Connection::State::proving;
    if (is_opening && now_ms - connection.opened_ms() > limits.connect_ms_max) {
      login_failed(connection, {"08001", "the server did not complete a login within pool.connect_timeout", {}});
      continue;
    }
    if (is_opening) {
      connection.hurry(now_ms, limits.connect_ms_max);
      if (i >= connections_.size() || connections_[i].get() != &connection) continue;
    }
    const bool is_idle = std::find(idle_.begin(), idle_.end(), &connection) != idle_.end();
    if (is_idle && is_done_with(connection, now_ms)) {
      remove(connection);
      continue;
    }
    ++i;
  }
  sweep_waiters(now_ms);
  open_what_is_wanted();
  if (warm_target_ != 0) warm();
  prove_idle();
  publish_numbers();
}

bool Pool::is_done_with(const Connection& connection, std::uint64_t now_ms) const {
  if (connection.is_retired) return shard().table().hold == router::Hold::nothing;
  const auto since = [now_ms](std::uint64_t then_ms) { return now_ms - std::min(now_ms, then_ms); };
  return should_close(shard().settings->conf.pool,
                      {connection.id(), since(connection.opened_ms()), since(connection.idle_since_ms()),
                       quota().open(), keep_min(), warm_target_ != 0});
}

// Whoever waited in vain hears why: the server's own error when that is what kept them waiting.
void Pool::sweep_waiters(std::uint64_t now_ms) {
  for (Client* session : std::vector<Client*>(waiters_.begin(), waiters_.end())) {
    const std::uint64_t waited_ms = now_ms - session->waiting_since_us() / 1000;
    if (waited_ms <= shard().settings->conf.pool.wait_ms_max) continue;
    forget(*session);
    const bool was_just_refused = opening() != 0 || now_ms < retry_at_ms_ + recent_ms;
    const bool is_failing = was_just_refused && !last_failure_.sqlstate.empty();
    session->wait_failed(is_failing
                             ? last_failure_
                             : LoginFailure{"53300", "no server connection became free within pool.wait_timeout", {}});
  }
}

bool Pool::needs_tick_soon() const {
  return !waiters_.empty() || opening() != 0 || is_proving() || wants_more();
}

void Pool::publish_numbers() {
  WorkerNumbers::Side& numbers = shard().numbers.side[router::index(side_)];
  std::uint64_t open = connections_.size() - sealed_.size();
  std::uint64_t ready = 0;
  std::uint64_t unproven = 0;
  for (const auto& connection : connections_) {
    if (connection->is_parked) --open;
    if (connection->state() < Connection::State::proving || is_sealed(*connection)) continue;
    ++ready;
    if (!may_work(*connection)) ++unproven;
  }
  const std::uint64_t warming = warm_target_ > ready ? warm_target_ - ready : 0;
  Number& connections = access_ == router::Access::write ? numbers.write_connections : numbers.read_connections;
  connections.set(connections.get() + open - published_connections_);
  numbers.unproven.set(numbers.unproven.get() + unproven - published_unproven_);
  numbers.warming.set(numbers.warming.get() + warming - published_warming_);
  published_connections_ = open;
  published_unproven_ = unproven;
  published_warming_ = warming;
}

}  // namespace turnout::proxy
