// When is a row that does not look alike a row that differs? A table of looks, and a model that changes all the time.
#include "control/compare_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace turnout::control {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const SeenRow one{"100", 1}, two{"200", 2}, again_one{"300", 1};

TEST(CompareRows, UnlikeRowsOfBothSides) {
  const SeenRows blue{{{"1"}, one}, {{"2"}, one}, {{"3"}, one}};
  const SeenRows green{{{"1"}, again_one}, {{"2"}, two}, {{"4"}, one}};
  EXPECT_THAT(unlike(blue, green), ElementsAre(RowKey{"2"}, RowKey{"3"}, RowKey{"4"}));
  EXPECT_THAT(unlike(blue, blue), IsEmpty());
}

TEST(CompareRows, SeveralRowsOfOneKeyAreNotOne) {
  SeenRows green;
  add_row(green, {"1"}, one);
  add_row(green, {"1"}, {"101", 0});
  EXPECT_EQ(green.at({"1"}).count, 2U);
  EXPECT_THAT(unlike({{{"1"}, one}}, green), ElementsAre(RowKey{"1"})) << "the sum alone would be the same";
}

struct Case {
  const char* what;
  const SeenRow *before, *after, *follower, *earlier;
  std::vector<const SeenRow*> during;
  RowVerdict verdict;
};

TEST(CompareRows, VerdictOfEveryLook) {
  const SeenRow* const none = nullptr;
  for (const Case& row : std::vector<Case>{
           {"the same", &one, &one, &one, none, {}, RowVerdict::equal},
           {"the same content, another version", &one, &one, &again_one, none, {}, RowVerdict::equal},
           {"on neither side by now", &one, none, none, &one, {}, RowVerdict::equal},
           {"arrived after the first look", &one, &two, &two, &one, {}, RowVerdict::equal},
           {"between two looks", &one, &again_one, &two, none, {&two}, RowVerdict::equal},
           {"gone for a moment", &one, &again_one, none, none, {none}, RowVerdict::equal},
           {"held still and differs", &one, &one, &two, none, {}, RowVerdict::differs},
           {"held still and is missing", &one, &one, none, none, {}, RowVerdict::only_on_writer},
           {"changed there and back: the follower may be between",
            &one,
            &again_one,
            &two,
            none,
            {},
            RowVerdict::moving},
           {"as it was before the marker: it may have lost a change since",
            &one,
            &two,
            &one,
            none,
            {},
            RowVerdict::moving},
           {"deleted, and the follower's row was not seen earlier", none, none, &one, none, {}, RowVerdict::moving},
           {"deleted, and the follower has kept it", none, none, &one, &one, {}, RowVerdict::only_on_follower},
           {"deleted, and the follower has a newer one", none, none, &two, &one, {}, RowVerdict::moving},
           {"busy, and the follower's row stood still", &one, &again_one, &two, &two, {}, RowVerdict::differs},
           {"busy, and both moved", &one, &again_one, &two, &one, {}, RowVerdict::moving},
           {"came, and the follower never had it", none, &one, none, none, {}, RowVerdict::moving}}) {
    EXPECT_EQ(judge({row.before, row.during, row.after, row.follower, row.earlier}), row.verdict) << row.what;
  }
}

TEST(CompareRows, SettlingKeepsOnlyWhatMoves) {
  Settling settling({{"1"}, {"2"}, {"3"}}, {});
  const SeenRows before{{{"1"}, one}, {{"2"}, one}, {{"3"}, one}};
  const SeenRows after{{{"1"}, one}, {{"2"}, one}, {{"3"}, two}};
  auto found = settling.round(before, {}, {{{"1"}, one}, {{"2"}, two}, {{"3"}, {"400", 4}}}, after);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].key, RowKey{"2"});
  EXPECT_EQ(found[0].verdict, RowVerdict::differs);
  EXPECT_THAT(settling.keys(), ElementsAre(RowKey{"3"}));
  // The follower's row is the one of the last round, and the writer had others since.
  found = settling.round(after, {}, {{{"3"}, {"400", 4}}}, {{{"3"}, {"500", 5}}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].key, RowKey{"3"});
  EXPECT_TRUE(settling.is_over());
}

// Rows without versions: what looks unchanged may have gone there and back.
TEST(CompareRows, WithoutVersionsADifferenceTakesSeveralRoundsOfTheSameRow) {
  const SeenRow here{"", 1}, there{"", 2}, other{"", 3};
  const SeenRows writer{{{"1"}, here}};
  const auto rounds_until = [&](const std::vector<SeenRows>& followers) {
    Settling settling({{"1"}}, followers.front(), 3);
    for (std::size_t round = 0; round < followers.size(); ++round) {
      const auto found = settling.round(writer, {}, followers[round], writer);
      if (!found.empty()) return round + 1;
      if (settling.is_over()) break;
    }
    return std::size_t{0};
  };
  const SeenRows same{{{"1"}, there}}, another{{{"1"}, other}}, none;
  EXPECT_EQ(rounds_until({same, same, same, same}), 3U);
  EXPECT_EQ(rounds_until({none, none, none}), 3U) << "a row that is missing too";
  EXPECT_EQ(rounds_until({same, same, another, another, another}), 5U) << "another row begins anew";
  EXPECT_EQ(rounds_until({same, none, same, none, same}), 0U) << "it moves";
  EXPECT_EQ(rounds_until({same, same, writer}), 0U) << "equal, at last";
  Settling moving({{"1"}}, same, 2);
  EXPECT_THAT(moving.round(writer, {}, same, writer), IsEmpty());
  EXPECT_THAT(moving.round(same, {}, another, writer), IsEmpty()) << "the writer's has changed, and the follower's";
  EXPECT_THAT(moving.round(writer, {}, same, writer), IsEmpty()) << "so this is the first again";
  EXPECT_EQ(moving.round(writer, {}, same, writer).size(), 1U);
}

// The writer's history of one row: versions and contents, in order; the follower applies a prefix of it, later. Looks
// happen at random times under the rules of a round. With nothing lost no verdict may be a difference; with a follower
// that has lost a change for good, none may be equal while the contents differ all the time.
class History {
 public:
  explicit History(std::mt19937& chance) : chance_(chance) {}
  void change() {
    const auto content = static_cast<std::uint64_t>(chance_() % 3);  // few, so that contents come back
    if (content == 0) {
      states_.push_back(std::nullopt);
    } else {
      states_.push_back(SeenRow{std::to_string(++version_), content});
    }
  }
  [[nodiscard]] std::size_t now() const { return states_.size() - 1; }
  [[nodiscard]] SeenRows writer() const { return rows(now(), false); }
  // The same rows under the follower's own versions; an apply of the same content again is a new version there too.
  [[nodiscard]] SeenRows follower(std::size_t applied) const { return rows(applied, true); }

 private:
  [[nodiscard]] SeenRows rows(std::size_t at, bool is_follower) const {
    SeenRows out;
    if (states_[at]) {
      auto row = *states_[at];
      if (is_follower) row.version = "f" + row.version;
      out[{"1"}] = row;
    }
    return out;
  }
  std::mt19937& chance_;
  std::vector<std::optional<SeenRow>> states_{std::nullopt};
  int version_ = 0;
};

TEST(CompareRows, NoFalseDifferenceUnderAnyInterleaving) {
  for (unsigned seed = 1; seed <= 20'000; ++seed) {
    std::mt19937 chance(seed);
    History history(chance);
    std::size_t applied = 0;
    const auto live = [&] {
      for (auto times = chance() % 4; times > 0; --times) {
        if (chance() % 2 == 0) history.change();
        if (chance() % 2 == 0) applied = std::min(applied + chance() % 3, history.now());
      }
    };
    live();
    Settling settling({{"1"}}, history.follower(applied));
    for (int round = 0; round < 4 && !settling.is_over(); ++round) {
      live();
      const auto before = history.writer();
      live();
      const auto marker = history.now();
      std::vector<SeenRows> during;
      for (auto looks = chance() % 3; looks > 0; --looks) {
        live();
        during.push_back(history.writer());
      }
      live();
      applied = std::max(applied, marker);
      auto follower = history.follower(applied);
      live();
      const auto found = settling.round(before, during, std::move(follower), history.writer());
      ASSERT_THAT(found, IsEmpty()) << "seed " << seed;
    }
  }
}

TEST(CompareRows, ALostChangeIsFoundOrStillMoving) {
  int found_ones = 0;
  for (unsigned seed = 1; seed <= 5'000; ++seed) {
    std::mt19937 chance(seed);
    History history(chance);
    history.change();
    const SeenRows stuck{{{"1"}, {"f-1", 99}}};  // a content that the writer never has
    Settling settling({{"1"}}, stuck);
    for (int round = 0; round < 3 && !settling.is_over(); ++round) {
      const auto before = history.writer();
      if (chance() % 3 != 0) history.change();
      const auto found = settling.round(before, {}, stuck, history.writer());
      found_ones += static_cast<int>(found.size());
    }
    ASSERT_TRUE(settling.is_over()) << "seed " << seed << ": the follower's row stood still, so it can be told";
  }
  EXPECT_EQ(found_ones, 5'000);
}

TEST(CompareRows, ColumnsAreNamed) {
  const std::vector<std::string> columns{"a", "b", "c"};
  EXPECT_THAT(differing_columns(columns, "1,2,3", "1,5,3"), ElementsAre("b"));
  EXPECT_THAT(differing_columns(columns, "1,,3", "1,0,4"), ElementsAre("b", "c"));
  EXPECT_THAT(differing_columns(columns, "1,2,3", "1,2,3"), IsEmpty());
  EXPECT_THAT(differing_columns(columns, "", ""), IsEmpty());
}

TEST(CompareRows, RestsKeepTheRate) {
  EXPECT_EQ(rest_ms(5'000, 20, 50'000), 80U);
  EXPECT_EQ(rest_ms(5'000, 200, 50'000), 0U);
  EXPECT_EQ(rest_ms(5'000, 20, 0), 0U);
  EXPECT_EQ(rest_ms(0, 0, 1), 0U);
}

}  // namespace
}  // namespace turnout::control
