#include "drain/plan.h"

namespace turnout::drain {
namespace {

using enum Step;

constexpr bool wait = false;
constexpr bool effect = true;

// Read a line as: step, road, does it change anything, what must be true before it starts.
constexpr Plan plan = {{
    {run_preflight, Road::forward, wait, 0},
    {record_begin, Road::forward, effect, all(run_preflight)},
    {prepare, Road::forward, effect, all(record_begin)},
    {publish_warm, Road::forward, effect, all(prepare)},
    {await_warm, Road::forward, wait, all(publish_warm)},

    {publish_hold, Road::forward, effect, all(await_warm)},
    {record_undo, Road::forward, effect, all(await_warm)},
    {await_held, Road::forward, wait, all(publish_hold)},
    {await_drained, Road::forward, wait, all(await_held)},
    // Not before every worker holds: a fence that comes first would show clients 25006. Beside the drain it costs
    // nothing: transactions that are open keep writing until they end.
    {raise_fence, Road::forward, effect, all(await_held, record_undo)},
    {publish_fence, Road::forward, effect, all(await_drained)},
    {await_closed, Road::forward, wait, all(publish_fence)},
    {verify_fence, Road::forward, wait, all(raise_fence, await_closed)},
    // From here on nothing can be written on `from`, so what is read there is the last word.
    {write_marker, Road::forward, effect, all(verify_fence)},
    {check_schema, Road::forward, wait, all(verify_fence)},
    {read_sequences, Road::forward, wait, all(verify_fence)},
    {await_marker, Road::forward, wait, all(write_marker)},
    {copy_sequences, Road::forward, effect, all(read_sequences)},
    // After the flush of the origin, which await_marker ends with: else rows that came forward are sent back.
    {advance_slots, Road::forward, effect, all(await_marker)},
    {decide_commit, Road::forward, effect, all(await_marker, check_schema, copy_sequences, advance_slots)},

    {publish_flip, Road::commit, effect, all(Fact::committed)},
    {await_flipped, Road::commit, wait, all(publish_flip)},
    {copy_journal, Road::commit, effect, all(Fact::committed)},
    {open_to, Road::commit, effect, all(Fact::committed)},
    {publish_release_to, Road::commit, effect, all(await_flipped, copy_journal, open_to)},
    {await_released, Road::commit, wait, all(publish_release_to)},
    // Off the critical path, but before the end: from then on nobody asks a connection whether it may write.
    {await_open, Road::commit, wait, all(open_to, await_released)},
    {disable_forward, Road::commit, effect, all(await_released)},
    {await_forward_gone, Road::commit, wait, all(disable_forward)},
    {start_reverse, Road::commit, effect, all(await_forward_gone)},
    {drop_forward, Road::commit, effect, all(start_reverse)},
    // Last: it decodes all that green has done, while the held work has just come back to a busy server.
    {read_guards, Road::commit, wait, all(drop_forward)},
    {write_report, Road::commit, effect, all(read_guards, await_open)},
    {record_end, Road::commit, effect, all(write_report, Fact::quiet)},

    {publish_doubt, Road::revert, effect, all(Fact::doubt)},
    {decide_abort, Road::revert, effect, 0},
    {lower_fence, Road::revert, effect, all(Fact::aborted, Fact::fence_up, Fact::fence_settled)},
    {await_writable, Road::revert, wait, all(lower_fence)},
    {publish_release_from, Road::revert, effect, all(Fact::from_open)},
    {await_released_from, Road::revert, wait, all(publish_release_from)},
    {write_report, Road::revert, effect, all(await_released_from, Fact::aborted)},
    {record_end, Road::revert, effect, all(write_report, Fact::quiet)},

    {publish_doubt, Road::start, effect, all(Fact::doubt)},
    {publish_normal, Road::start, effect, all(Fact::log_read)},

    {end_former_from, Road::restart, effect, 0},
    {end_former_to, Road::restart, effect, 0},
}};

constexpr Plan fence_after_drain() {
  Plan out = plan;
  for (Row& row : out) {
    if (row.step == raise_fence) row.needs |= bit(await_drained);
  }
  return out;
}

constexpr Plan drained = fence_after_drain();

}  // namespace

const Plan& standard_plan() {
  return plan;
}

const Plan& drained_plan() {
  return drained;
}

const char* name(Step step) {
  switch (step) {
    case run_preflight:
      return "run_preflight";
    case record_begin:
      return "record_begin";
    case prepare:
      return "prepare";
    case publish_warm:
      return "publish_warm";
    case await_warm:
      return "await_warm";
    case publish_hold:
      return "publish_hold";
    case record_undo:
      return "record_undo";
    case await_held:
      return "await_held";
    case await_drained:
      return "await_drained";
    case raise_fence:
      return "raise_fence";
    case publish_fence:
      return "publish_fence";
    case await_closed:
      return "await_closed";
    case verify_fence:
      return "verify_fence";
    case write_marker:
      return "write_marker";
    case await_marker:
      return "await_marker";
    case check_schema:
      return "check_schema";
    case read_sequences:
      return "read_sequences";
    case copy_sequences:
      return "copy_sequences";
    case advance_slots:
      return "advance_slots";
    case decide_commit:
      return "decide_commit";
    case publish_flip:
      return "publish_flip";
    case await_flipped:
      return "await_flipped";
    case copy_journal:
      return "copy_journal";
    case open_to:
      return "open_to";
    case publish_release_to:
      return "publish_release_to";
    case await_released:
      return "await_released";
    case await_open:
      return "await_open";
    case disable_forward:
      return "disable_forward";
    case await_forward_gone:
      return "await_forward_gone";
    case start_reverse:
      return "start_reverse";
    case drop_forward:
      return "drop_forward";
    case read_guards:
      return "read_guards";
    case write_report:
      return "write_report";
    case record_end:
      return "record_end";
    case decide_abort:
      return "decide_abort";
    case lower_fence:
      return "lower_fence";
    case await_writable:
      return "await_writable";
    case publish_release_from:
      return "publish_release_from";
    case await_released_from:
      return "await_released_from";
    case publish_doubt:
      return "publish_doubt";
    case end_former_from:
      return "end_former_from";
    case end_former_to:
      return "end_former_to";
    case publish_normal:
      return "publish_normal";
  }
  return "?";
}

}  // namespace turnout::drain
