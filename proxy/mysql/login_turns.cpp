#include "proxy/mysql/login_turns.h"

#include <algorithm>
#include <iterator>

namespace turnout::proxy::mysql {

bool LoginTurns::take(const std::string& client_host, std::uint32_t turns_max, std::uint64_t now_ms) {
  const std::lock_guard lock(mutex_);
  forget_rested(now_ms);
  if (under_way_ >= turns_max) return false;
  Host& host = hosts_[client_host];
  if (host.under_way + host.rests_until_ms.size() >= std::max(turns_max / 2, 1U)) return false;
  ++host.under_way;
  ++under_way_;
  return true;
}

void LoginTurns::give(const std::string& client_host, bool was_refused, std::uint64_t now_ms) {
  const std::lock_guard lock(mutex_);
  --under_way_;
  Host& host = hosts_[client_host];
  --host.under_way;
  if (was_refused) host.rests_until_ms.push_back(now_ms + rest_ms);
  forget_rested(now_ms);
}

void LoginTurns::forget_rested(std::uint64_t now_ms) {
  for (auto at = hosts_.begin(); at != hosts_.end();) {
    Host& host = at->second;
    while (!host.rests_until_ms.empty() && host.rests_until_ms.front() <= now_ms) host.rests_until_ms.pop_front();
    at = host.under_way == 0 && host.rests_until_ms.empty() ? hosts_.erase(at) : std::next(at);
  }
}

std::size_t LoginTurns::hosts() const {
  const std::lock_guard lock(mutex_);
  return hosts_.size();
}

}  // namespace turnout::proxy::mysql
