#include "control/check.h"

#include <algorithm>
#include <utility>

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

void CheckList::pass(const char* name, std::string measured, std::string bound) {
  checks.push_back({name, Verdict::pass, std::move(measured), std::move(bound), "", false});
}

void CheckList::warn(const char* name, std::string measured, std::string bound, std::string todo) {
  checks.push_back({name, Verdict::warn, std::move(measured), std::move(bound), std::move(todo), false});
}

void CheckList::fail(const char* name, std::string measured, std::string bound, std::string todo) {
  checks.push_back({name, Verdict::fail, std::move(measured), std::move(bound), std::move(todo), false});
}

void CheckList::verdict(const char* name, Verdict bad, const std::vector<std::string>& findings, std::string fine,
                        std::string bound, std::string todo) {
  if (findings.empty()) return pass(name, std::move(fine), std::move(bound));
  checks.push_back({name, bad, some_of(findings), std::move(bound), std::move(todo), false});
}

std::string some_of(const std::vector<std::string>& items, std::size_t shown) {
  std::string out;
  for (std::size_t i = 0; i < items.size() && i < shown; ++i) out += (i == 0 ? "" : ", ") + items[i];
  if (items.size() > shown) out += " and " + std::to_string(items.size() - shown) + " more";
  return out;
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
