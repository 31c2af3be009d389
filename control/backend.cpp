#include "control/backend.h"

#include <utility>

namespace turnout::control {

OperationsBackend::OperationsBackend(Operations& operations, proxy::Proxy& proxy, std::vector<std::string> names,
                                     Reload reload)
    : operations_(operations), proxy_(proxy), names_(std::move(names)), reload_(std::move(reload)) {}

bool OperationsBackend::ready() const {
  return operations_.ready();
}
Answer OperationsBackend::status() const {
  return operations_.status();
}
Answer OperationsBackend::status(const std::string& deployment) const {
  return operations_.status(deployment);
}
Answer OperationsBackend::clients() const {
  return operations_.clients();
}
Answer OperationsBackend::pools() const {
  return operations_.pools();
}
Answer OperationsBackend::blockers(const std::string& deployment) const {
  return operations_.blockers(deployment);
}

Answer OperationsBackend::preflight(const std::string& deployment, bool rollback) {
  return operations_.preflight(deployment, rollback);
}
Answer OperationsBackend::prepare(const std::string& deployment, const std::string& who) {
  return operations_.prepare(deployment, who);
}
Answer OperationsBackend::replicate(const std::string& deployment, const std::string& who) {
  return operations_.replicate(deployment, who);
}
Answer OperationsBackend::replication(const std::string& deployment) const {
  return operations_.replication(deployment);
}
Answer OperationsBackend::undo_prepare(const std::string& deployment, const std::string& who) {
  return operations_.undo_prepare(deployment, who);
}
Answer OperationsBackend::shift(const std::string& deployment, int percent, const std::string& who) {
  return operations_.shift(deployment, percent, who);
}
Answer OperationsBackend::ramp(const std::string& deployment, const std::string& action, const std::string& who) {
  return operations_.ramp(deployment, action, who);
}
Answer OperationsBackend::ramp(const std::string& deployment) const {
  return operations_.ramp(deployment);
}
Answer OperationsBackend::shadow(const std::string& deployment, int percent, const std::string& who) {
  return operations_.shadow(deployment, percent, who);
}
Answer OperationsBackend::shadow(const std::string& deployment) const {
  return operations_.shadow(deployment);
}
Answer OperationsBackend::compare(const std::string& deployment, const CompareOptions& options) {
  return operations_.compare(deployment, options);
}
Answer OperationsBackend::stop_compare(const std::string& deployment, const std::string& who) {
  return operations_.stop_compare(deployment, who);
}
Answer OperationsBackend::compare(const std::string& deployment) const {
  return operations_.compare(deployment);
}
Answer OperationsBackend::cutover(const std::string& deployment, const CutoverOptions& options) {
  return operations_.cutover(deployment, options);
}
Answer OperationsBackend::abort(const std::string& deployment, const std::string& who) {
  return operations_.abort(deployment, who);
}
Answer OperationsBackend::finish(const std::string& deployment, const std::string& who) {
  return operations_.finish(deployment, who);
}
Answer OperationsBackend::pause(const std::string& deployment, const std::string& who) {
  return operations_.pause(deployment, who);
}
Answer OperationsBackend::resume(const std::string& deployment, const std::string& who) {
  return operations_.resume(deployment, who);
}
Answer OperationsBackend::explain_route(const std::string& deployment, const std::string& database,
                                        const std::string& sql) const {
  return operations_.explain_route(deployment, database, sql);
}
Answer OperationsBackend::report(const std::string& deployment, std::optional<std::uint64_t> epoch) const {
  return operations_.report(deployment, epoch);
}
Answer OperationsBackend::reports(const std::string& deployment) const {
  return operations_.reports(deployment);
}
Answer OperationsBackend::audit(std::size_t lines) const {
  return operations_.audit(lines);
}
Answer OperationsBackend::reload(const std::string& who) {
  return reload_(who);
}

std::vector<ProgressEvent> OperationsBackend::events(std::uint64_t after, std::uint32_t wait_ms) const {
  return operations_.events(after, wait_ms);
}

std::vector<TrafficNumbers> OperationsBackend::traffic() const {
  std::vector<TrafficNumbers> all;
  all.reserve(names_.size());
  for (std::size_t index = 0; index < names_.size(); ++index) {
    all.push_back({names_[index], proxy_.counters(index), proxy_.levels(index), {}});
  }
  for (proxy::NameInfo& info : proxy_.names()) all[info.deployment].names.push_back(std::move(info));
  return all;
}

std::vector<Operations::Gauges> OperationsBackend::gauges() const {
  return operations_.gauges();
}
std::vector<std::uint64_t> OperationsBackend::histogram_bounds_us() const {
  return proxy::histogram_bounds_us();
}

}  // namespace turnout::control
