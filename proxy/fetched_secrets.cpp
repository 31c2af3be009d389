#include "proxy/fetched_secrets.h"

#include <algorithm>

namespace turnout::proxy {

namespace {

constexpr std::uint64_t unknown_ms_max = 1'000;
constexpr std::uint64_t doubt_ms_min = 1'000;

}  // namespace

FetchedSecrets::Found FetchedSecrets::find(const std::string& user, std::uint64_t now_ms) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(user);
  if (found == entries_.end() || now_ms >= found->second.until_ms) return {};
  return {true, found->second.secret};
}

void FetchedSecrets::put(const std::string& user, const std::optional<protocol::pg::Secret>& secret,
                         std::uint64_t now_ms, std::uint32_t cache_ms, std::uint32_t users_max) {
  const std::uint64_t believed_ms = secret ? cache_ms : std::min<std::uint64_t>(cache_ms, unknown_ms_max);
  const std::lock_guard lock(mutex_);
  entries_.erase(user);
  make_room(now_ms, users_max);
  entries_[user] = {secret, now_ms, now_ms + believed_ms};
}

// The oldest go; a flood of unknown names costs questions, not memory.
void FetchedSecrets::make_room(std::uint64_t now_ms, std::uint32_t users_max) {
  if (entries_.size() < users_max) return;
  std::erase_if(entries_, [now_ms](const auto& entry) { return now_ms >= entry.second.until_ms; });
  while (entries_.size() >= users_max) {
    entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
      return a.second.asked_ms < b.second.asked_ms;
    }));
  }
}

void FetchedSecrets::doubt(const std::string& user, std::uint64_t now_ms) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(user);
  if (found != entries_.end() && now_ms - found->second.asked_ms >= doubt_ms_min) entries_.erase(found);
}

void FetchedSecrets::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

std::size_t FetchedSecrets::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace turnout::proxy
