#include "proxy/shard.h"

#include <algorithm>

#include "protocol/pg/notification.h"
#include "proxy/channel_hub.h"
#include "proxy/greeting.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

Account::Account(Shard& owner, SharedAccount& shared_account)
    : shared(shared_account),
      shard(owner),
      ramp_policy(owner.settings->conf.ramp.own_policy(shared_account.database, shared_account.user)),
      default_search_path(protocol::pg::quote_identifier(shared_account.user) + ", public") {
  for (const router::Side side : {router::Side::blue, router::Side::green})
    for (const router::Access access : {router::Access::write, router::Access::read})
      pools_[router::index(side)][router::index(access)] = std::make_unique<Pool>(*this, side, access);
}

Account::~Account() = default;

ChannelHub& Account::hub() {
  if (!hub_) hub_ = std::make_unique<ChannelHub>(*this);
  return *hub_;
}

Shard::Shard(Worker& its_worker, Deployment& its_deployment)
    : worker(its_worker),
      deployment(its_deployment),
      numbers(its_deployment.numbers[its_worker.index]),
      settings(its_deployment.settings()),
      catalog(its_deployment.catalog()),
      verdicts(its_deployment.seed),
      table_(its_deployment.table()) {}

Shard::~Shard() = default;

Account& Shard::account(SharedAccount& shared) {
  auto& account = accounts_[&shared];
  if (!account) account = std::make_unique<Account>(*this, shared);
  return *account;
}

// ---- orders
// ----------------------------------------------------------------------------------------------------------

void Shard::apply_table(router::RoutingTablePtr table) {
  if (table_ && table->version <= table_->version) return;
  table_ = std::move(table);
  numbers.hold_overflow.set(0);
  if (table_->ramp.percent == 0) reads.forget();
  std::vector<Session*> active;
  for (const auto& [number, session] : sessions_)
    if (session->state() == Session::State::active) active.push_back(session.get());
  for (Session* session : active) session->table_changed();
  for (const auto& [shared, account] : accounts_)
    for (const auto& side : account->pools())
      for (const auto& pool : side) pool->apply_orders();
  for (const auto& [shared, account] : accounts_)
    if (account->known_hub()) account->known_hub()->apply_orders();
  reconsider_waiters();
  release_held();
  // Last, with release: whoever sees the version sees levels that are at least as new.
  numbers.version.store(table_->version, std::memory_order_release);
  worker.loop.tick_soon();
}

void Shard::reconsider_waiters() {
  for (const auto& [shared, account] : accounts_)
    for (const auto& side : account->pools())
      for (const auto& pool : side)
        for (Session* session : pool->take_waiters()) session->reconsider();
}

void Shard::apply_settings(SettingsPtr new_settings) {
  settings = std::move(new_settings);
  for (const auto& [shared, account] : accounts_)
    account->ramp_policy = settings->conf.ramp.own_policy(shared->database, shared->user);
}

// ---- the hold
// --------------------------------------------------------------------------------------------------------

void Shard::hold(Session& session, std::size_t bytes) {
  held_.push_back(&session);
  numbers.held_sessions.set(held_.size());
  numbers.held_bytes.add(bytes);
  const conf::Hold& limits = settings->conf.hold;
  const bool too_many = held_.size() > limits.sessions_max / worker.peers();
  // Clients are back-pressured, never evicted: on overflow the window ends instead.
  if (too_many || numbers.held_bytes.get() > limits.bytes_max / worker.peers()) numbers.hold_overflow.set(1);
}

void Shard::unhold(Session& session) {
  std::erase(held_, &session);
  numbers.held_sessions.set(held_.size());
  if (held_.empty()) numbers.held_bytes.set(0);
}

// Oldest first, a few a millisecond: the new writer must not see a herd.
void Shard::release_held() {
  std::size_t budget = held_.size();
  if (table_->hold == router::Hold::nothing) budget = std::min<std::size_t>(budget, settings->conf.hold.release_per_ms);
  for (; budget != 0 && !held_.empty(); --budget) {
    Session* const session = held_.front();
    held_.pop_front();
    session->reconsider();  // a table that still holds it puts it at the back, in the same order
  }
  numbers.held_sessions.set(held_.size());
  if (held_.empty()) numbers.held_bytes.set(0);
}

void Shard::lease_began(const Pool& pool) {
  WorkerNumbers::Side& side = numbers.side[router::index(pool.side())];
  (pool.access() == router::Access::write ? side.writes_in_flight : side.reads_in_flight).add();
}

void Shard::lease_ended(const Pool& pool) {
  WorkerNumbers::Side& side = numbers.side[router::index(pool.side())];
  (pool.access() == router::Access::write ? side.writes_in_flight : side.reads_in_flight).subtract();
}

// ---- logins and sessions
// ---------------------------------------------------------------------------------------------

void Shard::add_greeting(std::unique_ptr<Greeting> greeting) {
  greetings_.push_back(std::move(greeting));
  greetings_.back()->begin();
}

void Shard::remove_greeting(Greeting& greeting) {
  const auto at =
      std::find_if(greetings_.begin(), greetings_.end(), [&](const auto& g) { return g.get() == &greeting; });
  worker.loop.bury(std::move(*at));
  greetings_.erase(at);
}

Session& Shard::add_session(std::unique_ptr<Session> session) {
  Session& added = *session;
  sessions_.emplace(added.number(), std::move(session));
  numbers.clients.set(sessions_.size());
  if (stopping_)
    worker.loop.post([this, number = added.number()] {
      if (Session* const found = find_session(number)) found->end_at_safe_point();
    });
  return added;
}

void Shard::remove_session(Session& session) {
  const auto at = sessions_.find(session.number());
  worker.loop.bury(std::move(at->second));
  sessions_.erase(at);
  numbers.clients.set(sessions_.size());
  deployment.clients.fetch_sub(1, std::memory_order_relaxed);
}

Session* Shard::find_session(std::uint32_t number) const {
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void Shard::drain_for_stop() {
  stopping_ = true;
  std::vector<Session*> all;
  for (const auto& [number, session] : sessions_) all.push_back(session.get());
  for (Session* session : all) session->end_at_safe_point();
}

// ---- time
// ------------------------------------------------------------------------------------------------------------

std::uint32_t Shard::tick() {
  if (!table_) return 100;
  if (table_->hold == router::Hold::nothing && !held_.empty()) release_held();
  const std::uint64_t now_ms = worker.loop.now_ms();
  bool soon = false;
  bool proving = false;
  for (const auto& [shared, account] : accounts_) {
    if (account->known_hub() && account->known_hub()->sweep()) soon = true;
    for (const auto& side : account->pools()) {
      for (const auto& pool : side) {
        if (pool->connections().empty() && pool->waiters().empty()) continue;
        if (pool->needs_tick_soon() || now_ms - swept_ms_ >= 1000) pool->sweep();
        soon = soon || pool->needs_tick_soon();
        proving = proving || pool->is_proving();
      }
    }
  }
  std::vector<Greeting*> late;
  for (const auto& greeting : greetings_)
    if (now_ms - greeting->began_ms() > settings->conf.limits.login_ms_max) late.push_back(greeting.get());
  for (Greeting* greeting : late) greeting->time_out();
  if (now_ms - swept_ms_ >= 1000) {
    swept_ms_ = now_ms;
    const conf::Limits& limits = settings->conf.limits;
    if (limits.idle_in_transaction_ms_max != 0 || limits.client_idle_ms_max != 0) {
      std::vector<Session*> all;
      for (const auto& [number, session] : sessions_) all.push_back(session.get());
      for (Session* session : all) session->check_deadlines(now_ms);
    }
  }
  if (proving || (table_->hold == router::Hold::nothing && !held_.empty())) return 1;
  return soon || !greetings_.empty() ? 50 : 500;
}

}  // namespace turnout::proxy
