// What the two products call the same things: the one place that knows whether a server is MariaDB's or MySQL's.
//
// Decided by what a server says of itself; everything here is pure. What both understand stands where it is used.
// Source: MySQL 9.7 and MariaDB 10.11 "Replication Statements"; measured on both.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "control/gtid.h"
#include "control/gtid_set.h"
#include "control/log_position.h"

namespace turnout::control {

// What tells how far a log has been written and applied: a property of a pair (mysql_topology.h).
enum class PositionKind : std::uint8_t {
  gtid,  // in sets that mean the same on both sides
  file,  // a place in the writer's log; MySQL without GTIDs
};
[[nodiscard]] const char* name(PositionKind kind);

enum class MysqlProduct {
  mariadb,
  mysql,
};

struct MysqlVersion {
  MysqlProduct product = MysqlProduct::mysql;
  std::uint32_t number = 0;  // major × 1000 + minor
};
// 10.11.19-MariaDB-0+deb12u1 → MariaDB, 10'011; 9.7.4 → MySQL, 9'007; nothing: it is no version.
[[nodiscard]] std::optional<MysqlVersion> mysql_version(std::string_view text);
[[nodiscard]] MysqlProduct mysql_product(std::string_view version);

// Columns of a row about a replication connection.
struct LinkColumns {
  const char *connection, *host, *user, *port, *writer_id, *reads, *applies;
  const char *log_file, *log_position;    // of the writer's log, how far it is executed
  const char *read_file, *read_position;  // and how far it has come over
};

struct MysqlDialect {
  MysqlProduct product;
  const char* name;
  std::uint32_t version_min;
  const char *version_bound, *why_not_older;

  const char *links_sql, *log_sql;
  LinkColumns link;

  const char* fence;  // the setting that nobody's writes pass, or only those of its admins; "off" is read_only = OFF
  bool holds_admins;  // the fence does
  // Where the values come from that keep writers out, a row each; the word for: somebody has set it since the server
  // started.
  const char *read_only_origin_sql, *origin_when_set;

  const char* log_updates;  // the setting: what is replicated stands in the own binary log
  const char* position;     // the setting: where the binary log ends
  const char* state;        // the setting: all that is in the binary log
  const char* state_sql;    // `state`, and `owned`: what sessions are committing, which followers may have already
  // Whatever anybody can see on a writer is in the one; whoever reads on a follower sees all that is in the other.
  const char *seen_sql, *applied_sql;
  // Of a follower by file and position, what it has committed, and comes back to after a crash: the file and the
  // offset, a row for each channel of that name. Then the same of each applier that commits in the writer's order.
  const char *committed_sql, *committed_in_order_sql;
  const char *by_gtid_bound, *by_gtid_advice, *follow_advice, *look_advice, *event_advice;

  const char* functions_sql;                  // names in lower case: stored ones, and those of libraries
  const char* accounts_sql;                   // account → fingerprint of its login and rights
  std::span<const char* const> admin_rights;  // what the deployment's admin does takes them
};
[[nodiscard]] const MysqlDialect& dialect_of(MysqlProduct product);

// 0 when the server has applied all of `position` (a literal), something else after that many seconds.
[[nodiscard]] std::string wait_sql(const MysqlDialect& dialect, std::string_view position, std::string_view seconds);
// Of a replication connection; its name is a literal.
[[nodiscard]] std::string stop_link_sql(const MysqlDialect& dialect, std::string_view connection);
[[nodiscard]] std::string start_link_sql(const MysqlDialect& dialect, std::string_view connection);
[[nodiscard]] std::string forget_link_sql(const MysqlDialect& dialect, std::string_view connection);

struct FollowSource {
  std::string host, user, password;  // literals
  unsigned port = 0;
  bool has_tls = false, verifies = false;
  std::vector<std::pair<std::string, std::string>> tls_words;  // "SSL_CA" → a literal
  std::optional<LogPosition> begin;                            // in the source's log; nothing: by GTID
};
// By GTID a server that was the writer begins where its own log ends.
[[nodiscard]] std::string follow_sql(const MysqlDialect& dialect, const FollowSource& source,
                                     std::string_view connection);

// How far a log has been written, or applied.
using MysqlPosition = std::variant<std::vector<Gtid>, GtidSet, LogPosition>;
// `row`: what `seen_sql` or `applied_sql` was answered. Nothing: it is none.
[[nodiscard]] std::optional<MysqlPosition> parse_position(const MysqlDialect& dialect,
                                                          const std::vector<std::string>& row);
[[nodiscard]] std::string position_text(const MysqlPosition& position);  // as its server reads it
[[nodiscard]] bool covers(const MysqlPosition& applied, const MysqlPosition& position);
// Whether a link with these columns goes by GTID; the one that the product has not is "".
[[nodiscard]] bool goes_by_gtid(std::string_view using_gtid, std::string_view auto_position);
// Whether `text` is a position of that product, and not an empty one.
[[nodiscard]] bool is_position(const MysqlDialect& dialect, PositionKind kind, std::string_view text);
// What a follower's state has that the writer's has not, and does not own: written on the follower itself. Read the
// follower's first. Nothing: one of them cannot be read.
[[nodiscard]] std::optional<std::vector<std::string>> written_alone(const MysqlDialect& dialect,
                                                                    std::string_view follower_state,
                                                                    std::string_view writer_state,
                                                                    std::string_view writer_owned);

}  // namespace turnout::control
