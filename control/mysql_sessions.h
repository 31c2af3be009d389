// Who is logged in to a MySQL server, and whom a fence does not hold. The choice is pure; list_sessions() and the like
// ask.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/mysql_context.h"
#include "control/own_sockets.h"

namespace turnout::control {

struct MysqlSession {
  std::uint64_t number = 0;
  std::string user, host, command, query;
};

// Names of users who write on a server that is read-only: users and roles that hold the right, and who has a role of
// them (user, role), directly or through other roles. By name alone: one account of that name is enough.
[[nodiscard]] std::set<std::string> passing_users(const std::vector<std::string>& holders,
                                                  const std::vector<std::pair<std::string, std::string>>& roles);

// Asks the server for both lists. Granted to PUBLIC it is everybody's.
[[nodiscard]] MysqlOutcome<std::set<std::string>> ask_passing_users(MysqlClient& client);
// Everybody but this session, replication in both directions, and the server's own threads.
[[nodiscard]] MysqlOutcome<std::vector<MysqlSession>> list_sessions(MysqlClient& client);
// Who reads the server's binary log.
[[nodiscard]] MysqlOutcome<std::vector<MysqlSession>> list_log_readers(MysqlClient& client);
// All but the follower, which logs in as `user` and comes from `host` if that is known.
[[nodiscard]] std::vector<MysqlSession> other_log_readers(std::vector<MysqlSession> readers, const std::string& user,
                                                          const std::string& host);
// Is the text a change of the schema? Temporary tables are not part of it.
[[nodiscard]] bool changes_schema(std::string_view sql);
// This process's connections on that side: the control part's, pools', those that sessions hold, and whatever else has
// the two ends of a socket of ours. Look after the list was read: whoever of ours is on it is known by then.
class OwnConnections {
 public:
  [[nodiscard]] static OwnConnections look(MysqlContext& context, router::Side side);
  [[nodiscard]] bool has(const MysqlSession& session) const;

 private:
  std::set<std::uint64_t> numbers_;
  OwnSockets sockets_;
};
// Ends its connection. True: it was there and has been told; it is gone when this answers false.
[[nodiscard]] MysqlOutcome<bool> kill_session(MysqlClient& client, std::uint64_t number);
// "127.0.0.1:54321" → both; port -1 where there is none.
[[nodiscard]] std::pair<std::string, int> end_of_host(const std::string& host);
[[nodiscard]] MysqlOutcome<std::vector<std::string>> prepared_xids(MysqlClient& client);

}  // namespace turnout::control
