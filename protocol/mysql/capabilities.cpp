#include "protocol/mysql/capabilities.h"

namespace turnout::protocol::mysql {
namespace {

// What a client may ask of its hop to Turnout, whatever the servers are.
constexpr Capabilities client_hop = always | capability::connect_with_db | capability::ignore_sigpipe |
                                    capability::connect_attributes | capability::session_track |
                                    capability::deprecate_eof | capability::verify_certificate |
                                    capability::remember_options;

}  // namespace

Capabilities offer(Capabilities blue, std::optional<Capabilities> green, bool has_tls) {
  const Capabilities both = green ? blue & *green : blue;
  Capabilities offered = (both & dialect_mask) | client_hop | (has_tls ? capability::tls : 0);
  // Trackers come from servers; ends of results are made here where a server has the other form.
  if ((both & capability::session_track) == 0) offered &= ~capability::session_track;
  if ((offered & mariadb_mask) == 0) offered |= capability::long_password;
  return offered;
}

std::optional<Capabilities> agree(Capabilities offered, Capabilities wanted) {
  // A client that is not MariaDB's says so, and then has no upper half, whatever is in its bytes.
  if ((wanted & capability::long_password) != 0) wanted &= ~mariadb_mask;
  const Capabilities agreed = offered & wanted;
  if ((agreed & required_of_client) != required_of_client) return std::nullopt;
  return agreed;
}

Towards towards_server(Capabilities dialect, Capabilities server, bool with_tls, bool with_database) {
  const Capabilities wanted_of_hop =
      capability::session_track | capability::deprecate_eof | capability::connect_attributes |
      (with_database ? capability::connect_with_db : 0) | (with_tls ? capability::tls : 0);
  Towards towards;
  towards.capabilities = (always | wanted_of_hop | dialect) & server;
  if ((towards.capabilities & mariadb_mask) == 0) towards.capabilities |= capability::long_password;
  const Capabilities needed = dialect | required_of_server | (with_tls ? capability::tls : 0);
  towards.missing = needed & ~server;
  return towards;
}

}  // namespace turnout::protocol::mysql
