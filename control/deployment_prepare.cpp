// Before a cutover: what `prepare` makes, and with `--replicate` green's copy.

#include <spdlog/spdlog.h>

#include "control/access.h"
#include "control/deployment_control.h"
#include "control/exit_code.h"
#include "control/fence.h"
#include "control/prepare.h"
#include "control/take_down.h"

namespace turnout::control {

namespace {

Answer ok(boost::json::object body) {
  return {200, code(ExitCode::done), std::move(body)};
}

Answer not_prepared(const std::string& error) {
  auto answer = problem(422, "prepare", "Not everything could be prepared", error);
  answer.exit_code = code(ExitCode::refused);
  return answer;
}

}  // namespace

// While green's copy is made nothing else may look at it, read from it or move to it.
std::optional<Answer> DeploymentControl::why_not_alone() const {
  if (!replicator_.is_running()) return std::nullopt;
  return conflict("prepare --replicate is under way: see turnout status, or stop it with turnout abort " + name_);
}

std::optional<Answer> DeploymentControl::why_not_of_mysql(const char* what) const {
  if (!is_mysql()) return std::nullopt;
  return conflict(std::string("protocol mysql has no ") + what + " yet");
}

std::string DeploymentControl::prepare_scratch(boost::json::array& done) {
  const auto state = executor_.state();
  Attempt scratch;
  scratch.epoch = state.epoch;
  auto error = is_mysql() ? mysql_.prepare(scratch, state.writer, done)
                          : prepare_pair(steps_.context(), scratch, state.writer, done);
  readiness_.forget();
  return error;
}

Answer DeploymentControl::prepare(const std::string& who) {
  const auto state = executor_.state();
  if (state.is_running()) return conflict("a cutover is running and prepares by itself");
  if (state.phase == drain::Phase::finished) return conflict("finished: there is no pair any more");
  if (auto against = why_not_alone()) return *against;
  if (auto failed = audited("prepare", who, {})) return *failed;
  readiness_.give_way();
  const std::lock_guard one(preparing_);
  if (executor_.state().is_running()) return conflict("a cutover has begun meanwhile and prepares by itself");
  boost::json::array done;
  if (const auto error = prepare_scratch(done); !error.empty()) {
    auto answer = not_prepared(error);
    answer.body.as_object()["done"] = done;
    return answer;
  }
  return ok({{"deployment", name_}, {"done", done}});
}

// A side that has been the writer lets no ordinary role in after a move: READ WRITE passes the default that keeps it
// read-only, and whoever still knows its address would write there. So its doors open when reads are wanted there, as
// `prepare` opens them: after a new connection was told read-only.
std::string DeploymentControl::let_readers_in() {
  const auto state = executor_.state();
  const auto follower = router::other(state.writer);
  const auto refusal = [](const drain::State& now) -> std::string {
    if (now.phase == drain::Phase::finished) return "finished: there is no second side to read from";
    const bool moves = now.is_running() && now.road != drain::Road::start;
    return moves ? "a cutover is running: reads stay on the writer until it has settled" : "";
  };
  if (auto error = refusal(state); !error.empty()) return error;
  {
    const std::lock_guard guard(mutex_);
    if (readers_in_ == state.epoch) return "";
  }
  readiness_.give_way();
  const std::lock_guard one(preparing_);
  // An attempt prepares under this lock too: one that has not begun by now meets what is left here.
  if (auto error = refusal(executor_.state()); !error.empty()) return error;
  if (executor_.state().epoch != state.epoch) return "a cutover has just ended: try again";
  if (!is_mysql() && may_have_closed_doors(shared_.store.records(name_), follower)) {
    Attempt scratch;
    scratch.epoch = state.epoch;
    boost::json::array done;
    if (auto error = keep_read_only(steps_.context(), scratch, follower, done); !error.empty()) return error;
    const auto text = std::string(router::name(follower)) + " lets ordinary roles in again, read-only";
    spdlog::info("{}: {}", name_, text);
    shared_.events.add("ramp", {{"deployment", name_}, {"text", text}});
  }
  if (!routes_.let_read(follower)) return "a cutover holds or has just moved the writer: wait until it has settled";
  const std::lock_guard guard(mutex_);
  readers_in_ = state.epoch;
  return "";
}

// Answers when the checks are over; the copy goes on by itself.
Answer DeploymentControl::replicate(const std::string& who) {
  if (auto against = why_not_of_mysql("copy that Turnout makes: make green's with mariadb-backup")) return *against;
  if (!config().green) return conflict("no green is configured: set deployments." + name_ + ".green and reload");
  if (auto failed = audited("prepare", who, {{"replicate", true}})) return *failed;
  readiness_.give_way();
  {
    const std::lock_guard guard(mutex_);
    const auto state = executor_.state();
    if (!doubt_.empty()) return conflict(doubt_);
    if (state.is_running()) return conflict("a cutover is running");
    if (state.phase == drain::Phase::finished) return conflict("finished: there is no pair any more");
    if (state.writer != router::Side::blue) return conflict("the writer is green already: there is nothing to copy");
    if (!replicator_.begin(state.epoch)) return *why_not_alone();
  }
  replicator_.await_checks();
  auto report = replicator_.report();
  report["deployment"] = name_;
  if (report.at("running").as_bool()) return {202, code(ExitCode::done), std::move(report)};
  if (const auto* error = report.if_contains("error")) {
    auto answer = not_prepared(std::string(error->as_string()));
    for (const char* key : {"checks", "done"}) {
      if (const auto* found = report.if_contains(key)) answer.body.as_object()[key] = *found;
    }
    return answer;
  }
  return ok(std::move(report));
}

Answer DeploymentControl::replication() const {
  auto report = replicator_.report();
  if (report.empty()) report["running"] = false;
  report["deployment"] = name_;
  return ok(std::move(report));
}

Answer DeploymentControl::undo_prepare(const std::string& who) {
  if (auto against = why_not_of_mysql("copy that Turnout makes, and nothing to undo")) return *against;
  const auto state = executor_.state();
  if (state.is_running()) return conflict("a cutover is running");
  if (state.writer != router::Side::blue || state.phase == drain::Phase::cooling ||
      state.phase == drain::Phase::finished) {
    return conflict("a cutover has been: use finish when it has cooled");
  }
  if (auto against = why_not_alone()) return *against;
  if (auto failed = audited("prepare", who, {{"undo", true}})) return *failed;
  readiness_.give_way();
  const std::lock_guard one(preparing_);
  auto removed = control::undo_prepare(steps_.context());
  readiness_.forget();
  if (!removed) return not_prepared(removed.error().message());
  return ok({{"deployment", name_}, {"removed", *removed}});
}

}  // namespace turnout::control
