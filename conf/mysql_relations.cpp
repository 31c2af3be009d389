#include "conf/mysql_relations.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace turnout::conf {
namespace {

constexpr std::array not_there_yet = {
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
  refuse_written("databases", "is for postgres: a server of mysql moves as a whole; leave it out");
  refuse_written("cdc", "names logical slots, which only PostgreSQL has; leave it out");
  refuse_written("auth", "is for postgres: with mysql the users file and the client's own plugin decide; leave it out");
  refuse_written("server_tls.channel_binding", "is for SCRAM, which only PostgreSQL has; leave it out");
  if (deployment.auth_query.is_set())
    walker.add_at_key(
        path + "users",
        "is an auth query, which is for postgres: what servers of mysql keep of a password logs in nowhere "
        "else; name a users file, or write passthrough");
  else if (deployment.users_file.empty() && !deployment.passes_passwords)
    walker.add_at_key(
        path + "users",
        "is required: a users file (\"user\" \"secret\"; a password, or \"*\" and 40 hexadecimal digits), "
        "or passthrough");
  // There the server may ask the kernel who Turnout is (unix_socket, auth_socket), and the password of nobody.
  const auto refuse_socket = [&](const Address& address, std::string_view side) {
    if (deployment.passes_passwords && address.is_unix())
      walker.add_at_key(path + std::string(side),
                        "is a unix socket, where a server may let in Turnout's own system user without a password, and "
                        "users: passthrough would let in everybody; write host:port");
  };
  refuse_socket(deployment.blue, "blue");
  if (deployment.green) refuse_socket(*deployment.green, "green");
  refuse_written("cutover.fence", "is for postgres: a server of mysql is fenced as a whole; leave it out");
}

}  // namespace turnout::conf
