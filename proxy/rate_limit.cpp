#include "proxy/rate_limit.h"

#include <algorithm>

namespace turnout::proxy {

namespace {

constexpr std::uint64_t burst_us = 1'000'000;

}  // namespace

bool RateLimit::allows(const std::string& name, std::uint64_t now_us, std::uint32_t per_second) {
  if (free_at_us_.size() >= names_max && !free_at_us_.contains(name)) forget_quiet(now_us);
  const bool is_one_too_many = free_at_us_.size() >= names_max && !free_at_us_.contains(name);
  std::uint64_t& free_at_us = free_at_us_[is_one_too_many ? std::string() : name];
  const std::uint64_t cost_us = burst_us / std::max<std::uint32_t>(1, per_second);
  const std::uint64_t then_us = std::max(free_at_us, now_us) + cost_us;
  if (then_us > now_us + burst_us) return false;
  free_at_us = then_us;
  return true;
}

void RateLimit::forget_quiet(std::uint64_t now_us) {
  std::erase_if(free_at_us_, [now_us](const auto& entry) { return entry.second <= now_us; });
}

}  // namespace turnout::proxy
