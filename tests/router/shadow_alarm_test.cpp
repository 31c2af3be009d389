#include "router/shadow_alarm.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace turnout::router {
namespace {

ShadowShape shape_with(std::initializer_list<ShadowOutcome> outcomes) {
  ShadowShape shape;
  shape.shape = 7;
  shape.text = "select rate from prices where id = ?";
  for (const auto outcome : outcomes) ++shape.outcomes[index(outcome)];
  return shape;
}

TEST(shadow_alarm, only_what_is_proven_ends_a_ramp) {
  using enum ShadowOutcome;
  const struct {
    ShadowOutcome outcome;
    bool ends;
  } rows[] = {{same, false},      {caught_up, false}, {explained, false},   {different, true},
              {unsettled, false}, {unproven, false},  {not_compared, false}};
  for (const auto& row : rows) {
    const auto shape = shape_with({same, row.outcome});
    EXPECT_EQ(find_step_back(shape, shape).has_value(), row.ends) << name(row.outcome);
  }
}

TEST(shadow_alarm, says_which_shape_why_and_the_numbers_of_both_sides) {
  auto known = shape_with({ShadowOutcome::same, ShadowOutcome::different});
  known.different = "in rate: 1 row of 1";
  known.latency[0].add(1'000);
  known.latency[1].add(9'000);
  known.latency[1].add(9'000);
  const auto back = find_step_back(shape_with({ShadowOutcome::different}), known);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, StepBackKind::shadow_difference);
  EXPECT_EQ(back->shape, 7U);
  EXPECT_EQ(back->text, known.text);
  EXPECT_NE(back->why.find("in rate: 1 row of 1"), std::string::npos) << back->why;
  EXPECT_EQ(back->control.count, 1U);
  EXPECT_EQ(back->green.count, 2U);
  EXPECT_GT(back->green.p95_ms, back->control.p95_ms);
}

// What was proven before the ramp began is no news, however often it was.
TEST(shadow_alarm, looks_at_what_is_new) {
  auto known = shape_with({ShadowOutcome::different, ShadowOutcome::failed, ShadowOutcome::same});
  known.errors = {{7, "42703", 0, 3}};
  EXPECT_FALSE(find_step_back(shape_with({ShadowOutcome::same}), known));
}

TEST(shadow_alarm, an_error_counts_where_only_the_other_side_gives_it) {
  const auto news = shape_with({ShadowOutcome::failed});
  const struct {
    const char* what;
    std::vector<ShapeErrors> errors;
    bool ends;
  } rows[] = {
      {"green alone", {{7, "42703", 0, 1}}, true},
      {"the writer alone", {{7, "42703", 1, 0}}, false},
      {"both, of one class", {{7, "42703", 1, 0}, {7, "42P01", 0, 1}}, false},
      {"each another class", {{7, "22012", 1, 0}, {7, "42P01", 0, 1}}, true},
      {"of the moment", {{7, "57014", 0, 4}}, false},
  };
  for (const auto& row : rows) {
    auto known = news;
    known.errors = row.errors;
    const auto back = find_step_back(news, known);
    ASSERT_EQ(back.has_value(), row.ends) << row.what;
    if (!back) continue;
    EXPECT_EQ(back->kind, StepBackKind::shadow_error) << row.what;
    EXPECT_EQ(back->sqlstate.substr(0, 2), "42") << row.what;
    EXPECT_EQ(back->green.errors, 1U) << row.what;
  }
}

}  // namespace
}  // namespace turnout::router
