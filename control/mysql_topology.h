// Which way a MySQL pair replicates: found in the servers, whoever set it up.
//
// Always true: the link is the one connection of the follower that reads from this very writer, known by the writer's
// server_id as the connected master tells it, never by a host name. What is parsed and chosen here is pure; look()
// asks.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/decision_store.h"
#include "control/mysql_link_tls.h"
#include "control/mysql_shelf.h"

namespace turnout::control {

// One replication connection of a follower: a row of SHOW ALL SLAVES STATUS or SHOW REPLICA STATUS.
struct ReplicaLink {
  std::string connection;  // its name; "" is the default one
  std::string host, user;
  std::uint32_t port = 0;
  std::uint32_t writer_id = 0;  // server_id of whom it reads from; 0 = it was never connected
  bool reads = false, applies = false;
  bool by_gtid = false;
  LinkTls tls;
  std::optional<LogPosition> read, executed;  // in the writer's log
  std::string error;                          // of either thread, "" = none
  std::vector<std::string> filters;           // "Replicate_Do_DB=shop"
  [[nodiscard]] bool runs() const { return reads && applies; }
  [[nodiscard]] bool runs_from(std::uint32_t id) const { return runs() && writer_id == id; }
};

// What a server says of itself.
struct MysqlServer {
  std::map<std::string, std::string> variables;  // of `variable_names`
  std::vector<ReplicaLink> links;
  std::string owned;  // GTIDs that its sessions are committing (MySQL)

  [[nodiscard]] std::string variable(const std::string& name) const;
  [[nodiscard]] bool is_on(const std::string& name) const;
  [[nodiscard]] std::uint32_t id() const;
  [[nodiscard]] bool is_read_only() const;
  [[nodiscard]] const MysqlDialect& dialect() const;
};

struct MysqlTopology {
  router::Side from = router::Side::blue;
  std::uint32_t from_id = 0, to_id = 0;  // server_id
  std::string connection;                // of the link on `to`
  LinkTls tls;                           // and its
  PositionKind kind = PositionKind::gtid;
  bool reverse_made = false;  // by file and position the way back is set up once: mysql_settle.h

  [[nodiscard]] router::Side to() const { return router::other(from); }
};

[[nodiscard]] ReplicaLink link_of(const MysqlDialect& dialect, const MysqlRows& rows, std::size_t row);
// As SELECT @@global.read_only tells it: a number, a word, or one of the words of MariaDB 12.
[[nodiscard]] bool says_read_only(const std::string& value);

struct ChosenLink {
  std::optional<ReplicaLink> link;
  std::string why_not;
};
// The one link of the follower that reads from the server with that id.
[[nodiscard]] ChosenLink choose_link(const std::vector<ReplicaLink>& links, std::uint32_t writer_id);

// By GTID where both servers have them and the link, if there is one, goes by them.
[[nodiscard]] PositionKind kind_of(const MysqlServer& from, const MysqlServer& to,
                                   const std::optional<ReplicaLink>& link);
// A writer that is to follow by file and position must not have a connection of that name, though it stands still: of
// one that is found later nobody would know whether it is the way back, and begun. "" = it has not.
[[nodiscard]] std::string left_over_link(const std::vector<ReplicaLink>& of_writer, const std::string& connection);

// Why the pair cannot be what the deployment takes it for; "" = it is.
[[nodiscard]] std::string against_pair(const MysqlServer& from, const MysqlServer& to);

[[nodiscard]] MysqlOutcome<std::vector<ReplicaLink>> links_of(MysqlClient& client);
[[nodiscard]] MysqlOutcome<MysqlServer> look_at(MysqlClient& client);
// Both servers, their identities and the link.
[[nodiscard]] MysqlOutcome<MysqlTopology> discover(MysqlShelf& shelf, router::Side from);

[[nodiscard]] boost::json::object to_json(const MysqlTopology& topology);
[[nodiscard]] MysqlTopology mysql_topology_of(const boost::json::object& facts);
// How `side` has followed the other one lately, by what was found before; nothing: it has not, since the last finish.
[[nodiscard]] std::optional<LinkTls> has_followed_by(const std::vector<Record>& records, router::Side side);

}  // namespace turnout::control
