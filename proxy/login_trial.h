// One real login to a side, blocking, through the same conversation as a pool's: preflight asks whether every user can.
#pragma once

#include <string>

#include "proxy/deployment.h"

namespace turnout::proxy {

// "" = logged in (and out again); else what the server, or the network, said. Waits pool.connect_timeout at most.
[[nodiscard]] std::string login_trial(const Settings& settings, router::Side side, const conf::Address& address,
                                      const std::string& database, const std::string& user,
                                      const protocol::pg::Secret& secret);

}  // namespace turnout::proxy
