// The command line: every verb is a thin client of its REST twin, but for run, check and version, which need no server.
//
// Returns the exit codes of control/exit_code.h. Answers go to `out` (with -o json: exactly one JSON document), what
// went wrong to `err`.
#pragma once

#include <iosfwd>

namespace turnout::control {

[[nodiscard]] int run_command_line(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace turnout::control
