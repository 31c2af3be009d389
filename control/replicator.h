// The making of green's copy as an operator sees it: begun by one call, watched by others, stopped by abort. Its work
// is on a thread of its own, so that no call waits for longer than the checks take.
//
// Always true: at most one a deployment; nothing else prepares or checks meanwhile (it holds that lock); a process that
// ends, or is killed, leaves what is made, and a second call goes on. Thread-safe.
#pragma once

#include <boost/json/object.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/replicate.h"

namespace turnout::control {

class Replicator {
 public:
  struct Context {
    StepContext& steps;
    std::mutex& preparing;
    std::function<std::string(boost::json::array& done)> prepare;  // what `prepare` does without --replicate
    std::function<void(boost::json::object event, const std::string& line)> on_news;  // line "" = only the event
  };
  explicit Replicator(Context context);
  ~Replicator();
  Replicator(const Replicator&) = delete;
  Replicator& operator=(const Replicator&) = delete;

  // False: one is under way.
  [[nodiscard]] bool begin(std::uint64_t epoch);
  // Until the checks are over: begun, refused by them, or failed before.
  void await_checks();
  [[nodiscard]] bool is_running() const;
  // {} = none since the start of the process. {running, phase, tables, …, checks of a refusal, error, done}
  [[nodiscard]] boost::json::object report() const;
  // False: nothing is running. What was made stays.
  [[nodiscard]] bool cancel();
  void stop();

 private:
  void work(std::uint64_t epoch);
  [[nodiscard]] std::string make(std::uint64_t epoch, boost::json::array& done);
  void checked(const std::vector<Check>& checks);
  void tell(const ReplicaWatch::News& news);

  Context context_;
  ReplicaWatch watch_;
  mutable std::mutex mutex_;
  std::condition_variable checks_over_;
  bool running_ = false, checking_ = false, begun_ = false, refused_ = false;
  std::string error_;
  boost::json::array checks_, done_;
  std::mutex thread_mutex_;
  std::thread thread_;
};

}  // namespace turnout::control
