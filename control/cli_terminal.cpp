#include "control/cli_terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

namespace turnout::control {

namespace {
volatile sig_atomic_t interrupted = 0;
}  // namespace

Interrupts::Interrupts() {
  interrupted = 0;
  struct sigaction detach {};
  detach.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &detach, &before_);
}

Interrupts::~Interrupts() {
  sigaction(SIGINT, &before_, nullptr);
}

bool Interrupts::happened() {
  return interrupted != 0;
}

bool is_live_terminal(const Cli& cli) {
  const char* const no_color = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  return &cli.out == &std::cout && ::isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

}  // namespace turnout::control
