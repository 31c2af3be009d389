// What `prepare --replicate` has to know of both servers before it touches either. Only asks; the one thing it tries
// (may green log in to blue?) is a subscription in a transaction that is rolled back.
#pragma once

#include "control/dump_program.h"
#include "control/replica_plan.h"
#include "control/step_context.h"

namespace turnout::control {

struct ReplicaLook {
  ReplicaFacts facts;
  DumpProgram dump;  // when facts.no_dump is empty
};
[[nodiscard]] PgOutcome<ReplicaLook> look_for_replica(StepContext& context);

}  // namespace turnout::control
