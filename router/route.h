// Where does this unit of work go? The one decision of the data path, as a pure function of the routing table, of what
// the session knows about itself and of how far green has proven to be.
//
// A unit is an autocommit statement, an extended-protocol segment complete up to Sync, or the BEGIN of a transaction.
// Always true of the answer: held work names no connection; a ramped read is never `write`; work that is not proven to
// be a read goes only to the table's writer; a running transaction is never held and never moved.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "router/catalog.h"
#include "router/classify.h"
#include "router/routing_table.h"

namespace turnout::router {

struct Unit {
  Verdict verdict = Verdict::write;   // of every statement in the unit, the worst. For BEGIN READ ONLY (and a session
                                      // with default_transaction_read_only=on): read_only_transaction_verdict()
  bool in_transaction = false;        // continues a transaction that already has its server connection
  bool unblocks = false;              // ends or frees other work: COMMIT/ROLLBACK PREPARED, advisory unlock, UNLISTEN
  bool session_known_state = false;   // everything the session has set up is known and movable: no temp objects, no
                                      // session locks, nothing unknown
  bool during_release = false;        // what a hold has held is on its way to its connections just now
  bool session_may_ramp = true;       // false: it LISTENs, runs SERIALIZABLE, or was told to stay
  std::uint16_t session_hash = 0;     // hash16() of ramp.h
  std::uint64_t required_sample = 0;  // token: the session's under policy `session`, the whole proxy's under `global`;
                                      // 0 = nothing written that must be seen
  std::optional<conf::TokenPolicy> policy = {};  // of the session's user or database; else the table's
};

struct Route {
  Side side = Side::blue;
  Access access = Access::write;
  bool held = false;     // wait for the next table, then ask again; side and access mean nothing
  bool ramped = false;   // a read sent to green by weight: an error before its first byte is re-run on the writer
  bool control = false;  // a read of the control group: would be ramped but for its session's rank
  const char* why = "";  // static text for explain-route and traces
};

// `proven_sample`: the newest sample of the writer's log known to be applied on ramp.side (same numbering as
// Unit::required_sample, same epoch; 0 = nothing proven yet).
[[nodiscard]] Route route(const RoutingTable& table, const Unit& unit, std::uint64_t proven_sample);

// What a BEGIN READ ONLY may be taken for before its statements are known: `read` only if everything that this
// database can show is carried to green, so that no statement could see a difference; else `read_writer`.
[[nodiscard]] Verdict read_only_transaction_verdict(const Catalog& catalog, std::string_view database);

}  // namespace turnout::router
