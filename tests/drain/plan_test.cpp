#include "drain/plan.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace turnout::drain {
namespace {

// What a road can reach: steps that become possible one after the other when every answer is good.
[[nodiscard]] Needs reached(Road road, Needs given) {
  Needs done = given;
  for (bool grows = true; grows;) {
    grows = false;
    for (const Row& row : standard_plan()) {
      const bool on_it = row.road == road && (done & bit(row.step)) == 0;
      if (!on_it || (row.needs & ~done) != 0) continue;
      done |= bit(row.step);
      grows = true;
    }
  }
  return done;
}

constexpr Needs every_fact = all(Fact::committed, Fact::aborted, Fact::fence_up, Fact::fence_settled, Fact::from_open,
                                 Fact::quiet, Fact::doubt, Fact::log_read);

TEST(Plan, has_no_step_that_waits_for_ever) {
  for (const Row& row : standard_plan()) {
    EXPECT_NE(reached(row.road, every_fact) & bit(row.step), 0U) << name(row.step);
  }
}

TEST(Plan, has_every_step_on_a_road) {
  Needs seen = 0;
  for (const Row& row : standard_plan()) seen |= bit(row.step);
  for (std::size_t i = 0; i < step_count; ++i) EXPECT_NE(seen & (Needs{1} << i), 0U) << name(static_cast<Step>(i));
}

TEST(Plan, of_a_drained_fence_waits_for_the_drain_and_changes_nothing_else) {
  for (std::size_t i = 0; i < standard_plan().size(); ++i) {
    const Row &overlapped = standard_plan()[i], &drained = drained_plan()[i];
    EXPECT_EQ(drained.step, overlapped.step);
    EXPECT_EQ(drained.road, overlapped.road);
    EXPECT_EQ(drained.effect, overlapped.effect);
    const Needs more = drained.step == Step::raise_fence ? bit(Step::await_drained) : Needs{0};
    EXPECT_EQ(drained.needs, overlapped.needs | more) << name(drained.step);
  }
}

TEST(Plan, names_each_step_once) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < step_count; ++i) names.insert(name(static_cast<Step>(i)));
  EXPECT_EQ(names.size(), step_count);
  EXPECT_EQ(names.count("?"), 0U);
}

// Each row: the second must never be asked for while the first is not done.
TEST(Plan, keeps_the_orders_that_safety_rests_on) {
  const struct {
    Road road;
    Step first, then;
  } orders[] = {
      {Road::forward, Step::record_begin, Step::prepare},
      {Road::forward, Step::record_undo, Step::raise_fence},
      {Road::forward, Step::await_held, Step::raise_fence},
      {Road::forward, Step::await_drained, Step::write_marker},
      {Road::forward, Step::raise_fence, Step::write_marker},
      {Road::forward, Step::verify_fence, Step::read_sequences},
      {Road::forward, Step::await_marker, Step::advance_slots},
      {Road::forward, Step::check_schema, Step::decide_commit},
      {Road::forward, Step::copy_sequences, Step::decide_commit},
      {Road::forward, Step::advance_slots, Step::decide_commit},
      {Road::commit, Step::await_flipped, Step::publish_release_to},
      {Road::commit, Step::copy_journal, Step::publish_release_to},
      {Road::commit, Step::open_to, Step::publish_release_to},
      {Road::commit, Step::await_forward_gone, Step::start_reverse},
      {Road::commit, Step::await_open, Step::record_end},
      {Road::revert, Step::await_released_from, Step::record_end},
  };
  for (const auto& order : orders) {
    Plan without = standard_plan();
    for (Row& row : without) {
      if (row.step == order.first) row.road = Road::none;
    }
    Needs done = every_fact;
    for (bool grows = true; grows;) {
      grows = false;
      for (const Row& row : without) {
        if (row.road != order.road || (done & bit(row.step)) != 0 || (row.needs & ~done) != 0) continue;
        done |= bit(row.step);
        grows = true;
      }
    }
    EXPECT_EQ(done & bit(order.then), 0U) << name(order.then) << " without " << name(order.first);
  }
}

}  // namespace
}  // namespace turnout::drain
