// What every step of the MySQL executor may use.
#pragma once

#include <algorithm>
#include <string_view>

#include "control/mysql_shelf.h"
#include "control/step_context.h"

namespace turnout::control {

struct MysqlContext {
  StepContext step;
  MysqlShelf& shelf;
};

[[nodiscard]] inline StepAnswer failed(const MysqlError& error) {
  return StepAnswer::failed(error.message());
}

// Whoever waives a check answers for what it would have refused.
[[nodiscard]] inline bool is_waived(MysqlContext& context, const Attempt& attempt, std::string_view check) {
  const auto waive = context.step.config().waive;
  return std::ranges::find(waive, check) != waive.end() ||
         std::ranges::find(attempt.waive, check) != attempt.waive.end();
}

[[nodiscard]] inline MysqlTopology mysql_topology_of(Attempt& attempt) {
  const std::lock_guard guard(attempt.mutex);
  return attempt.mysql;
}

}  // namespace turnout::control
