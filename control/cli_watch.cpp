// watch: the status, redrawn; without a terminal the events, a line each.
#include <signal.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "control/cli_verbs.h"
#include "control/exit_code.h"
#include "control/render.h"

namespace turnout::control {
namespace {

// Ends with Ctrl-C like any program; a lost server is shown and waited for.
[[noreturn]] void watch_screen(Cli& cli, std::uint32_t interval_ms) {
  for (;;) {
    std::string text;
    try {
      const ClientAnswer answer = cli.client.get("/v1/deployments", quick_ms_max);
      text = answer.status < 400 ? render_status(parsed(answer.body)) : render_problem(parsed(answer.body));
    } catch (const Unreachable& failed) {
      text = std::string(failed.what()) + "\n";
    }
    cli.out << "\x1b[H\x1b[2J" << text << std::flush;
    std::this_thread::sleep_for(std::chrono::milliseconds(interval_ms));
  }
}

int watch_lines(Cli& cli) {
  EventReader events = cli.client.events(std::nullopt, quick_ms_max);
  while (events.is_open()) {
    const auto event = events.next(1'000);
    if (!event) continue;
    const auto data = parsed(event->data);
    if (cli.json) {
      cli.out << boost::json::serialize(data) << std::endl;
    } else {
      cli.out << event->type << "  " << one_line(data) << std::endl;
    }
  }
  cli.err << cli.client.address().text() << ": the stream has ended\n";
  return code(ExitCode::unreachable);
}

}  // namespace

int watch(Cli& cli, std::uint32_t interval_ms) {
  const bool on_screen = !cli.json && &cli.out == &std::cout && ::isatty(STDOUT_FILENO) == 1;
  if (on_screen && std::getenv("NO_COLOR") == nullptr) watch_screen(cli, interval_ms);
  return watch_lines(cli);
}

}  // namespace turnout::control
