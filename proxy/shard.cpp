#include "proxy/shard.h"

#include <algorithm>
#include <utility>

#include "protocol/pg/notification.h"
#include "proxy/auth_query.h"
#include "proxy/channel_hub.h"
#include "proxy/greeting.h"
#include "proxy/mysql/password_trials.h"
#include "proxy/replication.h"
#include "proxy/session.h"
#include "proxy/shadow_runner.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace {

constexpr std::uint64_t releasing_ms_min = 20, releasing_ms_max = 1'000;
constexpr std::uint32_t releasing_tick_ms = 5;

}  // namespace

Account::Account(Shard& owner, SharedAccount& shared_account)
    : shared(shared_account),
      shard(owner),
      ramp_policy(owner.settings->conf.ramp.own_policy(shared_account.database, shared_account.user)),
      default_search_path(protocol::pg::quote_identifier(shared_account.user) + ", public"),
      types(owner.deployment.types()->of(shared_account.database)) {
  for (const router::Side side : {router::Side::blue, router::Side::green})
    for (const router::Access access : {router::Access::write, router::Access::read})
      pools_[router::index(side)][router::index(access)] = std::make_unique<Pool>(*this, side, access);
}

// One by one from a list: each of them may end.
template <typename Do>
void Shard::for_each_replication(Do what) {
  std::vector<Replication*> all;
  for (const auto& [number, replication] : replications_) all.push_back(replication.get());
  for (Replication* replication : all) what(*replication);
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
      addresses{its_deployment.addresses(router::Side::blue), its_deployment.addresses(router::Side::green)},
      catalog(its_deployment.catalog()),
      verdicts(its_deployment.seed, router::VerdictCache::capacity_default, its_deployment.grammar()),
      reads(its_deployment.grammar()),
      table_(its_deployment.table()) {}

Shard::~Shard() {
  shadow.reset();  // its lanes belong to accounts
}

Account& Shard::account(SharedAccount& shared) {
  auto& account = accounts_[&shared];
  if (!account) account = std::make_unique<Account>(*this, shared);
  return *account;
}

// ---- orders --------------------------------------------------------------------------------------------------------

void Shard::apply_table(router::RoutingTablePtr table) {
  if (table_ && table->version <= table_->version) return;
  const bool was_holding = table_ && table_->hold == router::Hold::writes;
  table_ = std::move(table);
  begin_release(was_holding);
  numbers.hold_overflow.set(0);
  if (table_->ramp.percent == 0) reads.forget();
  apply_shadow();
  std::vector<Client*> active;
  for (const auto& [number, session] : sessions_)
    if (session->state() == Client::State::active) active.push_back(session.get());
  for (Client* session : active) session->table_changed();
  for (const auto& [shared, account] : accounts_)
    for (const auto& side : account->pools())
      for (const auto& pool : side) pool->apply_orders();
  for (const auto& [shared, account] : accounts_)
    if (account->known_hub()) account->known_hub()->apply_orders();
  reconsider_waiters();
  release_held();
  for_each_replication([](Replication& replication) { replication.table_changed(); });
  // Last, with release: whoever sees the version sees levels that are at least as new.
  numbers.version.store(table_->version, std::memory_order_release);
  worker.loop.tick_soon();
}

// Off: all of it goes. On, but something is held: it stands still, without connections.
void Shard::apply_shadow() {
  if (table_->shadow.percent == 0) {
    shadow.reset();
  } else if (!shadow) {
    shadow = std::make_unique<ShadowRunner>(*this);
  } else if (!router::casts_shadow(*table_)) {
    shadow->interrupt();
  }
}

void Shard::reconsider_waiters() {
  for (const auto& [shared, account] : accounts_)
    for (const auto& side : account->pools())
      for (const auto& pool : side)
        for (Client* session : pool->take_waiters()) session->reconsider();
}

void Shard::apply_types(const TypeMapsPtr& types) {
  for (const auto& [shared, account] : accounts_) account->types = types->of(shared->database);
  for (const auto& [number, session] : sessions_) session->types_changed();
}

void Shard::apply_settings(SettingsPtr new_settings) {
  settings = std::move(new_settings);
  for (const auto& [shared, account] : accounts_)
    account->ramp_policy = settings->conf.ramp.own_policy(shared->database, shared->user);
  if (auth_query_) auth_query_->settings_changed();
}

// ---- replication clients -------------------------------------------------------------------------------------------

Replication& Shard::add_replication(std::unique_ptr<Replication> replication) {
  Replication& added = *replication;
  replications_.emplace(added.number(), std::move(replication));
  return added;
}

void Shard::remove_replication(Replication& replication) {
  const auto at = replications_.find(replication.number());
  worker.loop.bury(std::move(at->second));
  replications_.erase(at);
  deployment.replications.fetch_sub(1, std::memory_order_relaxed);
  deployment.clients.fetch_sub(1, std::memory_order_relaxed);
}

void Shard::continue_replication(std::uint32_t number) {
  worker.loop.post([this, number] {
    if (Replication* const found = find_replication(number)) found->on_events(EPOLLIN);
  });
}

Replication* Shard::find_replication(std::uint32_t number) const {
  const auto found = replications_.find(number);
  return found == replications_.end() ? nullptr : found->second.get();
}

void Shard::apply_addresses(router::Side side, AddressesPtr new_addresses) {
  addresses[router::index(side)] = std::move(new_addresses);
  first_address[router::index(side)] = 0;
  for (const auto& [shared, account] : accounts_)
    for (const auto& pool : account->pools()[router::index(side)]) pool->addresses_changed();
}

// ---- the hold ------------------------------------------------------------------------------------------------------

void Shard::hold(Client& session, std::size_t bytes) {
  held_.push_back(&session);
  numbers.held_sessions.set(held_.size());
  numbers.held_bytes.add(bytes);
  const conf::Hold& limits = settings->conf.hold;
  const bool too_many = held_.size() > limits.sessions_max / worker.peers();
  // Clients are back-pressured, never evicted: on overflow the window ends instead.
  if (too_many || numbers.held_bytes.get() > limits.bytes_max / worker.peers()) numbers.hold_overflow.set(1);
}

void Shard::unhold(Client& session) {
  std::erase(held_, &session);
  numbers.held_sessions.set(held_.size());
  if (held_.empty()) numbers.held_bytes.set(0);
}

void Shard::begin_release(bool was_holding) {
  const bool is_over = table_->hold == router::Hold::nothing;
  if (is_over && !was_holding) return;
  releasing_until_ms_ = is_over ? worker.loop.now_ms() + releasing_ms_max : 0;
  count_as_releasing(is_over);
}

void Shard::count_as_releasing(bool counts) {
  if (std::exchange(counts_as_releasing_, counts) == counts) return;
  if (counts)
    deployment.releasing_workers.fetch_add(1, std::memory_order_relaxed);
  else
    deployment.releasing_workers.fetch_sub(1, std::memory_order_relaxed);
}

void Shard::continue_release(bool is_at_work) {
  const std::uint64_t now_ms = worker.loop.now_ms();
  const bool is_late = now_ms >= releasing_until_ms_;
  if (is_at_work || is_late) count_as_releasing(false);
  // Not at once: another worker may not have seen the table yet.
  const bool all_are_at_work = deployment.releasing_workers.load(std::memory_order_relaxed) == 0 &&
                               now_ms + releasing_ms_max >= releasing_until_ms_ + releasing_ms_min;
  if (all_are_at_work || is_late) releasing_until_ms_ = 0;
}

// Oldest first, a few a millisecond: the new writer must not see a herd.
void Shard::release_held() {
  std::size_t budget = held_.size();
  if (table_->hold == router::Hold::nothing) budget = std::min<std::size_t>(budget, settings->conf.hold.release_per_ms);
  for (; budget != 0 && !held_.empty(); --budget) {
    Client* const session = held_.front();
    held_.pop_front();
    session->reconsider();  // a table that still holds it puts it at the back, in the same order
  }
  numbers.held_sessions.set(held_.size());
  if (held_.empty()) numbers.held_bytes.set(0);
}

void Shard::watch_locks(const Session& session) {
  lock_movers_.insert(session.number());
  worker.loop.tick_soon();
}

void Shard::move_locks(std::uint64_t now_ms) {
  const std::vector<std::uint32_t> numbers_now(lock_movers_.begin(), lock_movers_.end());
  for (const std::uint32_t number : numbers_now) {
    Session* const session = find_session(number);
    if (session == nullptr || !session->continue_locks(now_ms)) lock_movers_.erase(number);
  }
}

void Shard::lease_began(const Pool& pool) {
  WorkerNumbers::Side& side = numbers.side[router::index(pool.side())];
  (pool.access() == router::Access::write ? side.writes_in_flight : side.reads_in_flight).add();
}

void Shard::lease_ended(const Pool& pool) {
  WorkerNumbers::Side& side = numbers.side[router::index(pool.side())];
  (pool.access() == router::Access::write ? side.writes_in_flight : side.reads_in_flight).subtract();
}

// ---- connections that pools share a limit of -----------------------------------------------------------------------

bool Shard::must_give_way(const Pool& pool) const {
  if (claim_.limit == SharedLimit::none) return false;
  const PoolName name{pool.side(), pool.access(), pool.account().shared.user, pool.account().shared.database};
  const std::uint64_t since_us = pool.waiters().empty() ? 0 : pool.waiters().front()->waiting_since_us();
  return gives_way(claim_, name, since_us, worker.loop.now_ms());
}

void Shard::make_room(const RoomClaim& claim) {
  // First come, first served: a claim that began earlier stays, as long as it is renewed.
  const bool is_over = claim_.limit == SharedLimit::none || claim_.until_ms < worker.loop.now_ms();
  if (!is_over && claim_.since_us < claim.since_us) return;
  claim_ = claim;
  if (shadow && shadow->give_way(claim)) {
    room_was_made();
    return;
  }
  Connection* longest = nullptr;
  for (const auto& [shared, account] : accounts_) {
    for (const auto& pool : account->pools()[router::index(claim.side)]) {
      Connection* const idle = pool->longest_idle();
      if (idle == nullptr || !must_give_way(*pool)) continue;
      if (longest == nullptr || idle->idle_since_ms() < longest->idle_since_ms()) longest = idle;
    }
  }
  if (longest == nullptr) return;
  longest->pool().give_way(*longest);
  room_was_made();
}

void Shard::add_farewell(std::unique_ptr<Farewell> farewell) {
  farewells_.push_back(std::move(farewell));
  farewells_.back()->begin();
}

void Shard::remove_farewell(Farewell& farewell) {
  const auto at =
      std::find_if(farewells_.begin(), farewells_.end(), [&](const auto& owned) { return owned.get() == &farewell; });
  const std::function<void()> over = farewell.take_over();
  worker.loop.bury(std::move(*at));
  farewells_.erase(at);
  over();
}

// ---- cancels on their way to a server ------------------------------------------------------------------------------

void Shard::add_canceller(std::unique_ptr<Canceller> canceller) {
  cancellers_.push_back(std::move(canceller));
}

void Shard::remove_canceller(Canceller& canceller) {
  const auto at = std::find_if(cancellers_.begin(), cancellers_.end(),
                               [&](const auto& owned) { return owned.get() == &canceller; });
  worker.loop.bury(std::move(*at));
  cancellers_.erase(at);
}

Canceller* Shard::find_canceller(std::uint64_t connection_id) const {
  const auto at = std::find_if(cancellers_.begin(), cancellers_.end(),
                               [&](const auto& owned) { return owned->connection_id() == connection_id; });
  return at == cancellers_.end() ? nullptr : at->get();
}

// ---- logins and sessions -------------------------------------------------------------------------------------------

AuthQuery& Shard::auth_query() {
  if (!auth_query_) auth_query_ = std::make_unique<AuthQuery>(*this);
  return *auth_query_;
}

void Shard::forget_question(const Greeting& greeting) {
  if (auth_query_) auth_query_->forget(greeting);
}

mysql::PasswordTrials& Shard::password_trials() {
  if (!password_trials_) password_trials_ = std::make_unique<mysql::PasswordTrials>(*this);
  return *password_trials_;
}

void Shard::add_greeting(std::unique_ptr<Arrival> greeting) {
  greetings_.push_back(std::move(greeting));
  greetings_.back()->begin();
}

void Shard::remove_greeting(Arrival& greeting) {
  const auto at =
      std::find_if(greetings_.begin(), greetings_.end(), [&](const auto& g) { return g.get() == &greeting; });
  worker.loop.bury(std::move(*at));
  greetings_.erase(at);
}

void Shard::add_session(std::unique_ptr<Client> session) {
  Client& added = *session;
  sessions_.emplace(added.number(), std::move(session));
  numbers.clients.set(sessions_.size());
  if (stopping_)
    worker.loop.post([this, number = added.number()] {
      if (Client* const found = find_client(number)) found->end_at_safe_point();
    });
  added.begin();
}

void Shard::remove_session(Client& session) {
  const auto at = sessions_.find(session.number());
  worker.loop.bury(std::move(at->second));
  sessions_.erase(at);
  numbers.clients.set(sessions_.size());
  deployment.clients.fetch_sub(1, std::memory_order_relaxed);
}

Client* Shard::find_client(std::uint32_t number) const {
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : found->second.get();
}

Session* Shard::find_session(std::uint32_t number) const {
  return static_cast<Session*>(find_client(number));
}

void Shard::drain_for_stop() {
  stopping_ = true;
  std::vector<Client*> all;
  for (const auto& [number, session] : sessions_) all.push_back(session.get());
  for (Client* session : all) session->end_at_safe_point();
  for_each_replication([](Replication& replication) {
    replication.end("the proxy stops", "57P01", "terminating connection: Turnout is shutting down");
  });
}

// ---- time ----------------------------------------------------------------------------------------------------------

std::uint32_t Shard::tick() {
  if (!table_) return 100;
  if (table_->hold == router::Hold::nothing && !held_.empty()) release_held();
  const std::uint64_t now_ms = worker.loop.now_ms();
  if (!lock_movers_.empty()) move_locks(now_ms);
  bool soon = false;
  bool proving = !lock_movers_.empty();
  bool waiting = false;
  for (const auto& [shared, account] : accounts_) {
    if (account->known_hub() && account->known_hub()->sweep()) soon = true;
    for (const auto& side : account->pools()) {
      for (const auto& pool : side) {
        if (pool->connections().empty() && pool->waiters().empty() && !pool->wants_more()) continue;
        if (pool->needs_tick_soon() || now_ms - swept_ms_ >= 1000) pool->sweep();
        soon = soon || pool->needs_tick_soon();
        proving = proving || pool->is_proving();
        waiting = waiting || !pool->waiters().empty();
      }
    }
  }
  if (is_releasing()) continue_release(held_.empty() && !proving && !waiting);
  while (!farewells_.empty() && farewells_.front()->until_ms() <= now_ms) farewells_.front()->end();
  for (const auto& farewell : farewells_) farewell->tick(now_ms);
  while (!cancellers_.empty() && cancellers_.front()->until_ms() <= now_ms) cancellers_.front()->time_out();
  for (auto at = cancellers_.begin(); at != cancellers_.end();) (*at++)->tick(now_ms);  // it may end, and be gone
  if (auth_query_) auth_query_->tick();
  for_each_replication([](Replication& replication) { replication.tick(); });
  std::vector<Arrival*> late;
  for (const auto& greeting : greetings_)
    if (now_ms - greeting->began_ms() > settings->conf.limits.login_ms_max) late.push_back(greeting.get());
  for (Arrival* greeting : late) greeting->time_out();
  if (password_trials_) password_trials_->tick();  // their turns go to those who still wait
  if (now_ms - swept_ms_ >= 1000) {
    swept_ms_ = now_ms;
    const conf::Limits& limits = settings->conf.limits;
    if (limits.idle_in_transaction_ms_max != 0 || limits.client_idle_ms_max != 0) {
      std::vector<Client*> all;
      for (const auto& [number, session] : sessions_) all.push_back(session.get());
      for (Client* session : all) session->check_deadlines(now_ms);
    }
  }
  const std::uint32_t shadow_ms = shadow ? shadow->tick(now_ms) : 0;
  if (proving || (table_->hold == router::Hold::nothing && !held_.empty())) return 1;
  if (is_releasing()) return releasing_tick_ms;
  if (shadow_ms != 0) return std::min<std::uint32_t>(shadow_ms, 50);
  return soon || !greetings_.empty() || !cancellers_.empty() ? 50 : 500;
}

}  // namespace turnout::proxy
