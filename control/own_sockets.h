// The local ends of this process's own TCP connections to one server, as that server sees them in pg_stat_activity: how
// a fence tells our read connections, which may stay, from strangers. Behind NAT or through a unix socket the answer is
// "not ours".
//
// Always true: a connection of ours to another server is none of them. A system gives one local port to several
// connections as long as they lead to different places, so a stranger on this machine can have the address and port
// that we have towards somebody else.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "conf/config.h"

namespace turnout::control {

class OwnSockets {
 public:
  // `places`: where that server is connected to, as numbers. Of a name, of a unix socket and of [] nothing is found.
  [[nodiscard]] static OwnSockets look(const std::vector<conf::Address>& places);
  [[nodiscard]] bool contains(const std::string& address, int port) const { return ends_.contains({address, port}); }
  [[nodiscard]] std::size_t size() const { return ends_.size(); }

 private:
  std::set<std::pair<std::string, int>> ends_;  // address as the server writes it
};

}  // namespace turnout::control
