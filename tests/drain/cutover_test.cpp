#include "drain/cutover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/drain/executor_script.h"

namespace turnout::drain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Everything up to the decision, in an order in which a single-minded executor may answer it.
constexpr std::array forward_steps = {
    Step::run_preflight,  Step::record_begin, Step::prepare,        Step::publish_warm,  Step::await_warm,
    Step::publish_hold,   Step::record_undo,  Step::await_held,     Step::await_drained, Step::raise_fence,
    Step::publish_fence,  Step::await_closed, Step::verify_fence,   Step::write_marker,  Step::check_schema,
    Step::read_sequences, Step::await_marker, Step::copy_sequences, Step::advance_slots};
constexpr std::array commit_steps = {Step::publish_flip,  Step::await_flipped,      Step::copy_journal,
                                     Step::open_to,       Step::publish_release_to, Step::await_released,
                                     Step::await_open,    Step::disable_forward,    Step::await_forward_gone,
                                     Step::start_reverse, Step::drop_forward,       Step::read_guards,
                                     Step::record_end};

TEST(Cutover, walks_through_every_phase_in_order) {
  Script script = rested();
  script.start();
  script.run();
  EXPECT_THAT(script.phases,
              ElementsAre(Phase::idle, Phase::preflight, Phase::warm, Phase::drain, Phase::fence, Phase::prove,
                          Phase::copy_state, Phase::decide, Phase::flip, Phase::resume, Phase::settle, Phase::cooling));
  EXPECT_EQ(script.state.outcome, Outcome::committed);
  EXPECT_EQ(script.state.writer, Side::green);
  EXPECT_FALSE(script.was_issued(Step::decide_abort));
  EXPECT_FALSE(script.was_issued(Step::lower_fence));
}

TEST(Cutover, rolls_back_with_the_sides_swapped) {
  Script script = rested();
  script.start(1);
  script.run();
  script.stored = Decision::none;
  script.start(2, Direction::rollback);
  ASSERT_TRUE(script.state.is_running()) << script.last.note;
  EXPECT_EQ(script.state.from, Side::green);
  script.run();
  EXPECT_EQ(script.state.outcome, Outcome::committed);
  EXPECT_EQ(script.state.writer, Side::blue);
  EXPECT_EQ(script.state.phase, Phase::idle);
}

TEST(Cutover, overlaps_the_fence_with_the_drain_and_the_sequences_with_the_marker) {
  Script script = rested();
  script.start();
  script.run(Step::await_drained);
  EXPECT_TRUE(script.is_open(Step::raise_fence) || script.is_open(Step::record_undo));
  script.run(Step::write_marker);
  EXPECT_TRUE(script.is_open(Step::read_sequences));
  EXPECT_TRUE(script.is_open(Step::check_schema));
  script.run(Step::publish_flip);
  EXPECT_TRUE(script.is_open(Step::open_to));
  EXPECT_TRUE(script.is_open(Step::copy_journal));
}

TEST(Cutover, raises_no_fence_before_every_worker_holds_and_the_undo_is_recorded) {
  Script script = rested();
  script.start();
  script.run(Step::publish_hold);
  script.answer(Step::publish_hold);
  script.answer(Step::record_undo);
  EXPECT_FALSE(script.was_issued(Step::raise_fence));
  script.answer(Step::await_held);
  EXPECT_TRUE(script.is_open(Step::raise_fence));
}

TEST(Cutover, waits_for_the_last_transaction_before_it_closes_connections_and_proves) {
  Script script = rested();
  script.start();
  script.run(Step::await_drained);
  script.answer(Step::record_undo);
  script.answer(Step::raise_fence);
  EXPECT_FALSE(script.was_issued(Step::publish_fence));
  EXPECT_FALSE(script.was_issued(Step::verify_fence));
  EXPECT_EQ(script.state.phase, Phase::drain);
}

TEST(Cutover, a_failure_before_the_decision_leads_back_to_the_old_writer) {
  for (const Step failing : forward_steps) {
    Script script = rested();
    script.start();
    script.run(failing);
    ASSERT_TRUE(script.answer(failing, EventKind::action_failed)) << name(failing);
    script.run();
    // A log that cannot be written refuses the attempt before anything was touched.
    const bool begun = failing != Step::run_preflight && failing != Step::record_begin;
    EXPECT_EQ(script.state.phase, Phase::idle) << name(failing);
    EXPECT_EQ(script.state.outcome, begun ? Outcome::reverted : Outcome::refused) << name(failing);
    EXPECT_THAT(script.state.reason, HasSubstr(name(failing)));
    EXPECT_EQ(script.state.writer, Side::blue);
    EXPECT_EQ(script.was_issued(Step::lower_fence), script.was_issued(Step::raise_fence)) << name(failing);
    EXPECT_EQ(script.was_issued(Step::publish_release_from), begun) << name(failing);
    EXPECT_FALSE(script.was_issued(Step::open_to)) << name(failing);
    EXPECT_FALSE(script.state.is_held());
  }
}

TEST(Cutover, a_failure_after_the_decision_is_tried_again_until_it_works) {
  for (const Step failing : commit_steps) {
    Script script = rested();
    script.start();
    for (int i = 0; i < 3; ++i) {
      script.run(failing);
      ASSERT_TRUE(script.answer(failing, EventKind::action_failed)) << name(failing);
      EXPECT_GT(script.last.wake_ms, script.now_ms);
      script.now_ms = script.last.wake_ms;
      script.tell(EventKind::tick);
    }
    script.run();
    EXPECT_EQ(script.state.outcome, Outcome::committed) << name(failing);
    EXPECT_EQ(script.times_issued(failing), 4U) << name(failing);
    EXPECT_FALSE(script.was_issued(Step::lower_fence)) << name(failing);
  }
}

TEST(Cutover, a_report_that_cannot_be_written_does_not_keep_the_attempt_open) {
  Script script = rested();
  script.start();
  script.run(Step::write_report);
  script.answer(Step::write_report, EventKind::action_failed);
  script.run();
  EXPECT_EQ(script.state.outcome, Outcome::committed);
}

struct Deadline {
  Step stuck;
  std::int64_t after_ms;
  const char* reason;
};

TEST(Cutover, passes_no_deadline) {
  const Limits limits;
  for (const Deadline& deadline :
       {Deadline{Step::run_preflight, limits.preflight_ms_max, "preflight_deadline"},
        Deadline{Step::prepare, limits.preflight_ms_max + limits.warm_ms_max, "warm_deadline"},
        Deadline{Step::await_drained, limits.drain_ms_max, "drain_deadline"},
        Deadline{Step::verify_fence, limits.window_ms_max, "window_deadline"},
        Deadline{Step::await_marker, limits.proof_ms_max, "proof_deadline"},
        Deadline{Step::copy_sequences, limits.window_ms_max, "window_deadline"}}) {
    Script script = rested();
    script.start();
    script.run(deadline.stuck);
    if (deadline.stuck == Step::copy_sequences) {
      script.answer(Step::write_marker);
      script.answer(Step::check_schema);
      script.answer(Step::await_marker);
    }
    script.now_ms = deadline.after_ms;
    script.tell(EventKind::tick);
    EXPECT_NE(script.state.phase, Phase::reverting) << deadline.reason;
    EXPECT_EQ(script.last.wake_ms, deadline.after_ms + 1) << deadline.reason;
    script.now_ms = deadline.after_ms + 1;
    script.tell(EventKind::tick);
    EXPECT_EQ(script.state.reason, deadline.reason);
    script.run();
    EXPECT_EQ(script.state.phase, Phase::idle) << deadline.reason;
  }
}

// The window has passed while the last answer was under way: what is late must not decide.
TEST(Cutover, asks_for_no_decision_after_the_window) {
  Script script = rested();
  script.start();
  script.run(Step::advance_slots);
  script.answer(Step::copy_sequences);
  script.answer(Step::check_schema);
  script.answer(Step::read_sequences);
  script.answer(Step::copy_sequences);
  script.now_ms = Limits{}.window_ms_max + 1;
  script.answer(Step::advance_slots);
  EXPECT_FALSE(script.was_issued(Step::decide_commit));
  EXPECT_EQ(script.state.reason, "window_deadline");
}

// I7: the fence that is still on its way would land after it was lowered.
TEST(Cutover, does_not_lower_a_fence_that_may_still_be_on_its_way) {
  Script script = rested();
  script.start();
  script.run(Step::raise_fence);
  script.tell(EventKind::operator_abort);
  script.answer_well(Step::decide_abort);
  EXPECT_FALSE(script.was_issued(Step::lower_fence));
  EXPECT_FALSE(script.was_issued(Step::publish_release_from));
  EXPECT_TRUE(script.state.is_held());
  script.answer(Step::raise_fence, EventKind::action_failed);
  EXPECT_TRUE(script.is_open(Step::lower_fence));
  script.run();
  EXPECT_EQ(script.state.outcome, Outcome::aborted);
  EXPECT_FALSE(script.state.is_held());
}

// I9: an abort that is not written is no abort.
TEST(Cutover, lowers_no_fence_before_the_store_has_said_abort) {
  Script script = rested();
  script.start();
  script.run(Step::write_marker);
  script.tell(EventKind::operator_abort);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(script.answer(Step::decide_abort, EventKind::decision_result, Decision::unknown));
    EXPECT_EQ(script.state.phase, Phase::unknown);
    EXPECT_FALSE(script.was_issued(Step::lower_fence));
    script.now_ms = script.last.wake_ms;
    script.tell(EventKind::tick);
  }
  script.run();
  EXPECT_EQ(script.state.outcome, Outcome::aborted);
}

TEST(Cutover, releases_at_once_when_nothing_was_fenced) {
  Script script = rested();
  script.start();
  script.run(Step::await_held);
  script.tell(EventKind::hold_overflow);
  EXPECT_EQ(script.state.reason, "hold_overflow");
  EXPECT_TRUE(script.is_open(Step::publish_release_from));  // although the store has not answered yet
  EXPECT_FALSE(script.last.cancelled.empty());
  for (const Action& action : script.open) EXPECT_FALSE(action.prove_writable);
}

TEST(Cutover, an_unknown_commit_stays_held_until_the_store_says_what_stands) {
  for (const Decision stands : {Decision::commit, Decision::abort}) {
    Script script = rested();
    script.start();
    script.run(Step::decide_commit);
    script.answer(Step::decide_commit, EventKind::decision_result, Decision::unknown);
    EXPECT_EQ(script.state.phase, Phase::unknown);
    EXPECT_TRUE(script.state.is_held());
    script.now_ms = script.last.wake_ms;
    script.tell(EventKind::tick);
    script.answer(Step::decide_abort, EventKind::decision_result, stands);
    script.run();
    EXPECT_EQ(script.state.outcome, stands == Decision::commit ? Outcome::committed : Outcome::reverted);
    EXPECT_EQ(script.was_issued(Step::open_to), stands == Decision::commit);
    EXPECT_EQ(script.was_issued(Step::lower_fence), stands == Decision::abort);
  }
}

TEST(Cutover, says_unknown_when_the_store_is_silent_past_the_window) {
  Script script = rested();
  script.start();
  script.run(Step::decide_commit);
  script.now_ms = Limits{}.window_ms_max + 1;
  script.tell(EventKind::tick);
  EXPECT_EQ(script.state.phase, Phase::unknown);
  EXPECT_FALSE(script.was_issued(Step::decide_abort));
  EXPECT_TRUE(script.state.is_held());
}

TEST(Cutover, is_too_late_to_abort_once_the_commit_was_asked_for) {
  Script script = rested();
  script.start();
  script.run(Step::decide_commit);
  script.tell(EventKind::operator_abort);
  EXPECT_THAT(script.last.note, HasSubstr("too late"));
  script.answer_well(Step::decide_commit);
  script.tell(EventKind::operator_abort);
  EXPECT_THAT(script.last.note, HasSubstr("rollback"));
  script.run();
  EXPECT_EQ(script.state.outcome, Outcome::committed);
}

// I6
TEST(Cutover, ignores_answers_of_other_epochs_and_answers_nobody_asked_for) {
  Script script = rested();
  script.start(7);
  const State before = script.state;
  Event event;
  event.kind = EventKind::action_done;
  event.id = script.open.front().id;
  event.epoch = 6;
  script.send(event);
  EXPECT_EQ(script.state.done, before.done);
  event.epoch = 7;
  event.id = ActionId{999};
  script.send(event);
  EXPECT_EQ(script.state.done, before.done);
  EXPECT_THAT(script.last.note, HasSubstr("ignored"));
  EXPECT_TRUE(script.last.actions.empty());
}

TEST(Cutover, a_rehearsal_goes_up_to_the_decision_and_back) {
  Script script = rested();
  Event event;
  event.kind = EventKind::operator_start;
  event.epoch = 1;
  event.rehearse = true;
  script.send(event);
  script.run();
  EXPECT_EQ(script.state.outcome, Outcome::rehearsed);
  EXPECT_EQ(script.state.writer, Side::blue);
  EXPECT_TRUE(script.was_issued(Step::advance_slots));
  EXPECT_FALSE(script.was_issued(Step::decide_commit));
  EXPECT_TRUE(script.was_issued(Step::lower_fence));
}

TEST(Cutover, a_dry_run_changes_nothing) {
  Script script = rested();
  Event event;
  event.kind = EventKind::operator_start;
  event.epoch = 1;
  event.dry_run = true;
  script.issued.clear();
  script.send(event);
  script.run();
  EXPECT_THAT(script.issued, ElementsAre(Step::run_preflight));
  EXPECT_EQ(script.state.outcome, Outcome::planned);
  EXPECT_EQ(script.state.phase, Phase::idle);
}

TEST(Cutover, refuses_what_conflicts) {
  Script script = rested();
  script.start(1, Direction::rollback);
  EXPECT_THAT(script.last.note, HasSubstr("the writer is blue"));
  script.start(1);
  script.start(2);
  EXPECT_THAT(script.last.note, HasSubstr("is running"));
  script.run();
  script.start(2);
  EXPECT_THAT(script.last.note, HasSubstr("the writer is green"));
  script.start(1, Direction::rollback);
  EXPECT_THAT(script.last.note, HasSubstr("used before"));
  script.tell(EventKind::operator_finish);
  EXPECT_EQ(script.state.phase, Phase::finished);
  script.start(3, Direction::rollback);
  EXPECT_THAT(script.last.note, HasSubstr("finished"));
}

TEST(Cutover, a_failed_rollback_is_cooling_again) {
  Script script = rested();
  script.start(1);
  script.run();
  script.stored = Decision::none;
  script.start(2, Direction::rollback);
  script.run(Step::write_marker);
  script.answer(Step::write_marker, EventKind::action_failed);
  script.run();
  EXPECT_EQ(script.state.phase, Phase::cooling);
  EXPECT_EQ(script.state.writer, Side::green);
}

}  // namespace
}  // namespace turnout::drain
