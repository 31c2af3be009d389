#include "drain/routing.h"

#include <gtest/gtest.h>

#include "tests/drain/executor_script.h"

namespace turnout::drain {
namespace {

using router::Hold;

[[nodiscard]] router::RoutingTable before() {
  router::RoutingTable table;
  table.version = 41;
  table.ramp.percent = 50;
  table.ramp.threshold = 30'000;
  return table;
}

struct Row {
  Routing routing;
  Side from;
  Side writer;
  Side reads;
  Hold hold;
  bool from_writes, from_reads, to_writes, to_reads;
  std::uint8_t percent;
};

TEST(Routing, turns_each_name_into_one_table) {
  const Side blue = Side::blue, green = Side::green;
  for (const Row& row : {
           Row{Routing::normal, blue, blue, blue, Hold::nothing, true, true, false, true, 50},
           Row{Routing::warm, blue, blue, blue, Hold::nothing, true, true, true, true, 50},
           Row{Routing::hold_writes, blue, blue, blue, Hold::writes, true, true, true, true, 0},
           Row{Routing::fence, blue, blue, blue, Hold::writes, false, true, true, true, 0},
           Row{Routing::flip, blue, green, green, Hold::writes, false, false, true, true, 0},
           Row{Routing::release_to, blue, green, green, Hold::nothing, false, false, true, true, 0},
           Row{Routing::release_from, blue, blue, blue, Hold::nothing, true, true, false, true, 0},
           Row{Routing::hold_all, blue, blue, blue, Hold::all, false, false, false, false, 0},
           Row{Routing::flip, green, blue, blue, Hold::writes, false, false, true, true, 0},
           Row{Routing::fence, green, green, green, Hold::writes, false, true, true, true, 0},
       }) {
    Action action;
    action.epoch = 9;
    action.from = row.from;
    action.routing = row.routing;
    const router::RoutingTable table = routing_table(action, before());
    const router::SideOrders& old_side = table.sides[index(row.from)];
    const router::SideOrders& new_side = table.sides[index(router::other(row.from))];
    EXPECT_EQ(table.version, 42U);
    EXPECT_EQ(table.epoch, 9U);
    EXPECT_EQ(table.writer, row.writer) << name(row.routing);
    EXPECT_EQ(table.hold_reads_on, row.reads) << name(row.routing);
    EXPECT_EQ(table.hold, row.hold) << name(row.routing);
    EXPECT_EQ(old_side.may_write, row.from_writes) << name(row.routing);
    EXPECT_EQ(old_side.may_read, row.from_reads) << name(row.routing);
    EXPECT_EQ(new_side.may_write, row.to_writes) << name(row.routing);
    EXPECT_EQ(new_side.may_read, row.to_reads) << name(row.routing);
    EXPECT_EQ(table.ramp.percent, row.percent) << name(row.routing);
  }
}

TEST(Routing, asks_for_proof_exactly_where_a_fence_was) {
  Script script = rested();
  script.start();
  script.run(Step::publish_release_to);
  router::RoutingTable table = routing_table(script.open.back(), before());
  EXPECT_TRUE(table.sides[index(Side::green)].prove_writable);

  Script back = rested();
  back.start();
  back.run(Step::write_marker);
  back.tell(EventKind::operator_abort);
  back.run(Step::publish_release_from);
  ASSERT_TRUE(back.is_open(Step::publish_release_from));
  for (const Action& action : back.open) {
    if (action.step != Step::publish_release_from) continue;
    table = routing_table(action, before());
    EXPECT_TRUE(table.sides[index(Side::blue)].prove_writable);
  }
}

}  // namespace
}  // namespace turnout::drain
