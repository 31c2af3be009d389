// The numbers of /metrics: collected when asked for, from counters that workers keep for themselves. No registry, no
// shared atomics, nothing on the data path.
//
// Labels are bounded: deployment, side, state, phase. Never a user, a database, an address or SQL.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "control/backend.h"

namespace turnout::control {

class Metrics : public prometheus::Collectable {
 public:
  explicit Metrics(const Backend& backend) : backend_(backend) {}
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Backend& backend_;
};

// Prometheus text format.
[[nodiscard]] std::string metrics_text(const Backend& backend);

}  // namespace turnout::control
