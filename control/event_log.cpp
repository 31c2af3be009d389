#include "control/event_log.h"

#include <utility>

namespace turnout::control {

void EventLog::add(std::string type, boost::json::object data) {
  {
    const std::lock_guard guard(mutex_);
    events_.push_back({++last_, std::move(type), std::move(data)});
    if (events_.size() > capacity_) events_.pop_front();
  }
  added_.notify_all();
}

std::vector<ProgressEvent> EventLog::after(std::uint64_t after, std::uint32_t wait_ms) const {
  std::unique_lock lock(mutex_);
  added_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return closed_ || last_ > after; });
  std::vector<ProgressEvent> out;
  for (const auto& event : events_) {
    if (event.sequence > after) out.push_back(event);
  }
  return out;
}

void EventLog::wake_all() {
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
  }
  added_.notify_all();
}

}  // namespace turnout::control
