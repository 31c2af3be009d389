// How many logins with passwords that nobody has proven yet go to a server at the same time: `limits.unproven_logins`,
// over all workers.
//
// One client address has half of them at most, and a login that was refused keeps its place in that half for a while:
// who tries names or passwords is slow, and keeps nobody else from a turn.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>

namespace turnout::proxy::mysql {

class LoginTurns {
 public:
  static constexpr std::uint64_t rest_ms = 500;  // of the place of one that was refused

  // False: not now.
  [[nodiscard]] bool take(const std::string& client_host, std::uint32_t turns_max, std::uint64_t now_ms);
  void give(const std::string& client_host, bool was_refused, std::uint64_t now_ms);
  [[nodiscard]] std::size_t hosts() const;  // that are remembered

 private:
  struct Host {
    std::uint32_t under_way = 0;
    std::deque<std::uint64_t> rests_until_ms;
  };
  void forget_rested(std::uint64_t now_ms);

  mutable std::mutex mutex_;
  std::uint32_t under_way_ = 0;
  std::map<std::string, Host> hosts_;
};

}  // namespace turnout::proxy::mysql
