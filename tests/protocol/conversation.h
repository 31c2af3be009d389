// Runs the two login roles against each other and cuts what they say into messages.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "protocol/pg/login.h"

namespace turnout::protocol::pg::test {

struct Message {
  char type = 0;
  std::string body;
};

// Whole messages only; anything else is a bug of who wrote them, so it throws.
std::vector<Message> split(std::string_view stream);

struct Outcome {
  LoginStep client;                // what ClientLogin (our server role) ended with
  LoginStep server;                // what ServerLogin (our client role) ended with
  std::vector<Message> to_client;  // what ClientLogin sent
  std::vector<Message> to_server;  // what ServerLogin sent
};

// `change` may alter a message on its way; false: it is lost, and the conversation ends there.
using Change = std::function<bool(bool to_client, std::size_t number, Message& message)>;
Outcome run_login(ClientLogin& client, ServerLogin& server, const Change& change = {});

inline std::array<std::uint8_t, 18> nonce_of(std::uint8_t first) {
  std::array<std::uint8_t, 18> nonce{};
  for (std::size_t i = 0; i < nonce.size(); ++i) nonce[i] = static_cast<std::uint8_t>(first + i);
  return nonce;
}

inline Secret plain(std::string password) {
  Secret secret;
  secret.kind = Secret::Kind::plain;
  secret.text = std::move(password);
  return secret;
}

}  // namespace turnout::protocol::pg::test
