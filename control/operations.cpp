#include "control/operations.h"

#include <spdlog/spdlog.h>

#include <mutex>
#include <utility>

#include "control/access.h"
#include "control/deployment_control.h"
#include "control/identity.h"
#include "control/local_store.h"
#include "control/mysql_identity.h"

namespace turnout::control {

struct Operations::Impl {
  Impl(const conf::Config& first, proxy::Proxy& the_proxy) : config(first), latest(first), proxy(the_proxy) {}

  // Deployments come to be in start(): before it nothing of ours may touch a server. They stay the same while the
  // process lives; a reload changes what is in them.
  const conf::Config config;
  conf::Config latest;  // reloads included; with the store behind `mutex`, for identify()
  proxy::Proxy& proxy;
  EventLog events;
  std::unique_ptr<LocalStore> store;
  std::unique_ptr<AuditLog> audit;
  std::vector<std::unique_ptr<DeploymentControl>> deployments;
  Identities identities;
  std::mutex mutex;

  [[nodiscard]] DeploymentControl* find(const std::string& name) const {
    for (const auto& one : deployments) {
      if (one->name() == name) return one.get();
    }
    return nullptr;
  }

  [[nodiscard]] Answer unknown(const std::string& name) const {
    std::string names;
    for (const auto& one : deployments) names += (names.empty() ? "" : ", ") + one->name();
    return problem(404, "no_deployment", "No such deployment",
                   "There is no deployment '" + name + "'; there is: " + names + ".");
  }

  // `verb` of one deployment, or 404.
  template <typename Verb>
  [[nodiscard]] Answer with(const std::string& name, Verb verb) const {
    auto* found = find(name);
    return found == nullptr ? unknown(name) : verb(*found);
  }
};

Operations::Operations(const conf::Config& config, proxy::Proxy& proxy)
    : impl_(std::make_unique<Impl>(config, proxy)) {}

Operations::~Operations() {
  stop();
}

void Operations::open() {
  auto store = std::make_unique<LocalStore>(impl_->config.control.state_dir);
  const std::lock_guard guard(impl_->mutex);
  impl_->store = std::move(store);
}

void Operations::start() {
  const std::filesystem::path state_dir = impl_->config.control.state_dir;
  impl_->audit = std::make_unique<AuditLog>(state_dir);
  const Shared shared{impl_->proxy, *impl_->store, *impl_->audit, impl_->events, state_dir};
  for (std::size_t index = 0; index < impl_->config.deployments.size(); ++index) {
    impl_->deployments.push_back(std::make_unique<DeploymentControl>(index, impl_->config.deployments[index], shared));
  }
  for (auto& deployment : impl_->deployments) deployment->start();
}

void Operations::stop() {
  impl_->events.wake_all();
  for (auto& deployment : impl_->deployments) deployment->stop();
}

std::string Operations::why_no_reload(const conf::Config& fresh) const {
  std::string all;
  for (std::size_t index = 0; index < impl_->deployments.size() && index < fresh.deployments.size(); ++index) {
    const auto one = impl_->deployments[index]->why_no_reload(fresh.deployments[index]);
    if (!one.empty()) all += (all.empty() ? "" : "\n") + fresh.file + ": " + one;
  }
  return all;
}

void Operations::reload(const conf::Config& config) {
  {
    const std::lock_guard guard(impl_->mutex);
    impl_->latest = config;
  }
  for (std::size_t index = 0; index < impl_->deployments.size() && index < config.deployments.size(); ++index) {
    impl_->deployments[index]->reload(config.deployments[index]);
  }
}

proxy::Identity Operations::identify(proxy::DeploymentIndex index, router::Side side,
                                     const conf::Address& numeric) const {
  conf::Deployment deployment;
  std::string bound;
  std::uint32_t ms_max = 0;
  {
    const std::lock_guard guard(impl_->mutex);
    deployment = impl_->latest.deployments[index];
    ms_max = impl_->latest.dns.timeout_ms;
    if (impl_->store) bound = bound_identity(impl_->store->records(deployment.name), side);
  }
  const auto address = side == router::Side::blue ? deployment.blue : deployment.green.value_or(conf::Address{});
  return impl_->identities.check(deployment.name, address, bound, [&](const std::string& known) {
    if (deployment.protocol == conf::Protocol::mysql)
      return mysql_witness({side, address, deployment.admin, deployment.server_tls, {numeric}}, known, ms_max);
    const auto database = deployment.databases.empty() ? "postgres" : deployment.databases.front();
    PgTarget target{side, address, deployment.admin, deployment.server_tls, database, "turnout"};
    target.numeric = {numeric};
    return postgres_witness(target, ms_max);
  });
}

bool Operations::ready() const {
  if (impl_->deployments.empty()) return false;
  for (const auto& deployment : impl_->deployments) {
    if (!deployment->ready()) return false;
  }
  return true;
}

Answer Operations::status() const {
  boost::json::object all;
  for (const auto& deployment : impl_->deployments) all[deployment->name()] = deployment->status();
  return {200, 0, boost::json::object{{"deployments", std::move(all)}}};
}

Answer Operations::status(const std::string& deployment) const {
  return impl_->with(deployment, [](auto& one) { return Answer{200, 0, one.status()}; });
}

Answer Operations::clients() const {
  boost::json::array list;
  for (std::size_t index = 0; index < impl_->deployments.size(); ++index) {
    for (const auto& client : impl_->proxy.clients(index)) {
      list.push_back(boost::json::object{{"deployment", impl_->deployments[index]->name()},
                                         {"id", client.id},
                                         {"address", client.address},
                                         {"user", client.user},
                                         {"database", client.database},
                                         {"application", client.application},
                                         {"state", client.state},
                                         {"side", client.side},
                                         {"in_transaction", client.in_transaction},
                                         {"connected_s", client.connected_s},
                                         {"state_s", client.state_s},
                                         {"pinned_by", client.pinned_by},
                                         {"prepared_statements", client.prepared_statements},
                                         {"server_pid", client.server_pid}});
    }
  }
  return {200, 0, boost::json::object{{"clients", std::move(list)}}};
}

Answer Operations::pools() const {
  boost::json::array list;
  for (std::size_t index = 0; index < impl_->deployments.size(); ++index) {
    for (const auto& pool : impl_->proxy.pools(index)) {
      list.push_back(boost::json::object{{"deployment", impl_->deployments[index]->name()},
                                         {"database", pool.database},
                                         {"user", pool.user},
                                         {"side", router::name(pool.side)},
                                         {"access", pool.access == router::Access::read ? "read" : "write"},
                                         {"mode", pool.mode == conf::PoolMode::session ? "session" : "transaction"},
                                         {"clients_active", pool.clients_active},
                                         {"clients_waiting", pool.clients_waiting},
                                         {"servers_active", pool.servers_active},
                                         {"servers_idle", pool.servers_idle},
                                         {"servers_opening", pool.servers_opening},
                                         {"servers_closing", pool.servers_closing},
                                         {"longest_wait_s", pool.longest_wait_s},
                                         {"waits_for", pool.waits_for}});
    }
  }
  return {200, 0, boost::json::object{{"pools", std::move(list)}}};
}

Answer Operations::blockers(const std::string& deployment) const {
  return impl_->with(deployment, [](auto& one) { return one.blockers(); });
}
Answer Operations::preflight(const std::string& deployment, bool rollback) {
  return impl_->with(deployment, [&](auto& one) { return one.preflight(rollback); });
}
Answer Operations::prepare(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.prepare(who); });
}
Answer Operations::replicate(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.replicate(who); });
}
Answer Operations::replication(const std::string& deployment) const {
  return impl_->with(deployment, [](const auto& one) { return one.replication(); });
}
Answer Operations::undo_prepare(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.undo_prepare(who); });
}
Answer Operations::shift(const std::string& deployment, int percent, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.shift(percent, who); });
}
Answer Operations::ramp(const std::string& deployment, const std::string& action, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.ramp(action, who); });
}
Answer Operations::ramp(const std::string& deployment) const {
  return impl_->with(deployment, [](const auto& one) { return one.ramp(); });
}
Answer Operations::shadow(const std::string& deployment, int percent, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.shadow(percent, who); });
}
Answer Operations::shadow(const std::string& deployment) const {
  return impl_->with(deployment, [](const auto& one) { return one.shadow(); });
}
Answer Operations::compare(const std::string& deployment, const CompareOptions& options) {
  return impl_->with(deployment, [&](auto& one) { return one.compare(options); });
}
Answer Operations::stop_compare(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.stop_compare(who); });
}
Answer Operations::compare(const std::string& deployment) const {
  return impl_->with(deployment, [](const auto& one) { return one.compare(); });
}
Answer Operations::cutover(const std::string& deployment, const CutoverOptions& options) {
  return impl_->with(deployment, [&](auto& one) { return one.cutover(options); });
}
Answer Operations::abort(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.abort(who); });
}
Answer Operations::finish(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.finish(who); });
}
Answer Operations::pause(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.set_paused(true, who); });
}
Answer Operations::resume(const std::string& deployment, const std::string& who) {
  return impl_->with(deployment, [&](auto& one) { return one.set_paused(false, who); });
}
Answer Operations::explain_route(const std::string& deployment, const std::string& database,
                                 const std::string& sql) const {
  return impl_->with(deployment, [&](auto& one) { return one.explain_route(database, sql); });
}
Answer Operations::report(const std::string& deployment, std::optional<std::uint64_t> epoch) const {
  return impl_->with(deployment, [&](auto& one) { return one.report(epoch); });
}
Answer Operations::reports(const std::string& deployment) const {
  return impl_->with(deployment, [](auto& one) { return one.reports(); });
}

Answer Operations::audit(std::size_t lines) const {
  return {200, 0,
          boost::json::object{{"audit", impl_->audit == nullptr ? boost::json::array{} : impl_->audit->tail(lines)}}};
}

std::vector<Operations::Gauges> Operations::gauges() const {
  std::vector<Gauges> all;
  for (const auto& deployment : impl_->deployments) all.push_back(deployment->gauges());
  return all;
}

std::vector<ProgressEvent> Operations::events(std::uint64_t after, std::uint32_t wait_ms) const {
  return impl_->events.after(after, wait_ms);
}

}  // namespace turnout::control
