#include "proxy/read_meter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace turnout::proxy {
namespace {

using router::Group;

ReadMark marked(ReadMeter& meter, std::uint64_t shape, Group group, const std::string& sql = "SELECT 1 FROM t") {
  meter.begin_unit();
  meter.saw(shape, sql);
  return meter.mark(group);
}

TEST(read_meter, counts_by_shape_and_group_and_starts_anew_after_each_look) {
  ReadMeter meter;
  EXPECT_TRUE(meter.take().empty());
  for (int i = 0; i < 3; ++i) meter.ended(marked(meter, 7, Group::green, "SELECT * FROM t WHERE a = 'secret'"), 1000);
  meter.ended(marked(meter, 7, Group::control), 2000);
  meter.ended(marked(meter, 9, Group::control), 2000);
  auto looks = meter.take();
  std::ranges::sort(looks, {}, &router::ShapeLook::shape);
  ASSERT_EQ(looks.size(), 2U);
  EXPECT_EQ(looks[0].text, "select * from t where a = ?");
  EXPECT_EQ(looks[0].latency[router::index(Group::green)].count(), 3U);
  EXPECT_EQ(looks[0].latency[router::index(Group::control)].count(), 1U);
  EXPECT_TRUE(meter.take().empty());
  meter.ended(marked(meter, 7, Group::green), 1000);
  looks = meter.take();
  ASSERT_EQ(looks.size(), 1U);
  EXPECT_EQ(looks[0].latency[router::index(Group::green)].count(), 1U);
}

TEST(read_meter, a_unit_of_several_texts_or_of_none_is_not_measured) {
  ReadMeter meter;
  meter.begin_unit();
  EXPECT_FALSE(meter.mark(Group::green));
  meter.saw(1, "SELECT 1");
  meter.saw(2, "SELECT 2");
  EXPECT_FALSE(meter.mark(Group::green));
  EXPECT_FALSE(marked(meter, 0, Group::green)) << "a text without a shape";
}

TEST(read_meter, failures) {
  ReadMeter meter;
  ReadMark again = marked(meter, 1, Group::green);
  again.failed = {'4', '2', '7', '0', '3'};
  meter.answered_again(again, {});
  meter.answered_again(again, "42703");
  meter.answered_again(again, "22012");
  meter.failed(marked(meter, 1, Group::control), "22012");
  meter.failed(marked(meter, 1, Group::green), "22003");
  const auto looks = meter.take();
  ASSERT_EQ(looks.size(), 1U);
  const auto count = [&](const char* sqlstate) {
    const auto found = std::ranges::find(looks[0].errors, sqlstate, &router::ShapeErrors::sqlstate);
    return found == looks[0].errors.end() ? std::pair{0UL, 0UL} : std::pair{found->blue, found->green};
  };
  EXPECT_EQ(count("42703"), (std::pair{1UL, 3UL}));
  EXPECT_EQ(count("22012"), (std::pair{2UL, 0UL}));
  EXPECT_EQ(count("22003"), (std::pair{0UL, 1UL}));
}

TEST(read_meter, is_bounded_and_makes_room_where_it_is_quiet) {
  ReadMeter meter;
  for (std::uint64_t shape = 1; shape <= ReadMeter::shapes_max; ++shape) {
    meter.ended(marked(meter, shape << 10, Group::green), 10);
  }
  EXPECT_FALSE(marked(meter, 99'999, Group::green)) << "every slot is in use since the last look";
  EXPECT_EQ(meter.take().size(), ReadMeter::shapes_max);
  const ReadMark old = marked(meter, std::uint64_t{1} << 10, Group::green);
  std::size_t fresh = 0;
  for (std::uint64_t shape = 1; shape <= 1'000; ++shape) {
    if (const ReadMark mark = marked(meter, (shape << 10) + 5, Group::green)) {
      ++fresh;
      meter.ended(mark, 10);
    }
  }
  EXPECT_GT(fresh, ReadMeter::shapes_max / 2);
  EXPECT_LE(fresh, ReadMeter::shapes_max);
  meter.ended(old, 10);
  for (const auto& look : meter.take()) {
    EXPECT_EQ(look.latency[router::index(Group::green)].count(), 1U) << look.shape;
  }
}

TEST(read_meter, a_mark_from_before_is_no_mark_of_now) {
  ReadMeter meter;
  const ReadMark old = marked(meter, 1, Group::green);
  meter.forget();
  const ReadMark now = marked(meter, 2, Group::green);
  meter.ended(old, 10);
  EXPECT_TRUE(meter.take().empty());
  meter.ended(now, 10);
  EXPECT_EQ(meter.take().size(), 1U);
}

TEST(read_meter, error_classes_and_texts_are_bounded) {
  ReadMeter meter;
  const ReadMark mark = marked(meter, 1, Group::green, "SELECT " + std::string(100'000, 'x'));
  for (int i = 100; i < 200; ++i) meter.failed(mark, "22" + std::to_string(i));
  meter.failed(mark, "not an SQLSTATE");
  const auto looks = meter.take();
  ASSERT_EQ(looks.size(), 1U);
  EXPECT_EQ(looks[0].errors.size(), ReadMeter::sqlstates_max);
  EXPECT_LE(looks[0].text.size(), ReadMeter::text_bytes_max + 3);
}

}  // namespace
}  // namespace turnout::proxy
