#include "tests/protocol/conversation.h"

#include <deque>
#include <stdexcept>

namespace turnout::protocol::pg::test {

std::vector<Message> split(std::string_view stream) {
  std::vector<Message> messages;
  while (!stream.empty()) {
    Header header;
    if (read_header(bytes_of(stream), 1 << 20, header) != Framing::complete || header.total() > stream.size()) {
      throw std::runtime_error("not whole messages");
    }
    messages.push_back({header.type, std::string(stream.substr(header_bytes, header.body))});
    stream.remove_prefix(header.total());
  }
  return messages;
}

Outcome run_login(ClientLogin& client, ServerLogin& server, const Change& change) {
  struct Travelling {
    bool to_client;
    Message message;
  };
  Outcome outcome;
  std::deque<Travelling> road;
  const auto send = [&](bool to_client, const std::string& bytes) {
    for (Message& message : split(bytes)) {
      (to_client ? outcome.to_client : outcome.to_server).push_back(message);
      road.push_back({to_client, std::move(message)});
    }
  };
  outcome.client = client.start();
  send(true, outcome.client.send);
  bool is_welcomed = false;
  for (std::size_t number = 0;; ++number) {
    if (outcome.client.status == LoginStep::Status::done && !is_welcomed) {
      is_welcomed = true;  // what the shell adds
      std::string welcome;
      put_parameter_status(welcome, "server_version", "15.0");
      put_backend_key_data(welcome, 7, std::string_view("\0\0\0\11", 4));
      put_ready_for_query(welcome, 'I');
      for (Message& message : split(welcome)) road.push_back({true, std::move(message)});
    }
    if (road.empty()) return outcome;
    auto [to_client, message] = std::move(road.front());
    road.pop_front();
    if (change && !change(to_client, number, message)) return outcome;
    LoginStep step = to_client ? server.on_message(message.type, bytes_of(message.body))
                               : client.on_message(message.type, bytes_of(message.body));
    send(!to_client, step.send);
    const bool is_failed = step.status == LoginStep::Status::failed;
    (to_client ? outcome.server : outcome.client) = std::move(step);
    if (is_failed) return outcome;
  }
}

}  // namespace turnout::protocol::pg::test
