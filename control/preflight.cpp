#include "control/preflight.h"

#include "control/preflight_look.h"

namespace turnout::control {

std::vector<Check> run_checks(StepContext& context, router::Side from, bool quick) {
  Look look(context, from);
  check_servers(look);
  check_streams(look);
  check_schemas(look);
  check_roles(look, quick);
  check_sessions(look);
  return std::move(look.checks);
}

}  // namespace turnout::control
