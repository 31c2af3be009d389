// The files that say who may log in: the userlist and the rules of `auth: hba:FILE`. Read at start and at reload.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "conf/config.h"
#include "conf/load.h"
#include "protocol/pg/hba.h"
#include "protocol/pg/login.h"
#include "proxy/mysql/shared.h"

namespace turnout::proxy {

using Users = std::map<std::string, protocol::pg::Secret, std::less<>>;

struct Access {
  Users users;
  mysql::Users mysql_users;  // instead, if that is the protocol
  std::vector<protocol::pg::HbaRule> rules;
  std::vector<conf::Mistake> mistakes;  // in these files; nobody is let in by half of one
};
[[nodiscard]] Access read_access(const conf::Deployment& conf);

}  // namespace turnout::proxy
