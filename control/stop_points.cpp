#include "control/stop_points.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

namespace turnout::control {

StopPoints::StopPoints() {
  if (const char* const directory = std::getenv("TURNOUT_STOP_POINTS"); directory != nullptr) directory_ = directory;
}

void StopPoints::reach(const char* when, drain::Step step, const std::function<bool()>& over) const {
  if (directory_.empty()) return;
  const std::string point = directory_ + "/" + when + "-" + drain::name(step);
  std::error_code error;
  if (!std::filesystem::exists(point, error)) return;
  std::ofstream(point + ".reached").flush();
  while (std::filesystem::exists(point, error) && !over()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace turnout::control
