// turnout.journal, the copy of each decision that both databases keep: forensics, and a second opinion at start-up.
#pragma once

#include <string>
#include <vector>

#include "control/attempt.h"
#include "control/decision_store.h"
#include "control/step_context.h"

namespace turnout::control {

// Why the store's story cannot be believed at start-up: a journal knows of a commit that the store does not. "" = it
// agrees, or the servers cannot be asked (an unreachable server must not keep the other from serving).
[[nodiscard]] std::string journal_doubt(Shelf& shelf, const conf::Deployment& deployment,
                                        const std::vector<Record>& records, const drain::Recovered& log);

// After the decision: the row on `to` must be durable, the one on `from` is written if it answers at once.
[[nodiscard]] StepAnswer copy_journal(StepContext& context, Attempt& attempt, router::Side from);

}  // namespace turnout::control
