// Places where a test can stop a move exactly: before and after each step that the executor runs.
//
// A fault "between two numbered actions" (drain/plan.h) cannot be hit by watching and hurrying. When Turnout is started
// with TURNOUT_STOP_POINTS=DIRECTORY, a step that finds the file DIRECTORY/before-STEP or DIRECTORY/after-STEP makes
// DIRECTORY/before-STEP.reached and waits until the first file is gone. Without the variable nothing is looked for.
// A stopped step is a slow step and nothing else: the deadlines of the move go on.
#pragma once

#include <functional>
#include <string>

#include "drain/plan.h"

namespace turnout::control {

class StopPoints {
 public:
  StopPoints();  // reads the environment, once

  // Returns at once, or when the test lets go, or when `over` says that nobody waits for the step any more.
  void reach(const char* when, drain::Step step, const std::function<bool()>& over) const;

 private:
  std::string directory_;  // "": off
};

}  // namespace turnout::control
