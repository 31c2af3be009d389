// The settings of one server that a fence changes, exactly as they were before: read, write, put back.
//
// Always true: they are read and stored before the first change; a server whose former settings are stored and not put
// back is never read again (it would remember the fence itself as "former"). Putting back restores the configuration
// line, the databases' settings and their grants word for word, NULL included.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/decision_store.h"
#include "control/shelf.h"

namespace turnout::control {

struct DatabaseSettings {
  std::string database;
  std::optional<std::string> acl;        // pg_database.datacl; nothing = NULL, the built-in default
  std::optional<std::string> read_only;  // ALTER DATABASE … SET default_transaction_read_only
  std::vector<std::string> connect;      // who may CONNECT besides the roles that must go on: role names, "" = PUBLIC
};

struct ServerSettings {
  router::Side side = router::Side::blue;
  std::optional<std::string> system_read_only;  // the line in postgresql.auto.conf
  std::vector<DatabaseSettings> databases;
};

// `keep` are roles that never lose CONNECT (admin, replication).
[[nodiscard]] PgOutcome<ServerSettings> read_settings(PgClient& client, const std::vector<std::string>& databases,
                                                      const std::vector<std::string>& keep);
[[nodiscard]] boost::json::object to_json(const ServerSettings& settings);
[[nodiscard]] ServerSettings settings_of(const boost::json::object& data);

// The side's stored former settings that have not been put back; nothing = it was not changed by us.
[[nodiscard]] std::optional<ServerSettings> unrestored(const std::vector<Record>& records, router::Side side);

// ALTER SYSTEM and reload: living sessions and new ones, of every database.
[[nodiscard]] PgOutcome<PgRows> set_system_read_only(PgClient& client);
// ALTER DATABASE and REVOKE CONNECT, one transaction.
[[nodiscard]] PgOutcome<PgRows> close_databases(PgClient& client, const ServerSettings& former,
                                                const std::vector<std::string>& keep);
// The databases' part of putting back: grants and settings.
[[nodiscard]] PgOutcome<PgRows> reopen_databases(PgClient& client, const ServerSettings& former);
// The server's part: the configuration line and a reload. `must_write`: a former line that says read-only is dropped.
[[nodiscard]] PgOutcome<PgRows> restore_system(PgClient& client, const ServerSettings& former, bool must_write);

}  // namespace turnout::control
