#include "drain/session_gate.h"

#include <gtest/gtest.h>

#include "drain/routing.h"

namespace turnout::drain {
namespace {

using router::Access;

[[nodiscard]] router::RoutingTable table_of(Routing routing) {
  Action action;
  action.epoch = 1;
  action.routing = routing;
  return routing_table(action, {});
}

constexpr SessionView fresh{};  // nothing leased
constexpr SessionView on_blue{.has_lease = true};
constexpr SessionView open{.in_transaction = true, .has_lease = true};
constexpr SessionView begun{.in_transaction = true, .begin_only = true, .has_lease = true};
constexpr SessionView pinned{.has_lease = true, .is_pinned = true};
constexpr SessionView reading{.has_lease = true, .lease_access = Access::read};

[[nodiscard]] constexpr SessionView with(SessionView view, Unit unit) {
  view.unit = unit;
  return view;
}

struct Row {
  Routing routing;
  SessionView session;
  Unit unit;
  Verdict verdict;
  Side side = Side::blue;
  Access access = Access::write;
};

TEST(SessionGate, decides_by_the_table) {
  const Access read = Access::read, write = Access::write;
  const Side blue = Side::blue, green = Side::green;
  const Row rows[] = {
      // nothing is held
      {Routing::normal, fresh, Unit::write, Verdict::forward, blue, write},
      {Routing::normal, on_blue, Unit::read, Verdict::forward, blue, write},
      {Routing::normal, reading, Unit::write, Verdict::move, blue, write},
      {Routing::normal, begun, Unit::write, Verdict::forward, blue, write},
      {Routing::warm, open, Unit::prepare_transaction, Verdict::forward, blue, write},
      // the hold: new work that may write waits, everything of an open transaction passes
      {Routing::hold_writes, fresh, Unit::write, Verdict::hold},
      {Routing::hold_writes, on_blue, Unit::write, Verdict::hold},
      {Routing::hold_writes, open, Unit::write, Verdict::forward, blue, write},
      {Routing::hold_writes, open, Unit::ending, Verdict::forward, blue, write},
      {Routing::hold_writes, open, Unit::prepare_transaction, Verdict::hold},
      {Routing::hold_writes, fresh, Unit::prepare_transaction, Verdict::hold},
      {Routing::hold_writes, begun, Unit::write, Verdict::hold},
      {Routing::hold_writes, begun, Unit::read, Verdict::hold},
      // … reads go on, on connections that cannot write
      {Routing::hold_writes, fresh, Unit::read, Verdict::forward, blue, read},
      {Routing::hold_writes, on_blue, Unit::begin_read_only, Verdict::move, blue, read},
      {Routing::hold_writes, reading, Unit::read, Verdict::forward, blue, read},
      {Routing::hold_writes, pinned, Unit::read, Verdict::forward, blue, write},
      // … and so does what others may be waiting for, until the fence
      {Routing::hold_writes, fresh, Unit::ending, Verdict::forward, blue, write},
      {Routing::hold_writes, pinned, Unit::ending, Verdict::forward, blue, write},
      {Routing::fence, fresh, Unit::ending, Verdict::hold},
      {Routing::fence, fresh, Unit::read, Verdict::forward, blue, read},
      {Routing::fence, pinned, Unit::read, Verdict::hold},
      {Routing::fence, fresh, Unit::write, Verdict::hold},
      // the flip: nothing new starts on blue
      {Routing::flip, fresh, Unit::write, Verdict::hold},
      {Routing::flip, fresh, Unit::ending, Verdict::hold},
      {Routing::flip, fresh, Unit::read, Verdict::forward, green, read},
      {Routing::flip, reading, Unit::read, Verdict::move, green, read},
      // released
      {Routing::release_to, fresh, Unit::write, Verdict::forward, green, write},
      {Routing::release_to, on_blue, Unit::write, Verdict::move, green, write},
      {Routing::release_to, begun, Unit::write, Verdict::move, green, write},
      {Routing::release_to, pinned, Unit::write, Verdict::refuse, green, write},
      {Routing::release_from, on_blue, Unit::write, Verdict::forward, blue, write},
      // in doubt
      {Routing::hold_all, fresh, Unit::read, Verdict::hold},
      {Routing::hold_all, on_blue, Unit::ending, Verdict::hold},
      {Routing::hold_all, open, Unit::write, Verdict::forward, blue, write},
  };
  int number = 0;
  for (const Row& row : rows) {
    const Passage passage = drain::passage(with(row.session, row.unit), table_of(row.routing));
    EXPECT_STREQ(name(passage.verdict), name(row.verdict)) << "row " << number << " " << name(row.routing);
    if (row.verdict == Verdict::forward || row.verdict == Verdict::move) {
      EXPECT_EQ(passage.side, row.side) << "row " << number;
      EXPECT_EQ(passage.access, row.access) << "row " << number;
    }
    ++number;
  }
}

TEST(SessionGate, rewinds_only_a_begin_that_nothing_followed) {
  EXPECT_TRUE(may_rewind(begun, table_of(Routing::hold_writes)));
  EXPECT_FALSE(may_rewind(begun, table_of(Routing::normal)));
  EXPECT_FALSE(may_rewind(open, table_of(Routing::hold_writes)));
  SessionView stuck = begun;
  stuck.is_pinned = true;
  EXPECT_FALSE(may_rewind(stuck, table_of(Routing::hold_writes)));
  SessionView read_only = begun;
  read_only.lease_access = Access::read;
  EXPECT_FALSE(may_rewind(read_only, table_of(Routing::hold_writes)));
}

// I8: only what certainly was not executed, or what changes nothing, may be sent again.
TEST(SessionGate, sends_again_only_what_cannot_have_been_executed) {
  const struct {
    Loss loss;
    Recourse recourse;
  } rows[] = {
      {{}, Recourse::again},
      {{.sent = true}, Recourse::unknown},
      {{.sent = true, .may_write = false}, Recourse::again},
      {{.sent = true, .refused_read_only = true}, Recourse::again},
      {{.sent = true, .answered = true}, Recourse::end},
      {{.sent = true, .answered = true, .may_write = false}, Recourse::end},
      {{.in_transaction = true}, Recourse::end},
      {{.sent = true, .in_transaction = true}, Recourse::end},
      {{.sent = true, .in_transaction = true, .is_commit = true}, Recourse::unknown},
      {{.sent = false, .in_transaction = true, .is_commit = true}, Recourse::end},
  };
  int number = 0;
  for (const auto& row : rows) EXPECT_EQ(recourse(row.loss), row.recourse) << "row " << number++;
}

}  // namespace
}  // namespace turnout::drain
