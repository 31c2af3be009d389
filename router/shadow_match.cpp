#include "router/shadow_match.h"

#include <algorithm>

namespace turnout::router {

ShadowMatch match(const AnswerDigest& writer, const AnswerDigest& other, bool is_ordered) {
  if (writer.gap != AnswerGap::none || other.gap != AnswerGap::none) return ShadowMatch::unknown;
  if (writer.sqlstate != other.sqlstate) return ShadowMatch::error;
  if (!writer.sqlstate.empty()) return ShadowMatch::same;
  const bool both_described = writer.columns != 0 && other.columns != 0;
  if (both_described && writer.columns != other.columns) return ShadowMatch::columns;
  if (writer.rows != other.rows || writer.results != other.results) return ShadowMatch::rows;
  if (writer.any_order != other.any_order) return ShadowMatch::rows;
  return is_ordered && writer.in_order != other.in_order ? ShadowMatch::order : ShadowMatch::same;
}

TrialVerdict ShadowTrial::add(bool is_stable, ShadowMatch of_other) {
  ++tried_;
  if (is_stable && of_other == ShadowMatch::same) return TrialVerdict::same;
  if (is_stable && of_other != ShadowMatch::unknown) ++different_;
  if (different_ >= limits_.brackets) return TrialVerdict::different;
  return tried_ < limits_.tries ? TrialVerdict::again : TrialVerdict::unsettled;
}

std::uint32_t ShadowTrial::pause_ms() const {
  constexpr std::uint32_t first_ms = 50;
  constexpr std::uint32_t doublings_max = 5;
  return first_ms << std::min(tried_, doublings_max);
}

}  // namespace turnout::router
