// What logins of clients have taught a deployment: what opens the servers for their user from now on. In memory only.
//
// Of two sources. A users file verifies a client by a hash, and its login shows more than the hash: that is kept as
// long as the process lives, for as many users as the file has. `users: passthrough` knows nobody: there only what a
// server has just accepted gets in here, with the time of it, and leaves when the writer refuses it.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/mysql/login.h"

namespace turnout::proxy {
struct LoginFailure;
}

namespace turnout::proxy::mysql {

class LearnedSecrets {
 public:
  // ---- of users that a file knows
  void learn(const std::string& user, protocol::mysql::Secret secret);

  // ---- of passthrough
  // A server has accepted it; with `users_max` of them the one that was proven longest ago goes.
  void prove(const std::string& user, std::string_view password, std::uint64_t now_ms, std::uint32_t users_max);
  // Is it this one, and has a server said so since `since_ms`?
  [[nodiscard]] bool is_proven(const std::string& user, std::string_view password, std::uint64_t since_ms) const;
  [[nodiscard]] protocol::SecretBytes proven(const std::string& user) const;  // empty = none
  // A login of ours that began at `began_ms`, with what was known then, was accepted or refused by the writer.
  void accepted(const std::string& user, std::uint64_t began_ms);
  void refused(const std::string& user, const LoginFailure& failure, std::uint64_t began_ms);

  [[nodiscard]] std::optional<protocol::mysql::Secret> find(const std::string& user) const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    protocol::mysql::Secret secret;
    std::uint64_t proven_ms = 0;  // 0: of a users file
  };
  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace turnout::proxy::mysql
