#include "proxy/pool_rules.h"

#include <algorithm>

namespace turnout::proxy {

std::uint32_t size_now(const conf::Pool& pool, std::uint64_t longest_wait_ms) {
  const bool counts = pool.reserve != 0 && longest_wait_ms != 0 && longest_wait_ms >= pool.reserve_after_ms;
  return counts ? pool.size + pool.reserve : pool.size;
}

std::uint32_t opening_share(const conf::Pool& pool, std::size_t workers) {
  return std::max<std::uint32_t>(1, pool.opening_max / static_cast<std::uint32_t>(std::max<std::size_t>(1, workers)));
}

std::uint64_t own_lifetime_ms(const conf::Pool& pool, std::uint64_t connection_id) {
  if (pool.lifetime_ms_max == 0) return 0;
  std::uint64_t mixed = connection_id * 0x9e3779b97f4a7c15u;  // neighbouring ids become far apart (Fibonacci hashing)
  mixed ^= mixed >> 29;
  const std::uint64_t most_ms = std::uint64_t{pool.lifetime_ms_max} * pool.lifetime_jitter_percent / 100;
  return std::max<std::uint64_t>(1, pool.lifetime_ms_max - (most_ms == 0 ? 0 : mixed % (most_ms + 1)));
}

bool should_close(const conf::Pool& pool, const IdleConnection& connection) {
  if (connection.is_wanted_warm) return false;
  const std::uint64_t lifetime_ms = own_lifetime_ms(pool, connection.id);
  if (lifetime_ms != 0 && connection.age_ms > lifetime_ms) return true;  // and another one takes its place
  if (connection.pool_open > pool.size && connection.idle_ms >= pool.reserve_after_ms) return true;
  if (connection.pool_open <= connection.keep_min) return false;
  return pool.idle_ms_max != 0 && connection.idle_ms > pool.idle_ms_max;
}

const char* name(SharedLimit limit) {
  switch (limit) {
    case SharedLimit::none:
      break;
    case SharedLimit::side:
      return "limits.server_connections";
    case SharedLimit::user:
      return "limits.server_connections_per_user";
    case SharedLimit::database:
      return "limits.server_connections_per_database";
  }
  return "";
}

bool gives_way(const RoomClaim& claim, const PoolName& pool, std::uint64_t waiting_since_us, std::uint64_t now_ms) {
  if (claim.limit == SharedLimit::none || claim.until_ms < now_ms || claim.side != pool.side) return false;
  const bool same_user = claim.user == pool.user;
  const bool same_database = claim.database == pool.database;
  if (same_user && same_database && claim.access == pool.access) return false;
  if (claim.limit == SharedLimit::user && !same_user) return false;
  if (claim.limit == SharedLimit::database && !same_database) return false;
  return waiting_since_us == 0 || claim.since_us < waiting_since_us;
}

}  // namespace turnout::proxy
