#include "proxy/shadow_lane.h"

#include <utility>

#include "proxy/canceller.h"
#include "proxy/farewell.h"
#include "proxy/shadow_runner.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

ShadowLane::ShadowLane(ShadowRunner& runner, Account& account, router::Side side)
    : runner_(runner), account_(account), side_(side) {}

void ShadowLane::set_state(State state) {
  state_ = state;
  since_ms_ = account_.shard.worker.loop.now_ms();
}

bool ShadowLane::open() {
  if (account_.shared.take_shared(side_, account_.shard.settings->conf.limits) != SharedLimit::none) return false;
  set_state(State::opening);
  connection_ = make_connection();
  Connection& connection = *connection_;  // opening may fail at once, and close it
  connection.open();
  return true;
}

void ShadowLane::close() {
  forget_answer();
  if (!connection_) return;
  const auto abandoned = state_ == State::busy ? cut_short() : std::nullopt;
  set_state(State::closed);
  Shard& shard = account_.shard;
  Transport leaving = connection_->take_leave();
  shard.worker.loop.bury(std::move(connection_));
  if (!leaving.is_open()) return account_.shared.give_shared(side_);
  // What runs there still is cancelled at once: the drain of a cutover would meet a backend that is nobody's.
  if (abandoned) send_cancel(shard, abandoned->address, abandoned->backend_pid, abandoned->cancel_key, {});
  shard.add_farewell(std::make_unique<Farewell>(
      shard, std::move(leaving), abandoned, [&shared = account_.shared, side = side_] { shared.give_shared(side); }));
}

std::size_t ShadowLane::run(std::span<const ShadowRead* const> reads, std::uint64_t work,
                            std::uint64_t kept_bytes_max) {
  work_ = work;
  set_state(State::busy);
  const std::size_t taken = put(reads, kept_bytes_max);
  work_end_ = work + taken;
  return taken;
}

void ShadowLane::rest() {
  ++work_;
  set_state(work_ == work_end_ ? State::idle : State::busy);
}

void ShadowLane::opened() {
  set_state(State::idle);
  runner_.opened();
}

void ShadowLane::lost() {
  const bool was_busy = state_ == State::busy;
  close();
  runner_.failed(*this, was_busy);
}

void ShadowLane::answered(ShadowReply reply) {
  runner_.answered(*this, work_ - 1, std::move(reply));
}

void ShadowLane::start_clock() {
  sent_us_ = account_.shard.worker.loop.now_us();
}

std::uint64_t ShadowLane::clock_us() const {
  return account_.shard.worker.loop.now_us() - sent_us_;
}

}  // namespace turnout::proxy
