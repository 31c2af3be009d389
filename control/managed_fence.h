// The fence where the admin may not change the server's configuration (RDS, Cloud SQL, …), or where databases that do
// not move shall stay writable: each database's own default, REVOKE CONNECT, and the end of foreign sessions.
//
// The difference to ALTER SYSTEM: living sessions keep the default that they began with. So none of others may be left,
// and ours are sealed on the old writer and replaced on the new one (SideOrders::keeps_default). What is proven, here
// and for the other fence, is that no session began before CONNECT was revoked and is still there: one that is being
// started holds a lock on its database until it is listed (InitPostgres: LockSharedObject … RowExclusiveLock,
// pgstat_bestart, then the commit that lets go), so whoever held it when we looked first has to be gone before the
// sessions are listed.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "control/server_settings.h"
#include "control/step_context.h"

namespace turnout::control {

// May this login fence the whole server: superuser, or granted ALTER SYSTEM of the one parameter, the reload and the
// look into the file (15 and newer).
[[nodiscard]] PgOutcome<bool> may_fence_server(PgClient& client);
// What cutover.fence and the login's rights come to.
[[nodiscard]] PgOutcome<bool> fences_server(PgClient& client, conf::Fence wanted);
// Of what stands, or stood last: is it by database?
[[nodiscard]] bool is_by_database(const std::vector<Record>& records, router::Side side);

// Everybody who was starting a session on one of the databases when this was called is listed by now, or gone.
[[nodiscard]] StepAnswer await_started(PgClient& client, const std::string& databases,
                                       const std::atomic<bool>& cancelled);
// Who may still connect although nobody should; "" = nobody. REVOKE is silent about what somebody else has granted.
[[nodiscard]] std::string who_still_connects(PgClient& client, const std::vector<std::string>& databases,
                                             const std::vector<std::string>& keep);

}  // namespace turnout::control
