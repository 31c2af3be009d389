// One worker's epoll loop: one registration a socket, level-triggered unless asked otherwise (Transport::wanted), no
// timers but a tick. The tick is a timerfd, so that epoll_wait itself never has a timeout: the kernel would set up and
// cancel a timer at each sleep, twice a query.
//
// Why not Asio here: its reactor arms a descriptor edge-triggered and reads until EAGAIN, or re-arms with epoll_ctl;
// either costs one more system call a direction. This loop needs 6 calls a query, as many as the bare relay: a reading
// that does not fill its buffer has taken all there was (epoll(7)).
// Always true: handlers run on the loop's thread only; a handler given to bury() is destroyed after the current batch,
// so events already fetched for it are skipped, never dangling.
#pragma once

#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace turnout::proxy {

class Handler {
 public:
  Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  virtual ~Handler() = default;
  virtual void on_events(std::uint32_t events) = 0;

 protected:
  [[nodiscard]] bool is_buried() const { return buried_; }  // it has ended, and is gone at the end of the turn

 private:
  friend class EventLoop;
  bool buried_ = false;
};

class EventLoop {
 public:
  using Task = std::function<void()>;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void add(int fd, std::uint32_t events, Handler& handler);
  void change(int fd, std::uint32_t events, Handler& handler);
  // From here on no event reaches the handler on this loop, also none that was fetched already: it may go to another
  // thread, and what is still to be told it will be told there.
  void remove(int fd, const Handler& handler);

  void post(Task task);  // from any thread; runs on the loop's
  // Destroys it after the current batch; no event reaches it any more.
  void bury(std::unique_ptr<Handler> handler);

  // Runs until stop(). `tick` is called about every tick_ms() milliseconds and says when it wants to be called next.
  void run(const std::function<std::uint32_t()>& tick);
  void stop();                             // from any thread
  void tick_soon() { next_tick_ms_ = 0; }  // the next turn calls the tick, whatever it last wanted
  void tick_within(std::uint64_t ms) { next_tick_ms_ = std::min(next_tick_ms_, now_ms() + ms); }

  // Monotonic, read once a batch of events.
  [[nodiscard]] std::uint64_t now_us() const { return now_us_; }
  [[nodiscard]] std::uint64_t now_ms() const { return now_us_ / 1000; }

 private:
  void run_posted();
  void refresh_clock();
  void arm_tick();

  int epoll_ = -1;
  int wake_ = -1;  // eventfd
  int tick_ = -1;  // timerfd
  std::uint64_t armed_ms_ = 0;
  std::atomic<bool> stopping_{false};
  std::span<epoll_event> batch_;  // being worked through
  std::uint64_t now_us_ = 0;
  std::uint64_t next_tick_ms_ = 0;
  std::mutex posted_mutex_;
  std::vector<Task> posted_;
  std::atomic<bool> has_posted_{false};
  std::vector<std::unique_ptr<Handler>> graveyard_;
};

}  // namespace turnout::proxy
