// Two ways through a World: all of them (walk), or one at random (run).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace turnout::sim {

struct Finding {
  std::string violation;                    // "" = none
  std::vector<std::string> history;         // the moves that lead there
  std::size_t states = 0;                   // seen by a walk
  std::size_t moves = 0;                    // made by a run
  bool is_complete = true;                  // a walk saw every state within its limit
  std::array<std::uint32_t, 7> outcomes{};  // of a run, by drain::Outcome

  [[nodiscard]] std::string text() const;
};

// Every state that the setup can reach, depth first; stops at the first violation. One state in `rest_every` is also
// brought to rest without further faults and judged there.
[[nodiscard]] Finding walk(const Setup& setup, std::size_t states_max, std::size_t rest_every);

// One random run: moves with faults, then no more faults, then it must come to rest.
[[nodiscard]] Finding run(const Setup& setup, std::uint64_t seed, std::size_t moves_max, bool keep_history);

// The setup of a seed: which actors there are and how much of which fault. Same seed, same setup, same run.
[[nodiscard]] Setup setup_of(std::uint64_t seed, Bug bug);

}  // namespace turnout::sim
