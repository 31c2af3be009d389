// prepare: at once, or with --replicate followed until green's copy is there.
//
// Following is only looking: whatever happens to this process, the copy goes on.
#include <boost/json/serialize.hpp>
#include <chrono>
#include <ostream>
#include <thread>

#include "control/cli_terminal.h"
#include "control/cli_verbs.h"
#include "control/exit_code.h"
#include "control/render.h"

namespace turnout::control {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto look_every = std::chrono::milliseconds(300);
constexpr auto line_every = std::chrono::seconds(5);  // where lines cannot be redrawn
constexpr std::uint32_t ask_ms_max = 5'000;
constexpr auto silence_max = std::chrono::seconds(20);

// One line that is redrawn on a terminal; elsewhere a new one when the phase changes, and now and then.
class ProgressLine {
 public:
  ProgressLine(std::ostream& out, bool live) : out_(out), live_(live) {}
  ~ProgressLine() {
    if (live_ && !last_.empty()) out_ << std::endl;
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const boost::json::value& body) {
    const auto line = replication_line(body);
    const auto phase = line.substr(0, line.find(':'));
    if (line == last_) return;
    if (live_) {
      out_ << "\r\x1b[K" << shortened(line, screen_columns - 1) << std::flush;
    } else if (phase != phase_ || Clock::now() - shown_ >= line_every) {
      out_ << line << std::endl;
      shown_ = Clock::now();
    }
    last_ = line;
    phase_ = phase;
  }

 private:
  std::ostream& out_;
  const bool live_;
  std::string last_, phase_;
  Clock::time_point shown_;
};

bool is_running(const boost::json::value& body) {
  const auto& running = value_at(body, "running");
  return running.is_bool() && running.get_bool();
}

int print_end(Cli& cli, const ClientAnswer& answer) {
  const auto body = parsed(answer.body);
  const auto* object = body.if_object();
  // A process that was restarted knows of no copy: what it made is there, but nobody says that it is whole.
  if (answer.status < 400 && object != nullptr && !object->contains("phase")) {
    return failed(cli, ExitCode::unknown,
                  "Turnout was restarted meanwhile: call prepare --replicate again, it goes on from there");
  }
  const int printed = print(cli, answer, render_done);
  const bool has_failed = object != nullptr && object->contains("error");
  return printed == 0 && has_failed ? code(ExitCode::refused) : printed;
}

int follow(Cli& cli, const std::string& deployment) {
  if (!cli.json) {
    cli.out << "It goes on by itself; to stop it: turnout abort " << deployment << "\n";
  }
  auto heard = Clock::now();
  ProgressLine line(cli.out, is_live_terminal(cli));
  while (Clock::now() - heard < silence_max) {
    try {
      const auto answer = cli.client.get(deployment_path(deployment, "/prepare"), ask_ms_max);
      heard = Clock::now();
      const auto body = parsed(answer.body);
      if (answer.status >= 400 || !is_running(body)) return print_end(cli, answer);
      if (!cli.json) line.show(body);
    } catch (const Unreachable&) {
      // Restarted, perhaps: the next look tells.
    }
    std::this_thread::sleep_for(look_every);
  }
  return failed(
      cli, ExitCode::unknown,
      "Lost sight of it: look with 'turnout status " + deployment + "', and call again; it goes on from there");
}

}  // namespace

int prepare(Cli& cli, const PrepareRequest& request) {
  const auto path = deployment_path(request.deployment, "/prepare");
  if (request.undo) {
    if (!confirmed(cli, "This ends the copy of " + request.deployment + " on green.")) return code(ExitCode::aborted);
    return change(cli, path, {{"undo", true}}, render_done, slow_ms_max);
  }
  if (!request.replicate) return change(cli, path, {}, render_done, slow_ms_max);
  ClientAnswer answer;
  try {
    answer = cli.client.post(path, boost::json::serialize(boost::json::object{{"replicate", true}}), slow_ms_max);
  } catch (const Unreachable& lost) {
    if (!lost.sent()) throw;
    return failed(
        cli, ExitCode::unknown,
        std::string(lost.what()) + "\nIt may have begun: look with 'turnout status " + request.deployment + "'.");
  }
  return answer.status == 202 ? follow(cli, request.deployment) : print(cli, answer, render_done);
}

}  // namespace turnout::control
