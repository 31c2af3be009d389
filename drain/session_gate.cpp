#include "drain/session_gate.h"

namespace turnout::drain {
namespace {

using router::Access;
using router::Hold;
using router::RoutingTable;

[[nodiscard]] bool only_reads(Unit unit) {
  return unit == Unit::read || unit == Unit::begin_read_only;
}

[[nodiscard]] bool may_use(const RoutingTable& table, router::Side side, Access access) {
  const router::SideOrders& orders = table.sides[index(side)];
  return access == Access::write ? orders.may_write : orders.may_read;
}

// Work that ends other work passes until the fence closes the connections that carry it: somebody in a transaction may
// be waiting for just this. After the flip the old side serves nothing, which tells a flip table from the first hold.
[[nodiscard]] bool is_before_fence(const RoutingTable& table) {
  return may_use(table, table.writer, Access::write) && may_use(table, router::other(table.writer), Access::read);
}

// Nothing is open: the unit may go anywhere that its state can follow.
[[nodiscard]] Passage send_to(const SessionView& session, router::Side side, Access access) {
  const bool stays = !session.has_lease || (session.lease_side == side && session.lease_access == access);
  if (stays) return {Verdict::forward, side, access};
  if (session.is_pinned) return {Verdict::refuse, side, access};
  return {Verdict::move, side, access};
}

[[nodiscard]] Passage held(const RoutingTable& table) {
  return {Verdict::hold, table.writer, Access::write};
}

[[nodiscard]] Passage passage_in_hold(const SessionView& session, const RoutingTable& table) {
  if (session.begin_only) return held(table);
  if (table.hold == Hold::all) return held(table);
  if (only_reads(session.unit)) {
    // A pinned session reads on where its state is, as long as that side serves it.
    if (session.is_pinned && session.has_lease && session.lease_side == table.hold_reads_on &&
        may_use(table, session.lease_side, session.lease_access)) {
      return {Verdict::forward, session.lease_side, session.lease_access};
    }
    return session.is_pinned && session.has_lease ? held(table) : send_to(session, table.hold_reads_on, Access::read);
  }
  const bool on_writer = !session.has_lease || session.lease_side == table.writer;
  if (session.unit == Unit::ending && is_before_fence(table) && on_writer) {
    return send_to(session, table.writer, Access::write);
  }
  return held(table);
}

}  // namespace

Passage passage(const SessionView& session, const RoutingTable& table) {
  const bool open = session.in_transaction && !session.begin_only;
  const bool holds = table.hold != Hold::nothing;
  if (open) {
    if (holds && session.unit == Unit::prepare_transaction) return held(table);
    return {Verdict::forward, session.lease_side, session.lease_access};
  }
  if (holds) return passage_in_hold(session, table);
  if (session.begin_only && session.has_lease && session.lease_side == table.writer &&
      session.lease_access == Access::write) {
    return {Verdict::forward, table.writer, Access::write};
  }
  // A read connection serves reads only; anything that may write needs the writer's own.
  if (only_reads(session.unit) && session.has_lease && session.lease_side == table.writer) {
    return {Verdict::forward, table.writer, session.lease_access};
  }
  return send_to(session, table.writer, Access::write);
}

bool may_rewind(const SessionView& session, const RoutingTable& table) {
  return table.hold != Hold::nothing && session.begin_only && session.has_lease && !session.is_pinned &&
         session.lease_access == Access::write;
}

Recourse recourse(const Loss& loss) {
  if (loss.answered) return Recourse::end;
  if (loss.in_transaction) return loss.is_commit && loss.sent ? Recourse::unknown : Recourse::end;
  if (!loss.sent || loss.refused_read_only || !loss.may_write) return Recourse::again;
  return Recourse::unknown;
}

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::forward:
      return "forward";
    case Verdict::hold:
      return "hold";
    case Verdict::move:
      return "move";
    case Verdict::refuse:
      return "refuse";
  }
  return "?";
}

}  // namespace turnout::drain
