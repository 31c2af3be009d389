#include "tests/protocol/golden.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace turnout::protocol::pg::test {
namespace {

const std::filesystem::path folder = std::filesystem::path(TURNOUT_SOURCE_DIR) / "tests/golden/pg15";

}  // namespace

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return out;
}

Golden load_golden(const std::string& name) {
  Golden golden;
  golden.name = name;
  std::ifstream file(folder / (name + ".txt"));
  if (!file) throw std::runtime_error("no golden file " + name);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# ")) continue;
    const std::size_t second = line.find(' ', 2);
    if (line.size() < 3 || second == std::string::npos) throw std::runtime_error(name + ": line " + line);
    if (line[0] == '=') {
      golden.facts[line.substr(2, second - 2)] = line.substr(second + 1);
    } else {
      const std::size_t comment = line.find("# ");
      golden.messages.push_back({line[0] == '>', from_hex(line.substr(2, second - 2)), line.substr(comment + 2)});
    }
  }
  return golden;
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace turnout::protocol::pg::test
