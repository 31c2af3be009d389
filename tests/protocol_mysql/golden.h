// Reads the recordings of tests/golden/{mariadb10,mysql97} (made by tests/golden/capture_mysql.py from real servers).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/mysql/capabilities.h"
#include "protocol/mysql/wire.h"

namespace turnout::protocol::mysql::test {

struct GoldenPacket {
  bool from_client = false;
  std::string raw;  // with its header
  [[nodiscard]] Header header() const;
  [[nodiscard]] Bytes payload() const { return bytes_of(raw).subspan(header_bytes); }
};

struct Golden {
  std::string server, name;  // folder, file
  std::map<std::string, std::string, std::less<>> facts;
  std::vector<GoldenPacket> packets;
  [[nodiscard]] std::string what() const { return server + "/" + name; }
  [[nodiscard]] bool is_login() const { return name.starts_with("login_"); }
  [[nodiscard]] bool is_program() const { return name.starts_with("client_"); }  // with its login
  [[nodiscard]] bool is_conversation() const { return !is_login() && !is_program(); }
  [[nodiscard]] Capabilities capabilities() const;
  [[nodiscard]] std::uint16_t status() const;
};

// Throws when there is no such file or a line is not understood.
Golden load_golden(const std::string& server, const std::string& name);
const std::vector<Golden>& all_golden();

std::string from_hex(std::string_view hex);

}  // namespace turnout::protocol::mysql::test
