#include "control/exit_code.h"

namespace turnout::control {

ExitCode exit_for_status(int http_status) {
  if (http_status >= 200 && http_status < 300) return ExitCode::done;
  switch (http_status) {
    case 401:
    case 403:
      return ExitCode::denied;
    case 409:
      return ExitCode::conflict;
    case 412:
    case 422:
      return ExitCode::refused;
    case 502:
    case 503:
    case 504:
      return ExitCode::unreachable;
    default:
      // Any other 4xx means that the request itself was wrong; a 5xx may have happened after the deed.
      return http_status >= 400 && http_status < 500 ? ExitCode::usage : ExitCode::unknown;
  }
}

ExitCode exit_for_outcome(std::string_view outcome, std::string_view reason) {
  if (outcome == "committed" || outcome == "rehearsed" || outcome == "planned") return ExitCode::done;
  if (outcome == "refused") return ExitCode::refused;
  if (outcome == "aborted") return ExitCode::aborted;
  if (outcome == "reverted")
    return reason.starts_with("aborted by an operator") ? ExitCode::aborted : ExitCode::reverted;
  return ExitCode::unknown;
}

}  // namespace turnout::control
