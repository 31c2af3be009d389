// The exit codes that scripts depend on, and how an HTTP answer or a report becomes one.
//
// The control API sends the code of each answer in the header Turnout-Exit-Code; when it is absent (an older server, a
// proxy in between) the HTTP status decides.
#pragma once

#include <string_view>

namespace turnout::control {

enum class ExitCode : int {
  done = 0,
  usage = 2,
  invalid_configuration = 3,
  refused = 4,      // by a check
  reverted = 5,     // timed out or failed, and nothing has changed
  aborted = 6,      // by an operator
  unreachable = 7,  // the control API
  denied = 8,
  conflict = 9,  // with the present state
  unknown = 10,  // outcome unknown: look
};

[[nodiscard]] constexpr int code(ExitCode exit) {
  return static_cast<int>(exit);
}

[[nodiscard]] ExitCode exit_for_status(int http_status);
// `outcome` and `reason` of a cutover's report. A reverted attempt whose reason begins with "aborted by an operator"
// is 6.
[[nodiscard]] ExitCode exit_for_outcome(std::string_view outcome, std::string_view reason);

}  // namespace turnout::control
