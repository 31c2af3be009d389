// After the decision: the new writer follows nobody any more, then the old one follows the new one.
//
// Always true: the way back starts only when the forward connection's threads have stopped; the old writer begins where
// its own binary log ends (MASTER_DEMOTE_TO_SLAVE, SOURCE_AUTO_POSITION), which is the position that the new one has
// proven to have; each step leaves the same when it is done twice. By file and position it begins where the new one's
// log ended behind the proof, which the decision has recorded. To set that twice would be to apply transactions twice:
// it is set where there is no connection yet, and recorded before it starts; one that is there only starts.
#pragma once

#include <atomic>

#include "control/mysql_context.h"
#include "control/mysql_topology.h"

namespace turnout::control {

[[nodiscard]] StepAnswer stop_forward(MysqlContext& context, Attempt& attempt, router::Side to);
[[nodiscard]] StepAnswer await_forward_gone(MysqlContext& context, Attempt& attempt, router::Side to,
                                            const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer start_reverse(MysqlContext& context, Attempt& attempt, router::Side from,
                                       const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer drop_forward(MysqlContext& context, Attempt& attempt, router::Side to);

// What there is to do for the way back by file and position. Pure.
enum class ReverseDeed : std::uint8_t {
  make,    // it has never been set up
  start,   // it has, and may have begun
  refuse,  // the connection leads to somebody else, or is gone: how far it had come nobody knows
};
[[nodiscard]] ReverseDeed reverse_deed(const std::optional<ReplicaLink>& link, std::uint32_t writer_id, bool was_made);

// Stops a link and removes it.
[[nodiscard]] MysqlOutcome<MysqlRows> drop_link(MysqlClient& client, const std::string& connection);

// How the other server reaches `side` and logs in there; `begin`: as of FollowSource. Pure.
[[nodiscard]] std::string follow_side_sql(const MysqlDialect& dialect, const conf::Deployment& config,
                                          router::Side side, const std::string& connection, const LinkTls& tls,
                                          const std::optional<LogPosition>& begin = {});
// How `follower`, which is the writer until the move, is to follow from then on; `now`: the link that runs.
[[nodiscard]] BackTls way_back_tls(MysqlContext& context, const MysqlServer& follower, router::Side side,
                                   const LinkTls& now);

}  // namespace turnout::control
