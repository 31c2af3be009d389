#include "tests/protocol_mysql/golden.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace turnout::protocol::mysql::test {
namespace {

const std::filesystem::path folder = std::filesystem::path(TURNOUT_SOURCE_DIR) / "tests/golden";

}  // namespace

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return out;
}

Header GoldenPacket::header() const {
  Header header;
  if (!read_header(bytes_of(raw), header) || header.total() != raw.size()) throw std::runtime_error("not one packet");
  return header;
}

Capabilities Golden::capabilities() const {
  return std::stoull(facts.at("capabilities"), nullptr, 16);
}

std::uint16_t Golden::status() const {
  return static_cast<std::uint16_t>(std::stoul(facts.at("status")));
}

Golden load_golden(const std::string& server, const std::string& name) {
  Golden golden;
  golden.server = server;
  golden.name = name;
  std::ifstream file(folder / server / (name + ".txt"));
  if (!file) throw std::runtime_error("no recording " + server + "/" + name);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    if (line.starts_with("= ")) {
      const std::size_t blank = line.find(' ', 2);
      golden.facts[line.substr(2, blank - 2)] = line.substr(blank + 1);
    } else if (line.starts_with("> ") || line.starts_with("< ")) {
      golden.packets.push_back({line[0] == '>', from_hex(std::string_view(line).substr(2))});
    } else {
      throw std::runtime_error("not understood: " + line);
    }
  }
  return golden;
}

const std::vector<Golden>& all_golden() {
  static const std::vector<Golden> loaded = [] {
    std::vector<Golden> all;
    for (const char* server : {"mariadb10", "mysql97"}) {
      for (const auto& entry : std::filesystem::directory_iterator(folder / server))
        all.push_back(load_golden(server, entry.path().stem().string()));
    }
    std::sort(all.begin(), all.end(), [](const Golden& a, const Golden& b) { return a.what() < b.what(); });
    return all;
  }();
  return loaded;
}

}  // namespace turnout::protocol::mysql::test
