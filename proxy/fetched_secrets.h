// What the auth query answered lately: shared by the workers of a deployment, bounded, each answer with its age.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "protocol/pg/login.h"

namespace turnout::proxy {

class FetchedSecrets {
 public:
  struct Found {
    bool is_known = false;                       // false: ask
    std::optional<protocol::pg::Secret> secret;  // nothing: there is no such user, or it cannot log in
  };
  [[nodiscard]] Found find(const std::string& user, std::uint64_t now_ms) const;
  // That a user is unknown is believed for a moment only: it may just be being made.
  void put(const std::string& user, const std::optional<protocol::pg::Secret>& secret, std::uint64_t now_ms,
           std::uint32_t cache_ms, std::uint32_t users_max);
  // A login failed by it: perhaps the password has been changed. Guesses cost one question a second at most.
  void doubt(const std::string& user, std::uint64_t now_ms);
  void clear();
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    std::optional<protocol::pg::Secret> secret;
    std::uint64_t asked_ms = 0, until_ms = 0;
  };
  void make_room(std::uint64_t now_ms, std::uint32_t users_max);
  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace turnout::proxy
