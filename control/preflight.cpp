#include "control/preflight.h"

#include "control/preflight_look.h"

namespace turnout::control {

std::vector<Check> run_checks(StepContext& context, router::Side from, bool quick, const std::atomic<bool>& give_up) {
  Look look(context, from, give_up);
  check_servers(look);
  check_streams(look, quick);
  check_schemas(look);
  check_parity(look);
  check_rights(look);
  check_roles(look, quick);
  check_sessions(look);
  check_statements(look);
  return std::move(look.checks);
}

}  // namespace turnout::control
