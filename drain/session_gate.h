// One session's decision at the moment its next unit of work is ready: does it go, wait, move or end? Pure.
//
// A unit is what the server would run as one piece: a simple query, an extended series up to its Sync, a BEGIN. While a
// transaction is open every unit belongs to it and passes: holding it would keep the drain waiting for ever.
#pragma once

#include <cstdint>

#include "router/routing_table.h"

namespace turnout::drain {

enum class Unit : std::uint8_t {
  read,                 // proven: changes nothing, may run on a `read` connection
  begin_read_only,      // BEGIN … READ ONLY: every unit after it belongs to it
  write,                // may write, BEGIN included; also everything unknown
  ending,               // ends or unblocks other work: COMMIT/ROLLBACK [PREPARED], advisory unlock, UNLISTEN
  prepare_transaction,  // would leave a transaction that no drain waits for and that the fence lets pass
};

enum class Verdict : std::uint8_t {
  forward,  // send it on the lease, or on a connection of target() if there is none
  hold,     // keep it, ask again at the next table
  move,     // give the lease back (rolling back a begin_only transaction), then send it to target()
  refuse,   // end the session: its state lives on a side that no longer serves it
};
[[nodiscard]] const char* name(Verdict verdict);

struct SessionView {
  Unit unit = Unit::write;
  bool in_transaction = false;  // the server has a transaction open, or replies are still owed
  bool begin_only = false;      // … opened by a BEGIN that may write and that was answered, with nothing after it
  bool has_lease = false;
  router::Side lease_side = router::Side::blue;
  router::Access lease_access = router::Access::write;
  bool is_pinned = false;  // temp tables, advisory locks, …: cannot leave its connection
};

struct Passage {
  Verdict verdict = Verdict::forward;
  router::Side side = router::Side::blue;  // forward and move: where
  router::Access access = router::Access::write;
};

// Without a ramp: where a proven read goes while nothing is held is route()'s to say.
[[nodiscard]] Passage passage(const SessionView& session, const router::RoutingTable& table);

// Asked of every leased session when a table with a hold arrives: true = nothing happened in its transaction yet, so
// roll it back on the server and begin it anew after the hold; the client sees nothing.
[[nodiscard]] bool may_rewind(const SessionView& session, const router::RoutingTable& table);

// A server connection broke, or the server refused: what may be done with the unit that was under way? (I8)
struct Loss {
  bool sent = false;               // at least one byte of the unit went out
  bool answered = false;           // at least one byte of its answer reached the client
  bool in_transaction = false;     // units before it in the same transaction ran on the lost connection
  bool is_commit = false;          // the unit ends a transaction that wrote
  bool may_write = true;           // not a proven read
  bool refused_read_only = false;  // the server answered 25006 to a unit outside a transaction block: it did nothing
};
enum class Recourse : std::uint8_t {
  again,    // hold it and send it anew, to whoever is the writer then
  unknown,  // it may have been executed: 08007, nothing is sent again
  end,      // pass the loss on to the client
};
[[nodiscard]] Recourse recourse(const Loss& loss);

}  // namespace turnout::drain
