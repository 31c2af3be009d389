// Which accounts get no connection of the shadow's on a side for a while: a login was refused there, or a connection
// lost. One account's pause is nobody else's, so users that the other side does not know cost the others nothing.
// Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "router/routing_table.h"

namespace turnout::proxy {

class LanePauses {
 public:
  static constexpr std::uint64_t refused_ms = 1'000, lost_ms = 100, longest_ms = 8'000;
  static constexpr std::size_t accounts_max = 1'000;

  // `account`: where it lies says which one it is. Twice as long each time, until one has answered.
  void failed(const void* account, router::Side side, bool was_busy, std::uint64_t now_ms) {
    if (pauses_.size() >= accounts_max) pauses_.clear();
    Pause& pause = pauses_[{account, side}];
    pause.ms = pause.ms == 0 ? (was_busy ? lost_ms : refused_ms) : std::min(pause.ms * 2, longest_ms);
    pause.until_ms = now_ms + pause.ms;
  }
  void answered(const void* account, router::Side side) {
    if (!pauses_.empty()) pauses_.erase({account, side});
  }
  [[nodiscard]] bool is_on(const void* account, router::Side side, std::uint64_t now_ms) const {
    const auto found = pauses_.find({account, side});
    return found != pauses_.end() && now_ms < found->second.until_ms;
  }
  void clear() { pauses_.clear(); }

 private:
  struct Pause {
    std::uint64_t ms = 0, until_ms = 0;
  };
  std::map<std::pair<const void*, router::Side>, Pause> pauses_;
};

}  // namespace turnout::proxy
