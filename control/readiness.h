// Is this deployment ready to move? The preflight that runs by itself, so that `status` can say so at any time, and so
// that a way back that closes is heard of at once. One thread a deployment.
//
// Always true: it never runs beside a cutover, a `prepare` or another preflight, and gives way to them at the next
// question; it tries nothing out (no login, no subscription), which is left to `preflight`.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/check.h"

namespace turnout::control {

class Readiness {
 public:
  struct Report {
    std::vector<Check> checks;
    std::vector<std::string> refusals;  // names of checks that fail and are not waived
    std::string at;                     // UTC, of the end of the run
    std::string since;                  // UTC: ready, or not ready, since that run
  };
  struct Context {
    // A run; nothing when this is no time for one. Looks at `give_up` between two questions.
    std::function<std::optional<std::vector<Check>>(const std::atomic<bool>& give_up)> look;
    std::function<std::vector<std::string>()> waived;
    std::function<std::uint32_t()> interval_ms;        // 0 = not now
    std::function<void(const Report& now)> on_change;  // ready has become not ready, or the other way
  };

  explicit Readiness(Context context) : context_(std::move(context)) {}
  ~Readiness() { stop(); }
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  void start();
  void stop();
  // Somebody needs the servers to himself: a run that is under way ends at its next question and is forgotten.
  void give_way() { give_up_ = true; }
  // What was found is about a state that is over; the next run comes soon.
  void forget();
  [[nodiscard]] std::optional<Report> newest() const;

 private:
  void loop();
  void run_once();

  Context context_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<Report> newest_;
  bool stopping_ = false;
  bool hurry_ = false;
  std::uint64_t generation_ = 0;  // of what newest_ is about
  std::atomic<bool> give_up_{false};
  std::thread thread_;
};

}  // namespace turnout::control
