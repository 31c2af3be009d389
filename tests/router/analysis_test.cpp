#include "router/analysis.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/router/simulated_sides.h"

namespace turnout::router {
namespace {

TEST(step_back, a_class_that_blue_does_not_know) {
  EXPECT_FALSE(find_step_back({}).has_value());
  const std::vector<ShapeErrors> same = {
      {1, "22012", 3, 9}, {2, "23505", 0, 0}, {3, "22003", 1, 0}, {3, "22012", 0, 4}};
  EXPECT_FALSE(find_step_back(same).has_value());

  const std::vector<ShapeErrors> other_shape = {{1, "42P01", 5, 0}, {2, "42P01", 0, 1}};
  const auto found = find_step_back(other_shape);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->shape, 2U);
  EXPECT_EQ(found->sqlstate, "42P01");
  EXPECT_EQ(found->why, "error class 42 (42P01) 1 times on green, never on blue for this shape");
}

TEST(step_back, errors_of_the_moment_are_no_class_of_a_statement) {
  for (const char* sqlstate : {"08006", "40001", "53300", "55P03", "57014", "57P01", "70100", "H1205", "H3024"}) {
    EXPECT_FALSE(find_step_back(std::vector<ShapeErrors>{{1, sqlstate, 0, 3}}).has_value()) << sqlstate;
  }
  for (const char* sqlstate : {"42P01", "XX000", "0A000", "22012", "25006", "58030", "42S22", "H1290"}) {
    EXPECT_TRUE(find_step_back(std::vector<ShapeErrors>{{1, sqlstate, 0, 1}}).has_value()) << sqlstate;
  }
}

TEST(latency_bins, each_begins_where_the_one_before_ends_and_is_an_eighth_wide_at_most) {
  for (std::size_t bin = 1; bin < LatencyBins::size; ++bin) {
    const std::uint64_t begin = LatencyBins::begin_us(bin);
    EXPECT_EQ(LatencyBins::bin_of(begin), bin);
    EXPECT_EQ(LatencyBins::bin_of(begin - 1), bin - 1);
    if (bin >= 16) {
      EXPECT_LE(begin - LatencyBins::begin_us(bin - 1), LatencyBins::begin_us(bin - 1) / 8 + 1);
    }
  }
  EXPECT_EQ(LatencyBins::bin_of(0), 0U);
  EXPECT_EQ(LatencyBins::bin_of(UINT64_MAX), LatencyBins::size - 1);
}

TEST(latency_bins, percentiles) {
  LatencyBins bins;
  EXPECT_EQ(bins.percentile_ms(0.5), 0);
  for (std::uint64_t us = 1; us <= 100'000; us += 10) bins.add(us);
  EXPECT_NEAR(bins.percentile_ms(0.5), 50, 1);
  EXPECT_NEAR(bins.percentile_ms(0.95), 95, 2);
  EXPECT_NEAR(bins.sum_ms(), 50 * 10'000, 10'000);
}

LatencyBins filled(std::uint64_t from_us, std::uint64_t step_us, int count) {
  LatencyBins bins;
  for (int i = 0; i < count; ++i) bins.add(from_us + step_us * static_cast<std::uint64_t>(i));
  return bins;
}

TEST(rank_score, rows) {
  EXPECT_EQ(rank_score({}, filled(1000, 100, 9)), 0);
  EXPECT_EQ(rank_score(filled(1000, 0, 5), filled(1000, 0, 7)), 0) << "all the same";
  const LatencyBins slow = filled(8000, 1000, 20), fast = filled(1000, 100, 20);
  EXPECT_NEAR(rank_score(slow, fast), 5.4, 0.1);
  EXPECT_NEAR(rank_score(slow, fast), -rank_score(fast, slow), 1e-9);
  EXPECT_NEAR(rank_score(slow, slow), 0, 1e-9);
}

TEST(evidence, blocks) {
  BlockEvidence equal, slower, bursting;
  for (int i = 0; i < 40; ++i) {
    equal.add(i % 2 == 0 ? 1 : -1);
    slower.add(i % 2 == 0 ? 3 : 1.5);
    bursting.add(i >= 34 ? 30 : i % 2 == 0 ? 1 : -1);
  }
  EXPECT_EQ(equal.log_e(), 0);
  EXPECT_GT(slower.log_e(), 30);
  EXPECT_LT(bursting.log_e(), 3) << "six bad blocks of forty are a burst";
}

// Chance alone passes 1/α with a probability of at most α, however often one looks, whatever the evidence is tuned to.
TEST(evidence, chance_is_seldom_taken_for_a_difference) {
  for (const double decisive : {1.5, 16.0}) {
    test::Random random(17);
    constexpr int runs = 20'000, blocks = 60;
    int passed = 0;
    for (int run = 0; run < runs; ++run) {
      BlockEvidence evidence(decisive);
      for (int i = 0; i < blocks; ++i) {
        evidence.add(random.normal());
        if (evidence.blocks() < 7 || evidence.log_e() < std::log(100)) continue;
        ++passed;
        break;
      }
    }
    EXPECT_LE(passed, runs / 100) << decisive;
    EXPECT_GE(passed, runs / 2000) << decisive << ": it can pass at all";
  }
}

// Two deviations a block, as of a shape that is twice as slow: what is tuned to few blocks needs fewer.
TEST(evidence, tuned_to_fewer_blocks_it_needs_fewer) {
  const auto blocks_needed = [](double decisive) {
    BlockEvidence evidence(decisive);
    while (evidence.log_e() < std::log(10 / 0.0001)) evidence.add(evidence.blocks() % 2 == 0 ? 3 : 1);
    return evidence.blocks();
  };
  EXPECT_EQ(blocks_needed(16), 13U);
  EXPECT_EQ(blocks_needed(1.5), 7U);
}

// The mean of what a fair bet makes of one unit is one unit.
TEST(evidence, failures_are_a_fair_bet) {
  for (const double expected : {0.1, 0.5, 0.9}) {
    FailureEvidence won, lost;
    won.add(true, false, expected);
    lost.add(false, true, expected);
    EXPECT_NEAR(expected * std::exp(won.log_e()) + (1 - expected) * std::exp(lost.log_e()), 1, 1e-9);
    FailureEvidence nothing;
    nothing.add(true, true, expected);
    nothing.add(false, false, expected);
    EXPECT_EQ(nothing.log_e(), 0);
  }
  FailureEvidence without_control;
  without_control.add(true, false, 1);
  EXPECT_EQ(without_control.log_e(), 0);
}

AnalysisBounds without_warm_up() {
  AnalysisBounds bounds;
  bounds.warm_ms = 0;
  return bounds;
}

ShapeLook look_at(std::uint64_t shape, LatencyBins control, LatencyBins green) {
  return {shape, "SELECT ? FROM t" + std::to_string(shape), {control, green}, {}};
}

std::optional<StepBack> run(Analysis& analysis, const ShapeLook& look, int times, std::int64_t& now_ms) {
  for (int i = 0; i < times; ++i) {
    analysis.add(look, now_ms);
    now_ms += 250;
    if (auto back = analysis.look(now_ms)) return back;
  }
  return std::nullopt;
}

TEST(analysis, a_slower_shape_is_named_with_the_numbers_of_both_sides) {
  Analysis analysis(without_warm_up());
  std::int64_t now_ms = 1;
  EXPECT_FALSE(run(analysis, look_at(1, filled(4000, 300, 20), filled(4000, 300, 20)), 100, now_ms));
  EXPECT_EQ(analysis.doubt(), "");
  const auto back = run(analysis, look_at(2, filled(4000, 300, 20), filled(8000, 600, 20)), 100, now_ms);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->shape, 2U);
  EXPECT_EQ(back->kind, StepBackKind::latency);
  EXPECT_EQ(back->text, "SELECT ? FROM t2");
  EXPECT_NEAR(back->green.p95_ms, 19, 1);
  EXPECT_NEAR(back->control.p95_ms, 9.5, 0.5);
  EXPECT_NE(back->why.find("ms on green"), std::string::npos) << back->why;
}

TEST(analysis, what_is_not_worth_a_step_back) {
  struct Row {
    const char* what;
    LatencyBins control, green;
  };
  const Row rows[] = {
      {"a fifth slower", filled(10'000, 500, 20), filled(12'000, 600, 20)},
      {"twice as slow, and still under two milliseconds more", filled(100, 30, 20), filled(200, 60, 20)},
      {"faster", filled(8000, 600, 20), filled(4000, 300, 20)},
      {"no control group", {}, filled(8000, 600, 20)},
      {"too few on one side", filled(4000, 300, 20), filled(80'000, 600, 0)},
  };
  for (const Row& row : rows) {
    Analysis analysis(without_warm_up());
    std::int64_t now_ms = 1;
    EXPECT_FALSE(run(analysis, look_at(1, row.control, row.green), 200, now_ms)) << row.what;
  }
}

TEST(analysis, a_shape_that_takes_no_time_is_not_worth_it_either) {
  Analysis analysis(without_warm_up());
  std::int64_t now_ms = 1;
  for (int i = 0; i < 200; ++i) {
    analysis.add(look_at(1, filled(500'000, 1000, 200), filled(500'000, 1000, 200)), now_ms);
    EXPECT_FALSE(run(analysis, look_at(2, filled(4000, 300, 10), filled(8000, 600, 10)), 1, now_ms));
  }
}

TEST(analysis, the_warm_up_of_a_step_does_not_count) {
  Analysis analysis;
  std::int64_t now_ms = 1;
  analysis.begin_step(now_ms);
  const ShapeLook slow = look_at(1, filled(4000, 300, 20), filled(8000, 600, 20));
  EXPECT_FALSE(run(analysis, slow, 19, now_ms));
  EXPECT_EQ(analysis.samples(Group::green), 0U);
  EXPECT_TRUE(run(analysis, slow, 40, now_ms));
}

TEST(analysis, a_new_error_class_steps_back_at_once_even_while_warming_up) {
  Analysis analysis;
  analysis.begin_step(1);
  ShapeLook look = look_at(3, {}, {});
  look.errors = {{3, "42703", 0, 1}};
  analysis.add(look, 2);
  const auto back = analysis.look(2);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->kind, StepBackKind::error_class);
  EXPECT_EQ(back->sqlstate, "42703");
  EXPECT_EQ(back->text, "SELECT ? FROM t3");
  EXPECT_EQ(back->green.errors, 1U);
}

TEST(analysis, what_blue_failed_with_in_an_earlier_step_is_not_new) {
  Analysis analysis;
  ShapeLook look = look_at(3, {}, {});
  look.errors = {{3, "22012", 1, 0}};
  analysis.add(look, 1);
  analysis.begin_step(2);
  look.errors = {{3, "22003", 0, 5}};
  analysis.add(look, 3);
  EXPECT_FALSE(analysis.look(3).has_value());
}

TEST(analysis, lost_connections_step_back_when_they_go_on) {
  Analysis analysis;
  ShapeLook look = look_at(3, filled(4000, 300, 20), filled(4000, 300, 20));
  std::int64_t now_ms = 1;
  look.errors = {{3, "08006", 0, 20}};
  EXPECT_FALSE(run(analysis, look, 3, now_ms)) << "one restart of green";
  look.errors = {};
  EXPECT_FALSE(run(analysis, look, 100, now_ms));
  look.errors = {{3, "08006", 0, 1}};
  const auto back = run(analysis, look, 60, now_ms);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->kind, StepBackKind::error_rate);
  EXPECT_EQ(back->sqlstate, "08006");
  EXPECT_FALSE(analysis.doubt().empty());
}

TEST(analysis, is_bounded) {
  AnalysisBounds bounds;
  bounds.shapes_max = 10;
  Analysis analysis(bounds);
  for (std::uint64_t shape = 1; shape <= 1000; ++shape) {
    ShapeLook look = look_at(shape, filled(1000, 1, 1), {});
    for (int state = 0; state < 100; ++state) look.errors.push_back({shape, "22" + std::to_string(100 + state), 1, 1});
    analysis.add(look, 1);
  }
  const auto shapes = analysis.shapes(100);
  ASSERT_EQ(shapes.size(), 10U);
  for (const ShapeState& state : shapes) EXPECT_GT(state.shape, 990U) << "the newest stay";
}

}  // namespace
}  // namespace turnout::router
