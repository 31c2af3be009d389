// compare: begin, follow the progress to the end, print what was found.
//
// Following is only looking, as with a cutover: whatever happens to this process, the comparison goes on.
#include <boost/json/serialize.hpp>
#include <chrono>
#include <ostream>
#include <thread>

#include "control/cli_terminal.h"
#include "control/cli_verbs.h"
#include "control/render.h"

namespace turnout::control {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t look_ms = 300;
constexpr std::uint32_t ask_ms_max = 5'000;
constexpr std::uint32_t silence_ms_max = 20'000;
constexpr std::uint32_t line_ms = 10'000;  // between two lines where nothing can be redrawn

// One line that moves, or a line now and then.
class ProgressBar {
 public:
  explicit ProgressBar(Cli& cli) : cli_(cli), live_(is_live_terminal(cli)) {}

  void show(const boost::json::value& body) {
    if (cli_.json) return;
    if (live_) {
      cli_.out << "\r\x1b[K" << render_comparison_line(body) << std::flush;
      return;
    }
    const auto current = text_at(body, "current");
    if (current == current_ && Clock::now() - shown_at_ < std::chrono::milliseconds(line_ms)) return;
    current_ = current;
    shown_at_ = Clock::now();
    cli_.out << render_comparison_line(body) << std::endl;
  }
  void end() {
    if (live_ && !cli_.json) cli_.out << "\r\x1b[K" << std::flush;
  }

 private:
  Cli& cli_;
  const bool live_;
  std::string current_;
  Clock::time_point shown_at_;
};

int follow(Cli& cli, const std::string& deployment) {
  const Interrupts interrupts;
  ProgressBar bar(cli);
  auto heard = Clock::now();
  while (!Interrupts::happened() && Clock::now() - heard < std::chrono::milliseconds(silence_ms_max)) {
    try {
      const ClientAnswer answer = cli.client.get(deployment_path(deployment, "/compare"), ask_ms_max);
      heard = Clock::now();
      const auto body = parsed(answer.body);
      const auto phase = text_at(body, "phase");
      if (answer.status >= 400 || (phase != "running" && phase != "paused")) {
        bar.end();
        return print(cli, answer, render_comparison);
      }
      bar.show(body);
    } catch (const Unreachable&) {
      // Killed and restarted, perhaps: the next look tells.
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(look_ms));
  }
  bar.end();
  return failed(cli, ExitCode::unknown,
                std::string(Interrupts::happened() ? "Detached: the comparison goes on without you"
                                                   : "Lost sight: the comparison may still be going on") +
                    ".\n  look:  turnout compare " + deployment + " --show\n  stop:  turnout compare " + deployment +
                    " --stop");
}

}  // namespace

int compare(Cli& cli, const CompareRequest& request) {
  const auto target = deployment_path(request.deployment, "/compare");
  if (request.show) return show(cli, target, render_comparison);
  if (request.stop) return change(cli, target, {{"action", "stop"}}, render_done);
  boost::json::object body;
  if (request.anew) body["anew"] = true;
  if (request.rows_per_second != 0) body["rows_per_second"] = request.rows_per_second;
  if (!request.tables.empty()) {
    boost::json::array tables;
    for (const auto& table : request.tables) tables.emplace_back(table);
    body["tables"] = std::move(tables);
  }
  if (request.detach) return change(cli, target, body, render_done, slow_ms_max);
  ClientAnswer answer;
  try {
    answer = cli.client.post(target, boost::json::serialize(body), slow_ms_max);
  } catch (const Unreachable& lost) {
    if (!lost.sent()) throw;
    return failed(cli, ExitCode::unknown,
                  std::string(lost.what()) + "\nIt may have begun: look with 'turnout compare " + request.deployment +
                      " --show'.");
  }
  if (answer.status != 202) return print(cli, answer, render_done);
  return follow(cli, request.deployment);
}

}  // namespace turnout::control
