// Who may log in from where, and how: rules in the form of PostgreSQL's pg_hba.conf, of which this is a subset.
//
//   local             DATABASE USER         METHOD [OPTIONS]
//   host|hostssl|hostnossl  DATABASE USER ADDRESS METHOD [OPTIONS]
//
// Always true: the first rule that matches decides, and no rule means no; what this subset has not is a mistake at
// load, never a rule that quietly matches something else. Names of groups (+role), files (@file), host names and
// patterns are refused, because each would need something that is not here while a client waits. Source: PostgreSQL
// manual, chapter 21.1 "The pg_hba.conf File".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::protocol::pg {

enum class HbaMethod { trust, reject, md5, scram_sha_256, cert, peer };
// Beside the method: must the client have shown a certificate, and must it name the user?
enum class ClientCertificate { not_asked, trusted, names_user };

// An address as 16 bytes; IPv4 in the form ::ffff:a.b.c.d.
using AddressBytes = std::array<std::uint8_t, 16>;
[[nodiscard]] std::optional<AddressBytes> parse_address(std::string_view text);

struct HbaName {
  std::string text;
  bool is_quoted = false;  // keywords in quotes are ordinary names
};

struct HbaRule {
  enum class Connection { local, host, host_tls, host_plain };
  Connection connection = Connection::local;
  std::vector<HbaName> databases, users;
  AddressBytes network{};
  unsigned prefix_bits = 0;  // of the 128
  bool is_any_address = false;
  HbaMethod method = HbaMethod::reject;
  ClientCertificate certificate = ClientCertificate::not_asked;
  int line = 0;
};

struct HbaFile {
  std::vector<HbaRule> rules;
  std::vector<std::string> mistakes;  // "line:column: text"
};
[[nodiscard]] HbaFile parse_hba(std::string_view text);

// Who asks. `address` is of no meaning for a unix socket.
struct HbaClient {
  bool is_unix = false;
  bool is_tls = false;
  AddressBytes address{};
  std::string_view user, database;
  bool is_physical_replication = false;  // it asks for no database: only the keyword `replication` matches
};
// nullptr: no rule matches.
[[nodiscard]] const HbaRule* find_rule(const std::vector<HbaRule>& rules, const HbaClient& client);

}  // namespace turnout::protocol::pg
