// What is kept of a comparison survives as a whole or not at all.
#include "control/compare_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace turnout::control {
namespace {

CompareState sample() {
  CompareState state;
  state.phase = ComparePhase::running;
  state.who = "local/ann";
  state.started_at = "2026-11-22T01:02:03.004Z";
  state.writer = "blue";
  state.wanted = {"public.orders"};
  state.rows_per_second = 1'000;
  TableState orders;
  orders.database = "app";
  orders.table = {"public", "ord\"ers"};
  orders.stage = TableStage::running;
  orders.mode = "ranges";
  orders.key = {"a", "b"};
  orders.after = RowKey{"5", "x'y\n"};
  orders.rows = 10;
  orders.rows_estimate = 100;
  orders.pieces = 2;
  orders.differences = {{"differs", {"1", "q"}, {"name"}, ""}, {"table", {}, {}, "column z is only on blue"}};
  orders.unsettled = {{"2", "w"}};
  orders.unsettled_more = 3;
  orders.notes = {"a note"};
  TableState events;
  events.database = "app";
  events.table = {"public", "events"};
  state.tables = {orders, events};
  state.not_published = {"app.public.scratch"};
  return state;
}

TEST(CompareState, IsReadAsItWasWritten) {
  const auto text = serialized(sample());
  const auto read = parse_compare_state(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(serialized(*read), text);
  EXPECT_EQ(read->tables[0].after, (RowKey{"5", "x'y\n"}));
  EXPECT_EQ(read->tables[1].after, std::nullopt);
  EXPECT_EQ(read->tables[0].stage, TableStage::running);
}

TEST(CompareState, ATornFileIsNoState) {
  const auto text = serialized(sample());
  for (std::size_t length = 0; length < text.size(); ++length) {
    ASSERT_FALSE(parse_compare_state(text.substr(0, length))) << length;
  }
  // Every byte turned into another one: read as something, or not at all, but never a crash.
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const char wrong : {'\0', '"', '{', ']', '9', '\xff'}) {
      auto torn = text;
      torn[at] = wrong;
      static_cast<void>(parse_compare_state(torn));
    }
  }
}

TEST(CompareState, EveryKeyIsNeededAndOfItsType) {
  const auto whole = boost::json::parse(serialized(sample())).as_object();
  for (const auto& [key, value] : whole) {
    auto without = whole;
    without.erase(key);
    EXPECT_FALSE(parse_compare_state(boost::json::serialize(without))) << std::string_view(key);
    auto wrong = whole;
    wrong[key] = boost::json::object{};
    EXPECT_FALSE(parse_compare_state(boost::json::serialize(wrong))) << std::string_view(key);
  }
  const auto& table = whole.at("tables").as_array()[0].as_object();
  for (const auto& [key, value] : table) {
    auto wrong = whole;
    wrong["tables"].as_array()[0].as_object()[key] = boost::json::object{};
    EXPECT_FALSE(parse_compare_state(boost::json::serialize(wrong))) << std::string_view(key);
  }
  auto other = whole;
  other["version"] = 2;
  EXPECT_FALSE(parse_compare_state(boost::json::serialize(other)));
  auto shorter = whole;
  shorter["tables"].as_array()[0].as_object()["after"] = boost::json::array{"5"};
  EXPECT_FALSE(parse_compare_state(boost::json::serialize(shorter))) << "a position that is no whole key";
  EXPECT_FALSE(parse_compare_state("[]"));
  EXPECT_FALSE(parse_compare_state(""));
}

TEST(CompareState, GoesOnOnlyFromTheSameQuestion) {
  auto state = sample();
  state.phase = ComparePhase::interrupted;
  EXPECT_TRUE(can_resume(state, "blue", {}));
  EXPECT_TRUE(can_resume(state, "blue", {"public.orders"}));
  EXPECT_FALSE(can_resume(state, "blue", {"public.events"}));
  EXPECT_FALSE(can_resume(state, "green", {})) << "another side is right now";
  state.phase = ComparePhase::finished;
  EXPECT_FALSE(can_resume(state, "blue", {}));
  state.phase = ComparePhase::stopped;
  EXPECT_TRUE(can_resume(state, "blue", {}));
}

TEST(CompareState, TablesOfTodayKeepWhatIsKnown) {
  auto known = sample().tables;
  known[1].stage = TableStage::failed;
  known[1].error = "away";
  TableState orders, events, fresh;
  orders.database = events.database = fresh.database = "app";
  orders.table = known[0].table;
  events.table = known[1].table;
  fresh.table = {"public", "fresh"};
  const auto now = merged({fresh, events, orders}, known);
  ASSERT_EQ(now.size(), 3U);
  EXPECT_EQ(now[0].stage, TableStage::waiting);
  EXPECT_EQ(now[1].stage, TableStage::waiting) << "what failed is tried again";
  EXPECT_EQ(now[2].after, known[0].after);
}

TEST(CompareState, OutcomeSaysTheWorst) {
  auto state = sample();
  EXPECT_EQ(state.outcome(), "");
  state.phase = ComparePhase::finished;
  EXPECT_EQ(state.outcome(), "different");
  state.tables[0].differences.clear();
  EXPECT_EQ(state.outcome(), "unsettled");
  state.tables[0].unsettled.clear();
  state.tables[0].unsettled_more = 0;
  EXPECT_EQ(state.outcome(), "equal");
  state.tables[1].stage = TableStage::failed;
  EXPECT_EQ(state.outcome(), "unsettled") << "a table that could not be read is not equal";
}

TEST(CompareState, ShowsKeysByTheirColumns) {
  auto state = sample();
  const auto shown = boost::json::serialize(to_json(state));
  EXPECT_THAT(shown, testing::HasSubstr(R"("kind":"differs","key":{"a":"1","b":"q"},"columns":["name"])"));
  EXPECT_THAT(shown, testing::HasSubstr(R"("text":"column z is only on blue")"));
  EXPECT_TRUE(is_named(state.tables[1], "events"));
  EXPECT_TRUE(is_named(state.tables[1], "public.events"));
  EXPECT_TRUE(is_named(state.tables[1], "app.public.events"));
  EXPECT_FALSE(is_named(state.tables[1], "other.events"));
  EXPECT_GT(state.percent(), 0);
  EXPECT_LT(state.percent(), 100);
}

}  // namespace
}  // namespace turnout::control
