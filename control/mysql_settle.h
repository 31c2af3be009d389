// After the decision: the new writer follows nobody any more, then the old one follows the new one.
//
// Always true: the way back starts only when the forward connection's threads have stopped; the old writer begins where
// its own binary log ends (MASTER_DEMOTE_TO_SLAVE, SOURCE_AUTO_POSITION), which is the position that the new one has
// proven to have; each step leaves the same when it is done twice.
#pragma once

#include <atomic>

#include "control/mysql_context.h"

namespace turnout::control {

[[nodiscard]] StepAnswer stop_forward(MysqlContext& context, Attempt& attempt, router::Side to);
[[nodiscard]] StepAnswer await_forward_gone(MysqlContext& context, Attempt& attempt, router::Side to,
                                            const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer start_reverse(MysqlContext& context, Attempt& attempt, router::Side from,
                                       const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer drop_forward(MysqlContext& context, Attempt& attempt, router::Side to);

// Stops a link and removes it.
[[nodiscard]] MysqlOutcome<MysqlRows> drop_link(MysqlClient& client, const std::string& connection);

// How that login is encrypted: a server cannot prefer, it does or it does not.
[[nodiscard]] conf::Tls replication_tls(const conf::Deployment& config);

// How the other server reaches `side` and logs in there. Pure.
[[nodiscard]] std::string follow_side_sql(const MysqlDialect& dialect, const conf::Deployment& config,
                                          router::Side side, const std::string& connection);

}  // namespace turnout::control
