// What the verbs that follow something need of the terminal: Ctrl-C means "stop looking", and is there a screen?
#pragma once

#include <signal.h>

#include "control/cli_verbs.h"

namespace turnout::control {

// While one lives, Ctrl-C is only remembered.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  [[nodiscard]] static bool happened();

 private:
  struct sigaction before_ {};
};

// `cli.out` is a terminal that understands cursor movements.
[[nodiscard]] bool is_live_terminal(const Cli& cli);

}  // namespace turnout::control
