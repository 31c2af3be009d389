// Who a server of MySQL or MariaDB is, as a text that can be kept (control/identity.h).
//
// MySQL has its server_uuid, which is a file beside its data and goes where they go. MariaDB has its server_id, which
// an operator writes and others may bear, and server_uid, which is made of the machine's hardware address and the port,
// so another machine that has taken over the data has another one. There the binary log tells: each of its files begins
// with the list of GTIDs that were before it, and no other server's file of that name begins with the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/identity.h"
#include "control/mysql_client.h"

namespace turnout::control {

struct MysqlIdentity {
  std::string uuid;         // MySQL; nothing else then
  std::string id, machine;  // MariaDB; no server_uid before 10.11.9
  std::string before, log;  // what was before that file of its binary log: "[0-7-10,0-8-3]"
  friend bool operator==(const MysqlIdentity&, const MysqlIdentity&) = default;
};
[[nodiscard]] std::string text_of(const MysqlIdentity& identity);
[[nodiscard]] MysqlIdentity mysql_identity_of(std::string_view text);

enum class Likeness {
  same,
  other,
  in_its_log,  // if `known.log` begins there with `known.before`
};
[[nodiscard]] Likeness likeness(const MysqlIdentity& known, const MysqlIdentity& seen);

[[nodiscard]] MysqlOutcome<MysqlIdentity> ask_identity(MysqlClient& client);
// `seen` is what that server said. `known`: a text.
[[nodiscard]] bool is_server(MysqlClient& client, const MysqlIdentity& seen, const std::string& known);
[[nodiscard]] Witness mysql_witness(const MysqlTarget& target, const std::string& known, std::uint32_t ms_max);

}  // namespace turnout::control
