// Carries out what drain::Cutover decides: one loop that calls step(), a few threads that run the steps.
//
// It owes the machine (drain/cutover.h): one answer to each action, publications in order before the next step(), ticks
// on time. What a step does is the runner's; the loop knows no SQL. All calls to Runner::changed and Runner::publish
// come from the loop's thread, run() from any of the others.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/stop_points.h"
#include "drain/cutover.h"

namespace turnout::control {

struct StepAnswer {
  bool ok = true;
  std::string reason;                                // not ok
  drain::Decision decision = drain::Decision::none;  // decide_* only

  [[nodiscard]] static StepAnswer done() { return {}; }
  [[nodiscard]] static StepAnswer failed(std::string why) { return {false, std::move(why), drain::Decision::none}; }
};

class Runner {
 public:
  Runner() = default;
  virtual ~Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Blocks until the step is over and nothing of it is on its way any more. `cancelled`: nobody needs the answer now;
  // return soon, with anything.
  [[nodiscard]] virtual StepAnswer run(const drain::Action& action, const std::atomic<bool>& cancelled) = 0;
  virtual void publish(const drain::Action& action) = 0;
  // After every step of the machine; `note` is its line for the log.
  virtual void changed(const drain::State& before, const drain::State& now, const std::string& note) = 0;
};

// When a step ran, for the report: milliseconds since the executor started.
struct StepTime {
  drain::Step step = drain::Step::run_preflight;
  std::uint64_t epoch = 0;
  std::uint32_t attempt = 1;
  double began_ms = 0, ended_ms = -1;
  std::string reason;  // of a failure
};

class Executor {
 public:
  Executor(const drain::Limits& limits, Runner& runner, const drain::Plan& plan = drain::standard_plan(),
           std::size_t threads = 8);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void start();
  void stop();  // cancels what waits, joins everything; the log says where a restart goes on
  void post(drain::Event event);
  // Posts `event` only if no attempt is running or waiting to start; false otherwise.
  [[nodiscard]] bool post_if_idle(drain::Event event);
  void set_limits(const drain::Limits& limits);  // takes effect with the next step of the machine

  [[nodiscard]] drain::State state() const;
  // Steps of an epoch in the order they were issued.
  [[nodiscard]] std::vector<StepTime> times(std::uint64_t epoch) const;
  [[nodiscard]] double now_ms() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Job {
    drain::Action action;
    std::shared_ptr<std::atomic<bool>> cancelled;
    std::size_t time_index = 0;
  };

  void loop();
  void work();
  void advance(const drain::Event& event);
  void issue(const drain::Action& action);
  [[nodiscard]] std::size_t begin_time(const drain::Action& action);
  void end_time(std::size_t index, const std::string& reason);

  [[nodiscard]] bool is_stopping() const;

  Runner& runner_;
  const drain::Plan& plan_;
  const StopPoints stops_;
  const Clock::time_point started_ = Clock::now();
  const std::size_t thread_count_;

  mutable std::mutex mutex_;
  std::condition_variable events_ready_, jobs_ready_;
  drain::Limits limits_;
  drain::State state_;
  std::deque<drain::Event> events_;
  std::deque<Job> jobs_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::shared_ptr<std::atomic<bool>>> cancels_;  // epoch, action id
  std::vector<StepTime> times_;
  std::int64_t wake_ms_ = -1;
  bool start_pending_ = false;
  bool stopping_ = false;
  std::thread loop_thread_;
  std::vector<std::thread> workers_;
};

}  // namespace turnout::control
