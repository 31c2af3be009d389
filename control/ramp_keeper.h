// The ramp of one deployment over time: gathers what the workers measured, steps back when green is worse, climbs the
// ladder when nothing speaks against it, and remembers both over a restart (state_dir/ramp-NAME.json, durable before a
// weight changes by itself).
//
// Always true: only this class and the sampler's threshold set weights; a step back needs nobody; a cutover's hold is
// never overwritten (RouteBook says so). Decides nothing itself: router/analysis.h and router/ladder.h do.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "control/route_book.h"
#include "proxy/proxy.h"
#include "router/analysis.h"
#include "router/ladder.h"

namespace turnout::control {

class RampKeeper {
 public:
  struct Context {
    proxy::DeploymentIndex index = 0;
    std::string deployment;
    std::filesystem::path file;
    std::function<conf::Deployment()> config;
    proxy::Proxy& proxy;
    RouteBook& routes;
    std::function<std::string(int percent)> set_weight;           // "" or why not
    std::function<void(boost::json::object)> on_event;            // {text, …}: log and event stream
    std::function<std::string(boost::json::object)> record_back;  // audit line of a step back
  };
  explicit RampKeeper(Context context);

  // ---- of the sampler's thread, as often as it likes
  void look(const router::RoutingTable& table, std::int64_t now_ms);
  // What the shadow has found while reads are on green: the next look steps back for it.
  void heed(router::StepBack back);

  // ---- of any thread: an operator's word. "" or why it means nothing now.
  [[nodiscard]] std::string order(router::LadderEvent event);
  // A weight set by hand ends the climb.
  [[nodiscard]] std::string shift(int percent);

  [[nodiscard]] boost::json::object report() const;  // for GET …/ramp
  struct Numbers {
    std::uint64_t step_backs = 0;
    std::string phase, waiting_for, step_back;  // of the last one, in a line
    router::SideNumbers green, control;
    double worst_ratio = 0;  // of p95, of the shapes that take time
  };
  [[nodiscard]] Numbers numbers() const;

 private:
  void restore(const router::RoutingTable& table, std::int64_t now_ms);
  void follow_weight(const router::RoutingTable& table, std::int64_t now_ms);
  void step_back(const router::RoutingTable& table, const router::StepBack& back);
  void climb(const router::RoutingTable& table, std::int64_t now_ms);
  [[nodiscard]] std::string apply(const router::LadderMove& move);
  [[nodiscard]] std::string save();
  void load();
  void tell(std::string text, boost::json::object more = {});

  Context context_;
  std::mutex acting_;         // one change at a time; held while a weight is being set
  mutable std::mutex mutex_;  // what follows
  router::Ladder ladder_;
  router::Analysis analysis_;
  std::optional<router::StepBack> heeded_;
  boost::json::object last_back_;
  std::uint64_t step_backs_ = 0;
  std::string waiting_for_;
  std::string writer_;         // when the ladder's weight was set
  bool is_restoring_ = false;  // what the file says is not in force yet
  std::uint32_t percent_ = 0;  // that the analysis is measuring
  std::int64_t held_ms_ = 0, looked_at_ms_ = 0, gathered_at_ms_ = 0, retry_at_ms_ = 0;
  std::uint64_t failures_ = 0;
};

[[nodiscard]] boost::json::object to_json(const router::SideNumbers& side);
[[nodiscard]] boost::json::object to_json(const router::StepBack& back);

}  // namespace turnout::control
