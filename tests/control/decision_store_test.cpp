#include "control/decision_store.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

Record record_of(RecordKind kind, boost::json::object data, std::uint64_t epoch = 7) {
  return {"app", epoch, kind, std::move(data)};
}

// A cutover that was committed, and its end.
std::vector<Record> committed() {
  return {record_of(RecordKind::begin, {{"direction", "cutover"}}),
          record_of(RecordKind::decision, {{"decision", "commit"}}),
          record_of(RecordKind::end, {{"outcome", "committed"}})};
}

TEST(Recover, KnowsThatTheWayBackWasGivenUp) {
  auto records = committed();
  EXPECT_FALSE(recover(records).finished);
  records.push_back(record_of(RecordKind::binding, {{"finished", "yes"}, {"blue", "a:1"}, {"green", "b:2"}}));
  EXPECT_TRUE(recover(records).finished);
  EXPECT_EQ(recover(records).decision, drain::Decision::commit);
  // The configuration then calls the former green blue.
  records.push_back(record_of(RecordKind::binding, {{"writer", "blue"}}));
  EXPECT_FALSE(recover(records).finished);
  EXPECT_EQ(recover(records).writer, drain::Side::blue);
}

TEST(Recover, GivesUpOnlyTheWayBackOfThatEpoch) {
  auto records = committed();
  records.push_back(record_of(RecordKind::binding, {{"finished", "yes"}}, 6));
  EXPECT_FALSE(recover(records).finished);
}

}  // namespace
}  // namespace turnout::control
