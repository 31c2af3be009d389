// Does a configuration fit the servers it names? Asks both sides as the admin; changes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/config.h"

namespace turnout::control {

struct ServerFinding {
  enum class Kind {
    fine,
    unreachable,     // no connection, or the login was refused
    pool_too_large,  // more connections than the server lets ordinary roles have
  };
  Kind kind = Kind::fine;
  std::string deployment;
  std::string text;  // what was found, and for a fault what to do
};

// Of every side of every deployment, blue before green.
[[nodiscard]] std::vector<ServerFinding> check_servers(const conf::Config& config, std::uint32_t connect_ms_max);

// One pool (of a side, a database, a user and an access) against
// max_connections without the reserved ones. "" = it fits; else which numbers do not, and what to change. Pure.
[[nodiscard]] std::string pool_mistake(const conf::Deployment& deployment, const std::string& side,
                                       std::int64_t connections_max, std::int64_t connections_reserved);

}  // namespace turnout::control
