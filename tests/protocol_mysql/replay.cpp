#include "tests/protocol_mysql/replay.h"

#include <stdexcept>

namespace turnout::protocol::mysql::test {

Exchange::Entry entry_of(Bytes payload) {
  const auto command = payload.empty() ? std::nullopt : command_of(payload[0]);
  if (!command) throw std::runtime_error("not a command");
  Exchange::Entry entry;
  entry.command = *command;
  if (is_about_statement(*command)) entry.statement = statement_of(payload).value();
  entry.opens_cursor = *command == Command::statement_execute && (payload[5] & 7U) != 0;
  return entry;
}

void Replay::from_client(const GoldenPacket& packet) {
  if (exchange.awaits_infile()) {
    if (packet.payload().empty()) exchange.infile_sent(packet.header().number);
    return;
  }
  if (packet.header().number != 0) {
    exchange.login_sent(packet.header().number);
    return;
  }
  exchange.sent(entry_of(packet.payload()));
}

Exchange::Received Replay::from_server(const GoldenPacket& packet) {
  return exchange.received(packet.header(), packet.payload());
}

}  // namespace turnout::protocol::mysql::test
