#include "router/ramp.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <vector>

namespace turnout::router {
namespace {

using Sessions = std::vector<SessionReads>;

Sessions equal_sessions(std::size_t count, std::uint64_t reads) {
  Sessions sessions;
  for (std::uint64_t id = 1; id <= count; ++id) sessions.push_back({hash16(id, 77), reads});
  return sessions;
}

std::set<std::uint16_t> ramped(const Choice& choice, const Sessions& sessions) {
  std::set<std::uint16_t> out;
  for (const SessionReads& s : sessions) {
    if (is_ramped(s.hash, choice.threshold)) out.insert(s.hash);
  }
  return out;
}

TEST(hash16, is_even_stable_and_leaves_all_free) {
  std::array<int, 16> buckets{};
  for (std::uint64_t id = 0; id < 160'000; ++id) {
    const std::uint16_t hash = hash16(id, 5);
    ASSERT_LT(hash, threshold_all);
    ++buckets[hash / 4096U];
  }
  for (const int count : buckets) EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(hash16(1, 2), hash16(1, 2));
  EXPECT_NE(hash16(1, 2), hash16(1, 3));
}

TEST(threshold, rows) {
  struct Row {
    const char* what;
    Choice current;
    std::uint8_t percent;
    Sessions sessions;
    Choice chosen;
  };
  const Sessions four = {{100, 10}, {200, 10}, {300, 10}, {400, 10}};
  const Row rows[] = {
      {"zero is nobody", {50, 300}, 0, four, {0, 0}},
      {"hundred is everybody", {0, 0}, 100, {}, {100, threshold_all}},
      {"half", {0, 0}, 50, four, {50, 201}},
      {"a bit more than half takes the next", {0, 0}, 51, four, {51, 301}},
      {"at least one", {0, 0}, 1, four, {1, 101}},
      {"the order given does not matter", {0, 0}, 50, {{400, 10}, {100, 10}, {300, 10}, {200, 10}}, {50, 201}},
      {"a heavy first session is enough", {0, 0}, 10, {{5, 900}, {6, 50}, {7, 50}}, {10, 6}},
      {"quiet ones on the way come along", {0, 0}, 50, {{5, 0}, {6, 50}, {7, 50}}, {50, 7}},
      {"equal ranks stay together", {0, 0}, 25, {{5, 10}, {5, 10}, {7, 10}, {8, 10}}, {25, 6}},
      {"nobody has read yet: heads count", {0, 0}, 50, {{5, 0}, {6, 0}, {7, 0}, {8, 0}}, {50, 7}},
      {"nobody is there: the share of the ranks", {0, 0}, 50, {}, {50, 32767}},
      {"growing adds only", {10, 350}, 20, four, {20, 350}},
      {"falling removes only", {50, 150}, 20, four, {20, 101}},
      {"falling never adds", {50, 50}, 20, four, {20, 50}},
      {"constant keeps within the slack", {50, 201}, 50, {{100, 45}, {200, 0}, {300, 55}}, {50, 201}},
      {"constant follows beyond it", {50, 201}, 50, {{100, 20}, {200, 10}, {300, 30}, {400, 40}}, {50, 301}},
      {"constant lets go beyond it", {50, 301}, 50, {{100, 50}, {300, 50}}, {50, 101}},
      {"constant, nobody reads: keeps", {50, 201}, 50, {{100, 0}, {300, 0}}, {50, 201}},
      {"constant, the ramped one left: another", {10, 101}, 10, {{300, 5}, {400, 5}}, {10, 301}},
      {"constant, all left: keeps", {10, 101}, 10, {}, {10, 101}},
  };
  for (const Row& row : rows) {
    const Choice chosen = choose_threshold(row.current, row.percent, row.sessions);
    EXPECT_EQ(chosen.percent, row.chosen.percent) << row.what;
    EXPECT_EQ(chosen.threshold, row.chosen.threshold) << row.what;
  }
}

TEST(threshold, growing_the_weight_only_adds_sessions) {
  std::mt19937 random(3);
  Choice choice;
  std::set<std::uint16_t> before;
  for (std::uint8_t percent = 1; percent <= 100; ++percent) {
    Sessions sessions = equal_sessions(200, 0);
    for (SessionReads& s : sessions) s.reads = random() % 100;
    choice = choose_threshold(choice, percent, sessions);
    const std::set<std::uint16_t> now = ramped(choice, sessions);
    for (const std::uint16_t hash : before) EXPECT_TRUE(now.contains(hash)) << "left at " << int{percent};
    before = now;
  }
  EXPECT_EQ(before.size(), ramped({100, threshold_all}, equal_sessions(200, 1)).size());
}

TEST(threshold, a_constant_weight_keeps_sessions_under_a_fluctuating_load) {
  std::mt19937 random(4);
  const Sessions base = equal_sessions(400, 0);
  Choice choice;
  std::set<std::uint16_t> members;
  int moves = 0;
  for (int round = 0; round < 500; ++round) {
    Sessions sessions = base;
    for (SessionReads& s : sessions) s.reads = 80 + random() % 40;
    choice = choose_threshold(choice, 25, sessions);
    if (round > 0 && ramped(choice, sessions) != members) ++moves;
    members = ramped(choice, sessions);
    EXPECT_NEAR(share_percent(choice.threshold, sessions), 25, share_slack(25));
  }
  EXPECT_EQ(moves, 0);
}

TEST(threshold, reaches_the_weight_with_unequal_sessions) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    Sessions sessions = equal_sessions(1 + random() % 50, 0);
    std::uint64_t heaviest = 0;
    std::uint64_t total = 0;
    for (SessionReads& s : sessions) {
      s.reads = 1 + random() % 1000;
      heaviest = std::max(heaviest, s.reads);
      total += s.reads;
    }
    const auto percent = static_cast<std::uint8_t>(1 + random() % 99);
    const double share = share_percent(choose_threshold({}, percent, sessions).threshold, sessions);
    EXPECT_GE(share + 1e-9, percent);
    EXPECT_LE(share, percent + 100.0 * static_cast<double>(heaviest) / static_cast<double>(total) + 1e-9);
  }
}

TEST(share, of_nothing_is_nothing) {
  EXPECT_EQ(share_percent(threshold_all, {}), 0);
  EXPECT_EQ(share_percent(threshold_all, Sessions{{1, 0}}), 0);
  EXPECT_EQ(share_percent(11, Sessions{{10, 30}, {11, 70}}), 30);
}

TEST(token, policies) {
  using conf::TokenPolicy;
  struct Row {
    TokenPolicy policy;
    std::uint64_t required, proven;
    bool may;
  };
  const Row rows[] = {
      {TokenPolicy::session, 0, 0, true}, {TokenPolicy::session, 5, 4, false}, {TokenPolicy::session, 5, 5, true},
      {TokenPolicy::global, 5, 4, false}, {TokenPolicy::global, 5, 6, true},   {TokenPolicy::bounded, 5, 0, true},
      {TokenPolicy::strict, 0, 9, false},
  };
  for (const Row& row : rows)
    EXPECT_EQ(may_read_on_green(row.policy, row.required, row.proven), row.may) << &row - rows;
}

constexpr LagSample good{true, 10, 1};
constexpr LagSample middling{true, 80, 8};  // within the bound, not within half of it
constexpr LagSample bad{true, 101, 1};
constexpr LagSample slow{true, 1, 11};
constexpr LagSample silent{};

int samples_until_back(ReadSet& set) {
  int count = 0;
  while (set.is_evicted() && count < 10'000) {
    set.add(good);
    ++count;
  }
  return count;
}

TEST(read_set, leaves_after_two_bad_samples_in_a_row) {
  for (const LagSample& sample : {bad, slow, silent}) {
    ReadSet set({.lag_bytes_max = 100, .lag_ms_max = 10}, 5);
    EXPECT_FALSE(set.add(sample));
    EXPECT_FALSE(set.add(middling));
    EXPECT_FALSE(set.add(sample));
    EXPECT_TRUE(set.add(sample));
    EXPECT_EQ(set.evictions(), 1U);
  }
}

TEST(read_set, comes_back_slowly_and_each_time_more_so) {
  ReadSet set({.lag_bytes_max = 100, .lag_ms_max = 10}, 5);
  for (const int expected : {5, 10, 20, 40, 80, 80}) {
    set.add(bad);
    ASSERT_TRUE(set.add(bad));
    EXPECT_EQ(samples_until_back(set), expected);
  }
}

TEST(read_set, returning_asks_for_half_the_bound_without_a_break) {
  ReadSet set({.lag_bytes_max = 100, .lag_ms_max = 10}, 3);
  set.add(bad);
  set.add(bad);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(set.add(middling));
  EXPECT_TRUE(set.add(good));
  EXPECT_TRUE(set.add(good));
  EXPECT_TRUE(set.add(middling));
  EXPECT_EQ(samples_until_back(set), 3);
}

TEST(read_set, a_bound_of_zero_is_not_looked_at) {
  ReadSet set({.lag_bytes_max = 0, .lag_ms_max = 10});
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(set.add({true, 1'000'000'000, 10}));
  set.add(silent);
  EXPECT_TRUE(set.add(silent));
}

TEST(control_group, rows) {
  struct Row {
    const char* what;
    Choice ramped;
    std::uint16_t current;
    Sessions sessions;
    std::uint16_t from;
  };
  const Sessions five = {{100, 10}, {200, 10}, {300, 10}, {400, 10}, {500, 10}};
  const Row rows[] = {
      {"no ramp, no control", {0, 0}, threshold_all, five, threshold_all},
      {"everybody is ramped", {100, threshold_all}, threshold_all, five, threshold_all},
      {"one of five against one", {20, 101}, threshold_all, five, 500},
      {"two against two", {40, 201}, threshold_all, five, 400},
      {"never a ramped one", {80, 401}, threshold_all, five, 401},
      {"nobody is there yet: all that stay", {20, 13107}, threshold_all, {}, 13107},
      {"only ramped ones are there", {20, 600}, threshold_all, five, 600},
      {"kept while it is about right", {20, 101}, 500, five, 500},
      {"a quiet last one takes the next", {20, 101}, threshold_all, {{100, 20}, {200, 60}, {300, 19}, {400, 1}}, 300},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(choose_control(row.ramped, row.current, row.sessions), row.from) << row.what;
  }
}

TEST(control_group, is_about_as_large_as_the_ramped_one_and_apart_from_it) {
  const Sessions sessions = equal_sessions(500, 10);
  for (const std::uint8_t percent : std::initializer_list<std::uint8_t>{1, 5, 10, 25, 50}) {
    const Choice ramped = choose_threshold({}, percent, sessions);
    const std::uint16_t from = choose_control(ramped, threshold_all, sessions);
    std::uint64_t control = 0;
    for (const SessionReads& s : sessions) {
      if (!is_control(s.hash, from)) continue;
      ASSERT_FALSE(is_ramped(s.hash, ramped.threshold));
      control += s.reads;
    }
    EXPECT_NEAR(100.0 * static_cast<double>(control) / 5000.0, percent, 1.5);
  }
}

}  // namespace
}  // namespace turnout::router
