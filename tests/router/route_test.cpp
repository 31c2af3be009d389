#include "router/route.h"

#include <gtest/gtest.h>

#include "router/explain.h"
#include "tests/router/sample_catalog.h"

namespace turnout::router {
namespace {

using conf::TokenPolicy;

constexpr auto rd = Verdict::read;
constexpr auto rw = Verdict::read_writer;
constexpr auto wr = Verdict::write;

// One word an outcome: what a reader of the table needs to see.
std::string outcome(const Route& route) {
  if (route.held) return "held";
  return std::string(name(route.side)) + (route.access == Access::read ? " read" : " write") +
         (route.ramped ? " ramped" : "");
}

RoutingTable table_of(Hold hold, Side writer = Side::blue) {
  RoutingTable table;
  table.hold = hold;
  table.writer = table.hold_reads_on = writer;
  return table;
}

TEST(route, holds) {
  struct Row {
    Hold hold;
    Unit unit;
    const char* outcome;
  };
  const Row rows[] = {
      {Hold::nothing, {.verdict = wr}, "blue write"},
      {Hold::nothing, {.verdict = rw, .session_known_state = true}, "blue write"},
      {Hold::nothing, {.verdict = rd, .session_known_state = true}, "blue write"},
      {Hold::writes, {.verdict = wr, .session_known_state = true}, "held"},
      {Hold::writes, {.verdict = rw, .session_known_state = true}, "blue read"},
      {Hold::writes, {.verdict = rd, .session_known_state = true}, "blue read"},
      {Hold::writes, {.verdict = rd, .session_known_state = false}, "held"},
      {Hold::writes, {.verdict = rw, .session_known_state = false}, "held"},
      {Hold::writes, {.verdict = rd, .session_known_state = true, .session_may_ramp = false}, "blue read"},
      {Hold::writes, {.verdict = wr, .in_transaction = true}, "blue write"},
      {Hold::writes, {.verdict = wr, .unblocks = true}, "blue write"},
      {Hold::all, {.verdict = wr, .session_known_state = true}, "held"},
      {Hold::all, {.verdict = rd, .session_known_state = true}, "held"},
      {Hold::all, {.verdict = rw, .session_known_state = true}, "held"},
      {Hold::all, {.verdict = wr, .unblocks = true}, "held"},
      {Hold::all, {.verdict = wr, .in_transaction = true}, "blue write"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(outcome(route(table_of(row.hold), row.unit, 0)), row.outcome) << "row " << &row - rows;
  }
}

TEST(route, reads_keep_clear_of_the_work_that_is_released) {
  struct Row {
    Unit unit;
    const char* outcome;
  };
  const Row rows[] = {
      {{.verdict = rd, .session_known_state = true, .during_release = true}, "green read"},
      {{.verdict = rw, .session_known_state = true, .during_release = true}, "green read"},
      {{.verdict = wr, .session_known_state = true, .during_release = true}, "green write"},
      {{.verdict = rd, .session_known_state = false, .during_release = true}, "green write"},
      {{.verdict = rd, .in_transaction = true, .session_known_state = true, .during_release = true}, "green write"},
  };
  RoutingTable table = table_of(Hold::nothing, Side::green);
  for (const Row& row : rows) EXPECT_EQ(outcome(route(table, row.unit, 0)), row.outcome) << "row " << &row - rows;
  table.sides[index(Side::green)].may_read = false;
  EXPECT_EQ(outcome(route(table, rows[0].unit, 0)), "green write");
  table.hold = Hold::all;
  EXPECT_EQ(outcome(route(table, rows[0].unit, 0)), "held");
}

TEST(route, reads_of_a_hold_go_where_the_table_says) {
  RoutingTable table = table_of(Hold::writes);
  const Unit read{.verdict = rd, .session_known_state = true};
  table.hold_reads_on = Side::green;
  EXPECT_EQ(outcome(route(table, read, 0)), "green read");
  table.sides[index(Side::green)].may_read = false;
  EXPECT_EQ(outcome(route(table, read, 0)), "held");
}

TEST(route, what_unblocks_passes_only_until_the_fence) {
  RoutingTable table = table_of(Hold::writes);
  table.sides[index(Side::blue)].may_write = false;
  EXPECT_EQ(outcome(route(table, {.verdict = wr, .unblocks = true}, 0)), "held");
}

TEST(route, a_ramp_in_force_does_not_survive_a_hold) {
  RoutingTable table = table_of(Hold::writes);
  table.ramp = {.side = Side::green, .percent = 100, .threshold = 65535};
  EXPECT_EQ(outcome(route(table, {.verdict = rd, .session_known_state = true}, 0)), "blue read");
}

TEST(route, work_follows_the_writer_after_the_flip) {
  EXPECT_EQ(outcome(route(table_of(Hold::nothing, Side::green), {.verdict = wr}, 0)), "green write");
}

struct RampRow {
  const char* what;
  RampOrders ramp;
  Unit unit;
  std::uint64_t proven;
  const char* outcome;
};

TEST(route, ramp) {
  const RampOrders half{.percent = 50, .threshold = 1000};
  const RampOrders all{.percent = 100, .threshold = 65535};
  const Unit read{.verdict = rd, .session_known_state = true, .session_hash = 999};
  const auto with = [](auto value, auto change) {
    change(value);
    return value;
  };
  const RampRow rows[] = {
      {"in the share", half, read, 0, "green read ramped"},
      {"just outside", half, with(read, [](Unit& u) { u.session_hash = 1000; }), 0, "blue write"},
      {"all", all, with(read, [](Unit& u) { u.session_hash = 65534; }), 0, "green read ramped"},
      {"no ramp", with(half, [](RampOrders& r) { r.percent = 0; }), read, 0, "blue write"},
      {"nobody", with(half, [](RampOrders& r) { r.threshold = 0; }), with(read, [](Unit& u) { u.session_hash = 0; }), 0,
       "blue write"},
      {"a write", half, with(read, [](Unit& u) { u.verdict = wr; }), 0, "blue write"},
      {"of the writer", half, with(read, [](Unit& u) { u.verdict = rw; }), 0, "blue write"},
      {"unknown state", half, with(read, [](Unit& u) { u.session_known_state = false; }), 0, "blue write"},
      {"listens", half, with(read, [](Unit& u) { u.session_may_ramp = false; }), 0, "blue write"},
      {"in transaction", half, with(read, [](Unit& u) { u.in_transaction = true; }), 0, "blue write"},
      {"evicted", with(half, [](RampOrders& r) { r.evicted = true; }), read, 0, "blue write"},
      {"token not yet there", half, with(read, [](Unit& u) { u.required_sample = 8; }), 7, "blue write"},
      {"token just there", half, with(read, [](Unit& u) { u.required_sample = 8; }), 8, "green read ramped"},
      {"global, not yet", with(half, [](RampOrders& r) { r.policy = TokenPolicy::global; }),
       with(read, [](Unit& u) { u.required_sample = 8; }), 7, "blue write"},
      {"bounded needs none", with(half, [](RampOrders& r) { r.policy = TokenPolicy::bounded; }),
       with(read, [](Unit& u) { u.required_sample = 8; }), 0, "green read ramped"},
      {"strict", with(all, [](RampOrders& r) { r.policy = TokenPolicy::strict; }), read, 9, "blue write"},
      {"bounded and late", with(half, [](RampOrders& r) { r.policy = TokenPolicy::bounded, r.late = true; }), read, 0,
       "blue write"},
      {"late does not matter to others", with(half, [](RampOrders& r) { r.late = true; }), read, 0,
       "green read ramped"},
      {"the session's own policy counts", half, with(read, [](Unit& u) { u.policy = TokenPolicy::strict; }), 9,
       "blue write"},
      {"in both directions", with(half, [](RampOrders& r) { r.policy = TokenPolicy::strict; }),
       with(read, [](Unit& u) { u.policy = TokenPolicy::session; }), 9, "green read ramped"},
      {"bounded for this one", with(half, [](RampOrders& r) { r.late = true; }),
       with(read, [](Unit& u) { u.policy = TokenPolicy::bounded; }), 9, "blue write"},
      {"the ramp's side writes", with(half, [](RampOrders& r) { r.side = Side::blue; }), read, 0, "blue write"},
  };
  for (const RampRow& row : rows) {
    RoutingTable table;
    table.ramp = row.ramp;
    const Route route = router::route(table, row.unit, row.proven);
    EXPECT_EQ(outcome(route), row.outcome) << row.what << ": " << route.why;
  }
}

// What is compared must be alike: a read of the control group is one that would be ramped if its session were.
TEST(route, the_control_group_is_what_would_be_ramped) {
  RoutingTable table;
  table.ramp = {.percent = 10, .threshold = 100, .control_from = 60'000};
  const Unit read{.verdict = rd, .session_known_state = true, .session_hash = 60'000};
  Route route = router::route(table, read, 0);
  EXPECT_TRUE(route.control);
  EXPECT_EQ(outcome(route), "blue write");
  const auto is_control = [&](auto change) {
    Unit unit = read;
    change(unit);
    return router::route(table, unit, 3).control;
  };
  EXPECT_TRUE(is_control([](Unit&) {}));
  EXPECT_FALSE(is_control([](Unit& u) { u.session_hash = 59'999; }));
  EXPECT_FALSE(is_control([](Unit& u) { u.session_hash = 99; })) << "it is ramped";
  EXPECT_FALSE(is_control([](Unit& u) { u.verdict = wr; }));
  EXPECT_FALSE(is_control([](Unit& u) { u.verdict = rw; }));
  EXPECT_FALSE(is_control([](Unit& u) { u.required_sample = 4; }));
  EXPECT_FALSE(is_control([](Unit& u) { u.session_known_state = false; }));
  EXPECT_FALSE(is_control([](Unit& u) { u.in_transaction = true; }));
  table.ramp.evicted = true;
  EXPECT_FALSE(is_control([](Unit&) {}));
}

TEST(route, green_that_takes_no_reads_gets_none) {
  RoutingTable table;
  table.ramp = {.percent = 100, .threshold = 65535};
  table.sides[index(Side::green)].may_read = false;
  EXPECT_EQ(outcome(route(table, {.verdict = rd, .session_known_state = true}, 0)), "blue write");
}

// Every combination: the sentences at the top of route.h.
TEST(route, invariants) {
  int checked = 0;
  for (unsigned bits = 0; bits < 1U << 12; ++bits) {
    const auto bit = [&](unsigned i) { return (bits >> i & 1U) != 0; };
    RoutingTable table;
    table.hold = bit(0) ? (bit(1) ? Hold::all : Hold::writes) : Hold::nothing;
    table.writer = bit(2) ? Side::green : Side::blue;
    table.hold_reads_on = bit(3) ? Side::green : Side::blue;
    table.ramp = {.percent = static_cast<std::uint8_t>(bit(4) ? 50 : 0), .threshold = 65535, .evicted = bit(5)};
    const Unit unit{.verdict = static_cast<Verdict>(bits >> 6 & 1U ? 2 : bits >> 7 & 1U),
                    .in_transaction = bit(8),
                    .unblocks = bit(9),
                    .session_known_state = bit(10),
                    .required_sample = bit(11) ? 5U : 0U};
    const Route route = router::route(table, unit, 0);
    ++checked;
    if (unit.in_transaction) {
      EXPECT_FALSE(route.held);
    }
    if (route.ramped) {
      EXPECT_EQ(route.access, Access::read);
      EXPECT_EQ(unit.verdict, rd);
      EXPECT_EQ(table.hold, Hold::nothing);
      EXPECT_NE(route.side, table.writer);
    }
    if (unit.verdict == wr && !route.held) {
      EXPECT_EQ(route.side, table.writer);
      EXPECT_EQ(route.access, Access::write);
    }
    if (!route.held && !route.ramped && route.side != table.writer) {
      EXPECT_EQ(table.hold, Hold::writes);
    }
    if (table.hold == Hold::all && !unit.in_transaction) {
      EXPECT_TRUE(route.held);
    }
    EXPECT_STRNE(route.why, "");
  }
  EXPECT_EQ(checked, 4096);
}

TEST(route, a_read_only_transaction_is_a_read_where_green_has_everything) {
  EXPECT_EQ(read_only_transaction_verdict(*test::sample_catalog(), "app"), rw);
  EXPECT_EQ(read_only_transaction_verdict(*empty_catalog(), "app"), rw);
  CatalogBuilder builder;
  builder.add_relation("app", {"public", "orders", 'r', 'p', true});
  builder.add_relation("app", {"public", "orders_id_seq", 'S', 'p', false});
  EXPECT_EQ(read_only_transaction_verdict(*builder.build(1), "app"), rd);
}

TEST(explain, says_verdict_side_and_reason) {
  RoutingTable table;
  const CatalogPtr catalog = test::sample_catalog();
  const auto explain = [&](const char* sql) { return explain_route(table, *catalog, "app", "", sql); };

  RouteExplanation found = explain("SELECT * FROM orders");
  EXPECT_EQ(found.side, Side::blue);
  EXPECT_NE(found.text.find("no ramp"), std::string::npos) << found.text;

  table.ramp = {.percent = 10, .threshold = 6000};
  found = explain("SELECT * FROM orders");
  EXPECT_TRUE(found.ramped);
  EXPECT_EQ(found.side, Side::green);
  EXPECT_NE(found.text.find("10 % of the reads that are proven to be reads"), std::string::npos) << found.text;

  found = explain("SELECT * FROM v_log_deep");
  EXPECT_EQ(found.verdict, wr);
  EXPECT_EQ(found.side, Side::blue);
  EXPECT_EQ(found.why, "public.v_log_deep uses: public.v_log uses: public.log_access() is volatile");

  table.hold = Hold::writes;
  found = explain("DELETE FROM orders");
  EXPECT_TRUE(found.held);
  EXPECT_NE(found.text.find("waits"), std::string::npos) << found.text;
  EXPECT_FALSE(explain("SELECT version()").held);
}

}  // namespace
}  // namespace turnout::router
