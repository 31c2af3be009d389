// What the checks share: both servers, what moves, and the list that grows. Internal to the preflight.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/check.h"
#include "control/step_context.h"

namespace turnout::control {

using Names = std::map<std::string, std::string>;

class Look : public CheckList {
 public:
  // Once `give_up` is set no server is asked any more: every question is a FAIL that says so.
  Look(StepContext& context, router::Side from, const std::atomic<bool>& give_up);

  StepContext& context;
  const std::atomic<bool>& give_up;
  const conf::Deployment config;
  const router::Side from, to;
  Topology topology;
  std::optional<PgError> no_topology;

  // One question; an error of the connection or the query makes `name` a FAIL that says so, and gives nothing.
  [[nodiscard]] std::optional<PgRows> ask(const char* name, router::Side side, const std::string& database,
                                          const std::string& sql, const std::vector<std::string>& parameters = {});
  // The same for something that does not belong to one database of the pair.
  [[nodiscard]] std::optional<PgRows> ask(const char* name, router::Side side, const std::string& sql);
  // First column → second column.
  [[nodiscard]] std::optional<Names> names(const char* name, router::Side side, const std::string& database,
                                           const char* sql);
  [[nodiscard]] std::string any_database() const;
  [[nodiscard]] std::vector<std::string> databases() const;
};

// How the side is fenced now, or would be: the whole server (managed_fence.h)? Nothing: the check `name` has failed.
[[nodiscard]] std::optional<bool> fences_server(Look& look, const char* name, router::Side side);

// One column: tables whose UPDATE and DELETE would fail once they are published.
extern const char* const no_identity_sql;

void check_streams(Look& look, bool quick);  // replication.*, slot.*, reverse.possible, wal_level
void check_schemas(Look& look);  // replica_identity, schema.parity, types.oids, extensions.parity, sequences.readable
void check_parity(Look& look);   // settings.parity, partitions, jobs, green.triggers, green.statistics, schema.drift
void check_roles(Look& look, bool quick);  // roles.parity, roles.passwords, auth.every_user
void check_rights(Look& look);             // privileges, fence.effective
void check_servers(Look& look);            // identity, version, green.*, databases.outside, rehearsal.recent
void check_statements(Look& look);         // prepared_statements
void check_sessions(Look& look);           // long_transactions, running_ddl, bypassing_clients, …

}  // namespace turnout::control
