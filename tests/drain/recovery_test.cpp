// What a new process does with the log that it finds, a row a case.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/drain/executor_script.h"

namespace turnout::drain {
namespace {

using ::testing::Contains;
using ::testing::Not;

struct Row {
  const char* name;
  Recovered log;
  Decision stored;  // what a compare-and-set meets
  Step first;       // the first table that is published
  bool lowers_fence;
  bool opens_to;
  Phase rests_in;
  Side writer;
};

constexpr Direction there = Direction::cutover;
constexpr Direction back = Direction::rollback;

[[nodiscard]] Recovered log_of(bool begun, bool undo, bool ended, Decision decision, Direction direction = there) {
  Recovered log;
  log.epoch = 4;
  log.direction = direction;
  log.begun = begun;
  log.undo = undo;
  log.ended = ended;
  log.decision = decision;
  log.writer = direction == there ? Side::blue : Side::green;
  return log;
}

[[nodiscard]] Recovered finished() {
  Recovered log = log_of(true, true, true, Decision::commit);
  log.finished = true;
  return log;
}

TEST(Recovery, leads_to_one_writer_whatever_the_log_says) {
  const Decision none = Decision::none, commit = Decision::commit, abort = Decision::abort;
  for (const Row& row : {
           Row{"empty log", {}, none, Step::publish_normal, false, false, Phase::idle, Side::blue},
           Row{"begun", log_of(true, false, false, none), none, Step::publish_doubt, false, false, Phase::idle,
               Side::blue},
           Row{"fence may be up", log_of(true, true, false, none), none, Step::publish_doubt, true, false, Phase::idle,
               Side::blue},
           Row{"commit was on its way", log_of(true, true, false, none), commit, Step::publish_doubt, false, true,
               Phase::cooling, Side::green},
           Row{"aborted, fence may be up", log_of(true, true, false, abort), abort, Step::publish_release_from, true,
               false, Phase::idle, Side::blue},
           Row{"committed", log_of(true, true, false, commit), commit, Step::publish_flip, false, true, Phase::cooling,
               Side::green},
           Row{"ended, committed", log_of(true, true, true, commit), commit, Step::publish_normal, false, false,
               Phase::cooling, Side::green},
           Row{"ended, aborted", log_of(true, true, true, abort), abort, Step::publish_normal, false, false,
               Phase::idle, Side::blue},
           Row{"rollback committed", log_of(true, true, false, commit, back), commit, Step::publish_flip, false, true,
               Phase::idle, Side::blue},
           Row{"rollback ended, aborted", log_of(true, true, true, abort, back), abort, Step::publish_normal, false,
               false, Phase::cooling, Side::green},
           Row{"rollback, fence may be up", log_of(true, true, false, none, back), none, Step::publish_doubt, true,
               false, Phase::cooling, Side::green},
           Row{"finished", finished(), commit, Step::publish_normal, false, false, Phase::finished, Side::green},
       }) {
    Script script;
    script.stored = row.stored;
    script.recover(row.log);
    script.run();
    const auto published = std::ranges::find_if(script.issued, [](Step step) {
      return step == Step::publish_normal || step == Step::publish_doubt || step == Step::publish_flip ||
             step == Step::publish_release_from;
    });
    ASSERT_NE(published, script.issued.end()) << row.name;
    EXPECT_STREQ(name(*published), name(row.first)) << row.name;
    EXPECT_EQ(script.was_issued(Step::lower_fence), row.lowers_fence) << row.name;
    EXPECT_EQ(script.was_issued(Step::open_to), row.opens_to) << row.name;
    EXPECT_STREQ(name(script.state.phase), name(row.rests_in)) << row.name;
    EXPECT_EQ(script.state.writer, row.writer) << row.name;
    EXPECT_FALSE(script.state.is_held()) << row.name;
  }
}

// An ALTER SYSTEM that the dead process had sent may still be executed: its backend must be gone first (I7).
TEST(Recovery, lowers_no_fence_while_a_former_backend_may_live) {
  Script script;
  script.recover(log_of(true, true, false, Decision::none));
  script.answer_well(Step::decide_abort);
  EXPECT_THAT(script.issued, Not(Contains(Step::lower_fence)));
  script.answer(Step::end_former_from);
  EXPECT_TRUE(script.is_open(Step::lower_fence));
}

TEST(Recovery, ends_no_attempt_while_a_former_backend_may_live) {
  Script script;
  script.stored = Decision::commit;
  script.recover(log_of(true, true, false, Decision::commit));
  for (int i = 0; i < 100; ++i) {
    const auto other = std::ranges::find_if(script.open, [](const Action& a) { return a.step != Step::end_former_to; });
    if (other == script.open.end()) break;
    script.answer_well(other->step);
  }
  EXPECT_THAT(script.issued, Not(Contains(Step::record_end)));
  EXPECT_EQ(script.state.phase, Phase::settle);
  script.run();
  EXPECT_EQ(script.state.phase, Phase::cooling);
}

TEST(Recovery, holds_everything_until_the_log_can_be_read) {
  Script script;
  Recovered unreadable;
  unreadable.decision = Decision::unknown;
  script.recover(unreadable);
  EXPECT_TRUE(script.is_open(Step::publish_doubt));
  EXPECT_EQ(script.state.phase, Phase::unknown);
  EXPECT_TRUE(script.state.is_held());
  script.run();
  script.start();
  EXPECT_THAT(script.last.note, ::testing::HasSubstr("conflict"));
  script.recover(log_of(true, true, true, Decision::commit));
  script.run();
  EXPECT_EQ(script.state.phase, Phase::cooling);
  EXPECT_EQ(script.state.writer, Side::green);
}

TEST(Recovery, happens_once) {
  Script script = rested();
  script.start();
  const Needs before = script.state.done;
  script.recover(log_of(true, true, true, Decision::commit));
  EXPECT_EQ(script.state.done, before);
  EXPECT_EQ(script.state.writer, Side::blue);
}

}  // namespace
}  // namespace turnout::drain
