// Reads the recordings of tests/golden/pg15 (made by tests/golden/capture.py from a real server).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/pg/wire.h"

namespace turnout::protocol::pg::test {

struct GoldenMessage {
  bool from_client = false;
  std::string raw;      // with type and length; a startup packet has no type
  std::string comment;  // the message's name in the manual
  [[nodiscard]] bool is_startup() const { return comment == "StartupMessage"; }
  [[nodiscard]] char type() const { return raw[0]; }
  [[nodiscard]] std::string_view body() const { return std::string_view(raw).substr(header_bytes); }
};

struct Golden {
  std::string name;
  std::map<std::string, std::string, std::less<>> facts;
  std::vector<GoldenMessage> messages;
};

// Throws when there is no such file or a line is not understood.
Golden load_golden(const std::string& name);
std::vector<std::string> golden_names();

std::string from_hex(std::string_view hex);

}  // namespace turnout::protocol::pg::test
