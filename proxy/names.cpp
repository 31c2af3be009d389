#include "proxy/names.h"

#include <algorithm>

namespace turnout::proxy {

namespace {

constexpr std::uint64_t first_retry_ms = 1'000;

bool contains(const Hosts& hosts, const std::string& host) {
  return std::find(hosts.begin(), hosts.end(), host) != hosts.end();
}

}  // namespace

bool NameRecord::answered(Hosts hosts, std::uint32_t ttl_s, std::uint64_t now_ms, const conf::Dns& limits) {
  if (hosts.empty()) {
    failed("the answer has no address", now_ms, limits);
    return false;
  }
  if (hosts.size() > addresses_max) hosts.resize(addresses_max);
  const std::uint64_t ttl_ms =
      std::clamp<std::uint64_t>(std::uint64_t{ttl_s} * 1000, limits.ttl_ms_min, limits.ttl_ms_max);
  const bool is_same = std::is_permutation(hosts.begin(), hosts.end(), hosts_.begin(), hosts_.end());
  hosts_ = std::move(hosts);
  failure_.clear();
  failures_ = 0;
  answered_ms_ = now_ms;
  ask_at_ms_ = now_ms + ttl_ms;
  return !is_same;
}

// Soon at first, for a lost packet is the usual reason; then ever more slowly.
void NameRecord::failed(std::string why, std::uint64_t now_ms, const conf::Dns& limits) {
  failure_ = std::move(why);
  const std::uint64_t wait_ms = first_retry_ms << std::min(failures_, 16u);
  ++failures_;
  ask_at_ms_ = now_ms + std::clamp<std::uint64_t>(wait_ms, limits.ttl_ms_min, limits.ttl_ms_max);
}

Hosts hosts_to_identify(const Hosts& in_use, const Hosts& answer) {
  Hosts unknown;
  for (const std::string& host : answer)
    if (!contains(in_use, host)) unknown.push_back(host);
  return unknown;
}

Choice choose_hosts(const Hosts& in_use, const Hosts& answer, const std::map<std::string, Identity>& verdicts) {
  Choice choice;
  // The first answer after a start: a server that cannot be asked yet may well be the right one, and there is no other.
  const bool is_first = in_use.empty();
  for (const std::string& host : answer) {
    const auto verdict = verdicts.find(host);
    const Identity identity = contains(in_use, host)      ? Identity::same
                              : verdict == verdicts.end() ? Identity::unknown
                                                          : verdict->second;
    if (identity == Identity::different) choice.refused.push_back(host);
    if (identity == Identity::same || (identity == Identity::unknown && is_first))
      choice.use.push_back(host);
    else
      choice.is_settled = false;
  }
  if (choice.use.empty()) choice.use = in_use;
  return choice;
}

}  // namespace turnout::proxy
