#include "proxy/event_loop.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <system_error>

namespace turnout::proxy {

namespace {

// Its events need nothing done: that the loop turns is enough.
struct TickHandler final : Handler {
  void on_events(std::uint32_t) override {}
};
TickHandler tick_handler;

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

EventLoop::EventLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      tick_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (epoll_ < 0 || wake_ < 0 || tick_ < 0) throw_errno("epoll");
  add(tick_, EPOLLIN | EPOLLET, tick_handler);  // edge-triggered: nobody has to read it
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // nullptr marks the eventfd
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0) throw_errno("epoll_ctl");
  refresh_clock();
}

EventLoop::~EventLoop() {
  ::close(tick_);
  ::close(wake_);
  ::close(epoll_);
}

void EventLoop::add(int fd, std::uint32_t events, Handler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl add");
}

void EventLoop::change(int fd, std::uint32_t events, Handler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0) throw_errno("epoll_ctl change");
}

void EventLoop::remove(int fd, const Handler& handler) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  for (epoll_event& event : batch_)
    if (event.data.ptr == &handler) event.data.ptr = &tick_handler;
}

void EventLoop::post(Task task) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(task));
  }
  if (!has_posted_.exchange(true, std::memory_order_acq_rel)) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
  }
}

void EventLoop::run_posted() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wake_, &count, sizeof count);
  has_posted_.store(false, std::memory_order_release);
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(posted_mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::bury(std::unique_ptr<Handler> handler) {
  handler->buried_ = true;
  graveyard_.push_back(std::move(handler));
}

void EventLoop::refresh_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  now_us_ = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

void EventLoop::arm_tick() {
  if (armed_ms_ == next_tick_ms_) return;
  armed_ms_ = next_tick_ms_;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(next_tick_ms_ / 1000);
  when.it_value.tv_nsec = static_cast<long>(next_tick_ms_ % 1000) * 1'000'000 + 1;  // 0 would mean: never
  if (::timerfd_settime(tick_, TFD_TIMER_ABSTIME, &when, nullptr) != 0) throw_errno("timerfd_settime");
}

void EventLoop::run(const std::function<std::uint32_t()>& tick) {
  std::array<epoll_event, 128> events{};
  next_tick_ms_ = 0;
  while (!stopping_.load(std::memory_order_acquire)) {
    if (now_ms() >= next_tick_ms_) {
      next_tick_ms_ = UINT64_MAX;  // a tick_soon() inside the tick wins
      const std::uint64_t wanted = now_ms() + tick();
      next_tick_ms_ = std::min(next_tick_ms_, wanted);
      armed_ms_ = UINT64_MAX;  // whatever it was, it has gone off
      graveyard_.clear();
    }
    arm_tick();
    const int ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    if (ready < 0 && errno != EINTR) throw_errno("epoll_wait");
    refresh_clock();
    batch_ = std::span(events).first(ready > 0 ? static_cast<std::size_t>(ready) : 0);
    for (const epoll_event& event : batch_) {
      auto* handler = static_cast<Handler*>(event.data.ptr);
      if (handler == nullptr) {
        run_posted();
      } else if (!handler->buried_) {
        handler->on_events(event.events);
      }
    }
    batch_ = {};
    graveyard_.clear();
  }
  run_posted();
  graveyard_.clear();
}

void EventLoop::stop() {
  stopping_.store(true, std::memory_order_release);
  post([] {});
}

}  // namespace turnout::proxy
