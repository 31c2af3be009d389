// The cutover as a machine of values: step(state, event, now) → {state, actions, note}. No clock, socket, lock or log.
//
// Invariants (checked by an exhaustive walk against a model of two databases, not only by reading this):
//  I1 never two writable sides, in the databases.
//  I2 once a worker has acknowledged an epoch's table, no byte of a new unit of work of the old table reaches `from`.
//  I3 every held session is released, refused or gone within the hold limit.
//  I4 before the decision every path leads back to "`from` writable, `to` not"; after commit none does.
//  I5 held sessions and bytes stay within budget (hold_budget.h; an overflow is an event here).
//  I6 a reply from another epoch, or to an action that is not outstanding, changes nothing.
//  I7 the fence is never lowered while one may still be on its way.
//  I8 work that may have been executed is never sent again (session_gate.h).
//  I9 lowering the fence of `from` needs an abort record, opening `to` needs a commit record; both compete for one key.
//     In doubt nobody writes.
//
// The executor owes the machine: (1) exactly one answer to each action, carrying its epoch and id; (2) `action_failed`
// only when nothing of the action is still on its way (a lost connection is answered after its backend is known gone);
// (3) publish_* carried out in the order of their ids, before step() is called again; (4) every step idempotent;
// (5) a tick whenever Result::wake_ms passes. It may answer late, fail anything, crash anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "drain/plan.h"
#include "router/routing_table.h"

namespace turnout::drain {

using router::Side;

// As `status` prints them.
enum class Phase : std::uint8_t {
  idle,
  preflight,
  warm,
  drain,
  fence,
  prove,
  copy_state,
  decide,
  flip,
  resume,
  settle,
  cooling,
  finished,
  reverting,
  unknown
};
[[nodiscard]] const char* name(Phase phase);

enum class Direction : std::uint8_t { cutover, rollback };
[[nodiscard]] const char* name(Direction direction);

// Of the last attempt. `none` while it runs. refused: a check said no (or it was a dry run that passed: `planned`).
enum class Outcome : std::uint8_t { none, planned, refused, committed, reverted, aborted, rehearsed };
[[nodiscard]] const char* name(Outcome outcome);

enum class Decision : std::uint8_t { none, commit, abort, unknown };
[[nodiscard]] const char* name(Decision decision);

// What the executor publishes; routing.h turns it into a RoutingTable.
enum class Routing : std::uint8_t { normal, warm, hold_writes, fence, flip, release_to, release_from, hold_all };
[[nodiscard]] const char* name(Routing routing);

struct ActionId {
  std::uint32_t value = 0;
  friend bool operator==(ActionId, ActionId) = default;
};

struct Action {
  std::uint64_t epoch = 0;
  ActionId id;
  Step step = Step::run_preflight;
  Side from = Side::blue;
  Routing routing = Routing::normal;  // publish_* only
  bool prove_writable = false;        // publish_release_*: connections of the writer prove `off` before they get work
  std::uint32_t attempt = 1;          // 2 and more: tried again
};

enum class EventKind : std::uint8_t {
  operator_start,  // epoch (new, greater than any before), direction, dry_run, rehearse
  operator_abort,
  operator_finish,  // cooling → finished
  action_done,      // epoch, id
  action_failed,    // epoch, id, reason
  decision_result,  // epoch, id, decision: commit | abort | unknown (the store could not be read or written)
  hold_overflow,
  tick,
  recovered,  // first event of a process: what the log says, see Recovered
};

// What start-up read from the durable log. An empty log: epoch 0.
struct Recovered {
  std::uint64_t epoch = 0;
  Direction direction = Direction::cutover;  // of that epoch
  bool begun = false;                        // record_begin is there
  bool undo = false;                         // record_undo is there: the fence may be up
  bool ended = false;                        // record_end is there
  bool finished = false;                     // that epoch's way back was given up for good
  Decision decision = Decision::none;        // unknown = the store could not be read
  Outcome outcome = Outcome::none;           // with ended
  Side writer = Side::blue;                  // before that epoch
};

struct Event {
  EventKind kind = EventKind::tick;
  std::uint64_t epoch = 0;
  ActionId id;
  Direction direction = Direction::cutover;
  bool dry_run = false;
  bool rehearse = false;
  Decision decision = Decision::none;
  std::string reason;
  Recovered recovered;
};

struct Outstanding {
  ActionId id;
  Step step = Step::run_preflight;
};

// All there is to know; copyable, comparable by its parts. Read `phase`, `epoch`, `writer`, `from`, `outcome`,
// `reason`.
struct State {
  Phase phase = Phase::idle;
  std::uint64_t epoch = 0;
  Direction direction = Direction::cutover;
  Side writer = Side::blue;  // owns writes by the last decision; while `is_held()` nobody uses it
  Side from = Side::blue;
  Outcome outcome = Outcome::none;
  std::string reason;  // of a refusal or revert: a name or the failed step and what it said
  bool dry_run = false;
  bool rehearse = false;

  // The rest is the machine's own.
  Road road = Road::none;
  Decision decision = Decision::none;  // what the store last said about this epoch
  bool restarted = false;              // this process found the attempt in the log
  bool fence_up = false;               // raise_fence was issued, or the log has its undo
  Phase rest_phase = Phase::idle;      // where an attempt that changes nothing ends: idle, cooling or finished
  Needs done = 0;
  Needs retry = 0;  // failed, to be issued again at retry_at_ms
  std::vector<Outstanding> outstanding;
  std::uint32_t next_id = 1;
  std::uint32_t attempts = 0;  // failures since the last success
  std::int64_t retry_at_ms = 0;
  std::int64_t started_at_ms = 0;
  std::int64_t held_at_ms = -1;     // publish_hold was issued
  std::int64_t proving_at_ms = -1;  // write_marker was issued

  [[nodiscard]] Side to() const { return router::other(from); }
  [[nodiscard]] bool is_running() const { return road != Road::none; }
  [[nodiscard]] bool is_held() const;  // a hold has been published and not released
};

struct Limits {
  std::int64_t preflight_ms_max = 60'000;
  std::int64_t warm_ms_max = 60'000;
  std::int64_t drain_ms_max = 1'500;
  std::int64_t proof_ms_max = 2'000;
  std::int64_t window_ms_max = 5'000;
  std::int64_t retry_ms = 20;  // first pause before a failed step is tried again; doubles
  std::int64_t retry_ms_max = 2'000;
};

struct Result {
  State state;
  std::vector<Action> actions;      // new; carry them out at the same time
  std::vector<ActionId> cancelled;  // waits nobody needs any more: give them up; an answer is allowed and ignored
  std::string note;                 // one line for the log; "" = nothing worth one
  std::int64_t wake_ms = -1;        // a tick is wanted then; -1 = never
};

class Cutover {
 public:
  explicit Cutover(const Limits& limits, const Plan& plan = standard_plan()) : limits_(limits), plan_(plan) {}

  [[nodiscard]] Result step(const State& state, const Event& event, std::int64_t now_ms) const;

 private:
  Limits limits_;
  Plan plan_;
};

}  // namespace turnout::drain
