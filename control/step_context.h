// What every step of the Postgres executor may use. References outlive the steps.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/attempt.h"
#include "control/decision_store.h"
#include "control/executor.h"
#include "control/route_book.h"
#include "control/shelf.h"
#include "proxy/proxy.h"

namespace turnout::control {

// What the side that follows has been read with lately, as a shadow of the real reads.
struct Warmth {
  router::Side side = router::Side::green;
  std::uint64_t reads = 0;   // that were measured there
  std::size_t shapes = 0;    // of statements
  std::size_t slower = 0;    // of them
  std::int64_t age_ms = -1;  // of the newest; -1 = there was none
};

struct StepContext {
  proxy::DeploymentIndex index = 0;
  const std::string& deployment;
  std::function<conf::Deployment()> config;
  Shelf& shelf;
  proxy::Proxy& proxy;
  DecisionStore& store;
  RouteBook& routes;
  std::function<void()> on_hold_overflow;
  std::function<std::string(router::Side)> load_catalog;  // of the writer, for the data path; "" or why not
  std::function<Warmth()> warmth = {};
};

// Deadlines of single statements. In the window they are short: the machine's own deadlines rule, these only make sure
// that a thread comes back from a server that has gone quiet.
inline constexpr std::uint32_t window_ms_max = 2'000;
inline constexpr std::uint32_t quiet_ms_max = 30'000;

// Between two looks at something that changes by itself.
inline void short_pause() {
  std::this_thread::sleep_for(std::chrono::microseconds(300));
}
// The same where looking costs the server something: a backend, a scan of its sessions.
inline void medium_pause() {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}
inline void long_pause() {
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

[[nodiscard]] inline StepAnswer failed(const PgError& error) {
  return StepAnswer::failed(error.message());
}
[[nodiscard]] inline std::vector<Stream> streams_of(Attempt& attempt) {
  const std::lock_guard guard(attempt.mutex);
  return attempt.topology.streams;
}

// A transaction that writes although the server's default is read-only. Only for schema turnout and what a cutover
// itself changes.
[[nodiscard]] inline std::string writing(const std::string& statements) {
  return "BEGIN READ WRITE; SET LOCAL synchronous_commit = on; " + statements + "; COMMIT";
}

}  // namespace turnout::control
