#include "drain/routing.h"

namespace turnout::drain {
namespace {

using router::SideOrders;

constexpr SideOrders closed{.may_write = false, .may_read = false};
constexpr SideOrders reads_only{.may_write = false};
constexpr SideOrders warm_both{.warm = true, .warm_reads = true};

void keep_reads_on_the_writer(router::RoutingTable& table) {
  table.ramp.percent = 0;
  table.ramp.threshold = 0;
  table.ramp.control_from = UINT16_MAX;
}

}  // namespace

router::RoutingTable routing_table(const Action& action, const router::RoutingTable& before) {
  const Side from = action.from;
  const Side to = router::other(from);
  router::RoutingTable table = before;
  table.version = before.version + 1;
  table.epoch = action.epoch;
  table.writer = from;
  table.hold_reads_on = from;
  table.hold = router::Hold::nothing;
  SideOrders& old_side = table.sides[index(from)] = SideOrders{};
  SideOrders& new_side = table.sides[index(to)] = reads_only;
  switch (action.routing) {
    case Routing::normal:
      break;
    case Routing::warm:
      old_side.warm_reads = true;  // reads go on there during the hold, and when CONNECT is revoked it is too late
      new_side = warm_both;
      break;
    case Routing::hold_writes:
      keep_reads_on_the_writer(table);
      table.hold = router::Hold::writes;
      old_side.warm_reads = true;
      new_side = warm_both;
      break;
    case Routing::fence:
      keep_reads_on_the_writer(table);
      table.hold = router::Hold::writes;
      old_side = reads_only;
      new_side = warm_both;
      break;
    case Routing::flip:
      keep_reads_on_the_writer(table);
      table.writer = table.hold_reads_on = to;
      table.hold = router::Hold::writes;
      old_side = closed;
      new_side = warm_both;
      break;
    case Routing::release_to:
      keep_reads_on_the_writer(table);
      table.writer = table.hold_reads_on = to;
      old_side = closed;
      new_side.may_write = true;
      new_side.prove_writable = action.prove_writable;
      break;
    case Routing::release_from:
      keep_reads_on_the_writer(table);
      old_side.prove_writable = action.prove_writable;
      break;
    case Routing::hold_all:
      keep_reads_on_the_writer(table);
      table.hold = router::Hold::all;
      old_side = new_side = closed;
      break;
  }
  return table;
}

}  // namespace turnout::drain
