#include "tests/sim/bugs.h"

namespace turnout::sim {
namespace {

using drain::all;
using drain::Fact;
using drain::Needs;
using drain::Plan;
using drain::Row;
using drain::Step;

void change(Plan& plan, Step step, Needs needs) {
  for (Row& row : plan) {
    if (row.step == step) row.needs = needs;
  }
}

}  // namespace

drain::Plan plan_with(Bug bug) {
  Plan plan = drain::standard_plan();
  switch (bug) {
    case Bug::marker_before_drain:
      change(plan, Step::write_marker, all(Step::await_held));
      break;
    case Bug::resume_before_all_acknowledgements:
      change(plan, Step::publish_release_to, all(Step::publish_flip, Step::copy_journal, Step::open_to));
      break;
    case Bug::unfence_overtakes_fence:
      change(plan, Step::lower_fence, all(Fact::aborted, Fact::fence_up));
      break;
    case Bug::reverse_before_forward_is_gone:
      change(plan, Step::start_reverse, all(Step::disable_forward));
      break;
    case Bug::sequences_before_fence:
      change(plan, Step::read_sequences, all(Step::await_held));
      break;
    case Bug::slots_before_flush:
      change(plan, Step::advance_slots, all(Step::verify_fence));
      break;
    case Bug::open_before_decision:
      for (Row& row : plan) {
        if (row.step == Step::open_to) row = {Step::open_to, drain::Road::forward, true, all(Step::await_marker)};
      }
      break;
    case Bug::former_backends_ignored:
      for (Row& row : plan) {
        if (row.road == drain::Road::restart) row.effect = false;  // and the world answers them at once
      }
      break;
    case Bug::none:
    case Bug::marker_in_another_subscription:
    case Bug::own_connection_keeps_off:
    case Bug::unfence_by_timer:
    case Bug::stale_epoch_accepted:
    case Bug::commit_replayed:
    case Bug::token_across_epochs:
      break;
  }
  return plan;
}

const char* name(Bug bug) {
  switch (bug) {
    case Bug::none:
      return "none";
    case Bug::marker_before_drain:
      return "marker_before_drain";
    case Bug::marker_in_another_subscription:
      return "marker_in_another_subscription";
    case Bug::own_connection_keeps_off:
      return "own_connection_keeps_off";
    case Bug::resume_before_all_acknowledgements:
      return "resume_before_all_acknowledgements";
    case Bug::unfence_by_timer:
      return "unfence_by_timer";
    case Bug::unfence_overtakes_fence:
      return "unfence_overtakes_fence";
    case Bug::reverse_before_forward_is_gone:
      return "reverse_before_forward_is_gone";
    case Bug::sequences_before_fence:
      return "sequences_before_fence";
    case Bug::stale_epoch_accepted:
      return "stale_epoch_accepted";
    case Bug::commit_replayed:
      return "commit_replayed";
    case Bug::token_across_epochs:
      return "token_across_epochs";
    case Bug::slots_before_flush:
      return "slots_before_flush";
    case Bug::open_before_decision:
      return "open_before_decision";
    case Bug::former_backends_ignored:
      return "former_backends_ignored";
  }
  return "?";
}

}  // namespace turnout::sim
