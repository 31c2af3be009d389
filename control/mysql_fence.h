// The fence of a MySQL pair: the old writer's read_only, on MySQL its super_read_only. Raise, verify, lower; and the
// same setting on the new one.
//
// Always true: the former settings are durable before anything changes; the fence is raised only when the drain has
// ended, because it breaks transactions that are open (drain::drained_plan); setting it waits for commits that are
// under way, so verified means: whatever is in the binary log then is all there will be, but for users whom read_only
// does not hold, and none of those is logged in; no XA transaction is prepared.
#pragma once

#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>

#include "control/mysql_context.h"

namespace turnout::control {

// What a fence changes on a server, as it was before.
struct MysqlSettings {
  router::Side side = router::Side::blue;
  bool read_only = false;
  bool runs_events = false;  // event_scheduler: events write as their definers, whom read_only may not hold
  friend bool operator==(const MysqlSettings&, const MysqlSettings&) = default;
};
[[nodiscard]] boost::json::object to_json(const MysqlSettings& settings);
[[nodiscard]] MysqlSettings mysql_settings_of(const boost::json::object& data);
// The side's stored former settings that have not been put back; nothing = it was not changed by us.
[[nodiscard]] std::optional<MysqlSettings> mysql_unrestored(const std::vector<Record>& records, router::Side side);

[[nodiscard]] StepAnswer record_undo(MysqlContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer raise_fence(MysqlContext& context, router::Side from);
[[nodiscard]] StepAnswer verify_fence(MysqlContext& context, Attempt& attempt, router::Side from,
                                      const std::atomic<bool>& cancelled);
// Over the connection that verify_fence has left: while that lives the server has not been restarted. Before the
// decision.
[[nodiscard]] StepAnswer still_fenced(Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer lower_fence(MysqlContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer await_writable(MysqlContext& context, router::Side side, const std::atomic<bool>& cancelled);
// The follower takes writes from nobody until the decision. "" or why not.
[[nodiscard]] std::string keep_read_only(MysqlContext& context, router::Side to, boost::json::array& done);
// After the decision.
[[nodiscard]] StepAnswer open_side(MysqlContext& context, Attempt& attempt, router::Side side);
// Ends what an earlier process of ours may have left running on `side`, and waits until it is gone.
[[nodiscard]] StepAnswer end_former(MysqlContext& context, router::Side side, const std::atomic<bool>& cancelled);

}  // namespace turnout::control
