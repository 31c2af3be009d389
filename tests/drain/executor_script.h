// A scripted executor for table tests: keeps what the machine asked for and answers as told. No model, no servers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "drain/cutover.h"

namespace turnout::drain {

struct Script {
  explicit Script(const Limits& limits = {}) : machine(limits) {}

  Cutover machine;
  State state;
  std::int64_t now_ms = 0;
  std::vector<Action> open;   // asked for, not answered
  std::vector<Step> issued;   // in order, everything
  std::vector<Phase> phases;  // in order, without repetitions
  Result last;

  void send(const Event& event) {
    last = machine.step(state, event, now_ms);
    state = last.state;
    for (const ActionId id : last.cancelled) {
      std::erase_if(open, [id](const Action& action) { return action.id == id; });
    }
    for (const Action& action : last.actions) {
      open.push_back(action);
      issued.push_back(action.step);
    }
    if (phases.empty() || phases.back() != state.phase) phases.push_back(state.phase);
  }

  void recover(const Recovered& log = {}) {
    Event event;
    event.kind = EventKind::recovered;
    event.recovered = log;
    send(event);
  }

  void start(std::uint64_t epoch = 1, Direction direction = Direction::cutover) {
    Event event;
    event.kind = EventKind::operator_start;
    event.epoch = epoch;
    event.direction = direction;
    send(event);
  }

  void tell(EventKind kind) {
    Event event;
    event.kind = kind;
    send(event);
  }

  [[nodiscard]] bool is_open(Step step) const {
    return std::ranges::any_of(open, [step](const Action& action) { return action.step == step; });
  }
  [[nodiscard]] bool was_issued(Step step) const { return std::ranges::find(issued, step) != issued.end(); }
  [[nodiscard]] std::size_t times_issued(Step step) const {
    return static_cast<std::size_t>(std::ranges::count(issued, step));
  }

  // false when the step is not open.
  bool answer(Step step, EventKind kind = EventKind::action_done, Decision decision = Decision::none) {
    const auto found = std::ranges::find(open, step, &Action::step);
    if (found == open.end()) return false;
    Event event;
    event.kind = kind;
    event.epoch = found->epoch;
    event.id = found->id;
    event.decision = decision;
    event.reason = "scripted";
    open.erase(found);
    send(event);
    return true;
  }

  // The way a healthy executor answers: the decision goes to whoever asks for it first.
  void answer_well(Step step) {
    if (step == Step::decide_commit) {
      stored = stored == Decision::none ? Decision::commit : stored;
    } else if (step == Step::decide_abort) {
      stored = stored == Decision::none ? Decision::abort : stored;
    } else {
      answer(step);
      return;
    }
    answer(step, EventKind::decision_result, stored);
  }

  // Answers everything, oldest first, until nothing is open or `until` has been asked for.
  void run(std::optional<Step> until = std::nullopt) {
    for (int i = 0; i < 200 && !open.empty(); ++i) {
      if (until && is_open(*until)) return;
      answer_well(open.front().step);
    }
  }

  Decision stored = Decision::none;
};

// A process that has started on an empty log and rests.
[[nodiscard]] inline Script rested(const Limits& limits = {}) {
  Script script(limits);
  script.recover();
  script.run();
  return script;
}

}  // namespace turnout::drain
