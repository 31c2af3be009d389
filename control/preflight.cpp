#include "control/preflight.h"

namespace turnout::control {

std::vector<Check> run_checks(StepContext& context, router::Side from, bool) {
  std::vector<Check> checks;
  const auto topology = discover(context.shelf, from, context.config().databases);
  Check active{"replication.active", Verdict::pass, "", "one enabled, streaming subscription a database", ""};
  if (!topology) {
    active.verdict = Verdict::fail;
    active.measured = topology.error().message();
    active.todo = "create the publication and the subscription, and let them catch up";
  }
  checks.push_back(active);
  return checks;
}

}  // namespace turnout::control
