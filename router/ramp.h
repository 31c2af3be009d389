// The read ramp as pure decisions: which sessions read on green and which are their control group, what they may see
// there, when green leaves the read set. Numbers in, numbers out; the caller samples and publishes. When a ramp steps
// back is in analysis.h, how it climbs in ladder.h.
#pragma once

#include <cstdint>
#include <span>

#include "conf/config.h"

namespace turnout::router {

inline constexpr std::uint16_t threshold_all = 65535;

// A session's rank, 0 … 65534, the same for its whole life. `seed` is the deployment's: different for each, constant.
[[nodiscard]] std::uint16_t hash16(std::uint64_t session_id, std::uint64_t seed);
[[nodiscard]] constexpr bool is_ramped(std::uint16_t hash, std::uint16_t threshold) {
  return hash < threshold;
}
[[nodiscard]] constexpr bool is_control(std::uint16_t hash, std::uint16_t control_from) {
  return hash >= control_from;
}

// ---- who goes to green

// One eligible session: how many proven reads it made since the last choice, wherever they ran.
struct SessionReads {
  std::uint16_t hash = 0;
  std::uint64_t reads = 0;
};

struct Choice {
  std::uint8_t percent = 0;  // the weight this threshold was chosen for
  std::uint16_t threshold = 0;
  friend bool operator==(const Choice&, const Choice&) = default;
};

// The threshold for `percent`, given what is in force now. 0 → nobody, 100 → everybody. Otherwise sessions are added by
// rank until the measured share of proven reads reaches the weight, at least one session where there is one.
// Sticky: with a constant weight the threshold moves only when the share has left the weight by more than
// share_slack(); with a growing weight nobody leaves, with a falling one nobody joins.
[[nodiscard]] Choice choose_threshold(const Choice& current, std::uint8_t percent,
                                      std::span<const SessionReads> sessions);
// Per cent of all proven reads that are made by sessions below the threshold; 0 where there are no reads.
[[nodiscard]] double share_percent(std::uint16_t threshold, std::span<const SessionReads> sessions);
[[nodiscard]] double share_slack(std::uint8_t percent);

// The control group: sessions of the highest ranks, until their share of the reads is as great as the ramped one; never
// a ramped session. Returns the lowest rank of the group, threshold_all = nobody is left. Kept while its share is
// within the slack.
[[nodiscard]] std::uint16_t choose_control(const Choice& ramped, std::uint16_t current,
                                           std::span<const SessionReads> sessions);

// ---- what a read may see

// Does green show what this session must see? Samples count positions of the writer's log within one epoch.
// `bounded` needs no token: its bound in time is kept by ReadSet.
[[nodiscard]] bool may_read_on_green(conf::TokenPolicy policy, std::uint64_t required_sample,
                                     std::uint64_t proven_sample);

// ---- is green fresh enough at all?

struct LagSample {
  bool known = false;  // false: green did not answer; counts as beyond every bound
  std::uint64_t lag_bytes = 0;
  std::uint32_t lag_ms = 0;
};

struct LagBounds {
  std::uint64_t lag_bytes_max = 0;  // 0 = not looked at
  std::uint32_t lag_ms_max = 0;     // 0 = not looked at
};

// Green in or out of the read set. Out after two samples in a row beyond a bound; back after `good_to_return` in a row
// within half of the bounds, twice as many after each further eviction (up to 16 ×), so that it does not flap.
class ReadSet {
 public:
  explicit ReadSet(LagBounds bounds, std::uint32_t good_to_return = 20);

  // Returns is_evicted().
  bool add(const LagSample& sample);
  [[nodiscard]] bool is_evicted() const { return evicted_; }
  [[nodiscard]] std::uint32_t evictions() const { return evictions_; }

 private:
  LagBounds bounds_;
  std::uint32_t good_to_return_;
  std::uint32_t bad_in_a_row_ = 0;
  std::uint32_t good_in_a_row_ = 0;
  std::uint32_t evictions_ = 0;
  bool evicted_ = false;
};

}  // namespace turnout::router
