// The numbered steps of a cutover and what each one waits for: one table, read by the machine, changed by nobody.
//
// Order and overlap both come from here: a step is issued as soon as everything in its `needs` is true, so what does
// not depend on each other runs at the same time. To put a known bug back, a test changes a copy of this table.
#pragma once

#include <array>
#include <cstdint>

namespace turnout::drain {

// Every step is one idempotent operation of the executor: run twice, it leaves what it leaves when run once.
// (`from` is the old writer, `to` the new one; a rollback has from = green.)
enum class Step : std::uint8_t {
  // before the hold
  run_preflight,  // every named check; failed = refused, the reason names the checks
  record_begin,   // append {epoch, direction} to the log
  prepare,        // what `prepare` does and is missing; slots advanced; sequences read once; CONNECT granted on `to`
  publish_warm,   // Routing::warm
  await_warm,     // levels: version reached, warming 0 on `to`
  // the hold; the clock of the window starts when publish_hold is issued
  publish_hold,    // Routing::hold_writes
  record_undo,     // append the former configuration lines of `from`, before raise_fence changes them
  await_held,      // levels: version reached by every worker
  await_drained,   // levels: writes_in_flight 0 on `from`, as a level, twice in a row
  raise_fence,     // read-only default (server and database) on `from`, reload, REVOKE CONNECT. Its done says: over
  publish_fence,   // Routing::fence: our `write` connections on `from` close
  await_closed,    // levels: version reached, write_connections 0 on `from`
  verify_fence,    // strays ended; a fresh connection is read-only, drain query empty, no prepared transaction, none
                   // of our write pids left
  write_marker,    // one row a subscription on `from`, synchronous commit
  await_marker,    // every marker row seen on `to`, then its replication origin flushed
  check_schema,    // fingerprint of both sides equal to preflight's
  read_sequences,  // on `from`
  copy_sequences,  // set on `to`, then verified to >= from in step direction
  advance_slots,   // reverse and CDC slots on `to`, to the position taken after the flush (a fixed one: repeatable)
  decide_commit,   // compare-and-set; answered by decision_result
  // after the decision: nothing reverts, every failure is tried again
  publish_flip,        // Routing::flip
  await_flipped,       // levels: version reached by every worker
  copy_journal,        // the decision into turnout.journal of `to` (must) and of `from` (if it answers)
  open_to,             // read-only default of `to` reset and reloaded
  publish_release_to,  // Routing::release_to
  await_released,      // levels: version reached, held_sessions 0
  await_open,          // a fresh connection on `to` reports `off`; levels: unproven 0 on `to`
  disable_forward,     // the subscription that carried from → to
  await_forward_gone,  // its apply worker and its walsender no longer exist
  start_reverse,       // subscription to → from, on the slot that was advanced
  drop_forward,        // subscription and its slot
  read_guards,         // writes nobody should have made
  write_report,        // also after a revert; its failure does not block the end
  record_end,          // append {epoch, outcome} to the log: the attempt is closed
  // the way back
  decide_abort,          // compare-and-set; answered by decision_result with what stands
  lower_fence,           // restores the former configuration lines of `from` exactly; CONNECT comes back
  await_writable,        // a fresh connection on `from` reports `off`
  publish_release_from,  // Routing::release_from
  await_released_from,   // levels: version reached, held_sessions 0, unproven 0 on `from`
  // only after a restart
  publish_doubt,    // Routing::hold_all: nobody starts anything until the decision is known
  end_former_from,  // backends that an earlier process of ours left on `from` are gone (terminated and waited for)
  end_former_to,    // the same on `to`
  publish_normal,   // Routing::normal with the writer that the log names
};
inline constexpr std::size_t step_count = static_cast<std::size_t>(Step::publish_normal) + 1;
[[nodiscard]] const char* name(Step step);

// What a step may need besides other steps being done. The machine derives these; nobody sets them.
enum class Fact : std::uint8_t {
  committed = step_count,  // the store said commit
  aborted,                 // the store said abort
  fence_up,                // a fence was raised, or the log of an earlier process says that it may be
  fence_settled,           // no fence of ours is still on its way to `from`
  from_open,               // no fence was raised, or it was lowered and seen open
  quiet,                   // no effect of ours is still on its way to anywhere
  doubt,                   // a new process does not know yet which side may write
  log_read,                // the log could be read
  fact_end
};
static_assert(static_cast<std::size_t>(Fact::fact_end) <= 64);

using Needs = std::uint64_t;
[[nodiscard]] constexpr Needs bit(Step step) {
  return Needs{1} << static_cast<unsigned>(step);
}
[[nodiscard]] constexpr Needs bit(Fact fact) {
  return Needs{1} << static_cast<unsigned>(fact);
}
template <typename... What>
[[nodiscard]] constexpr Needs all(What... what) {
  return (Needs{0} | ... | bit(what));
}

// Which of the roads a step belongs to.
enum class Road : std::uint8_t {
  none,     // at rest
  forward,  // up to the decision
  commit,   // from the decision on
  revert,   // back to `from`
  start,    // a new process that finds no open attempt: publish the first table, then rest
  restart,  // rows only: what a new process does besides, on `commit` and `revert`
};

struct Row {
  Step step = Step::run_preflight;
  Road road = Road::none;
  bool effect = true;  // changes something outside: answered before the attempt may end. A mere wait is cancelled
  Needs needs = 0;
};
using Plan = std::array<Row, step_count + 3>;  // publish_doubt, write_report and record_end stand on two roads

[[nodiscard]] const Plan& standard_plan();
// For servers whose fence breaks the transactions that are open (MySQL, MariaDB: their COMMIT gets error 1290): the
// same, but the fence is raised when the drain has ended, not beside it.
[[nodiscard]] const Plan& drained_plan();

}  // namespace turnout::drain
