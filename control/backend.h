// What the HTTP surface needs of the rest of Turnout, as an interface, so that the surface is tested without servers,
// proxies or threads. OperationsBackend is the real one: every function is one call of Operations or Proxy.
//
// Thread-safe: the HTTP server calls it from several threads. A call may block (a preflight asks two databases);
// abort, status and ready must not wait for another call to end.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/operations.h"

namespace turnout::control {

// One deployment's share of /metrics that the data path knows.
struct TrafficNumbers {
  std::string deployment;
  proxy::Counters counters;
  proxy::Levels levels;
  std::vector<proxy::NameInfo> names;  // of its sides
};

class Backend {
 public:
  Backend() = default;
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  [[nodiscard]] virtual bool ready() const = 0;
  [[nodiscard]] virtual Answer status() const = 0;
  [[nodiscard]] virtual Answer status(const std::string& deployment) const = 0;
  [[nodiscard]] virtual Answer clients() const = 0;
  [[nodiscard]] virtual Answer pools() const = 0;
  [[nodiscard]] virtual Answer blockers(const std::string& deployment) const = 0;
  [[nodiscard]] virtual Answer preflight(const std::string& deployment, bool rollback) = 0;
  [[nodiscard]] virtual Answer prepare(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer replicate(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer replication(const std::string& deployment) const = 0;
  [[nodiscard]] virtual Answer undo_prepare(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer shift(const std::string& deployment, int percent, const std::string& who) = 0;
  [[nodiscard]] virtual Answer ramp(const std::string& deployment, const std::string& action,
                                    const std::string& who) = 0;
  [[nodiscard]] virtual Answer ramp(const std::string& deployment) const = 0;
  [[nodiscard]] virtual Answer shadow(const std::string& deployment, int percent, const std::string& who) = 0;
  [[nodiscard]] virtual Answer shadow(const std::string& deployment) const = 0;
  [[nodiscard]] virtual Answer compare(const std::string& deployment, const CompareOptions& options) = 0;
  [[nodiscard]] virtual Answer stop_compare(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer compare(const std::string& deployment) const = 0;
  [[nodiscard]] virtual Answer cutover(const std::string& deployment, const CutoverOptions& options) = 0;
  [[nodiscard]] virtual Answer abort(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer finish(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer pause(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer resume(const std::string& deployment, const std::string& who) = 0;
  [[nodiscard]] virtual Answer explain_route(const std::string& deployment, const std::string& database,
                                             const std::string& sql) const = 0;
  [[nodiscard]] virtual Answer report(const std::string& deployment, std::optional<std::uint64_t> epoch) const = 0;
  [[nodiscard]] virtual Answer reports(const std::string& deployment) const = 0;
  [[nodiscard]] virtual Answer audit(std::size_t lines) const = 0;
  [[nodiscard]] virtual Answer reload(const std::string& who) = 0;

  [[nodiscard]] virtual std::vector<ProgressEvent> events(std::uint64_t after, std::uint32_t wait_ms) const = 0;
  [[nodiscard]] virtual std::vector<TrafficNumbers> traffic() const = 0;
  [[nodiscard]] virtual std::vector<Operations::Gauges> gauges() const = 0;
  [[nodiscard]] virtual std::vector<std::uint64_t> histogram_bounds_us() const = 0;
};

class OperationsBackend : public Backend {
 public:
  using Reload = std::function<Answer(const std::string& who)>;
  // `names` in the order of Config::deployments. Both references must outlive the backend.
  OperationsBackend(Operations& operations, proxy::Proxy& proxy, std::vector<std::string> names, Reload reload);

  void set_stopping() { stopping_ = true; }  // from now on not ready, so that no new clients are sent here

  [[nodiscard]] bool ready() const override;
  [[nodiscard]] Answer status() const override;
  [[nodiscard]] Answer status(const std::string& deployment) const override;
  [[nodiscard]] Answer clients() const override;
  [[nodiscard]] Answer pools() const override;
  [[nodiscard]] Answer blockers(const std::string& deployment) const override;
  [[nodiscard]] Answer preflight(const std::string& deployment, bool rollback) override;
  [[nodiscard]] Answer prepare(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer replicate(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer replication(const std::string& deployment) const override;
  [[nodiscard]] Answer undo_prepare(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer shift(const std::string& deployment, int percent, const std::string& who) override;
  [[nodiscard]] Answer ramp(const std::string& deployment, const std::string& action, const std::string& who) override;
  [[nodiscard]] Answer ramp(const std::string& deployment) const override;
  [[nodiscard]] Answer shadow(const std::string& deployment, int percent, const std::string& who) override;
  [[nodiscard]] Answer shadow(const std::string& deployment) const override;
  [[nodiscard]] Answer compare(const std::string& deployment, const CompareOptions& options) override;
  [[nodiscard]] Answer stop_compare(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer compare(const std::string& deployment) const override;
  [[nodiscard]] Answer cutover(const std::string& deployment, const CutoverOptions& options) override;
  [[nodiscard]] Answer abort(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer finish(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer pause(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer resume(const std::string& deployment, const std::string& who) override;
  [[nodiscard]] Answer explain_route(const std::string& deployment, const std::string& database,
                                     const std::string& sql) const override;
  [[nodiscard]] Answer report(const std::string& deployment, std::optional<std::uint64_t> epoch) const override;
  [[nodiscard]] Answer reports(const std::string& deployment) const override;
  [[nodiscard]] Answer audit(std::size_t lines) const override;
  [[nodiscard]] Answer reload(const std::string& who) override;
  [[nodiscard]] std::vector<ProgressEvent> events(std::uint64_t after, std::uint32_t wait_ms) const override;
  [[nodiscard]] std::vector<TrafficNumbers> traffic() const override;
  [[nodiscard]] std::vector<Operations::Gauges> gauges() const override;
  [[nodiscard]] std::vector<std::uint64_t> histogram_bounds_us() const override;

 private:
  Operations& operations_;
  proxy::Proxy& proxy_;
  std::vector<std::string> names_;
  Reload reload_;
  std::atomic<bool> stopping_{false};
};

}  // namespace turnout::control
