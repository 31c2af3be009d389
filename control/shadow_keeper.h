// The shadow of one deployment over time: turns it on and off, adds up what the workers have seen, asks for the plans
// of shapes that got slower, tells what is new, and remembers over a restart that it was on
// (state_dir/shadow-NAME.json; the numbers begin anew).
//
// Decides nothing itself: what is compared and when a difference is proven is router/shadow_match.h's to say, what is
// slower router/shadow_plan.h's. Thread-safe.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/step_context.h"
#include "proxy/proxy.h"
#include "router/shadow_book.h"

namespace turnout::control {

class ShadowKeeper {
 public:
  struct Context {
    proxy::DeploymentIndex index = 0;
    std::string deployment;
    std::filesystem::path file;
    std::function<conf::Deployment()> config;
    proxy::Proxy& proxy;
    RouteBook& routes;
    std::function<std::string(int percent)> set_share;  // "" or why not
    std::function<void(boost::json::object)> on_event;  // {text, …}: log and event stream
    std::function<void(router::StepBack)> on_alarm;     // a difference while reads are on the other side
  };
  explicit ShadowKeeper(Context context);

  // ---- of the sampler's thread, as often as it likes
  void look(const router::RoutingTable& table, std::int64_t now_ms);

  // ---- of any thread
  // 0 = off. "" or why not. On from off, and with reads on another side than before, the numbers begin anew.
  [[nodiscard]] std::string set(int percent);
  [[nodiscard]] boost::json::object report() const;   // for GET …/shadow
  [[nodiscard]] boost::json::object summary() const;  // for status; empty when there never was one
  struct Numbers {
    std::vector<std::pair<std::string, std::uint64_t>> reads, drops;  // by outcome; by reason
    std::uint64_t slower = 0;                                         // shapes
  };
  [[nodiscard]] Numbers numbers() const;
  [[nodiscard]] Warmth warmth(std::int64_t now_ms) const;

 private:
  void load();
  [[nodiscard]] std::string save(int percent);
  void begin_anew(router::Side side);  // under mutex_
  void restore(const router::RoutingTable& table, std::int64_t now_ms);
  [[nodiscard]] std::optional<router::StepBack> alarm_of(const router::ShadowBook::Look& look);
  void tell_news(const router::RoutingTable& table);

  Context context_;
  std::mutex acting_;         // one change at a time
  mutable std::mutex mutex_;  // what follows
  router::ShadowBook book_;
  router::Side side_ = router::Side::green;  // whose answers those are, beside the writer's
  std::string since_;                        // the numbers' beginning, "" = there are none
  std::set<std::uint64_t> told_;             // shapes whose difference was an event
  std::set<std::uint64_t> asked_plans_;      // shapes
  std::optional<int> restores_;              // what the file says is not in force yet
  std::int64_t gathered_at_ms_ = 0, retry_at_ms_ = 0;
  std::int64_t last_run_ms_ = 0;  // when the other side was last seen to answer
};

}  // namespace turnout::control
