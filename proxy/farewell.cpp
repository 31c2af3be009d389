#include "proxy/farewell.h"

#include <sys/socket.h>

#include "proxy/canceller.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace {

constexpr std::uint64_t cancel_again_ms = 200;
constexpr std::uint64_t cancel_more_ms = 50;  // the longest train of the shadow (router/shadow.h) is over within ms_max

}  // namespace

Farewell::Farewell(Shard& shard, Transport transport, std::optional<Abandoned> abandoned, std::function<void()> over)
    : shard_(shard),
      transport_(std::move(transport)),
      until_ms_(shard.worker.loop.now_ms() + ms_max),
      abandoned_(std::move(abandoned)),
      again_ms_(abandoned_ && abandoned_->has_more ? cancel_more_ms : cancel_again_ms),
      over_(std::move(over)),
      cancel_again_ms_(shard.worker.loop.now_ms() + again_ms_) {}

void Farewell::begin() {
  ::shutdown(transport_.fd(), SHUT_WR);  // also a server that waits for more of a login hears the end of it
  shard_.worker.loop.add(transport_.fd(), EPOLLIN, *this);
  if (abandoned_) shard_.worker.loop.tick_within(again_ms_);
}

void Farewell::on_events(std::uint32_t) {
  IoResult got;
  do got = transport_.read(shard_.worker.buffer());
  while (got.status == IoStatus::ok && transport_.has_pending());
  if (got.status == IoStatus::closed || got.status == IoStatus::failed) end();
}

void Farewell::tick(std::uint64_t now_ms) {
  if (!abandoned_) return;
  if (now_ms < cancel_again_ms_) {
    shard_.worker.loop.tick_within(cancel_again_ms_ - now_ms);
    return;
  }
  cancel_again_ms_ = now_ms + again_ms_;
  shard_.worker.loop.tick_within(again_ms_);
  send_cancel(shard_, abandoned_->address, abandoned_->backend_pid, abandoned_->cancel_key, {});
}

void Farewell::end() {
  transport_.close();
  shard_.remove_farewell(*this);
}

}  // namespace turnout::proxy
