#include "router/shadow.h"

#include <algorithm>

namespace turnout::router {

bool casts_shadow(const RoutingTable& table) {
  return table.shadow.percent != 0 && table.hold == Hold::nothing && table.sides[index(shadow_side(table))].may_read;
}

bool may_shadow(const RoutingTable& table, const Unit& unit, const Route& route) {
  if (!casts_shadow(table) || route.held || route.side != table.writer) return false;
  if (unit.in_transaction || unit.verdict != Verdict::read) return false;
  return unit.session_known_state && unit.session_may_ramp;
}

bool ShadowSampler::look(std::uint8_t percent) {
  // xorshift64*; the upper bits are the good ones.
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  const std::uint64_t drawn = (state_ * 0x2545f4914f6cdd1dU) >> 32;
  is_drawn_ = drawn * 100 < (std::uint64_t{percent} << 32);
  return percent != 0 && (is_drawn_ || since_new_ < calm_units || drawn % calm_step == 0);
}

bool ShadowSampler::take(std::uint64_t runs) {
  since_new_ = runs < first_runs ? 0 : std::min(since_new_ + 1, calm_units);
  return is_drawn_ || runs < first_runs;
}

bool ShadowTrain::takes(const ShadowPace& pace, std::uint64_t writer_us) {
  const bool is_known = pace.timed >= timed_enough;
  const std::uint64_t us = us_ + (is_known ? std::max(pace.other_us, writer_us) : us_max);
  if (reads_ != 0 && (is_full() || us >= us_max)) return false;
  ++reads_;
  us_ = us;
  return true;
}

}  // namespace turnout::router
