// What a pool decides, apart from doing it: how large it may be now, how many connections to open, which to close, and
// who gives way when connections of several pools count together. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "conf/config.h"
#include "router/routing_table.h"

namespace turnout::proxy {

// With somebody who has waited long enough, the reserve counts too.
[[nodiscard]] std::uint32_t size_now(const conf::Pool& pool, std::uint64_t longest_wait_ms);

// How many of a pool a worker may have on their way to be opened: its share, so that the sum stays within `opening`.
[[nodiscard]] std::uint32_t opening_share(const conf::Pool& pool, std::size_t workers);

// A connection's own lifetime, 0 = without end. Connections that were opened together must not all end together.
[[nodiscard]] std::uint64_t own_lifetime_ms(const conf::Pool& pool, std::uint64_t connection_id);

// Of an idle connection.
struct IdleConnection {
  std::uint64_t id = 0;
  std::uint64_t age_ms = 0, idle_ms = 0;
  std::uint32_t pool_open = 0;  // connections of its pool, this one included
  std::uint32_t keep_min = 0;   // of them that are to stay
  bool is_wanted_warm = false;  // the routing table asks for warm connections
};
[[nodiscard]] bool should_close(const conf::Pool& pool, const IdleConnection& connection);

// Limits that pools share; which of them was hit.
enum class SharedLimit { none, side, user, database };
[[nodiscard]] const char* name(SharedLimit limit);

// A pool that waits for one of these limits asks the others to give a connection up.
struct RoomClaim {
  SharedLimit limit = SharedLimit::none;
  router::Side side = router::Side::blue;
  router::Access access = router::Access::write;
  std::string user, database;
  std::uint64_t since_us = 0;  // its oldest waiter
  std::uint64_t until_ms = 0;  // it is renewed while it waits
};
struct PoolName {
  router::Side side = router::Side::blue;
  router::Access access = router::Access::write;
  const std::string& user;
  const std::string& database;
};
// Must that pool give way? Its own oldest waiter, 0 without one, goes first when it has waited longer.
[[nodiscard]] bool gives_way(const RoomClaim& claim, const PoolName& pool, std::uint64_t waiting_since_us,
                             std::uint64_t now_ms);

}  // namespace turnout::proxy
