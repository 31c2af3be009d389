#include "router/shadow.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "router/shadow_facts.h"
#include "router/shadow_match.h"

namespace turnout::router {
namespace {

RoutingTable table_with(std::uint8_t percent) {
  RoutingTable table;
  table.shadow.percent = percent;
  return table;
}

Unit plain_read() {
  Unit unit;
  unit.verdict = Verdict::read;
  unit.session_known_state = true;
  return unit;
}

bool is_shadowed(const RoutingTable& table, const Unit& unit) {
  return may_shadow(table, unit, route(table, unit, 0));
}

TEST(shadow, a_proven_read_that_the_writer_answers_and_nothing_else) {
  const RoutingTable table = table_with(10);
  EXPECT_TRUE(is_shadowed(table, plain_read()));
  for (const Verdict verdict : {Verdict::read_writer, Verdict::write}) {
    Unit unit = plain_read();
    unit.verdict = verdict;
    EXPECT_FALSE(is_shadowed(table, unit));
  }
  Unit unit = plain_read();
  unit.in_transaction = true;
  EXPECT_FALSE(is_shadowed(table, unit));
  unit = plain_read();
  unit.session_known_state = false;
  EXPECT_FALSE(is_shadowed(table, unit));
  unit = plain_read();
  unit.session_may_ramp = false;
  EXPECT_FALSE(is_shadowed(table, unit)) << "serializable, or told to stay";
}

TEST(shadow, none_while_anything_is_held_or_the_other_side_takes_no_reads) {
  EXPECT_FALSE(is_shadowed(table_with(0), plain_read()));
  for (const Hold hold : {Hold::writes, Hold::all}) {
    RoutingTable table = table_with(100);
    table.hold = hold;
    EXPECT_FALSE(is_shadowed(table, plain_read()));
  }
  RoutingTable table = table_with(100);
  table.sides[index(Side::green)].may_read = false;
  EXPECT_FALSE(is_shadowed(table, plain_read()));
  table.writer = Side::green;
  EXPECT_TRUE(is_shadowed(table, plain_read())) << "after a cutover blue is the other side";
}

TEST(shadow, a_ramped_read_casts_none) {
  RoutingTable table = table_with(100);
  table.ramp.percent = 100;
  table.ramp.threshold = 65535;
  EXPECT_TRUE(route(table, plain_read(), 0).ramped);
  EXPECT_FALSE(is_shadowed(table, plain_read()));
  Unit unit = plain_read();
  unit.policy = conf::TokenPolicy::strict;
  EXPECT_TRUE(is_shadowed(table, unit)) << "policy strict: shadow only";
}

constexpr ShadowPace known_quick{ShadowTrain::timed_enough, 100};

TEST(shadow_train, what_is_known_to_be_quick_goes_together) {
  ShadowTrain train;
  for (std::size_t i = 0; i < ShadowTrain::reads_max; ++i) EXPECT_TRUE(train.takes(known_quick, 100)) << i;
  EXPECT_TRUE(train.is_full());
  EXPECT_FALSE(train.takes(known_quick, 100));
}

TEST(shadow_train, what_is_to_be_timed_goes_first_and_nothing_behind_it) {
  const ShadowPace hardly_known{ShadowTrain::timed_enough - 1, 100};
  ShadowTrain train;
  EXPECT_TRUE(train.takes(known_quick, 100));
  EXPECT_FALSE(train.takes(hardly_known, 100));
  EXPECT_TRUE(train.takes(known_quick, 100)) << "what was not taken takes no room";
  ShadowTrain alone;
  EXPECT_TRUE(alone.takes(hardly_known, 100));
  EXPECT_TRUE(alone.is_full());
  EXPECT_FALSE(alone.takes(known_quick, 0));
}

TEST(shadow_train, what_takes_long_on_either_side_goes_alone) {
  const ShadowPace slow_there{ShadowTrain::timed_enough, ShadowTrain::us_max};
  for (const auto& [pace, writer_us] :
       {std::pair(slow_there, std::uint64_t{100}), {known_quick, ShadowTrain::us_max}}) {
    ShadowTrain train;
    EXPECT_TRUE(train.takes(pace, writer_us));
    EXPECT_FALSE(train.takes(known_quick, 100));
    ShadowTrain behind;
    EXPECT_TRUE(behind.takes(known_quick, 100));
    EXPECT_FALSE(behind.takes(pace, writer_us));
  }
  ShadowTrain sum;
  EXPECT_TRUE(sum.takes(known_quick, ShadowTrain::us_max / 2));
  EXPECT_FALSE(sum.takes(known_quick, ShadowTrain::us_max / 2)) << "all of them together";
}

TEST(shadow_sampler, a_share_by_chance_and_the_first_runs_of_a_shape) {
  ShadowSampler sampler(7);
  for (std::uint64_t run = 0; run < ShadowSampler::first_runs; ++run) EXPECT_TRUE(sampler.look(1) && sampler.take(run));
  for (const int share : {1, 10, 50}) {
    const auto percent = static_cast<std::uint8_t>(share);
    int taken = 0, taken_of_ten[10] = {};
    for (int i = 0; i < 100'000; ++i) {
      if (!sampler.look(percent) || !sampler.take(1'000)) continue;
      ++taken;
      ++taken_of_ten[i % 10];
    }
    const double spread = std::sqrt(percent * (100.0 - percent));  // of what comes 10 000 times
    EXPECT_NEAR(taken, percent * 1'000, 5 * spread * std::sqrt(10));
    for (const int count : taken_of_ten)
      EXPECT_NEAR(count, percent * 100, 5 * spread) << "of what comes every tenth time";
  }
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_TRUE(sampler.look(100) && sampler.take(1'000));
    EXPECT_FALSE(sampler.look(0));
  }
}

TEST(shadow_sampler, looks_less_often_where_nothing_is_new) {
  ShadowSampler sampler(7);
  const auto looked_at = [&sampler](int units) {
    int count = 0;
    for (int i = 0; i < units; ++i) {
      if (!sampler.look(1)) continue;
      ++count;
      (void)sampler.take(1'000);
    }
    return count;
  };
  constexpr int calm = ShadowSampler::calm_units, step = ShadowSampler::calm_step;
  EXPECT_EQ(looked_at(calm), calm) << "nobody knows yet how new things are";
  const double share = 1.0 / step + 0.01 - 0.01 / step;
  EXPECT_NEAR(looked_at(100'000), 100'000 * share, 5 * std::sqrt(100'000 * share));
  while (!sampler.look(1)) {
  }
  EXPECT_TRUE(sampler.take(0));
  EXPECT_EQ(looked_at(calm), calm) << "something new is there: perhaps more is";
}

TEST(shadow_facts, order) {
  EXPECT_TRUE(shadow_facts("SELECT a FROM t ORDER BY b").is_ordered);
  EXPECT_TRUE(shadow_facts("(SELECT a FROM t) UNION ALL SELECT 1 ORDER BY 1").is_ordered);
  EXPECT_FALSE(shadow_facts("SELECT a FROM (SELECT a FROM t ORDER BY b) s").is_ordered);
  EXPECT_FALSE(shadow_facts("SELECT a FROM t").is_ordered);
  EXPECT_TRUE(shadow_facts("SELECT a FROM t LIMIT 1").cuts_by_order);
  EXPECT_TRUE(shadow_facts("SELECT a FROM t WHERE b IN (SELECT c FROM u OFFSET 3)").cuts_by_order);
  EXPECT_TRUE(shadow_facts("SELECT DISTINCT ON (a) a, b FROM t").cuts_by_order);
  EXPECT_FALSE(shadow_facts("SELECT DISTINCT a FROM t").cuts_by_order);
  EXPECT_TRUE(shadow_facts("SELECT row_number() OVER (PARTITION BY a) FROM t").numbers_rows);
  EXPECT_TRUE(shadow_facts("SELECT string_agg(a, ',') FROM t").gathers_freely);
  EXPECT_FALSE(shadow_facts("SELECT string_agg(a, ',' ORDER BY a) FROM t").gathers_freely);
  EXPECT_FALSE(shadow_facts("SELECT sum(a) FROM t").gathers_freely);
}

TEST(shadow_facts, what_is_never_the_same) {
  const auto why = [](const char* sql) { return shadow_facts(sql).never_same; };
  EXPECT_EQ(why("SELECT random()"), "random()");
  EXPECT_EQ(why("SELECT a FROM t ORDER BY pg_catalog.random() LIMIT 1"), "random()");
  EXPECT_EQ(why("SELECT a FROM t WHERE id = (SELECT 1 + clock_timestamp()::text::int)"), "clock_timestamp()");
  EXPECT_EQ(why("SELECT now() - created FROM t"), "now()");
  EXPECT_EQ(why("SELECT age(created) FROM t"), "age()");
  EXPECT_EQ(why("SELECT age(a, b) FROM t"), "");
  EXPECT_EQ(why("SELECT CURRENT_TIMESTAMP"), "CURRENT_TIMESTAMP");
  EXPECT_EQ(why("SELECT a FROM t TABLESAMPLE system (1)"), "TABLESAMPLE");
  EXPECT_EQ(why("SELECT a FROM t TABLESAMPLE system (1) REPEATABLE (7)"), "");
  EXPECT_EQ(why("SELECT 1; SELECT 2"), "it has several statements");
  EXPECT_EQ(why("SELECT FROM WHERE"), "it cannot be parsed");
  EXPECT_EQ(why("SELECT a FROM t WHERE b = 'random()'"), "");
  const ShadowFacts facts = shadow_facts("SELECT a FROM t WHERE at > now() - interval '1 day'");
  EXPECT_EQ(facts.never_same, "") << "a condition hardly ever sees the moment";
  EXPECT_TRUE(facts.depends_on_time);
  EXPECT_EQ(why("SELECT count(*) FILTER (WHERE at > CURRENT_DATE) FROM t"), "");
}

TEST(shadow_trial, a_difference_is_proven_by_brackets_in_which_the_writer_stays_the_same) {
  ShadowTrial trial({3, 8});
  EXPECT_EQ(trial.add(true, ShadowMatch::rows), TrialVerdict::again);
  EXPECT_EQ(trial.add(false, ShadowMatch::rows), TrialVerdict::again) << "the writer's answer changed: says nothing";
  EXPECT_EQ(trial.add(true, ShadowMatch::error), TrialVerdict::again);
  EXPECT_EQ(trial.add(true, ShadowMatch::rows), TrialVerdict::different);
}

TEST(shadow_trial, one_stable_bracket_without_a_difference_ends_it) {
  ShadowTrial trial({3, 8});
  EXPECT_EQ(trial.add(true, ShadowMatch::rows), TrialVerdict::again);
  EXPECT_EQ(trial.add(false, ShadowMatch::same), TrialVerdict::again);
  EXPECT_EQ(trial.add(true, ShadowMatch::same), TrialVerdict::same);
}

TEST(shadow_trial, what_never_rests_is_unsettled) {
  ShadowTrial trial({3, 4});
  std::uint32_t pause_ms = trial.pause_ms();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(trial.add(false, ShadowMatch::rows), TrialVerdict::again);
    EXPECT_GT(trial.pause_ms(), pause_ms);
    pause_ms = trial.pause_ms();
  }
  EXPECT_EQ(trial.add(false, ShadowMatch::rows), TrialVerdict::unsettled);
  ShadowTrial unknown({1, 2});
  EXPECT_EQ(unknown.add(true, ShadowMatch::unknown), TrialVerdict::again);
  EXPECT_EQ(unknown.add(true, ShadowMatch::unknown), TrialVerdict::unsettled);
}

}  // namespace
}  // namespace turnout::router
