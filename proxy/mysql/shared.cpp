#include "proxy/mysql/shared.h"

#include "protocol/mysql/kill.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

// What MySQL 5.7 and MariaDB 10.2 both have, and everything later.
constexpr my::Capabilities plainest = my::always | my::capability::found_rows | my::capability::connect_with_db |
                                      my::capability::no_schema | my::capability::odbc | my::capability::ignore_space |
                                      my::capability::interactive | my::capability::multi_statements |
                                      my::capability::multi_results | my::capability::statement_multi_results |
                                      my::capability::connect_attributes | my::capability::expired_passwords |
                                      my::capability::session_track | my::capability::deprecate_eof;

}  // namespace

Shared::Shared() : key_(my::RsaKey::make()) {}

void Shared::saw(router::Side side, Face face) {
  const std::lock_guard lock(mutex_);
  faces_[router::index(side)] = std::move(face);
}

std::optional<Shared::Offer> Shared::offer(bool has_green, bool has_tls) {
  const std::lock_guard lock(mutex_);
  if (!offered_) {
    const auto& seen = faces_[0] ? faces_[0] : faces_[1];
    if (!seen) return std::nullopt;
    Face unseen = *seen;
    unseen.capabilities = plainest;
    offered_ = std::array<Face, 2>{faces_[0].value_or(unseen), faces_[1].value_or(unseen)};
  }
  const auto& [blue, green] = *offered_;
  Offer offer;
  offer.version = blue.version;
  offer.is_mariadb = blue.is_mariadb;
  if (blue.collation != 0) offer.collation = blue.collation;
  std::optional<my::Capabilities> of_green;
  if (has_green) of_green = green.capabilities;
  offer.capabilities = my::offer(blue.capabilities, of_green, has_tls);
  return offer;
}

bool Shared::is_mariadb() const {
  const std::lock_guard lock(mutex_);
  const auto& seen = faces_[0] ? faces_[0] : faces_[1];
  return seen && seen->is_mariadb;
}

bool Shared::has_process_kill(router::Side side) const {
  const std::lock_guard lock(mutex_);
  const auto& face = faces_[router::index(side)];
  return !face || my::has_process_kill(face->is_mariadb, face->version);
}

my::Secret Shared::server_secret(const std::string& user, const Users& users, const conf::Login& admin) const {
  const auto listed = users.find(user);
  if (listed != users.end() && listed->second.is_whole()) return listed->second;
  if (auto known = learned.find(user)) return std::move(*known);
  if (listed != users.end()) return listed->second;
  if (user == admin.user && !admin.password.empty()) return {my::Secret::Kind::plain, admin.password};
  return {};
}

}  // namespace turnout::proxy::mysql
