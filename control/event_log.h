// What /v1/events streams: the last progress events, numbered from 1, and a wait for the next one. Thread-safe,
// bounded: a reader that is further behind than `capacity` misses the oldest and sees it from the gap in the numbers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "control/operations.h"

namespace turnout::control {

class EventLog {
 public:
  explicit EventLog(std::size_t capacity = 4096) : capacity_(capacity) {}

  void add(std::string type, boost::json::object data);
  // Events numbered above `after`; waits up to `wait_ms` for the first one.
  [[nodiscard]] std::vector<ProgressEvent> after(std::uint64_t after, std::uint32_t wait_ms) const;
  void wake_all();  // before the end: nobody waits any longer

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  mutable std::condition_variable added_;
  std::deque<ProgressEvent> events_;
  std::uint64_t last_ = 0;
  bool closed_ = false;
};

}  // namespace turnout::control
