#include "router/ramp.h"

#include <algorithm>
#include <vector>

namespace turnout::router {

namespace {

// Neighbouring session ids must not be neighbours in rank: two rounds of multiply and fold spread every bit.
std::uint64_t spread(std::uint64_t value) {
  value ^= value >> 31;
  value *= 0x9e6c63d0876a9a35ULL;
  value ^= value >> 29;
  value *= 0xd1b54a32d192ed03ULL;
  value ^= value >> 32;
  return value;
}

std::uint64_t sum_reads(std::span<const SessionReads> sessions) {
  std::uint64_t total = 0;
  for (const SessionReads& session : sessions) total += session.reads;
  return total;
}

// The smallest threshold that takes in enough sessions, in order of rank, for their share to reach the weight. Where
// nobody has read anything yet every session counts the same.
std::uint16_t threshold_that_reaches(std::uint8_t percent, std::span<const SessionReads> sessions) {
  std::vector<SessionReads> ranked(sessions.begin(), sessions.end());
  std::ranges::sort(ranked, {}, &SessionReads::hash);
  const bool measured = sum_reads(sessions) > 0;
  const double total = measured ? static_cast<double>(sum_reads(sessions)) : static_cast<double>(ranked.size());
  double taken = 0;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    taken += measured ? static_cast<double>(ranked[i].reads) : 1.0;
    const bool next_has_same_rank = i + 1 < ranked.size() && ranked[i + 1].hash == ranked[i].hash;
    if (!next_has_same_rank && taken * 100.0 >= total * percent) return static_cast<std::uint16_t>(ranked[i].hash + 1);
  }
  return threshold_all;
}

bool takes_in_anyone(std::uint16_t threshold, std::span<const SessionReads> sessions) {
  return std::ranges::any_of(sessions, [=](const SessionReads& s) { return is_ramped(s.hash, threshold); });
}

}  // namespace

std::uint16_t hash16(std::uint64_t session_id, std::uint64_t seed) {
  const std::uint64_t mixed = spread(session_id + spread(seed + 0x632be59bd9b4e019ULL));
  return static_cast<std::uint16_t>((mixed >> 32) % threshold_all);
}

double share_slack(std::uint8_t percent) {
  return std::max(2.0, percent / 5.0);
}

double share_percent(std::uint16_t threshold, std::span<const SessionReads> sessions) {
  const std::uint64_t total = sum_reads(sessions);
  if (total == 0) return 0;
  std::uint64_t ramped = 0;
  for (const SessionReads& session : sessions) {
    if (is_ramped(session.hash, threshold)) ramped += session.reads;
  }
  return 100.0 * static_cast<double>(ramped) / static_cast<double>(total);
}

Choice choose_threshold(const Choice& current, std::uint8_t percent, std::span<const SessionReads> sessions) {
  if (percent == 0) return {0, 0};
  if (percent >= 100) return {100, threshold_all};
  // With nobody there the share of the ranks is the best guess; the next choice corrects it.
  const auto guess = static_cast<std::uint16_t>(std::uint32_t{threshold_all} * percent / 100);
  const std::uint16_t wanted = sessions.empty() ? guess : threshold_that_reaches(percent, sessions);
  if (percent > current.percent) return {percent, std::max(current.threshold, wanted)};
  if (percent < current.percent) return {percent, std::min(current.threshold, wanted)};

  // The same weight again: a session should not hop between two states of the data for a fluctuation of the load.
  if (sessions.empty()) return current;
  if (!takes_in_anyone(current.threshold, sessions)) return {percent, wanted};
  if (sum_reads(sessions) == 0) return current;
  const double share = share_percent(current.threshold, sessions);
  const double slack = share_slack(percent);
  return share < percent - slack || share > percent + slack ? Choice{percent, wanted} : current;
}

std::uint16_t choose_control(const Choice& ramped, std::uint16_t current, std::span<const SessionReads> sessions) {
  if (ramped.percent == 0 || ramped.threshold == threshold_all) return threshold_all;
  // The same choice from the other end: ranks are turned round.
  const auto turned = [](std::uint16_t rank) { return static_cast<std::uint16_t>(threshold_all - 1 - rank); };
  std::vector<SessionReads> others;
  for (const SessionReads& session : sessions) {
    if (!is_ramped(session.hash, ramped.threshold)) others.push_back({turned(session.hash), session.reads});
  }
  if (others.empty()) return ramped.threshold;
  const auto all = static_cast<double>(sum_reads(sessions)), rest = static_cast<double>(sum_reads(others));
  const double wanted = rest > 0 ? std::min(100.0, ramped.percent * all / rest) : ramped.percent;
  const auto percent = static_cast<std::uint8_t>(wanted);
  const bool has_group = current != threshold_all && current >= ramped.threshold;
  const Choice before{percent, static_cast<std::uint16_t>(has_group ? threshold_all - current : 0)};
  const Choice chosen = choose_threshold(has_group ? before : Choice{}, std::max<std::uint8_t>(percent, 1), others);
  return std::max(ramped.threshold, static_cast<std::uint16_t>(threshold_all - chosen.threshold));
}

bool may_read_on_green(conf::TokenPolicy policy, std::uint64_t required_sample, std::uint64_t proven_sample) {
  switch (policy) {
    case conf::TokenPolicy::session:
    case conf::TokenPolicy::global:
      return proven_sample >= required_sample;
    case conf::TokenPolicy::bounded:
      return true;
    case conf::TokenPolicy::strict:
      return false;
  }
  return false;
}

ReadSet::ReadSet(LagBounds bounds, std::uint32_t good_to_return)
    : bounds_(bounds), good_to_return_(std::max(1U, good_to_return)) {}

bool ReadSet::add(const LagSample& sample) {
  const auto within = [&](std::uint32_t part) {
    return sample.known && (bounds_.lag_bytes_max == 0 || sample.lag_bytes <= bounds_.lag_bytes_max / part) &&
           (bounds_.lag_ms_max == 0 || sample.lag_ms <= bounds_.lag_ms_max / part);
  };
  if (!evicted_) {
    bad_in_a_row_ = within(1) ? 0 : bad_in_a_row_ + 1;
    if (bad_in_a_row_ >= 2) {
      evicted_ = true;
      ++evictions_;
      bad_in_a_row_ = good_in_a_row_ = 0;
    }
    return evicted_;
  }
  good_in_a_row_ = within(2) ? good_in_a_row_ + 1 : 0;
  const std::uint32_t patience = 1U << std::min(evictions_ - 1, 4U);
  if (good_in_a_row_ >= good_to_return_ * patience) {
    evicted_ = false;
    good_in_a_row_ = 0;
  }
  return evicted_;
}

}  // namespace turnout::router
