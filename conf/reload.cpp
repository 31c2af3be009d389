#include "conf/reload.h"

#include <algorithm>
#include <string_view>

namespace turnout::conf {
namespace {

std::string_view name_of(Protocol protocol) {
  return protocol == Protocol::mysql ? "mysql" : "postgres";
}

}  // namespace

std::string refused_by_reload(const Config& running, const Config& fresh) {
  const auto& before = running.deployments;
  const auto& after = fresh.deployments;
  if (!std::equal(before.begin(), before.end(), after.begin(), after.end(),
                  [](const Deployment& a, const Deployment& b) { return a.name == b.name; }))
    return fresh.file + ": deployments cannot be added, removed or reordered by a reload; restart for that";
  std::string mistakes;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].protocol == after[i].protocol) continue;
    // Its clients and its server connections speak the other one.
    mistakes += (mistakes.empty() ? "" : "\n") + fresh.file + ": deployments." + after[i].name +
                ".protocol: cannot be changed from " + std::string(name_of(before[i].protocol)) + " to " +
                std::string(name_of(after[i].protocol)) + " by a reload; restart for that";
  }
  return mistakes;
}

}  // namespace turnout::conf
