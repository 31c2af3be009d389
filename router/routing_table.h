// The one value that says where work goes. Immutable; control publishes a new one, workers swap it in and report the
// version they have reached (proxy/proxy.h). Everything a cutover asks of the data path is a field here: workers make
// it so and report levels, so a missed or repeated message cannot wedge anything.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "conf/config.h"

namespace turnout::router {

enum class Side : std::uint8_t { blue = 0, green = 1 };
[[nodiscard]] constexpr Side other(Side side) {
  return side == Side::blue ? Side::green : Side::blue;
}
[[nodiscard]] constexpr std::size_t index(Side side) {
  return static_cast<std::size_t>(side);
}
[[nodiscard]] constexpr const char* name(Side side) {
  return side == Side::blue ? "blue" : "green";
}

// A `read` connection was opened with default_transaction_read_only=on; a `write` connection with nothing, so that the
// server's own default (the fence) decides.
enum class Access : std::uint8_t { write = 0, read = 1 };
[[nodiscard]] constexpr std::size_t index(Access access) {
  return static_cast<std::size_t>(access);
}

// nothing: work flows. writes: work that may write waits, proven reads go on. all: every new unit of work waits.
enum class Hold : std::uint8_t { nothing, writes, all };

// What a worker shall do with its connections of one side.
struct SideOrders {
  bool may_write = true;        // false: `write` connections get no work, none is opened; the open ones are
                                // sealed, and closed when the hold is over (proxy/pool.h)
  bool may_read = true;         // the same for `read` connections
  bool warm = false;            // open `write` connections, logged in, for every (database, user) pool that has
                                // sessions, as many as the other side has now, at least one, at most the pool's size
  bool warm_reads = false;      // the same for `read` connections
  bool prove_writable = false;  // a `write` connection gets work only after one round trip on which the server said
                                // that transactions are not read-only; proven once a version of the table
  bool keeps_default = false;   // a session there keeps the read-only default that it began with (a fence by ALTER
                                // DATABASE): a `write` connection older than the order to prove that is told "on" will
                                // be told so for ever, and is replaced; advisory locks are not taken along
};

struct RampOrders {
  Side side = Side::green;             // gets ramped reads
  std::uint8_t percent = 0;            // 0 = no routing by text at all
  std::uint16_t threshold = 0;         // sessions with hash16 < threshold are ramped; 0 none, 65535 all
  std::uint16_t control_from = 65535;  // sessions with hash16 >= control_from are the control group: their reads are
                                       // measured on the writer; 65535 = nobody
  conf::TokenPolicy policy = conf::TokenPolicy::session;
  bool evicted = false;  // green is behind: ramped reads go to the writer for now
  bool late = false;     // beyond ramp.bounded: those of policy `bounded` do
};

// Of the reads that the writer answers, this share is sent to the other side as well: shadow.h.
struct ShadowOrders {
  std::uint8_t percent = 0;  // 0 = none
};

struct RoutingTable {
  std::uint64_t version = 1;        // grows by one with every publication of a deployment, never reused
  std::uint64_t epoch = 0;          // of the cutover attempt this belongs to
  Side writer = Side::blue;         // where work that may write goes, when it is not held
  Side hold_reads_on = Side::blue;  // where proven reads go while hold == writes
  Hold hold = Hold::nothing;
  std::array<SideOrders, 2> sides;
  RampOrders ramp;
  ShadowOrders shadow;

  // Does any session have to look at SQL text to decide? (contract of the data path: not with weight 0 and no hold)
  // Where a shadow is all that wants to know, it asks of which units: ShadowSampler.
  [[nodiscard]] bool needs_verdicts() const { return ramp.percent != 0 || hold == Hold::writes; }
};

using RoutingTablePtr = std::shared_ptr<const RoutingTable>;

}  // namespace turnout::router
