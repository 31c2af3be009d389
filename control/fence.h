// The fence of the old writer: raise, verify, lower. cutover terms: drain/README.md.
//
// Always true: the former settings are durable before anything changes; verified means that a new connection is told
// read-only, that nobody but us and our read connections is left on the databases, that no transaction older than that
// is open, and that none is prepared.
#pragma once

#include <atomic>
#include <boost/json/array.hpp>

#include "control/step_context.h"

namespace turnout::control {

[[nodiscard]] StepAnswer record_undo(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer raise_fence(StepContext& context, Attempt& attempt, router::Side from,
                                     const std::atomic<bool>& cancelled);
// What verify_fence will ask, asked once: a backend that answers a catalog's question for the first time needs
// milliseconds of a window for it. "" or why not.
[[nodiscard]] std::string warm_fence_questions(PgClient& client, const std::string& databases);
[[nodiscard]] StepAnswer verify_fence(StepContext& context, Attempt& attempt, router::Side from,
                                      const std::atomic<bool>& cancelled);
[[nodiscard]] StepAnswer lower_fence(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer await_writable(StepContext& context, Attempt& attempt, router::Side side,
                                        const std::atomic<bool>& cancelled);
// A new connection on `side` is told read-only.
[[nodiscard]] StepAnswer await_read_only(StepContext& context, Attempt& attempt, router::Side side,
                                         const std::atomic<bool>& cancelled);
// The follower takes writes from nobody until the decision, but lets everybody in again whom a former fence kept out.
// "" or why not.
[[nodiscard]] std::string keep_read_only(StepContext& context, Attempt& attempt, router::Side to,
                                         boost::json::array& done);
// Does a fence of ours stand on `side` that took CONNECT away? (`prepare` may have given it back since.)
[[nodiscard]] bool may_have_closed_doors(const std::vector<Record>& records, router::Side side);
// After the decision: the side's own settings come back, which make it writable.
[[nodiscard]] StepAnswer open_side(StepContext& context, Attempt& attempt, router::Side side);
// Ends backends of an earlier process of ours on `side`, and waits until they are gone.
[[nodiscard]] StepAnswer end_former(StepContext& context, Attempt& attempt, router::Side side,
                                    const std::atomic<bool>& cancelled);

// The settings of `side` are as they were, or are remembered anew. "" or why the store did not take it.
[[nodiscard]] std::string append_restored(StepContext& context, const Attempt& attempt, router::Side side);
// Databases of the attempt; of its topology, else of the configuration.
[[nodiscard]] std::vector<std::string> databases_of(StepContext& context, Attempt& attempt);
// Roles that keep CONNECT through a fence.
[[nodiscard]] std::vector<std::string> kept_roles(const conf::Deployment& config);

}  // namespace turnout::control
