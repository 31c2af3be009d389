// Plays a recorded conversation to an exchange, as a session would: commands announced, packets of the server asked
// with.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "protocol/mysql/exchange.h"
#include "tests/protocol_mysql/golden.h"

namespace turnout::protocol::mysql::test {

// What a command's payload says, as an entry. Throws when it is none.
Exchange::Entry entry_of(Bytes payload);

class Replay {
 public:
  explicit Replay(Capabilities capabilities, std::uint16_t status) { exchange.begin(capabilities, status); }
  // A packet of the client: a command, or part of a file.
  void from_client(const GoldenPacket& packet);
  [[nodiscard]] Exchange::Received from_server(const GoldenPacket& packet);
  Exchange exchange;
};

}  // namespace turnout::protocol::mysql::test
