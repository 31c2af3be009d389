// What every step of the MySQL executor may use.
#pragma once

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

}  // namespace turnout::control
