// The local ends of this process's own TCP connections, as a server sees them in pg_stat_activity: how a fence tells
// our read connections, which may stay, from strangers. Behind NAT or through a unix socket the answer is "not ours".
#pragma once

#include <set>
#include <string>
#include <utility>

namespace turnout::control {

class OwnSockets {
 public:
  [[nodiscard]] static OwnSockets look();
  [[nodiscard]] bool contains(const std::string& address, int port) const { return ends_.contains({address, port}); }
  [[nodiscard]] std::size_t size() const { return ends_.size(); }

 private:
  std::set<std::pair<std::string, int>> ends_;
};

}  // namespace turnout::control
