// Progress events, fanned out to the streams of /v1/events.
//
// One thread asks the backend for what is new while anybody listens, and hands each subscriber every event once and in
// order, already as server-sent event text. Subscribers' functions run on that thread (or inside subscribe, for what
// was missed) with a lock held: they only pass the text on. After unsubscribe() returns, the function is not called.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "control/backend.h"

namespace turnout::control {

class EventsStream {
 public:
  using Deliver = std::function<void(const std::string& text)>;
  using Subscription = std::uint64_t;

  explicit EventsStream(const Backend& backend);
  ~EventsStream();
  EventsStream(const EventsStream&) = delete;
  EventsStream& operator=(const EventsStream&) = delete;

  // `after`: the last event the subscriber has seen; only_new_events (api.h) = none of the past.
  [[nodiscard]] Subscription subscribe(std::uint64_t after, Deliver deliver);
  void unsubscribe(Subscription subscription);
  void stop();

 private:
  struct Subscriber {
    std::uint64_t seen = 0;
    Deliver deliver;
  };
  void run();
  void hand_on(const std::vector<ProgressEvent>& events);

  const Backend& backend_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::map<Subscription, Subscriber> subscribers_;
  Subscription next_ = 1;
  std::uint64_t newest_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

// "id: 7\nevent: phase\ndata: {…}\n\n"; data also says its type, for readers that look at nothing else.
[[nodiscard]] std::string event_text(const ProgressEvent& event);

}  // namespace turnout::control
