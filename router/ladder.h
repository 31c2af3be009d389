// How a ramp climbs by itself: 1, 10, 25, 50, 100 % of the reads, each step held until there is enough to go on. Pure:
// the caller measures, sets weights and keeps the state (it survives a restart as these few values).
//
// Always true: the weight is that of the step while climbing, paused or at the top, and 0 after a step back; nothing
// but an operator starts to climb again after a step back; "not known" never climbs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::router {

enum class LadderPhase : std::uint8_t {
  off,           // weights are set by hand, or there is none
  climbing,      // on a step that will be left when it has been held for long enough
  paused,        // on a step that will not be left
  top,           // on the last step
  stepped_back,  // green was worse: weight 0 until an operator decides
  interrupted,   // a cutover took the reads back to the writer; resume begins the step anew
};
[[nodiscard]] const char* name(LadderPhase phase);
[[nodiscard]] std::optional<LadderPhase> ladder_phase(std::string_view name);

struct Ladder {
  LadderPhase phase = LadderPhase::off;
  std::vector<std::uint32_t> steps;  // per cent, growing
  std::uint32_t step = 0;

  [[nodiscard]] std::uint32_t percent() const { return step < steps.size() ? steps[step] : 0; }
  [[nodiscard]] bool is_on_step() const {
    return phase == LadderPhase::climbing || phase == LadderPhase::paused || phase == LadderPhase::top;
  }
  friend bool operator==(const Ladder&, const Ladder&) = default;
};

enum class LadderEvent : std::uint8_t {
  start,  // from the operator, as are the next four
  pause,
  resume,
  abort,  // to 0
  shift,  // a weight set by hand
  climb,  // nothing is missing any more
  step_back,
  taken_off,  // the weight is gone without our doing
};

struct LadderMove {
  Ladder ladder;                        // afterwards
  std::optional<std::uint32_t> weight;  // to set; none: it stays
  const char* refusal = "";             // why the event means nothing now; then nothing changes
};
// `steps`: the configuration's, for start.
[[nodiscard]] LadderMove move(const Ladder& ladder, LadderEvent event, const std::vector<std::uint32_t>& steps);

// What is known of the present step.
struct StepProgress {
  std::int64_t held_ms = 0;  // climbing, with green in the read set
  std::uint64_t green_samples = 0, control_samples = 0;
  bool has_control_group = false;
  bool is_evicted = false;
  std::string doubt;  // of the analysis
};
struct StepBounds {
  std::int64_t held_ms_min = 0;
  std::uint64_t samples_min = 0;
};
// What speaks against the next step, in words; "" = nothing.
[[nodiscard]] std::string what_is_missing(const StepProgress& progress, const StepBounds& bounds);

}  // namespace turnout::router
