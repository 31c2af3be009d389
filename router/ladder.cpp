#include "router/ladder.h"

#include <array>
#include <utility>

namespace turnout::router {

namespace {

constexpr std::array<std::pair<LadderPhase, const char*>, 6> names = {{{LadderPhase::off, "off"},
                                                                       {LadderPhase::climbing, "climbing"},
                                                                       {LadderPhase::paused, "paused"},
                                                                       {LadderPhase::top, "top"},
                                                                       {LadderPhase::stepped_back, "stepped_back"},
                                                                       {LadderPhase::interrupted, "interrupted"}}};

LadderMove refused(const Ladder& ladder, const char* why) {
  return {ladder, std::nullopt, why};
}

LadderMove to(Ladder ladder, LadderPhase phase, std::optional<std::uint32_t> weight = std::nullopt) {
  ladder.phase = phase;
  return {std::move(ladder), weight, ""};
}

// The step that is now to be held.
LadderMove on_step(Ladder ladder) {
  const bool is_last = ladder.step + 1 >= ladder.steps.size();
  const std::uint32_t percent = ladder.percent();
  return to(std::move(ladder), is_last ? LadderPhase::top : LadderPhase::climbing, percent);
}

LadderMove resumed(const Ladder& ladder) {
  switch (ladder.phase) {
    case LadderPhase::paused: {
      auto resumed = on_step(ladder);
      resumed.weight.reset();
      return resumed;
    }
    case LadderPhase::interrupted:
      return on_step(ladder);
    case LadderPhase::stepped_back:
      return refused(ladder, "the ramp stepped back: look at why, then start it anew");
    case LadderPhase::climbing:
    case LadderPhase::top:
      return refused(ladder, "the ramp is not paused");
    case LadderPhase::off:
      break;
  }
  return refused(ladder, "no ramp has been started");
}

}  // namespace

const char* name(LadderPhase phase) {
  for (const auto& [value, text] : names) {
    if (value == phase) return text;
  }
  return "?";
}

std::optional<LadderPhase> ladder_phase(std::string_view name) {
  for (const auto& [value, text] : names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

LadderMove move(const Ladder& ladder, LadderEvent event, const std::vector<std::uint32_t>& steps) {
  switch (event) {
    case LadderEvent::start:
      if (ladder.is_on_step()) return refused(ladder, "the ramp is on already: abort it first, or resume it");
      if (steps.empty()) return refused(ladder, "the ladder has no steps");
      return on_step({LadderPhase::climbing, steps, 0});
    case LadderEvent::pause:
      if (ladder.phase == LadderPhase::climbing || ladder.phase == LadderPhase::top) {
        return to(ladder, LadderPhase::paused);
      }
      return refused(ladder, "no ramp is climbing");
    case LadderEvent::resume:
      return resumed(ladder);
    case LadderEvent::abort:
      if (ladder.phase == LadderPhase::off) return refused(ladder, "no ramp has been started");
      return to(ladder, LadderPhase::off, 0);
    case LadderEvent::shift:
      return to(ladder, LadderPhase::off);
    case LadderEvent::climb: {
      if (ladder.phase != LadderPhase::climbing) return refused(ladder, "no ramp is climbing");
      Ladder next = ladder;
      ++next.step;
      return on_step(std::move(next));
    }
    case LadderEvent::step_back:
      return to(ladder, LadderPhase::stepped_back, 0);
    case LadderEvent::taken_off:
      if (!ladder.is_on_step()) return refused(ladder, "no ramp is on");
      return to(ladder, LadderPhase::interrupted);
  }
  return refused(ladder, "?");
}

std::string what_is_missing(const StepProgress& progress, const StepBounds& bounds) {
  // The control group is smaller where green has more than half.
  const std::uint64_t control_min = (bounds.samples_min + 9) / 10;
  if (progress.is_evicted) return "green is out of the read set";
  if (!progress.has_control_group) return "no session is left to compare with: set the next weight by hand";
  if (progress.held_ms < bounds.held_ms_min) {
    return "held for " + std::to_string(progress.held_ms / 1000) + " of " + std::to_string(bounds.held_ms_min / 1000) +
           " s";
  }
  if (progress.green_samples < bounds.samples_min) {
    return std::to_string(progress.green_samples) + " of " + std::to_string(bounds.samples_min) + " reads on green";
  }
  if (progress.control_samples < control_min) {
    return std::to_string(progress.control_samples) + " of " + std::to_string(control_min) +
           " reads of the control group";
  }
  return progress.doubt;
}

}  // namespace turnout::router
