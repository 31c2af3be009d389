// A program run to its end: what it wrote, how it ended. With a limit on time and on bytes.
//
// Always true: the child has none of our file descriptors but the ends of two pipes (a client's socket or a listening
// one would outlive us in it), and default signals; when this returns it has ended, whatever the reason; when we die
// its next write ends it. Blocks the calling thread; `cancelled` is looked at several times a second.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace turnout::control {

struct ProgramCall {
  std::string path;
  std::vector<std::string> arguments;                            // without the program's own name
  std::vector<std::pair<std::string, std::string>> environment;  // over ours
  std::uint32_t ms_max = 5'000;
  std::size_t output_bytes_max = 64 * 1024;
};

struct ProgramEnd {
  bool ok = false;    // it ended by itself with 0, within the limits
  std::string error;  // else why, in a line
  std::string output;
  std::string complaint;  // the beginning of its stderr
};

[[nodiscard]] ProgramEnd run_program(const ProgramCall& call, const std::atomic<bool>& cancelled);

}  // namespace turnout::control
