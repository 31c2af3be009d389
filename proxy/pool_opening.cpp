// Opening server connections: when, how many, within which limits, and what a failure means for those who wait.
#include <algorithm>

#include "proxy/arrival.h"
#include "proxy/client.h"
#include "proxy/pool.h"
#include "proxy/protocols.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace {

constexpr std::uint64_t retry_ms = 200;
constexpr std::uint64_t claim_every_ms = 50;
constexpr std::uint64_t claim_lasts_ms = 120;
constexpr std::uint64_t claim_after_ms = 100;

}  // namespace

bool LoginFailure::is_transient() const {
  return is_soon_over || sqlstate.starts_with("08") || sqlstate == "57P03" || sqlstate == "53300" ||
         sqlstate == "57P01";
}

// ---- units of the limits -------------------------------------------------------------------------------------------

std::uint32_t Pool::size_max() const {
  const std::uint64_t now_us = shard().worker.loop.now_us();
  const std::uint64_t since_us = waiters_.empty() ? now_us : waiters_.front()->waiting_since_us();
  return size_now(shard().settings->conf.pool, (now_us - std::min(now_us, since_us)) / 1000);
}

bool Pool::take_unit(std::uint32_t size) {
  hit_ = SharedLimit::none;
  if (!quota().try_take(size)) return false;
  hit_ = account_.shared.take_shared(side_, shard().settings->conf.limits);
  if (hit_ == SharedLimit::none) return true;
  quota().give();
  if (!waiters_.empty() || wants_welcome_) ask_for_room();
  return false;
}

void Pool::give_unit() {
  account_.shared.give_shared(side_);
  quota().give();
}

// Other pools have all that the limit allows: whoever idles there, or gets free next, gives way.
void Pool::ask_for_room() {
  const std::uint64_t now_ms = shard().worker.loop.now_ms();
  if (now_ms < asked_for_room_ms_ + claim_every_ms) return;
  const std::uint64_t waited_ms = waiters_.empty() ? 0 : now_ms - waiters_.front()->waiting_since_us() / 1000;
  if (quota().open() != 0 && waited_ms < claim_after_ms) return;  // one of its own may get free sooner
  asked_for_room_ms_ = now_ms;
  const RoomClaim claim{hit_,
                        side_,
                        access_,
                        account_.shared.user,
                        account_.shared.database,
                        waiters_.empty() ? shard().worker.loop.now_us() : waiters_.front()->waiting_since_us(),
                        now_ms + claim_lasts_ms};
  const DeploymentIndex deployment = shard().deployment.index;
  for (std::size_t i = 0; i < shard().worker.peers(); ++i) {
    Worker& peer = shard().worker.peer(i);
    peer.loop.post([&peer, deployment, claim] { peer.shard(deployment).make_room(claim); });
  }
}

Connection* Pool::longest_idle() const {
  return idle_.empty() ? nullptr : idle_.front();
}

void Pool::give_way(Connection& connection) {
  shard().numbers.server_evictions.add();
  remove(connection);
}

// ---- opening -------------------------------------------------------------------------------------------------------

bool Pool::may_open_one_more() const {
  return opening() < opening_share(shard().settings->conf.pool, shard().worker.peers());
}

void Pool::open_for_waiters() {
  if (!is_allowed() || is_backing_off() || shard().must_give_way(*this)) return;
  while (opening() < waiters_.size() && may_open_one_more() && take_unit(size_max())) {
    start_one();
    if (is_backing_off()) return;  // it failed at once
  }
}

bool Pool::is_backing_off() const {
  return shard().worker.loop.now_ms() < retry_at_ms_;
}

void Pool::open_one_if_allowed() {
  wants_welcome_ = true;
  if (is_allowed() && !is_backing_off() && opening() == 0 && take_unit(size_max())) start_one();
  shard().worker.loop.tick_within(claim_every_ms);
}

// Of the writer: what a client that comes in a quiet hour finds ready.
std::uint32_t Pool::keep_min() const {
  const bool is_writer = access_ == router::Access::write && side_ == shard().table().writer;
  return is_writer && account_.sessions != 0 ? shard().settings->conf.pool.size_min : 0;
}

bool Pool::wants_more() const {
  return wants_welcome_ || quota().open() < keep_min() || warm_target_ > connections_.size();
}

void Pool::open_what_is_wanted() {
  open_for_waiters();
  if (wants_welcome_) {
    wants_welcome_ = !account_.greetings.empty();
    if (wants_welcome_) open_one_if_allowed();
  }
  if (shard().table().hold != router::Hold::nothing || !is_allowed()) return;
  while (quota().open() < keep_min() && !is_backing_off() && may_open_one_more() && take_unit(keep_min())) start_one();
}

void Pool::start_one() {
  add_one().open();
}

Connection& Pool::add_one() {
  connections_.push_back(make_connection(*this));
  Connection& connection = *connections_.back();
  connection.opened_version = shard().table().version;
  publish_numbers();
  return connection;
}

Connection* Pool::add_one_if_allowed() {
  return is_allowed() && !is_backing_off() && take_unit(size_max()) ? &add_one() : nullptr;
}

void Pool::logged_in(Connection& connection) {
  retry_at_ms_ = 0;
  wants_welcome_ = false;
  last_failure_ = {};
  shard().numbers.server_logins.add();
  // A fresh backend read the configuration as it is now, and says so (PostgreSQL 14 and later).
  if (connection.reports_writable) connection.proven_version = shard().table().version;
  account_.shared.set_welcome(side_, std::make_shared<const Welcome>(connection.reported()));
  publish_numbers();
  std::vector<Arrival*> greetings;
  greetings.swap(account_.greetings);
  make_idle_later(connection);
  if (is_warming()) warm();
  for (Arrival* greeting : greetings) greeting->welcome_known();
}

// The server's words are for those who waited for this login. Whoever comes next asks the server again.
void Pool::login_failed(Connection& connection, const LoginFailure& failure) {
  shard().numbers.server_login_failures.add();
  last_failure_ = failure;
  retry_at_ms_ = shard().worker.loop.now_ms() + retry_ms;
  remove(connection);
  std::vector<Arrival*> greetings;
  greetings.swap(account_.greetings);
  for (Arrival* greeting : greetings) greeting->welcome_failed(failure);
  if (access_ == router::Access::read) {
    // Inside a window CONNECT is revoked: the connections that are there serve, no more come. Without any, the read is
    // the writer's to answer, or to hold.
    const bool has_some = std::any_of(connections_.begin(), connections_.end(),
                                      [](const auto& other) { return other->state() >= Connection::State::proving; });
    if (has_some) return;
    for (Client* session : take_waiters()) session->read_elsewhere();
    return;
  }
  if (failure.is_transient() || shard().table().hold != router::Hold::nothing) return;
  for (Client* session : take_waiters()) session->wait_failed(failure);
}

// ---- what is said about it -----------------------------------------------------------------------------------------

std::string Pool::waits_for() const {
  if (waiters_.empty()) return {};
  const bool was_just_refused = opening() != 0 || shard().worker.loop.now_ms() < retry_at_ms_ + 5 * retry_ms;
  if (was_just_refused && !last_failure_.sqlstate.empty()) return last_failure_.sqlstate + " " + last_failure_.message;
  if (hit_ != SharedLimit::none) return name(hit_);
  return quota().open() >= size_max() ? "pool.size" : "opening";
}

}  // namespace turnout::proxy
