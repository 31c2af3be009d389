#include "proxy/mysql/learned_secrets.h"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/mysql/reply.h"
#include "proxy/pool.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

// By which a server says that this user with this password is nobody now: wrong or unknown, expired, locked, locked for
// a time, blocked after too many errors. Not those that speak of a database, a host or a number of connections.
// Source: MySQL "Server Error Message Reference"; MariaDB "Error Codes".
constexpr std::array<std::uint16_t, 8> ends_of_a_secret = {1045, 1698, 1820, 1862, 3118, 3955, 4150, 4151};

}  // namespace

void LearnedSecrets::learn(const std::string& user, my::Secret secret) {
  const std::lock_guard lock(mutex_);
  Entry& known = entries_[user];
  if (known.secret.kind == my::Secret::Kind::plain && !secret.is_whole()) return;  // the password is good for more
  known = {std::move(secret), 0};
}

void LearnedSecrets::prove(const std::string& user, std::string_view password, std::uint64_t now_ms,
                           std::uint32_t users_max) {
  const std::lock_guard lock(mutex_);
  while (!entries_.contains(user) && entries_.size() >= std::max(users_max, 1U)) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
      return a.second.proven_ms < b.second.proven_ms;
    });
    entries_.erase(oldest);
  }
  Entry& known = entries_[user];
  known = {{my::Secret::Kind::plain, password}, now_ms};
}

bool LearnedSecrets::is_proven(const std::string& user, std::string_view password, std::uint64_t since_ms) const {
  const std::lock_guard lock(mutex_);
  const auto known = entries_.find(user);
  return known != entries_.end() && known->second.proven_ms >= since_ms && known->second.proven_ms != 0 &&
         known->second.secret.text == password;
}

protocol::SecretBytes LearnedSecrets::proven(const std::string& user) const {
  const std::lock_guard lock(mutex_);
  const auto known = entries_.find(user);
  return known != entries_.end() && known->second.proven_ms != 0 ? known->second.secret.text : protocol::SecretBytes();
}

// One that was proven behind the beginning of that login is another one, or needs no better proof.
void LearnedSecrets::accepted(const std::string& user, std::uint64_t began_ms) {
  const std::lock_guard lock(mutex_);
  const auto known = entries_.find(user);
  if (known == entries_.end() || known->second.proven_ms == 0) return;
  known->second.proven_ms = std::max(known->second.proven_ms, began_ms);
}

void LearnedSecrets::refused(const std::string& user, const LoginFailure& failure, std::uint64_t began_ms) {
  if (failure.raw_error.empty()) return;
  const std::uint16_t number = my::parse_error(my::bytes_of(failure.raw_error)).number;
  if (std::find(ends_of_a_secret.begin(), ends_of_a_secret.end(), number) == ends_of_a_secret.end()) return;
  const std::lock_guard lock(mutex_);
  const auto known = entries_.find(user);
  if (known == entries_.end() || known->second.proven_ms == 0 || known->second.proven_ms > began_ms) return;
  entries_.erase(known);
}

std::optional<my::Secret> LearnedSecrets::find(const std::string& user) const {
  const std::lock_guard lock(mutex_);
  const auto known = entries_.find(user);
  return known == entries_.end() ? std::nullopt : std::optional(known->second.secret);
}

std::size_t LearnedSecrets::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace turnout::proxy::mysql
