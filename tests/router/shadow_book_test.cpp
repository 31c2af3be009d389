#include "router/shadow_book.h"

#include <gtest/gtest.h>

#include <tuple>

namespace turnout::router {
namespace {

void note(ShadowBook& book, std::uint64_t shape, ShadowOutcome outcome, std::uint64_t writer_us = 0,
          std::uint64_t other_us = 0) {
  ShadowShape* const found = book.open(shape, "app", "select " + std::to_string(shape));
  ASSERT_NE(found, nullptr);
  ++found->outcomes[index(outcome)];
  if (writer_us != 0) found->latency[0].add(writer_us);
  if (other_us != 0) found->latency[1].add(other_us);
}

TEST(shadow_book, a_look_hands_over_what_is_new_and_the_shapes_stay_known) {
  ShadowBook worker(10), control(10);
  note(worker, 1, ShadowOutcome::same, 1'000, 2'000);
  note(worker, 1, ShadowOutcome::different);
  worker.dropped(ShadowDrop::behind);
  control.add(worker.take());
  EXPECT_TRUE(worker.take().shapes.empty());
  EXPECT_EQ(worker.size(), 1U) << "known, so that what is told of it later is added to it";
  note(worker, 1, ShadowOutcome::same, 1'000, 2'000);
  control.add(worker.take());
  const auto shapes = control.shapes({}, 10);
  ASSERT_EQ(shapes.size(), 1U);
  EXPECT_EQ(shapes[0]->text, "select 1");
  EXPECT_EQ(shapes[0]->runs(), 3U);
  EXPECT_EQ(shapes[0]->proven(), 1U);
  EXPECT_EQ(shapes[0]->latency[1].count(), 2U);
  EXPECT_EQ(control.drops()[static_cast<std::size_t>(ShadowDrop::behind)], 1U);
}

TEST(shadow_book, the_quietest_shape_makes_room_but_none_that_has_something_to_tell) {
  ShadowBook book(3);
  note(book, 1, ShadowOutcome::different);
  note(book, 2, ShadowOutcome::same);
  note(book, 3, ShadowOutcome::same);
  note(book, 2, ShadowOutcome::same);
  note(book, 4, ShadowOutcome::failed);
  EXPECT_EQ(book.find(3), nullptr);
  note(book, 5, ShadowOutcome::explained);
  EXPECT_EQ(book.find(2), nullptr);
  static_cast<void>(book.take());
  EXPECT_EQ(book.open(6, "app", "select 6"), nullptr) << "also what was told before a look";
  EXPECT_EQ(book.without_room(), 1U);
  EXPECT_EQ(book.size(), 3U);
}

TEST(shadow_book, texts_and_error_classes_are_bounded) {
  ShadowBook book(2);
  ShadowShape* const shape = book.open(1, "app", std::string(10'000, 'x'));
  ASSERT_NE(shape, nullptr);
  EXPECT_LE(shape->text.size(), ShadowBook::text_bytes_max + 3);
  for (int i = 0; i < 100; ++i) ShadowBook::note_error(*shape, "42" + std::to_string(100 + i), false, true);
  EXPECT_EQ(shape->errors.size(), ShadowBook::sqlstates_max);
  shape->different = std::string(10'000, 'y');
  ++shape->outcomes[index(ShadowOutcome::different)];
  ShadowBook sum(2);
  sum.add(book.take());
  ASSERT_NE(sum.find(1), nullptr);
  EXPECT_LE(sum.find(1)->different.size(), ShadowBook::explanation_bytes_max + 3);
}

TEST(shadow_book, what_comes_often_takes_time_though_few_of_its_reads_are_timed) {
  ShadowBook book(10);
  for (const auto& [shape, runs, us] : {std::tuple(1, 20, 1'000), std::tuple(2, 1'000, 100)}) {
    ShadowShape* const page = book.open(static_cast<std::uint64_t>(shape), "app", "");
    page->outcomes[index(ShadowOutcome::same)] = static_cast<std::uint64_t>(runs);
    for (int i = 0; i < 20; ++i) page->latency[0].add(static_cast<std::uint64_t>(us));
  }
  EXPECT_EQ(book.shapes({}, 1)[0]->shape, 2U);
}

TEST(shadow_book, what_differs_comes_first_then_what_got_slower_then_what_takes_time) {
  ShadowBook book(10);
  for (int i = 0; i < 100; ++i) {
    const auto jitter = static_cast<std::uint64_t>(i * 10);
    note(book, 1, ShadowOutcome::same, 50'000 + jitter, 50'000 + jitter);
    note(book, 2, ShadowOutcome::same, 1'000 + jitter, 9'000 + jitter);
    note(book, 3, ShadowOutcome::same, 100, 100);
  }
  note(book, 4, ShadowOutcome::different, 100, 100);
  std::vector<std::uint64_t> order;
  for (const ShadowShape* shape : book.shapes({}, 10)) order.push_back(shape->shape);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{4, 2, 1, 3}));
  EXPECT_EQ(book.shapes({}, 1).size(), 1U);
}

TEST(shadow_plan, slower_is_by_ratio_and_by_time_and_beyond_chance) {
  const auto filled = [](std::uint64_t from_us, int count) {
    LatencyBins bins;
    for (int i = 0; i < count; ++i) bins.add(from_us + static_cast<std::uint64_t>(i) * 3);
    return bins;
  };
  EXPECT_TRUE(is_slower(filled(20'000, 60), filled(10'000, 60), {}));
  EXPECT_FALSE(is_slower(filled(20'000, 40), filled(10'000, 60), {})) << "too few";
  EXPECT_FALSE(is_slower(filled(300, 60), filled(100, 60), {})) << "three times, and 0.2 ms";
  EXPECT_FALSE(is_slower(filled(103'000, 60), filled(100'000, 60), {})) << "3 ms of 100";
  EXPECT_FALSE(is_slower(filled(10'000, 60), filled(20'000, 60), {}));
}

TEST(shadow_plan, literals_in_conditions_are_masked_and_costs_are_not) {
  const std::string plan =
      "Limit  (cost=0.29..8.31 rows=1 width=36)\n"
      "  ->  Index Scan using people_pkey on people  (cost=0.29..8.31 rows=1 width=36)\n"
      "        Index Cond: (id = 4711)\n"
      "        Filter: ((name = 'Miller'::text) AND (born > '2001-01-01'::date))\n"
      "        Workers Planned: 2";
  EXPECT_EQ(masked_plan(plan, 4'000),
            "Limit  (cost=0.29..8.31 rows=1 width=36)\n"
            "  ->  Index Scan using people_pkey on people  (cost=0.29..8.31 rows=1 width=36)\n"
            "        Index Cond: (id = ?)\n"
            "        Filter: ((name = ?::text) and (born > ?::date))\n"
            "        Workers Planned: 2");
  EXPECT_LE(masked_plan(plan, 50).size(), 53U);
  EXPECT_EQ(masked_plan("", 50), "");
}

}  // namespace
}  // namespace turnout::router
