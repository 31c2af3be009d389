#include "control/postgres_steps.h"

#include <spdlog/spdlog.h>

#include "control/anchors.h"
#include "control/fence.h"
#include "control/journal.h"
#include "control/level_steps.h"
#include "control/prepare.h"
#include "control/proof.h"
#include "control/sequences.h"
#include "control/settle.h"

namespace turnout::control {

namespace {

StepAnswer prepare_step(StepContext& context, Attempt& attempt, router::Side from) {
  boost::json::array done;
  if (auto error = prepare_pair(context, attempt, from, done); !error.empty()) return StepAnswer::failed(error);
  if (auto error = warm_connections(context, attempt, from); !error.empty()) return StepAnswer::failed(error);
  // Without it no read is known for one, and reads would wait in the hold like writes.
  if (auto error = context.load_catalog(from); !error.empty()) return StepAnswer::failed(error);
  if (auto error = warm_marker(context, attempt, from); !error.empty()) return StepAnswer::failed(error);
  if (auto near = bring_slots_near(context, attempt, from); !near.ok) return near;
  const std::lock_guard guard(attempt.mutex);
  for (auto& line : done) attempt.notes.push_back(std::move(line));
  return StepAnswer::done();
}

// What is left to do when nobody waits any more.
StepAnswer read_guards_and_set_anchors(StepContext& context, Attempt& attempt, router::Side from) {
  auto read = control::read_guards(context, attempt, from);
  return read.ok ? set_anchors(context, attempt, from) : read;
}

}  // namespace

StepAnswer PostgresSteps::run(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled) {
  auto answer = dispatch(action, attempt, cancelled);
  if (answer.ok) return answer;
  for (const auto side : sides_of(action)) end_lost(side, cancelled);
  return answer;
}

StepAnswer PostgresSteps::dispatch(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled) {
  using enum drain::Step;
  auto& context = context_;
  const auto from = action.from;
  const auto to = router::other(from);
  if (auto answer = run_level_step(context, action, attempt, cancelled)) return *answer;
  switch (action.step) {
    case prepare:
      return prepare_step(context, attempt, from);
    case await_open: {
      auto told = control::await_writable(context, attempt, to, cancelled);
      return told.ok ? await_proven(context, attempt, to, cancelled) : told;
    }
    case record_undo:
      return control::record_undo(context, attempt, from);
    case raise_fence:
      return control::raise_fence(context, attempt, from, cancelled);
    case verify_fence:
      return control::verify_fence(context, attempt, from, cancelled);
    case write_marker:
      return control::write_marker(context, attempt, from);
    case await_marker:
      return control::await_marker(context, attempt, from, cancelled);
    case check_schema:
      return control::check_schema(context, attempt, from);
    case read_sequences:
      return control::read_sequences(context, attempt, from);
    case copy_sequences:
      return control::copy_sequences(context, attempt, from);
    case advance_slots:
      return control::advance_slots(context, attempt, from);
    case copy_journal:
      return control::copy_journal(context, attempt, from);
    case open_to:
      return control::open_side(context, attempt, to);
    case disable_forward:
      return control::disable_forward(context, attempt, from, cancelled);
    case await_forward_gone:
      return control::await_forward_gone(context, attempt, from, cancelled);
    case start_reverse:
      return control::start_reverse(context, attempt, from, cancelled);
    case drop_forward:
      return control::drop_forward(context, attempt, from);
    case read_guards:
      return read_guards_and_set_anchors(context, attempt, from);
    case lower_fence:
      return control::lower_fence(context, attempt, from);
    case await_writable:
      return control::await_writable(context, attempt, from, cancelled);
    case end_former_from:
      return control::end_former(context, attempt, from, cancelled);
    case end_former_to:
      return control::end_former(context, attempt, to, cancelled);
    case await_warm:
    case await_held:
    case await_drained:
    case await_closed:
    case await_flipped:
    case await_released:
    case await_released_from:
    case decide_commit:
    case decide_abort:
    case run_preflight:
    case record_begin:
    case write_report:
    case record_end:
    case publish_warm:
    case publish_hold:
    case publish_fence:
    case publish_flip:
    case publish_release_to:
    case publish_release_from:
    case publish_doubt:
    case publish_normal:
      return StepAnswer::failed(std::string(drain::name(action.step)) + " is not a step of the servers");
  }
  return StepAnswer::failed("unknown step");
}

// A statement whose connection was lost may still be running. It is over when its backend is gone; until then nobody is
// told that the step failed, because the way back would race with it.
void PostgresSteps::end_lost(router::Side side, const std::atomic<bool>& cancelled) {
  for (const auto pid : context_.shelf.lost(side)) {
    while (!cancelled) {
      auto client = context_.shelf.fresh(side, "postgres", window_ms_max);
      if (client) {
        const auto left = client->query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'turnout' AND pid = " +
                std::to_string(pid),
            window_ms_max);
        if (left && left->empty()) break;
      } else if (!client.error().lost && !client.error().sqlstate.empty()) {
        spdlog::warn("{}: {}", context_.deployment, client.error().message());
      }
      long_pause();
    }
    if (!cancelled) context_.shelf.forget_lost(side, pid);
  }
}

}  // namespace turnout::control
