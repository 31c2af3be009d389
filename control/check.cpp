#include "control/check.h"

#include <algorithm>

namespace turnout::control {

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return "PASS";
    case Verdict::warn:
      return "WARN";
    case Verdict::fail:
      return "FAIL";
  }
  return "?";
}

boost::json::object to_json(const Check& check) {
  boost::json::object out{{"name", check.name},
                          {"verdict", name(check.verdict)},
                          {"measured", check.measured},
                          {"bound", check.bound},
                          {"todo", check.todo}};
  if (check.waived) out["waived"] = true;
  return out;
}

boost::json::array to_json(const std::vector<Check>& checks) {
  boost::json::array out;
  for (const auto& check : checks) out.push_back(to_json(check));
  return out;
}

std::vector<std::string> refusals(std::vector<Check>& checks, const std::vector<std::string>& waive) {
  std::vector<std::string> failed;
  for (auto& check : checks) {
    if (check.verdict == Verdict::pass) continue;
    check.waived = std::find(waive.begin(), waive.end(), check.name) != waive.end();
    if (check.verdict == Verdict::fail && !check.waived) failed.push_back(check.name);
  }
  return failed;
}

}  // namespace turnout::control
