// The program: hands its words to the command line. `turnout run` is put together in control/run.cpp.
#include <exception>
#include <iostream>

#include "control/cli.h"

int main(int argc, char** argv) {
  try {
    return turnout::control::run_command_line(argc, argv, std::cout, std::cerr);
  } catch (const std::exception& failed) {
    std::cerr << "turnout: " << failed.what() << "\n";
    return 10;  // outcome unknown: nothing else may be concluded from an exception that nobody expected
  }
}
