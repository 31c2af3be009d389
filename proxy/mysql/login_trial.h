// The same as proxy/login_trial.h for a server of MySQL or MariaDB.
#pragma once

#include <string>

#include "proxy/deployment.h"

namespace turnout::proxy::mysql {

[[nodiscard]] std::string login_trial(const Shared& shared, const Settings& settings, router::Side side,
                                      const conf::Address& address, const std::string& database,
                                      const std::string& user);

}  // namespace turnout::proxy::mysql
