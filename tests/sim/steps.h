// What the model's executor knows about a step: which server it talks to, and what kind of thing it is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "drain/cutover.h"
#include "tests/sim/databases.h"

namespace turnout::sim {

[[nodiscard]] inline bool is_publication(drain::Step step) {
  using enum drain::Step;
  return step == publish_warm || step == publish_hold || step == publish_fence || step == publish_flip ||
         step == publish_release_to || step == publish_release_from || step == publish_doubt || step == publish_normal;
}

[[nodiscard]] inline bool is_log_step(drain::Step step) {
  using enum drain::Step;
  return step == record_begin || step == record_undo || step == record_end || step == decide_commit ||
         step == decide_abort || step == write_report;
}

[[nodiscard]] inline bool is_effect(drain::Step step) {
  return std::ranges::any_of(drain::standard_plan(),
                             [step](const drain::Row& row) { return row.step == step && row.effect; });
}

// The server that must answer; none for the log and the proxy.
[[nodiscard]] inline std::optional<Side> side_of(const drain::Action& action) {
  using enum drain::Step;
  const Side from = action.from;
  const drain::Step step = action.step;
  if (step == raise_fence || step == verify_fence || step == write_marker || step == read_sequences ||
      step == lower_fence || step == await_writable || step == end_former_from || step == start_reverse ||
      step == read_guards) {
    return from;
  }
  if (step == await_marker || step == copy_sequences || step == advance_slots || step == copy_journal ||
      step == open_to || step == end_former_to || step == disable_forward || step == drop_forward ||
      step == await_forward_gone || step == await_open || step == check_schema || step == prepare) {
    return router::other(from);
  }
  return std::nullopt;
}

[[nodiscard]] inline std::uint16_t marker_of(std::uint64_t epoch) {
  return static_cast<std::uint16_t>(marker_bit | epoch);
}

}  // namespace turnout::sim
