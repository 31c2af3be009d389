// The proof that `to` has everything that `from` ever committed: a marker row written on the fenced `from`, seen on
// `to` through the very stream that carries the data, and then that stream's progress flushed, so that a crash of `to`
// cannot take it back. Comparing positions instead was measured and is wrong (sent, written and flushed are three
// things).
#pragma once

#include <atomic>

#include "control/step_context.h"

namespace turnout::control {

[[nodiscard]] StepAnswer write_marker(StepContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer await_marker(StepContext& context, Attempt& attempt, router::Side from,
                                      const std::atomic<bool>& cancelled);
// Before the hold: one row of epoch 0 through each stream, so that both ends have the table open. "" or what is wrong.
[[nodiscard]] std::string warm_marker(StepContext& context, Attempt& attempt, router::Side from);
// A fingerprint of what replication depends on: tables, columns, keys and sequences of the database's own schemas.
[[nodiscard]] PgOutcome<std::string> schema_fingerprint(PgClient& client);
[[nodiscard]] StepAnswer check_schema(StepContext& context, Attempt& attempt, router::Side from);

}  // namespace turnout::control
