// cutover and rollback: start, follow the events to the end, print the report.
//
// Following is only looking. Whatever happens to this process, the attempt goes on; so every way out that is not the
// report says how to find it.
#include <boost/json/serialize.hpp>
#include <chrono>
#include <thread>

#include "control/cli_terminal.h"
#include "control/cli_verbs.h"
#include "control/exit_code.h"
#include "control/progress.h"
#include "control/render.h"

namespace turnout::control {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t look_ms = 500;            // between two looks for the report when no event says "report"
constexpr std::uint32_t ask_ms_max = 5'000;       // one look
constexpr std::uint32_t silence_ms_max = 20'000;  // the server may be restarting; then the outcome is unknown

boost::json::object body_of(const CutoverRequest& request) {
  boost::json::object body;
  if (request.dry_run) body["dry_run"] = true;
  if (request.rehearse) body["rehearse"] = true;
  if (!request.timeout.empty()) body["timeout_ms"] = duration_ms(request.timeout).value_or(0);
  if (!request.waive.empty()) {
    boost::json::array waive;
    for (const std::string& check : request.waive) waive.emplace_back(check);
    body["waive"] = std::move(waive);
  }
  return body;
}

class Follower {
 public:
  Follower(Cli& cli, std::string deployment, std::string epoch)
      : cli_(cli),
        deployment_(std::move(deployment)),
        epoch_(std::move(epoch)),
        progress_(cli.out, is_live_terminal(cli)) {}

  // The report, or nothing when we were interrupted or the server stayed away.
  std::optional<ClientAnswer> follow() {
    const Interrupts interrupts;
    auto heard = Clock::now();
    while (!Interrupts::happened() && Clock::now() - heard < std::chrono::milliseconds(silence_ms_max)) {
      try {
        if (auto report = look()) return report;
        heard = Clock::now();
        listen();
      } catch (const Unreachable&) {
        // Killed and restarted, perhaps: the next look tells.
        std::this_thread::sleep_for(std::chrono::milliseconds(look_ms));
      }
    }
    return std::nullopt;
  }

 private:
  std::optional<ClientAnswer> look() {
    ClientAnswer answer =
        cli_.client.get(deployment_path(deployment_, "/reports/") + percent_encoded(epoch_), ask_ms_max);
    if (answer.status == 404) return std::nullopt;
    if (answer.status >= 500) throw Unreachable("status " + std::to_string(answer.status));
    return answer;
  }

  // Events until there may be a report.
  void listen() {
    EventReader events = cli_.client.events(seen_, ask_ms_max);
    const auto since = Clock::now();
    while (!Interrupts::happened() && events.is_open()) {
      const auto event = events.next(look_ms);
      if (!event) {
        if (Clock::now() - since > std::chrono::milliseconds(look_ms)) return;
        continue;
      }
      seen_ = event->id;
      const auto data = parsed(event->data);
      if (text_at(data, "deployment") != deployment_ || text_at(data, "epoch") != epoch_) continue;
      if (!cli_.json) progress_.on_event(event->type, data.get_object());
      if (event->type == "report") return;
    }
  }

  Cli& cli_;
  const std::string deployment_, epoch_;
  Progress progress_;
  std::uint64_t seen_ = 0;
};

int exit_of_report(const ClientAnswer& answer) {
  const auto body = parsed(answer.body);
  const std::string outcome = text_at(body, "outcome");
  return outcome.empty() ? code(ExitCode::unknown) : code(exit_for_outcome(outcome, text_at(body, "reason")));
}

int detached(Cli& cli, const std::string& name, const std::string& epoch) {
  const bool by_hand = Interrupts::happened();
  const std::string about = "epoch " + epoch + " of " + name;
  return failed(
      cli, ExitCode::unknown,
      (by_hand ? "Detached: " + about + " goes on without you" : "Lost sight: " + about + " may still be going on") +
          ".\n  look:  turnout status " + name + "\n  stop:  turnout abort " + name + "\n  after: turnout report " +
          name + " " + epoch);
}

}  // namespace

int cutover(Cli& cli, const CutoverRequest& request) {
  const std::string verb = request.rollback ? "rollback" : "cutover";
  const bool is_harmless = request.dry_run || request.rehearse;
  if (!is_harmless && !confirmed(cli, "This moves the writes of " + request.deployment + " to the other side.")) {
    return code(ExitCode::aborted);
  }
  ClientAnswer answer;
  try {
    answer = cli.client.post(deployment_path(request.deployment, "/" + verb), boost::json::serialize(body_of(request)),
                             slow_ms_max);
  } catch (const Unreachable& lost) {
    if (!lost.sent()) throw;
    return failed(cli, ExitCode::unknown,
                  std::string(lost.what()) + "\nThe " + verb + " may have begun: look with 'turnout status " +
                      request.deployment + "'.");
  }
  if (answer.status != 202) return print(cli, answer, render_preflight);
  const std::string epoch = text_at(parsed(answer.body), "epoch");
  const auto report = Follower(cli, request.deployment, epoch).follow();
  if (!report) return detached(cli, request.deployment, epoch);
  const int printed = print(cli, *report, render_report);
  return report->status >= 400 ? printed : exit_of_report(*report);
}

}  // namespace turnout::control
