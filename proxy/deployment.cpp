#include "proxy/deployment.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "protocol/pg/scram.h"

namespace turnout::proxy {

bool Quota::try_take(std::uint32_t size) {
  std::uint32_t open = open_.load(std::memory_order_relaxed);
  while (open < size)
    if (open_.compare_exchange_weak(open, open + 1, std::memory_order_acq_rel)) return true;
  return false;
}

void Quota::set_waiting(std::size_t worker, std::uint64_t since_us) {
  oldest_us_[worker].store(since_us, std::memory_order_relaxed);
  const std::uint64_t bit = std::uint64_t{1} << worker;
  if (since_us != 0)
    waiting_workers_.fetch_or(bit, std::memory_order_acq_rel);
  else
    waiting_workers_.fetch_and(~bit, std::memory_order_acq_rel);
}

bool Quota::oldest_elsewhere(std::size_t except, std::size_t& worker, std::uint64_t& since_us) const {
  std::uint64_t left = waiting_workers_.load(std::memory_order_relaxed) & ~(std::uint64_t{1} << except);
  since_us = 0;
  for (std::size_t i = 0; left != 0; ++i, left >>= 1) {
    if ((left & 1) == 0) continue;
    const std::uint64_t since = oldest_us_[i].load(std::memory_order_relaxed);
    if (since == 0 || (since_us != 0 && since >= since_us)) continue;
    since_us = since;
    worker = i;
  }
  return since_us != 0;
}

bool ConnectionCount::try_take(std::uint32_t max) {
  std::uint32_t open = open_.load(std::memory_order_relaxed);
  while (max == 0 || open < max)
    if (open_.compare_exchange_weak(open, open + 1, std::memory_order_acq_rel)) return true;
  return false;
}

SharedLimit SharedAccount::take_shared(router::Side side, const conf::Limits& limits) {
  const std::array<std::uint32_t, 3> max = {limits.server_connections_max, limits.server_connections_per_user_max,
                                            limits.server_connections_per_database_max};
  const std::array<SharedLimit, 3> names = {SharedLimit::side, SharedLimit::user, SharedLimit::database};
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if ((*counts_[i])[router::index(side)].try_take(max[i])) continue;
    for (std::size_t taken = 0; taken < i; ++taken) (*counts_[taken])[router::index(side)].give();
    return names[i];
  }
  return SharedLimit::none;
}

void SharedAccount::give_shared(router::Side side) {
  for (SideCounts* counts : counts_) (*counts)[router::index(side)].give();
}

WelcomePtr SharedAccount::welcome(router::Side side) const {
  const std::lock_guard lock(mutex_);
  return welcome_[router::index(side)];
}

WelcomePtr SharedAccount::known_welcome(router::Side side) const {
  const std::lock_guard lock(mutex_);
  const WelcomePtr& own = welcome_[router::index(side)];
  return own ? own : welcome_[router::index(router::other(side))];
}

void SharedAccount::set_welcome(router::Side side, WelcomePtr welcome) {
  const std::lock_guard lock(mutex_);
  welcome_[router::index(side)] = std::move(welcome);
}

void SharedAccount::note_accepted(std::uint32_t statement) {
  constexpr std::size_t accepted_max = 50'000;
  const std::lock_guard lock(mutex_);
  if (accepted_.size() >= accepted_max) accepted_.clear();
  accepted_.insert(statement);
}

bool SharedAccount::is_accepted(std::uint32_t statement) const {
  const std::lock_guard lock(mutex_);
  return accepted_.contains(statement);
}

namespace {

void refuse(const std::vector<conf::Mistake>& mistakes) {
  std::string all;
  for (const conf::Mistake& mistake : mistakes) all += (all.empty() ? "" : "\n") + mistake.message();
  throw std::runtime_error(all);
}

std::uint64_t random_u64() {
  std::uint64_t value = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&value), sizeof value);
  return value;
}

std::string random_text(std::size_t bytes) {
  std::string text(bytes, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(text.data()), static_cast<int>(bytes));
  return text;
}

}  // namespace

SettingsPtr make_settings(const conf::Deployment& conf) {
  auto made = std::make_shared<Settings>();
  made->conf = conf;
  made->has_green = conf.green.has_value();
  Access access = read_access(conf);
  if (!access.mistakes.empty()) refuse(access.mistakes);
  made->users = std::move(access.users);
  made->mysql_users = std::move(access.mysql_users);
  made->rules = std::move(access.rules);
  if (conf.client_tls.mode != conf::TlsMode::disable) made->client_tls = make_client_side_context(conf.client_tls);
  if (conf.server_tls.mode != conf::TlsMode::disable) made->server_tls = make_server_side_context(conf.server_tls);
  return made;
}

Deployment::Deployment(DeploymentIndex index_, SettingsPtr settings, std::size_t workers)
    : index(index_),
      name(settings->conf.name),
      numbers(workers),
      seed(random_u64()),
      mock_key(random_text(32)),
      of_mysql(settings->conf.protocol == conf::Protocol::mysql ? std::make_unique<mysql::Shared>() : nullptr),
      settings_(std::move(settings)) {
  addresses_.fill(std::make_shared<const std::vector<conf::Address>>());
}

AddressesPtr Deployment::addresses(router::Side side) const {
  const std::lock_guard lock(mutex_);
  return addresses_[router::index(side)];
}

void Deployment::set_addresses(router::Side side, AddressesPtr addresses) {
  const std::lock_guard lock(mutex_);
  auto& so_far = addresses_so_far_[router::index(side)];
  for (const conf::Address& address : *addresses) {
    std::erase(so_far, address);
    so_far.push_back(address);
  }
  if (so_far.size() > former_addresses_max)
    so_far.erase(so_far.begin(), so_far.end() - static_cast<std::ptrdiff_t>(former_addresses_max));
  addresses_[router::index(side)] = std::move(addresses);
}

std::vector<conf::Address> Deployment::addresses_so_far(router::Side side) const {
  const std::lock_guard lock(mutex_);
  return addresses_so_far_[router::index(side)];
}

SettingsPtr Deployment::settings() const {
  const std::lock_guard lock(mutex_);
  return settings_;
}

void Deployment::set_settings(SettingsPtr settings) {
  const std::lock_guard lock(mutex_);
  settings_ = std::move(settings);
  verifiers_.clear();
  fetched_.clear();
}

std::optional<protocol::pg::Secret> Deployment::client_secret(const std::string& user,
                                                              protocol::pg::ClientMethod method) {
  using Kind = protocol::pg::Secret::Kind;
  const std::lock_guard lock(mutex_);
  const auto known = settings_->users.find(user);
  if (known == settings_->users.end()) return std::nullopt;
  if (known->second.kind != Kind::plain || method != protocol::pg::ClientMethod::scram_sha_256) return known->second;
  auto& made = verifiers_[user];
  if (made.kind == Kind::none) {
    const auto verifier = protocol::pg::derive_verifier(user, known->second.text, mock_key);
    if (!verifier) return known->second;
    made.kind = Kind::scram_verifier;
    made.text = protocol::pg::build_verifier(*verifier);
  }
  return made;
}

router::RoutingTablePtr Deployment::table() const {
  const std::lock_guard lock(mutex_);
  return table_;
}

void Deployment::set_table(router::RoutingTablePtr table) {
  const std::lock_guard lock(mutex_);
  const bool held_before = table_ && table_->hold != router::Hold::nothing;
  if (!held_before && table->hold != router::Hold::nothing) hold_us_.clear();
  table_ = std::move(table);
}

router::CatalogPtr Deployment::catalog() const {
  const std::lock_guard lock(mutex_);
  return catalog_;
}

void Deployment::set_catalog(router::CatalogPtr catalog) {
  const std::lock_guard lock(mutex_);
  catalog_ = std::move(catalog);
}

TypeMapsPtr Deployment::types() const {
  const std::lock_guard lock(mutex_);
  return types_;
}

void Deployment::set_types(TypeMapsPtr types) {
  const std::lock_guard lock(mutex_);
  types_ = std::move(types);
}

SharedAccount& Deployment::account(const std::string& database, const std::string& user, std::uint64_t dialect) {
  const std::lock_guard lock(mutex_);
  auto& account = accounts_[{database, user, dialect}];
  if (!account)
    account = std::make_unique<SharedAccount>(database, user, dialect, counts_, user_counts_[user],
                                              database_counts_[database]);
  return *account;
}

std::vector<Proxy::Account> Deployment::accounts() const {
  const std::lock_guard lock(mutex_);
  std::vector<Proxy::Account> all;
  for (const auto& [key, account] : accounts_) {  // those that differ by their dialect only are neighbours
    const bool is_same = !all.empty() && all.back().database == account->database && all.back().user == account->user;
    if (!is_same && (account->welcome(router::Side::blue) || account->welcome(router::Side::green)))
      all.push_back({account->database, account->user});
  }
  return all;
}

void Deployment::learn(const std::string& user, const protocol::pg::Secret& secret) {
  const std::lock_guard lock(mutex_);
  learned_[user] = secret;
}

protocol::pg::Secret Deployment::server_secret(const std::string& user) const {
  const std::lock_guard lock(mutex_);
  const auto listed = settings_->users.find(user);
  const bool is_listed = listed != settings_->users.end();
  if (is_listed && listed->second.kind != protocol::pg::Secret::Kind::scram_verifier) return listed->second;
  if (const auto known = learned_.find(user); known != learned_.end()) return known->second;
  return is_listed ? listed->second : protocol::pg::Secret{};
}

bool Deployment::may_cancel(const std::string& host, std::uint64_t now_us, std::uint32_t per_second) {
  const std::lock_guard lock(mutex_);
  return cancel_rates_.allows(host, now_us, per_second);
}

void Deployment::record_hold(std::uint64_t us) {
  constexpr std::size_t times_max = 200'000;
  const std::lock_guard lock(mutex_);
  if (hold_us_.size() < times_max)
    hold_us_.push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(us, UINT32_MAX)));
}

HoldTimes Deployment::hold_times() const {
  std::vector<std::uint32_t> times;
  {
    const std::lock_guard lock(mutex_);
    times = hold_us_;
  }
  HoldTimes result;
  result.held = times.size();
  if (times.empty()) return result;
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return static_cast<double>(times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))]) / 1000.0;
  };
  result.p50_ms = at(0.5);
  result.p99_ms = at(0.99);
  result.max_ms = at(1.0);
  return result;
}

}  // namespace turnout::proxy
