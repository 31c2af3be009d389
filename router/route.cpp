#include "router/route.h"

#include "router/ramp.h"

namespace turnout::router {

namespace {

Route hold(const char* why) {
  return {.held = true, .why = why};
}

Route to_writer(const RoutingTable& table, const char* why) {
  return {.side = table.writer, .access = Access::write, .why = why};
}

// The hold that lets proven reads go on: drain, and the flip until the held work is released.
Route route_during_hold_of_writes(const RoutingTable& table, const Unit& unit) {
  if (unit.unblocks && table.sides[index(table.writer)].may_write) {
    return to_writer(table, "frees work that the drain waits for");
  }
  if (unit.verdict == Verdict::write) return hold("may write while writes are held");
  if (!unit.session_known_state) return hold("the session's state cannot move to a read connection");
  if (!table.sides[index(table.hold_reads_on)].may_read) return hold("reads may not start on any side just now");
  return {.side = table.hold_reads_on, .access = Access::read, .why = "a read goes on while writes are held"};
}

// Behind the hold the connections that may write are few for a moment, and each has yet to be proven: who only reads
// stays on those that served reads during the hold.
bool keeps_clear_of_release(const RoutingTable& table, const Unit& unit) {
  return unit.during_release && unit.verdict != Verdict::write && unit.session_known_state &&
         table.sides[index(table.writer)].may_read;
}

// nullptr: nothing speaks against the ramp. Else the reason that sends the unit to the writer.
const char* reason_against_ramp(const RoutingTable& table, const Unit& unit, std::uint64_t proven_sample) {
  const RampOrders& ramp = table.ramp;
  if (ramp.percent == 0) return "no ramp";
  if (ramp.side == table.writer) return "the ramp's side is the writer";
  if (unit.verdict == Verdict::write) return "not proven to be a read";
  if (unit.verdict == Verdict::read_writer) return "a read whose answer belongs to the writer";
  if (!is_ramped(unit.session_hash, ramp.threshold) && !is_control(unit.session_hash, ramp.control_from))
    return "the session is not in the ramp's share";
  if (!unit.session_known_state) return "the session's state is not fully known";
  if (!unit.session_may_ramp) return "the session listens, is serializable or asked to stay";
  if (ramp.evicted) return "green is too far behind";
  if (!table.sides[index(ramp.side)].may_read) return "green takes no reads";
  const conf::TokenPolicy policy = unit.policy.value_or(ramp.policy);
  if (policy == conf::TokenPolicy::strict) return "policy strict: green gets no live reads";
  if (policy == conf::TokenPolicy::bounded && ramp.late) return "policy bounded: green is older than its bound";
  if (!may_read_on_green(policy, unit.required_sample, proven_sample)) {
    return "green does not yet show what this session must see";
  }
  return nullptr;
}

}  // namespace

Route route(const RoutingTable& table, const Unit& unit, std::uint64_t proven_sample) {
  // Work inside a transaction is what a drain waits for: holding it would never end. Its server connection is the
  // lease it has; the side here only says where a new one would be.
  if (unit.in_transaction) return to_writer(table, "its transaction is running");
  switch (table.hold) {
    case Hold::all:
      return hold("everything new is held");
    case Hold::writes:
      return route_during_hold_of_writes(table, unit);
    case Hold::nothing:
      break;
  }
  if (keeps_clear_of_release(table, unit))
    return {.side = table.writer, .access = Access::read, .why = "a read keeps clear of the work that is released"};
  if (const char* reason = reason_against_ramp(table, unit, proven_sample)) return to_writer(table, reason);
  if (!is_ramped(unit.session_hash, table.ramp.threshold)) {
    Route route = to_writer(table, "the session is in the control group");
    route.control = true;
    return route;
  }
  return {.side = table.ramp.side, .access = Access::read, .ramped = true, .why = "ramped read"};
}

Verdict read_only_transaction_verdict(const Catalog& catalog, std::string_view database) {
  return catalog.carries_everything(database) ? Verdict::read : Verdict::read_writer;
}

}  // namespace turnout::router
