#include "conf/mysql_relations.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "conf/address.h"

namespace turnout::conf {
namespace {

constexpr std::array not_there_yet = {
    std::pair{std::string_view("databases"), std::string_view("a cutover of some databases of a server")},
    std::pair{std::string_view("replicate"), std::string_view("making green's copy")},
};

}  // namespace

void check_mysql(const Deployment& deployment, Walker& walker) {
  if (deployment.protocol != Protocol::mysql) return;
  const std::string path = "deployments." + deployment.name + ".";
  const auto refuse_written = [&](std::string_view key, const std::string& text) {
    const std::string at = path + std::string(key);
    if (walker.was_written(at)) walker.add_at_key(at, text);
  };
  for (const auto& [key, what] : not_there_yet)
    refuse_written(key, "is for " + std::string(what) + ", which protocol mysql does not have yet; leave it out");
  refuse_written("cdc", "names logical slots, which only PostgreSQL has; leave it out");
  refuse_written("auth", "is for postgres: with mysql the users file and the client's own plugin decide; leave it out");
  refuse_written("server_tls.channel_binding", "is for SCRAM, which only PostgreSQL has; leave it out");
  if (deployment.auth_query.is_set())
    walker.add_at_key(path + "users",
                      "is an auth query or passthrough, which protocol mysql does not have yet; name a users file");
  else if (deployment.users_file.empty())
    walker.add_at_key(
        path + "users",
        "is required: a users file (\"user\" \"secret\"; a password, or \"*\" and 40 hexadecimal digits)");
  const auto refuse_name = [&](const Address& address, std::string_view side) {
    if (address != Address{} && !address.is_unix() && !is_numeric(address))
      walker.add_at_key(path + std::string(side),
                        "is a name: who answers behind it cannot be checked with mysql yet; write the server's number");
  };
  refuse_name(deployment.blue, "blue");
  if (deployment.green) refuse_name(*deployment.green, "green");
  refuse_written("cutover.fence", "is for postgres: a server of mysql is fenced as a whole; leave it out");
}

}  // namespace turnout::conf
