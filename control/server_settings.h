// The settings of one server that a fence changes, exactly as they were before: read, write, put back.
//
// Always true: they are read and stored before the first change; a server whose former settings are stored and not put
// back is never read again (it would remember the fence itself as "former"). Putting back restores the configuration
// line, the databases' and roles' settings and the grants of CONNECT. A superuser puts the grants back word for word,
// NULL included; others by GRANT in the former order, which gives the same text except for NULL, the built-in default:
// it comes back spelled out.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/decision_store.h"
#include "control/shelf.h"

namespace turnout::control {

// What one role gave another on a database; lists of privileges as GRANT takes them.
struct Grant {
  std::string to;         // "" = PUBLIC
  std::string by;         // the owner, unless somebody passed on what may be passed on
  std::string plain;      // "CONNECT, TEMPORARY"
  std::string grantable;  // those with grant option
  friend bool operator==(const Grant&, const Grant&) = default;
};

// A login whose own setting outranks the database's; only what is said of it in this database is changed.
struct RoleSetting {
  std::string role;
  std::optional<std::string> read_only;  // ALTER ROLE … IN DATABASE … SET default_transaction_read_only
  friend bool operator==(const RoleSetting&, const RoleSetting&) = default;
};

struct DatabaseSettings {
  std::string database;
  std::optional<std::string> acl;        // pg_database.datacl; nothing = NULL, the built-in default
  std::optional<std::string> read_only;  // ALTER DATABASE … SET default_transaction_read_only
  std::vector<std::string> connect;      // who may CONNECT besides the roles that must go on: role names, "" = PUBLIC
  std::vector<Grant> grants;             // `acl` in words, in its order; the default spelled out
  std::vector<RoleSetting> roles;
};

struct ServerSettings {
  router::Side side = router::Side::blue;
  bool whole_server = true;  // ALTER SYSTEM; else each database's default, and those of `roles` (managed_fence.h)
  std::optional<std::string> system_read_only;  // the line in postgresql.auto.conf; with whole_server
  std::vector<DatabaseSettings> databases;
};

// `keep` are roles that never lose CONNECT (admin, replication).
[[nodiscard]] PgOutcome<ServerSettings> read_settings(PgClient& client, const std::vector<std::string>& databases,
                                                      const std::vector<std::string>& keep, bool whole_server);
[[nodiscard]] boost::json::object to_json(const ServerSettings& settings);
[[nodiscard]] ServerSettings settings_of(const boost::json::object& data);
// As far as anybody on the server can tell: NULL grants and the same ones spelled out are equal.
[[nodiscard]] bool same_effect(const ServerSettings& one, const ServerSettings& other);

// The side's stored former settings that have not been put back; nothing = it was not changed by us.
[[nodiscard]] std::optional<ServerSettings> unrestored(const std::vector<Record>& records, router::Side side);

// ALTER SYSTEM and reload: living sessions and new ones, of every database.
[[nodiscard]] PgOutcome<PgRows> set_system_read_only(PgClient& client);
// ALTER DATABASE (and roles, when that is the fence), one transaction. Living sessions do not notice.
[[nodiscard]] PgOutcome<PgRows> set_databases_read_only(PgClient& client, const ServerSettings& former);
// The same and REVOKE CONNECT, one transaction.
[[nodiscard]] PgOutcome<PgRows> close_databases(PgClient& client, const ServerSettings& former,
                                                const std::vector<std::string>& keep);
// The databases' part of putting back: grants and settings. `must_write`: a former setting that says read-only is
// dropped.
[[nodiscard]] PgOutcome<PgRows> reopen_databases(PgClient& client, const ServerSettings& former,
                                                 const std::vector<std::string>& keep, bool must_write);
// Only the grants: everybody may come in again, and is read-only.
[[nodiscard]] PgOutcome<PgRows> let_in(PgClient& client, const ServerSettings& former,
                                       const std::vector<std::string>& keep);
// The server's part: the configuration line and a reload. `must_write`: a former line that says read-only is dropped.
[[nodiscard]] PgOutcome<PgRows> restore_system(PgClient& client, const ServerSettings& former, bool must_write);

[[nodiscard]] bool says_on(const std::string& setting);  // a boolean as Postgres writes it
// Statements that give a database's grants back in their order, for whom the catalog itself is closed.
[[nodiscard]] std::string grants_sql(const DatabaseSettings& former, const std::vector<std::string>& keep);

}  // namespace turnout::control
