#include "drain/cutover.h"

#include <algorithm>

namespace turnout::drain {
namespace {

[[nodiscard]] bool has(Needs set, Step step) {
  return (set & bit(step)) != 0;
}

[[nodiscard]] bool is_outstanding(const State& state, Step step) {
  return std::ranges::any_of(state.outstanding, [step](const Outstanding& o) { return o.step == step; });
}

[[nodiscard]] bool is_effect(const Plan& plan, Step step) {
  return std::ranges::any_of(plan, [step](const Row& row) { return row.step == step && row.effect; });
}

// A restarted process adds its own rows to whichever road leads on from the attempt it found.
[[nodiscard]] bool is_on(const Row& row, const State& state) {
  if (row.road != Road::restart) return row.road == state.road;
  return state.restarted && (state.road == Road::commit || state.road == Road::revert);
}

// What is true besides steps being done. The safety of the way back is here: see plan.h for each one's meaning.
[[nodiscard]] Needs facts(const State& state, const Plan& plan) {
  const bool formers_gone =
      !state.restarted || (has(state.done, Step::end_former_from) && has(state.done, Step::end_former_to));
  const bool aborted = state.decision == Decision::abort;
  Needs set = 0;
  if (state.decision == Decision::commit) set |= bit(Fact::committed);
  if (aborted) set |= bit(Fact::aborted);
  if (state.fence_up) set |= bit(Fact::fence_up);
  if (!is_outstanding(state, Step::raise_fence) && (!state.restarted || has(state.done, Step::end_former_from))) {
    set |= bit(Fact::fence_settled);
  }
  // A process that did not see the whole attempt opens nothing before the store has said abort.
  if (has(state.done, Step::await_writable) || (!state.fence_up && (!state.restarted || aborted))) {
    set |= bit(Fact::from_open);
  }
  const bool on_its_way =
      std::ranges::any_of(state.outstanding, [&plan](const Outstanding& o) { return is_effect(plan, o.step); });
  if (!on_its_way && formers_gone) set |= bit(Fact::quiet);
  const bool undecided = state.decision == Decision::none || state.decision == Decision::unknown;
  if (state.restarted && undecided) set |= bit(Fact::doubt);
  if (state.decision != Decision::unknown) set |= bit(Fact::log_read);
  return set;
}

[[nodiscard]] Routing routing_for(Step step) {
  if (step == Step::publish_warm) return Routing::warm;
  if (step == Step::publish_hold) return Routing::hold_writes;
  if (step == Step::publish_fence) return Routing::fence;
  if (step == Step::publish_flip) return Routing::flip;
  if (step == Step::publish_release_to) return Routing::release_to;
  if (step == Step::publish_release_from) return Routing::release_from;
  if (step == Step::publish_doubt) return Routing::hold_all;
  return Routing::normal;
}

// Where nothing is under way. After a rollback green follows blue again: as before the cutover.
[[nodiscard]] Phase rest_of(Side writer) {
  return writer == Side::green ? Phase::cooling : Phase::idle;
}

[[nodiscard]] Phase forward_phase(const State& state, std::int64_t now_ms, const Limits& limits) {
  const Needs done = state.done;
  if (!has(done, Step::run_preflight)) return Phase::preflight;
  if (!has(done, Step::await_warm)) return Phase::warm;
  if (!has(done, Step::await_drained)) return Phase::drain;
  if (!has(done, Step::verify_fence)) return Phase::fence;
  if (!has(done, Step::await_marker) || !has(done, Step::check_schema)) return Phase::prove;
  if (!has(done, Step::copy_sequences) || !has(done, Step::advance_slots)) return Phase::copy_state;
  // The store owes us an answer: past the window the operator should know that we do not know.
  return now_ms - state.held_at_ms > limits.window_ms_max ? Phase::unknown : Phase::decide;
}

// The phase follows from what is done, so that it cannot disagree with it. At rest it stays what it was.
[[nodiscard]] Phase phase_of(const State& state, std::int64_t now_ms, const Limits& limits) {
  switch (state.road) {
    case Road::forward:
      return forward_phase(state, now_ms, limits);
    case Road::commit:
      if (!has(state.done, Step::await_flipped)) return Phase::flip;
      return has(state.done, Step::await_released) ? Phase::settle : Phase::resume;
    case Road::revert:
      return state.decision == Decision::unknown ? Phase::unknown : Phase::reverting;
    case Road::start:
      return state.decision == Decision::unknown ? Phase::unknown : state.rest_phase;
    case Road::none:
    case Road::restart:
      return state.phase;
  }
  return state.phase;
}

// One call of step(): reads the event into the state, then issues what has become possible.
class Turn {
 public:
  Turn(const Limits& limits, const Plan& plan, const State& state, std::int64_t now_ms)
      : limits_(limits), plan_(plan), state_(state), now_ms_(now_ms) {}

  Result run(const Event& event) {
    take(event);
    check_deadlines();
    issue();
    state_.phase = phase_of(state_, now_ms_, limits_);
    result_.wake_ms = wake_ms();
    result_.state = std::move(state_);
    return std::move(result_);
  }

 private:
  void note(std::string text) {
    if (!result_.note.empty()) result_.note += "; ";
    result_.note += text;
  }

  void take(const Event& event) {
    switch (event.kind) {
      case EventKind::operator_start:
        return start(event);
      case EventKind::operator_abort:
        return abort_by_operator();
      case EventKind::operator_finish:
        return finish();
      case EventKind::hold_overflow:
        if (may_turn_back() && state_.held_at_ms >= 0) turn_back(Outcome::reverted, "hold_overflow");
        return;
      case EventKind::tick:
        return;
      case EventKind::recovered:
        return recover(event.recovered);
      case EventKind::action_done:
      case EventKind::action_failed:
      case EventKind::decision_result:
        return take_answer(event);
    }
  }

  // --- what the operator wants ---

  void start(const Event& event) {
    const Side from = event.direction == Direction::cutover ? Side::blue : Side::green;
    if (state_.road != Road::none) return note("conflict: epoch " + std::to_string(state_.epoch) + " is running");
    if (state_.phase == Phase::finished) return note("conflict: finished, the former writer no longer follows");
    if (state_.writer != from) return note(std::string("conflict: the writer is ") + router::name(state_.writer));
    if (event.epoch <= state_.epoch) return note("conflict: epoch " + std::to_string(event.epoch) + " was used before");
    State fresh;
    fresh.rest_phase = state_.phase;
    fresh.epoch = event.epoch;
    fresh.direction = event.direction;
    fresh.writer = fresh.from = from;
    fresh.dry_run = event.dry_run;
    fresh.rehearse = event.rehearse;
    fresh.road = Road::forward;
    fresh.started_at_ms = now_ms_;
    state_ = std::move(fresh);
    note(std::string(name(event.direction)) + " starts");
  }

  // Until the commit is asked for, nothing stands in the way of turning back; then only the store can say.
  [[nodiscard]] bool may_turn_back() const {
    return state_.road == Road::forward && !is_outstanding(state_, Step::decide_commit);
  }

  void abort_by_operator() {
    if (may_turn_back()) return turn_back(Outcome::aborted, "operator");
    if (state_.road == Road::forward) return note("too late to abort: the decision is being made");
    if (state_.road == Road::commit) return note("too late to abort: committed; use rollback");
    note(state_.road == Road::revert ? "already on the way back" : "nothing to abort");
  }

  void finish() {
    if (state_.road != Road::none || state_.phase != Phase::cooling) return note("conflict: not cooling");
    state_.phase = Phase::finished;
  }

  // --- what a new process finds ---

  void recover(const Recovered& log) {
    const bool waits_for_log = state_.road == Road::start && state_.decision == Decision::unknown;
    if (!waits_for_log && (state_.road != Road::none || state_.epoch != 0)) return note("recovered twice: ignored");
    const bool published_doubt = has(state_.done, Step::publish_doubt);
    const std::uint32_t next_id = state_.next_id;
    State fresh;
    fresh.next_id = next_id;
    fresh.restarted = true;
    fresh.started_at_ms = now_ms_;
    if (published_doubt) fresh.done |= bit(Step::publish_doubt);
    fresh.decision = log.decision;
    if (log.decision == Decision::unknown) {
      fresh.road = Road::start;
      fresh.reason = "the decision log cannot be read";
      state_ = std::move(fresh);
      return note("hold everything: the decision log cannot be read");
    }
    fresh.epoch = log.epoch;
    fresh.direction = log.direction;
    fresh.outcome = log.outcome;
    fresh.writer = fresh.from = log.writer;
    const bool open = log.epoch != 0 && log.begun && !log.ended;
    if (!open) {
      rest_after(fresh, log);
    } else {
      resume_attempt(fresh, log);
    }
    state_ = std::move(fresh);
  }

  void rest_after(State& fresh, const Recovered& log) {
    const bool committed = log.ended && log.decision == Decision::commit;
    if (committed) fresh.writer = fresh.from = router::other(log.writer);
    fresh.rest_phase = log.finished ? Phase::finished : rest_of(fresh.writer);
    fresh.road = Road::start;
    fresh.decision = Decision::none;
    fresh.restarted = false;
  }

  void resume_attempt(State& fresh, const Recovered& log) {
    fresh.held_at_ms = now_ms_;
    fresh.rest_phase = rest_of(log.writer);
    fresh.fence_up = log.undo;
    fresh.reason = "restarted";
    if (log.decision == Decision::commit) {
      fresh.road = Road::commit;
      fresh.writer = fresh.to();
      return note("committed before the restart: rolling forward");
    }
    fresh.road = Road::revert;
    fresh.outcome = Outcome::reverted;
    if (log.decision == Decision::abort) fresh.done |= bit(Step::decide_abort);
    note("not committed before the restart: going back");
  }

  // --- what the executor answers ---

  void take_answer(const Event& event) {
    const auto found = std::ranges::find(state_.outstanding, event.id, &Outstanding::id);
    if (event.epoch != state_.epoch || found == state_.outstanding.end()) {
      return note("answer of epoch " + std::to_string(event.epoch) + " ignored");  // I6
    }
    const Step step = found->step;
    state_.outstanding.erase(found);
    if (step == Step::decide_commit || step == Step::decide_abort) {
      const bool answered = event.kind == EventKind::decision_result;
      return take_decision(step, answered ? event.decision : Decision::unknown);
    }
    if (event.kind == EventKind::action_done) {
      take_done(step);
    } else {
      take_failure(step, event.reason);
    }
  }

  void take_done(Step step) {
    state_.done |= bit(step);
    state_.attempts = 0;
    if (step == Step::run_preflight && state_.road == Road::forward && state_.dry_run) rest(Outcome::planned);
    if (step == Step::publish_normal) rest(state_.outcome);
    if (step == Step::record_end) end_attempt();
  }

  // Forward of the decision and on the way back a failure is tried again, for ever: there is nothing else to do.
  void take_failure(Step step, const std::string& reason) {
    const std::string text = std::string(name(step)) + ": " + reason;
    note(text);
    if (state_.road == Road::forward) return turn_back(Outcome::reverted, text);
    const bool wanted =
        std::ranges::any_of(plan_, [this, step](const Row& row) { return row.step == step && is_on(row, state_); });
    if (!wanted) return;  // an effect of the road we left: it is over, that is all we waited for
    if (step == Step::write_report) return take_done(step);
    retry_later(step);
  }

  void retry_later(Step step) {
    state_.retry |= bit(step);
    const std::int64_t pause_ms = limits_.retry_ms << std::min(state_.attempts, 10U);
    state_.retry_at_ms = now_ms_ + std::min(pause_ms, limits_.retry_ms_max);
    ++state_.attempts;
  }

  void take_decision(Step step, Decision decision) {
    const Decision said = decision == Decision::none ? Decision::unknown : decision;
    state_.decision = said;
    if (said == Decision::commit) {
      state_.road = Road::commit;
      state_.outcome = Outcome::none;
      state_.writer = state_.to();
      state_.retry = 0;
      state_.attempts = 0;
      return note("committed");
    }
    if (step == Step::decide_commit)
      turn_back(Outcome::reverted, said == Decision::abort ? "aborted" : "decision unknown");
    if (said == Decision::abort) {
      state_.done |= bit(Step::decide_abort);
      return;
    }
    note("the decision store did not answer: held, asking again");
    retry_later(Step::decide_abort);
  }

  // --- moving between roads ---

  // Nothing was begun: nothing to undo either.
  void turn_back(Outcome outcome, std::string reason) {
    state_.reason = std::move(reason);
    note("going back: " + state_.reason);
    cancel_waits();
    if (!has(state_.done, Step::record_begin) && !is_outstanding(state_, Step::record_begin)) {
      return rest(outcome == Outcome::reverted ? Outcome::refused : outcome);
    }
    state_.road = Road::revert;
    state_.outcome = outcome;
    state_.retry = 0;
    state_.attempts = 0;
  }

  // Effects stay outstanding: their answers say that nothing is on its way any more (I7).
  void cancel_waits() {
    std::erase_if(state_.outstanding, [this](const Outstanding& o) {
      if (is_effect(plan_, o.step)) return false;
      result_.cancelled.push_back(o.id);
      return true;
    });
  }

  void rest(Outcome outcome) {
    state_.road = Road::none;
    state_.outcome = outcome;
    state_.phase = state_.rest_phase;
    state_.held_at_ms = -1;
    cancel_waits();
  }

  void end_attempt() {
    if (state_.road == Road::commit) {
      state_.rest_phase = rest_of(state_.to());
      return rest(Outcome::committed);
    }
    rest(state_.outcome);
  }

  // --- time ---

  void check_deadlines() {
    if (!may_turn_back()) return;
    const std::string late = overdue();
    if (!late.empty()) turn_back(Outcome::reverted, late);
  }

  [[nodiscard]] std::string overdue() const {
    const Needs done = state_.done;
    if (state_.held_at_ms < 0) {
      const bool checking = !has(done, Step::run_preflight);
      const std::int64_t ms_max = limits_.preflight_ms_max + (checking ? 0 : limits_.warm_ms_max);
      if (now_ms_ - state_.started_at_ms <= ms_max) return "";
      return checking ? "preflight_deadline" : "warm_deadline";
    }
    const std::int64_t held_ms = now_ms_ - state_.held_at_ms;
    if (!has(done, Step::await_drained) && held_ms > limits_.drain_ms_max) return "drain_deadline";
    const bool proving = state_.proving_at_ms >= 0 && !has(done, Step::await_marker);
    if (proving && now_ms_ - state_.proving_at_ms > limits_.proof_ms_max) return "proof_deadline";
    return held_ms > limits_.window_ms_max ? "window_deadline" : "";
  }

  [[nodiscard]] std::int64_t wake_ms() const {
    std::int64_t at_ms = -1;
    const auto sooner = [&at_ms](std::int64_t candidate_ms) {
      at_ms = at_ms < 0 ? candidate_ms : std::min(at_ms, candidate_ms);
    };
    if (state_.retry != 0) sooner(state_.retry_at_ms);
    if (state_.road != Road::forward) return at_ms;
    if (state_.held_at_ms < 0) {
      const bool checking = !has(state_.done, Step::run_preflight);
      sooner(state_.started_at_ms + limits_.preflight_ms_max + (checking ? 0 : limits_.warm_ms_max) + 1);
      return at_ms;
    }
    if (!has(state_.done, Step::await_drained)) sooner(state_.held_at_ms + limits_.drain_ms_max + 1);
    if (state_.proving_at_ms >= 0 && !has(state_.done, Step::await_marker)) {
      sooner(state_.proving_at_ms + limits_.proof_ms_max + 1);
    }
    if (now_ms_ <= state_.held_at_ms + limits_.window_ms_max) sooner(state_.held_at_ms + limits_.window_ms_max + 1);
    return at_ms;
  }

  // --- issuing ---

  void issue() {
    // A rehearsal has seen everything but the decision: now it goes back.
    if (state_.road == Road::forward && state_.rehearse && may_issue(Step::decide_commit)) {
      turn_back(Outcome::rehearsed, "rehearsal");
    }
    if (state_.retry != 0 && now_ms_ >= state_.retry_at_ms) state_.retry = 0;
    for (const Row& row : plan_) {
      if (may_issue(row)) issue(row.step);
    }
  }

  [[nodiscard]] bool may_issue(Step step) const {
    return std::ranges::any_of(plan_, [this, step](const Row& row) { return row.step == step && may_issue(row); });
  }

  [[nodiscard]] bool may_issue(const Row& row) const {
    if (!is_on(row, state_) || has(state_.done | state_.retry, row.step) || is_outstanding(state_, row.step))
      return false;
    return (row.needs & ~(state_.done | facts(state_, plan_))) == 0;
  }

  void issue(Step step) {
    if (step == Step::publish_hold) state_.held_at_ms = now_ms_;
    if (step == Step::raise_fence) state_.fence_up = true;
    if (step == Step::write_marker) state_.proving_at_ms = now_ms_;
    Action action;
    action.epoch = state_.epoch;
    action.id = ActionId{state_.next_id++};
    action.step = step;
    action.from = state_.from;
    action.routing = routing_for(step);
    action.prove_writable = step == Step::publish_release_to || (step == Step::publish_release_from && state_.fence_up);
    action.attempt = state_.attempts + 1;
    state_.outstanding.push_back({action.id, step});
    result_.actions.push_back(action);
  }

  const Limits& limits_;
  const Plan& plan_;
  State state_;
  std::int64_t now_ms_;
  Result result_;
};

}  // namespace

bool State::is_held() const {
  if (road == Road::start) return decision == Decision::unknown;
  if (held_at_ms < 0) return false;
  return !has(done, Step::publish_release_to) && !has(done, Step::publish_release_from);
}

Result Cutover::step(const State& state, const Event& event, std::int64_t now_ms) const {
  return Turn(limits_, plan_, state, now_ms).run(event);
}

}  // namespace turnout::drain
