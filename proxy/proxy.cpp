#include "proxy/proxy.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "conf/address.h"
#include "proxy/channel_hub.h"
#include "proxy/deployment.h"
#include "proxy/listener.h"
#include "proxy/login_trial.h"
#include "proxy/mysql/login_trial.h"
#include "proxy/replication.h"
#include "proxy/resolver.h"
#include "proxy/session.h"
#include "proxy/shadow_runner.h"
#include "proxy/worker.h"

namespace turnout::proxy {

const std::vector<std::uint64_t>& histogram_bounds_us() {
  static const std::vector<std::uint64_t> bounds(histogram_bounds.begin(), histogram_bounds.end());
  return bounds;
}

struct Proxy::Impl {
  StatementRegistry registry;
  std::vector<std::unique_ptr<Deployment>> deployments;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::unique_ptr<Listener>> listeners;
  bool is_running = false;
  IdentityCheck identity_check;
  conf::Dns dns;
  std::unique_ptr<Resolver> resolver;  // last: its thread uses what stands above
  std::mutex listening_mutex;
  bool is_listening = false;

  // Nobody is let in before it is known where their work goes.
  void listen_when_ready() {
    const std::lock_guard lock(listening_mutex);
    const bool ready = is_running && std::all_of(deployments.begin(), deployments.end(),
                                                 [](const auto& deployment) { return deployment->table() != nullptr; });
    if (!ready || is_listening) return;
    is_listening = true;
    for (const auto& listener : listeners) workers.front()->loop.post([target = listener.get()] { target->begin(); });
  }

  void publish_addresses(DeploymentIndex index, router::Side side, std::vector<conf::Address> numeric) {
    auto addresses = std::make_shared<const std::vector<conf::Address>>(std::move(numeric));
    if (*deployments[index]->addresses(side) == *addresses) return;
    deployments[index]->set_addresses(side, addresses);
    for (const auto& worker : workers)
      worker->loop.post(
          [target = worker.get(), index, side, addresses] { target->shard(index).apply_addresses(side, addresses); });
  }

  // What is a number or a socket is where it is; what is a name is looked for.
  void find_places() {
    std::vector<Place> places;
    for (const auto& deployment : deployments) {
      const conf::Deployment& conf = deployment->settings()->conf;
      const auto find = [&](router::Side side, const conf::Address& address) {
        if (address.is_unix() || conf::is_numeric(address))
          publish_addresses(deployment->index, side, {address});
        else
          places.push_back({deployment->index, side, address});
      };
      find(router::Side::blue, conf.blue);
      if (conf.green) find(router::Side::green, *conf.green);
    }
    resolver->watch(dns, places);
  }

  // Runs `ask` on every worker's thread and gathers what it returns. A worker that does not answer within a second is
  // left out: the question is for people, the data path is not to wait for it.
  template <typename Result, typename Ask>
  std::vector<Result> gather(Ask ask) const {
    std::vector<Result> all;
    if (!is_running) return all;
    std::vector<std::future<std::vector<Result>>> answers;
    for (const auto& worker : workers) {
      auto promise = std::make_shared<std::promise<std::vector<Result>>>();
      answers.push_back(promise->get_future());
      worker->loop.post([promise, ask, target = worker.get()] { promise->set_value(ask(*target)); });
    }
    for (auto& answer : answers) {
      if (answer.wait_for(std::chrono::seconds(1)) != std::future_status::ready) continue;
      const std::vector<Result> part = answer.get();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
};

namespace {

// Every client and every server connection is a descriptor: take what the hard limit allows, and say when it is not
// enough for the clients that the configuration allows.
void raise_descriptor_limit(const conf::Config& config) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::uint64_t clients = 0;
  for (const conf::Deployment& deployment : config.deployments) clients += deployment.limits.clients_max;
  if (clients >= limit.rlim_cur)
    spdlog::warn("limits.clients adds up to {}, but this process may open {} files (ulimit -Hn): raise that limit",
                 clients, limit.rlim_cur);
}

}  // namespace

Proxy::Proxy(const conf::Config& config) : impl_(std::make_unique<Impl>()) {
  raise_descriptor_limit(config);
  impl_->dns = config.dns;
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t workers = std::min<std::size_t>(config.workers != 0 ? config.workers : cores, workers_max);
  for (const conf::Deployment& deployment : config.deployments)
    impl_->deployments.push_back(
        std::make_unique<Deployment>(impl_->deployments.size(), make_settings(deployment), workers));
  for (std::size_t i = 0; i < workers; ++i)
    impl_->workers.push_back(std::make_unique<Worker>(i, impl_->deployments, impl_->registry, impl_->workers));
  for (const auto& deployment : impl_->deployments) {
    const auto settings = deployment->settings();
    for (const conf::Address& address : settings->conf.listen)
      impl_->listeners.push_back(std::make_unique<Listener>(address, *deployment, impl_->workers));
  }
}

Proxy::~Proxy() {
  stop_resolving();
  for (const auto& worker : impl_->workers) worker->stop();
  for (const auto& deployment : impl_->deployments)
    if (deployment->of_mysql)
      deployment->of_mysql->is_over = true;  // what workers have for each other goes nowhere now
}

void Proxy::set_identity_check(IdentityCheck check) {
  impl_->identity_check = std::move(check);
}

void Proxy::stop_resolving() {
  if (impl_->resolver) impl_->resolver->stop();
}

void Proxy::start() {
  impl_->resolver = std::make_unique<Resolver>(Resolver::Hooks{
      [this](const Place& place, const conf::Address& numeric) {
        return impl_->identity_check ? impl_->identity_check(place.deployment, place.side, numeric) : Identity::same;
      },
      [this](const Place& place, const std::vector<conf::Address>& numeric) {
        impl_->publish_addresses(place.deployment, place.side, numeric);
      }});
  impl_->find_places();
  // The only time that anybody waits for a name server: so that the first clients find a database.
  impl_->resolver->await_first(impl_->dns.timeout_ms);
  for (const auto& worker : impl_->workers) worker->start();
  impl_->is_running = true;
  for (const auto& deployment : impl_->deployments)
    if (deployment->table()) publish(deployment->index, deployment->table());
  impl_->listen_when_ready();
}

void Proxy::stop(std::uint32_t grace_ms) {
  stop_resolving();
  if (!impl_->is_running) return;
  Worker& first = *impl_->workers.front();
  for (const auto& listener : impl_->listeners) first.loop.post([target = listener.get()] { target->close(); });
  for (const auto& worker : impl_->workers)
    for (const auto& deployment : impl_->deployments)
      worker->loop.post([target = worker.get(), index = deployment->index] { target->shard(index).drain_for_stop(); });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(grace_ms);
  const auto is_empty = [this] {
    return std::all_of(impl_->deployments.begin(), impl_->deployments.end(),
                       [](const auto& deployment) { return deployment->clients.load() == 0; });
  };
  while (!is_empty() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  for (const auto& worker : impl_->workers) worker->stop();
  impl_->is_running = false;
}

void Proxy::reload(const conf::Config& config) {
  std::vector<std::pair<Deployment*, SettingsPtr>> loaded;  // all or nothing: every file is read before any is used
  for (const conf::Deployment& conf : config.deployments)
    for (const auto& deployment : impl_->deployments)
      if (deployment->name == conf.name) loaded.emplace_back(deployment.get(), make_settings(conf));
  impl_->dns = config.dns;
  for (const auto& [deployment, settings] : loaded) {
    deployment->set_settings(settings);
    for (const auto& worker : impl_->workers)
      worker->loop.post([target = worker.get(), index = deployment->index, settings = settings] {
        target->shard(index).apply_settings(settings);
      });
  }
  if (impl_->resolver) impl_->find_places();
}

std::vector<conf::Address> Proxy::addresses(DeploymentIndex index, router::Side side) const {
  return *impl_->deployments[index]->addresses(side);
}

std::vector<conf::Address> Proxy::addresses_so_far(DeploymentIndex index, router::Side side) const {
  return impl_->deployments[index]->addresses_so_far(side);
}

std::vector<NameInfo> Proxy::names() const {
  return impl_->resolver ? impl_->resolver->infos() : std::vector<NameInfo>{};
}

void Proxy::publish(DeploymentIndex index, router::RoutingTablePtr table) {
  impl_->deployments[index]->set_table(table);
  if (!impl_->is_running) return;
  for (const auto& worker : impl_->workers)
    worker->loop.post([target = worker.get(), index, table] { target->shard(index).apply_table(table); });
  impl_->listen_when_ready();
}

router::RoutingTablePtr Proxy::table(DeploymentIndex index) const {
  return impl_->deployments[index]->table();
}

void Proxy::publish_catalog(DeploymentIndex index, router::CatalogPtr catalog) {
  impl_->deployments[index]->set_catalog(catalog);
  if (!impl_->is_running) return;
  for (const auto& worker : impl_->workers)
    worker->loop.post([target = worker.get(), index, catalog] { target->shard(index).catalog = catalog; });
}

void Proxy::publish_types(DeploymentIndex index, TypeMapsPtr types) {
  impl_->deployments[index]->set_types(types);
  if (!impl_->is_running) return;
  for (const auto& worker : impl_->workers)
    worker->loop.post([target = worker.get(), index, types] { target->shard(index).apply_types(types); });
}

TokenBoard& Proxy::tokens(DeploymentIndex index) {
  return impl_->deployments[index]->tokens;
}

Levels Proxy::levels(DeploymentIndex index) const {
  Levels levels;
  levels.version = UINT64_MAX;
  for (const WorkerNumbers& numbers : impl_->deployments[index]->numbers) {
    // First the version, then the levels that are at least as new as it.
    levels.version = std::min(levels.version, numbers.version.load(std::memory_order_acquire));
    for (std::size_t side = 0; side < 2; ++side) {
      const WorkerNumbers::Side& from = numbers.side[side];
      Levels::PerSide& to = levels.side[side];
      to.writes_in_flight += static_cast<std::uint32_t>(from.writes_in_flight.get());
      to.reads_in_flight += static_cast<std::uint32_t>(from.reads_in_flight.get());
      to.begin_later += static_cast<std::uint32_t>(from.begin_later.get());
      to.write_connections += static_cast<std::uint32_t>(from.write_connections.get());
      to.read_connections += static_cast<std::uint32_t>(from.read_connections.get());
      to.unproven += static_cast<std::uint32_t>(from.unproven.get());
      to.warming += static_cast<std::uint32_t>(from.warming.get());
    }
    levels.held_sessions += static_cast<std::uint32_t>(numbers.held_sessions.get());
    levels.held_bytes += numbers.held_bytes.get();
    levels.hold_overflow = levels.hold_overflow || numbers.hold_overflow.get() != 0;
    levels.client_errors += numbers.client_errors.get();
  }
  return levels;
}

HoldTimes Proxy::hold_times(DeploymentIndex index) const {
  return impl_->deployments[index]->hold_times();
}

Counters Proxy::counters(DeploymentIndex index) const {
  Counters sum;
  sum.wait_us_buckets.resize(histogram_bounds.size() + 1);
  sum.query_us_buckets.resize(histogram_bounds.size() + 1);
  for (const WorkerNumbers& numbers : impl_->deployments[index]->numbers) {
    for (std::size_t side = 0; side < 2; ++side) {
      sum.transactions[side] += numbers.side[side].transactions.get();
      sum.queries[side] += numbers.side[side].queries.get();
      sum.reads_proven[side] += numbers.side[side].reads_proven.get();
    }
    for (std::size_t i = 0; i < pin_count; ++i) {
      sum.pinned_now[i] += numbers.pinned_now[i].get();
      sum.pinned[i] += numbers.pinned[i].get();
    }
    sum.bytes_from_clients += numbers.bytes_from_clients.get();
    sum.bytes_to_clients += numbers.bytes_to_clients.get();
    sum.detours += numbers.detours.get();
    sum.logins += numbers.logins.get();
    sum.login_failures += numbers.login_failures.get();
    sum.client_errors += numbers.client_errors.get();
    sum.commit_unknown += numbers.commit_unknown.get();
    sum.protocol_errors += numbers.protocol_errors.get();
    sum.clients += numbers.clients.get();
    sum.server_logins += numbers.server_logins.get();
    sum.server_login_failures += numbers.server_login_failures.get();
    sum.server_evictions += numbers.server_evictions.get();
    sum.cancels_sent += numbers.cancels_sent.get();
    sum.cancels_answered += numbers.cancels_answered.get();
    sum.cancels_idle += numbers.cancels_idle.get();
    sum.cancels_unknown += numbers.cancels_unknown.get();
    sum.cancels_limited += numbers.cancels_limited.get();
    sum.clients_waiting += numbers.waiting.get();
    sum.clients_held += numbers.held_sessions.get();
    for (std::size_t i = 0; i < sum.wait_us_buckets.size(); ++i) {
      sum.wait_us_buckets[i] += numbers.wait.buckets[i].get();
      sum.query_us_buckets[i] += numbers.query.buckets[i].get();
    }
    sum.wait_s_sum += static_cast<double>(numbers.wait.sum_us.get()) / 1e6;
    sum.query_s_sum += static_cast<double>(numbers.query.sum_us.get()) / 1e6;
  }
  return sum;
}

std::vector<ClientInfo> Proxy::clients(DeploymentIndex index) const {
  return impl_->gather<ClientInfo>([index](Worker& worker) {
    std::vector<ClientInfo> infos;
    for (const auto& [number, session] : worker.shard(index).sessions()) infos.push_back(session->info());
    for (const auto& [number, replication] : worker.shard(index).replications()) infos.push_back(replication->info());
    return infos;
  });
}

std::vector<PoolInfo> Proxy::pools(DeploymentIndex index) const {
  auto parts = impl_->gather<PoolInfo>([index](Worker& worker) {
    std::vector<PoolInfo> infos;
    const Shard& shard = worker.shard(index);
    for (const auto& [shared, account] : shard.accounts()) {
      for (const auto& side : account->pools()) {
        for (const auto& pool : side) {
          PoolInfo info;
          info.database = shared->database;
          info.user = shared->user;
          info.side = pool->side();
          info.access = pool->access();
          info.mode = shard.settings->conf.pool.mode;
          info.clients_waiting = static_cast<std::uint32_t>(pool->waiters().size());
          info.servers_opening = pool->opening();
          info.servers_idle = static_cast<std::uint32_t>(pool->idle());
          info.servers_closing = pool->closing();
          info.waits_for = pool->waits_for();
          for (const auto& connection : pool->connections())
            if (connection->session() != nullptr) ++info.servers_active;
          info.clients_active = info.servers_active;
          if (!pool->waiters().empty())
            info.longest_wait_s =
                static_cast<double>(worker.loop.now_us() - pool->waiters().front()->waiting_since_us()) / 1e6;
          infos.push_back(info);
        }
      }
    }
    return infos;
  });
  // One row a pool, all workers together.
  std::vector<PoolInfo> rows;
  for (const PoolInfo& part : parts) {
    const auto same = std::find_if(rows.begin(), rows.end(), [&](const PoolInfo& row) {
      return row.database == part.database && row.user == part.user && row.side == part.side &&
             row.access == part.access;
    });
    if (same == rows.end()) {
      rows.push_back(part);
      continue;
    }
    same->clients_active += part.clients_active;
    same->clients_waiting += part.clients_waiting;
    same->servers_active += part.servers_active;
    same->servers_idle += part.servers_idle;
    same->servers_opening += part.servers_opening;
    same->servers_closing += part.servers_closing;
    if (part.longest_wait_s >= same->longest_wait_s && !part.waits_for.empty()) same->waits_for = part.waits_for;
    same->longest_wait_s = std::max(same->longest_wait_s, part.longest_wait_s);
  }
  return rows;
}

std::vector<std::uint32_t> Proxy::write_pids(DeploymentIndex index, router::Side side) const {
  return impl_->gather<std::uint32_t>([index, side](Worker& worker) {
    std::vector<std::uint32_t> pids;
    for (const auto& [shared, account] : worker.shard(index).accounts())
      for (const auto& connection : account->pool(side, router::Access::write).connections())
        if (connection->backend_pid() != 0) pids.push_back(connection->backend_pid());
    return pids;
  });
}

std::vector<std::uint32_t> Proxy::sealed_pids(DeploymentIndex index, router::Side side) const {
  return impl_->gather<std::uint32_t>([index, side](Worker& worker) {
    std::vector<std::uint32_t> pids;
    for (const auto& [shared, account] : worker.shard(index).accounts()) {
      const Pool& pool = account->pool(side, router::Access::write);
      for (const auto& connection : pool.connections())
        if (pool.is_sealed(*connection)) pids.push_back(connection->backend_pid());
    }
    return pids;
  });
}

std::vector<Proxy::PreparedText> Proxy::prepared_texts(DeploymentIndex index) const {
  auto all = impl_->gather<PreparedText>([index](Worker& worker) {
    std::set<PreparedText> texts;
    for (const auto& [number, session] : worker.shard(index).sessions()) session->add_prepared_texts(texts);
    return std::vector<PreparedText>(texts.begin(), texts.end());
  });
  std::sort(all.begin(), all.end());
  const auto same = [](const PreparedText& a, const PreparedText& b) { return !(a < b) && !(b < a); };
  all.erase(std::unique(all.begin(), all.end(), same), all.end());
  return all;
}

std::vector<std::uint32_t> Proxy::listening_pids(DeploymentIndex index, router::Side side) const {
  return impl_->gather<std::uint32_t>([index, side](Worker& worker) {
    std::vector<std::uint32_t> pids;
    for (const auto& [shared, account] : worker.shard(index).accounts()) {
      if (!account->known_hub()) continue;
      const auto its = account->known_hub()->pids(side);
      pids.insert(pids.end(), its.begin(), its.end());
    }
    return pids;
  });
}

std::vector<std::uint32_t> Proxy::shadow_pids(DeploymentIndex index, router::Side side) const {
  return impl_->gather<std::uint32_t>([index, side](Worker& worker) {
    const Shard& shard = worker.shard(index);
    return shard.shadow ? shard.shadow->pids(side) : std::vector<std::uint32_t>();
  });
}

std::vector<router::ShadowBook::Look> Proxy::shadow_looks(DeploymentIndex index) const {
  return impl_->gather<router::ShadowBook::Look>([index](Worker& worker) {
    std::vector<router::ShadowBook::Look> looks;
    if (const auto& shadow = worker.shard(index).shadow) looks.push_back(shadow->take_look());
    return looks;
  });
}

void Proxy::ask_shadow_plans(DeploymentIndex index, const std::vector<std::uint64_t>& shapes) const {
  for (const auto& worker : impl_->workers) {
    worker->loop.post([index, shapes, target = worker.get()] {
      if (const auto& shadow = target->shard(index).shadow) shadow->ask_plans(shapes);
    });
  }
}

std::vector<Proxy::Account> Proxy::accounts(DeploymentIndex index) const {
  return impl_->deployments[index]->accounts();
}

std::string Proxy::try_login(DeploymentIndex index, router::Side side, const Account& account) const {
  const Deployment& deployment = *impl_->deployments[index];
  std::string trouble = std::string(router::name(side)) + " has no address";
  for (const conf::Address& address : *deployment.addresses(side)) {
    const SettingsPtr settings = deployment.settings();
    trouble = deployment.of_mysql
                  ? mysql::login_trial(*deployment.of_mysql, *settings, side, address, account.database, account.user)
                  : login_trial(*settings, side, address, account.database, account.user,
                                deployment.server_secret(account.user));
    if (trouble.empty()) break;
  }
  return trouble;
}

std::vector<Proxy::SessionReads> Proxy::session_reads(DeploymentIndex index) const {
  return impl_->gather<SessionReads>([index](Worker& worker) {
    std::vector<SessionReads> reads;
    for (const auto& [number, session] : worker.shard(index).sessions())
      if (const std::uint32_t lately = session->take_reads(); lately != 0) reads.push_back({session->hash(), lately});
    return reads;
  });
}

std::vector<router::ShapeLook> Proxy::read_looks(DeploymentIndex index) const {
  return impl_->gather<router::ShapeLook>([index](Worker& worker) { return worker.shard(index).reads.take(); });
}

std::uint64_t Proxy::green_failures(DeploymentIndex index) const {
  std::uint64_t sum = 0;
  for (const WorkerNumbers& numbers : impl_->deployments[index]->numbers) sum += numbers.green_failures.get();
  return sum;
}

}  // namespace turnout::proxy
