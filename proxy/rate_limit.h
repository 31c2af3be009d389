// So many a second for each of many names, in bursts of up to a second's worth. Pure: time is an argument.
//
// A name costs memory only while it is above its rate; there are at most `names_max` of them, and whoever comes beyond
// that shares one allowance with all the others that do.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace turnout::proxy {

class RateLimit {
 public:
  static constexpr std::size_t names_max = 10'000;

  [[nodiscard]] bool allows(const std::string& name, std::uint64_t now_us, std::uint32_t per_second);
  [[nodiscard]] std::size_t names() const { return free_at_us_.size(); }

 private:
  void forget_quiet(std::uint64_t now_us);
  std::unordered_map<std::string, std::uint64_t> free_at_us_;  // when all that was allowed will have been paid for
};

}  // namespace turnout::proxy
