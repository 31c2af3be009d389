// The loop's promises about handlers that leave it in the middle of a batch.
#include "proxy/event_loop.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <functional>

namespace turnout::proxy {
namespace {

struct Counting final : Handler {
  int events = 0;
  std::function<void()> then;
  void on_events(std::uint32_t) override {
    ++events;
    if (then) then();
  }
};

TEST(EventLoop, WhoIsRemovedHearsNothingMoreOfTheSameBatch) {
  EventLoop loop;
  std::array<Counting, 2> handlers;
  std::array<int, 2> fds{};
  for (std::size_t i = 0; i < 2; ++i) {
    fds[i] = ::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    loop.add(fds[i], EPOLLIN, handlers[i]);
    handlers[i].then = [&, other = 1 - i] {  // whoever comes first takes the other one off
      loop.remove(fds[other], handlers[other]);
      loop.stop();
    };
  }
  loop.run([] { return 1'000u; });
  EXPECT_EQ(std::min(handlers[0].events, handlers[1].events), 0);
  EXPECT_GE(std::max(handlers[0].events, handlers[1].events), 1);
  for (const int fd : fds) ::close(fd);
}

TEST(EventLoop, TicksWithoutAnyEvent) {
  EventLoop loop;
  int ticks = 0;
  loop.run([&] {
    if (++ticks == 3) loop.stop();
    return ticks == 1 ? 0u : 2u;
  });
  EXPECT_GE(ticks, 3);
}

TEST(EventLoop, TickWithinIsNotLaterThanAsked) {
  EventLoop loop;
  int ticks = 0;
  Counting handler;
  const int fd = ::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
  loop.add(fd, EPOLLIN | EPOLLET, handler);
  handler.then = [&] { loop.tick_within(2); };
  loop.run([&] {
    if (++ticks == 2) loop.stop();
    return 3'600'000u;  // without the request it would be an hour
  });
  EXPECT_EQ(ticks, 2);
  ::close(fd);
}

}  // namespace
}  // namespace turnout::proxy
