#include "control/events_stream.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <utility>

#include "control/api.h"

namespace turnout::control {
namespace {

// Bounds how long stop() waits for a backend that has nothing to tell.
constexpr std::uint32_t wait_ms = 250;

}  // namespace

std::string event_text(const ProgressEvent& event) {
  boost::json::object data = event.data;
  data["type"] = event.type;
  return "id: " + std::to_string(event.sequence) + "\nevent: " + event.type +
         "\ndata: " + boost::json::serialize(data) + "\n\n";
}

EventsStream::EventsStream(const Backend& backend) : backend_(backend), thread_([this] { run(); }) {}

EventsStream::~EventsStream() {
  stop();
}

void EventsStream::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    subscribers_.clear();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

EventsStream::Subscription EventsStream::subscribe(std::uint64_t after, Deliver deliver) {
  const std::lock_guard lock(mutex_);
  const auto past = backend_.events(0, 0);
  // A number from before a restart may be greater than all of ours: then begin with what is there.
  const std::uint64_t last = past.empty() ? 0 : past.back().sequence;
  if (after == only_new_events) after = last;
  if (after > last) after = 0;
  Subscriber subscriber{after, std::move(deliver)};
  for (const ProgressEvent& event : past) {
    if (event.sequence <= subscriber.seen) continue;
    subscriber.deliver(event_text(event));
    subscriber.seen = event.sequence;
  }
  newest_ = std::max(newest_, last);
  subscribers_.emplace(next_, std::move(subscriber));
  changed_.notify_all();
  return next_++;
}

void EventsStream::unsubscribe(Subscription subscription) {
  const std::lock_guard lock(mutex_);
  subscribers_.erase(subscription);
}

void EventsStream::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (subscribers_.empty()) {
      changed_.wait(lock);
      continue;
    }
    // Unlocked while waiting: a subscriber that comes meanwhile reads the past itself, and `seen` keeps what both of
    // us know from being told twice.
    const std::uint64_t after = newest_;
    lock.unlock();
    const auto events = backend_.events(after, wait_ms);
    lock.lock();
    hand_on(events);
    // A backend that is ending answers at once with nothing: do not spin until we are told to stop.
    if (events.empty()) changed_.wait_for(lock, std::chrono::milliseconds(5), [this] { return stopping_; });
  }
}

void EventsStream::hand_on(const std::vector<ProgressEvent>& events) {
  for (const ProgressEvent& event : events) {
    const std::string text = event_text(event);
    for (auto& [id, subscriber] : subscribers_) {
      if (event.sequence <= subscriber.seen) continue;
      subscriber.deliver(text);
      subscriber.seen = event.sequence;
    }
    newest_ = std::max(newest_, event.sequence);
  }
}

}  // namespace turnout::control
