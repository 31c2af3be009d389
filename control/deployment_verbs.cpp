// What an operator may ask of one deployment. Each verb that changes something is in the audit log first.

#include <algorithm>
#include <boost/json/parse.hpp>
#include <map>
#include <utility>

#include "conf/check_names.h"
#include "control/access.h"
#include "control/blockers.h"
#include "control/deployment_control.h"
#include "control/durable_file.h"
#include "control/exit_code.h"
#include "control/mysql_start.h"
#include "control/preflight.h"
#include "control/report.h"
#include "control/take_down.h"
#include "router/explain.h"

namespace turnout::control {

namespace {

Answer ok(boost::json::object body) {
  return {200, code(ExitCode::done), std::move(body)};
}

Answer refused(const std::string& detail, boost::json::array checks) {
  auto answer = problem(422, "refused", "A check refuses", detail);
  answer.exit_code = code(ExitCode::refused);
  answer.body.as_object()["checks"] = std::move(checks);
  return answer;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

bool is_final(drain::Phase phase) {
  return phase == drain::Phase::finished;
}

}  // namespace

Answer DeploymentControl::conflict(const std::string& detail) const {
  auto answer = problem(409, "conflict", "Not in the present state", detail);
  answer.exit_code = code(ExitCode::conflict);
  return answer;
}

std::optional<Answer> DeploymentControl::audited(const std::string& verb, const std::string& who,
                                                 boost::json::object detail) {
  const auto error = shared_.audit.add(name_, verb, who, std::move(detail));
  if (error.empty()) return std::nullopt;
  return problem(507, "audit", "Not done, because it could not be recorded", error);
}

boost::json::object DeploymentControl::status() const {
  const auto state = executor_.state();
  const auto table = routes_.table();
  const auto deployment = config();
  const auto lag = sampler_.lag();
  const auto numbers = ramp_.numbers();
  std::string doubt;
  {
    const std::lock_guard guard(mutex_);
    doubt = doubt_;
  }
  boost::json::object out{
      {"writer", router::name(doubt.empty() ? state.writer : table.writer)},
      {"phase", doubt.empty() ? drain::name(state.phase) : "unknown"},
      {"epoch", state.epoch},
      {"outcome", state.epoch == 0 ? "" : outcome_text(state)},
      {"reason", doubt.empty() ? state.reason : doubt},
      {"ramp_percent", table.ramp.percent},
      {"ramp_actual_percent", sampler_.actual_ratio() * 100},
      {"ramp_evicted", table.ramp.evicted || (table.ramp.late && table.ramp.policy == conf::TokenPolicy::bounded)},
      {"ramp_phase", numbers.phase},
      {"ramp_waiting_for", numbers.waiting_for},
      {"ramp_step_back", numbers.step_back},
      {"paused", routes_.is_paused()},
      {"blue", deployment.blue.text()},
      {"green", deployment.green ? boost::json::value(deployment.green->text()) : boost::json::value(nullptr)},
  };
  if (lag.known) {
    out["lag_bytes"] = lag.bytes;
    out["lag_seconds"] = lag.seconds;
  }
  if (deployment.green) out["readiness"] = readiness_text(state);
  if (auto copy = replicator_.report(); !copy.empty()) {
    copy.erase("done");
    copy.erase("checks");
    out["replication"] = std::move(copy);
  }
  out["shadow_percent"] = table.shadow.percent;
  if (auto shadow = shadow_.summary(); !shadow.empty()) out["shadow"] = std::move(shadow);
  if (auto comparison = comparison_.summary(); !comparison.empty()) out["comparison"] = std::move(comparison);
  return out;
}

// {"ready": true, false or null for not known, …}: could a cutover, or the way back, begin now?
boost::json::object DeploymentControl::readiness_text(const drain::State& state) const {
  boost::json::object out{{"verb", state.writer == router::Side::blue ? "cutover" : "rollback"}, {"ready", nullptr}};
  const auto newest = readiness_.newest();
  if (state.is_running() || !newest) return out;
  boost::json::array because;
  for (const auto& check : newest->checks) {
    if (std::find(newest->refusals.begin(), newest->refusals.end(), check.name) == newest->refusals.end()) continue;
    because.push_back(boost::json::object{{"check", check.name}, {"measured", check.measured}});
  }
  out["ready"] = newest->refusals.empty();
  out["because"] = std::move(because);
  out["since"] = newest->since;
  out["checked_at"] = newest->at;
  return out;
}

Operations::Gauges DeploymentControl::gauges() const {
  const auto state = executor_.state();
  const auto table = routes_.table();
  const auto lag = sampler_.lag();
  Operations::Gauges gauges;
  gauges.deployment = name_;
  gauges.phase = drain::name(state.phase);
  gauges.writer = router::name(state.writer);
  gauges.epoch = state.epoch;
  gauges.ramp_ratio = table.ramp.percent / 100.0;
  gauges.ramp_actual_ratio = sampler_.actual_ratio();
  const auto numbers = ramp_.numbers();
  gauges.ramp_step_backs = numbers.step_backs;
  gauges.ramp_worst_p95_ratio = numbers.worst_ratio;
  gauges.ramp_green = numbers.green;
  gauges.ramp_control = numbers.control;
  auto shadow = shadow_.numbers();
  gauges.shadow_ratio = table.shadow.percent / 100.0;
  gauges.shadow_reads = std::move(shadow.reads);
  gauges.shadow_drops = std::move(shadow.drops);
  gauges.shadow_slower = shadow.slower;
  gauges.lag_bytes = lag.bytes;
  gauges.lag_seconds = lag.seconds;
  gauges.slot_retained_bytes = lag.slot_retained_bytes;
  if (const auto newest = readiness_.newest(); newest) gauges.ready_to_move = newest->refusals.empty() ? 1 : 0;
  const std::lock_guard guard(mutex_);
  if (!doubt_.empty()) gauges.phase = "unknown";
  gauges.pauses_s = pauses_s_;
  return gauges;
}

Answer DeploymentControl::preflight(bool rollback) {
  const auto state = executor_.state();
  if (state.is_running()) return conflict("a cutover is running: its report will carry the checks");
  if (auto against = why_not_alone()) return *against;
  readiness_.give_way();
  const std::lock_guard one(preparing_);
  auto checks = run_all_checks(rollback ? router::Side::green : state.writer, false, never_);
  const auto failed = refusals(checks, config().waive);
  auto answer = ok({{"deployment", name_}, {"go", failed.empty()}, {"checks", to_json(checks)}});
  if (!failed.empty()) answer.exit_code = code(ExitCode::refused);
  return answer;
}

std::optional<Answer> DeploymentControl::why_no_ramp() const {
  const auto state = executor_.state();
  if (state.is_running() && state.road != drain::Road::start)
    return conflict("a cutover is running: reads stay on the writer until it has settled");
  if (is_final(state.phase)) return conflict("finished: there is no second side to read from");
  if (auto against = why_not_alone()) return *against;
  if (!config().green) return conflict("no green is configured: set deployments." + name_ + ".green and reload");
  return std::nullopt;
}

Answer DeploymentControl::shift(int percent, const std::string& who) {
  if (percent < 0 || percent > 100) return problem(422, "percent", "Not a share", "Give a whole number from 0 to 100.");
  if (auto against = why_no_ramp()) return *against;
  if (auto failed = audited("shift", who, {{"percent", percent}})) return *failed;
  const auto error = ramp_.shift(percent);
  if (!error.empty()) return conflict(error);
  shared_.events.add("ramp", {{"deployment", name_}, {"percent", percent}});
  return ok({{"deployment", name_},
             {"ramp_percent", percent},
             {"meaning", std::to_string(percent) + " % of the reads that are proven to be reads"}});
}

Answer DeploymentControl::ramp(const std::string& action, const std::string& who) {
  static const std::map<std::string, router::LadderEvent> orders = {{"start", router::LadderEvent::start},
                                                                    {"pause", router::LadderEvent::pause},
                                                                    {"resume", router::LadderEvent::resume},
                                                                    {"abort", router::LadderEvent::abort}};
  const auto order = orders.find(action);
  if (order == orders.end()) return problem(422, "action", "Not an order", "Give start, pause, resume or abort.");
  if (auto against = why_no_ramp()) return *against;
  if (auto failed = audited("ramp " + action, who, {})) return *failed;
  const auto error = ramp_.order(order->second);
  if (!error.empty()) return conflict(error);
  return ramp();
}

Answer DeploymentControl::ramp() const {
  auto report = ramp_.report();
  report["actual_percent"] = sampler_.actual_ratio() * 100;
  return ok(std::move(report));
}

Answer DeploymentControl::shadow(int percent, const std::string& who) {
  if (percent < 0 || percent > 100) return problem(422, "percent", "Not a share", "Give a whole number from 0 to 100.");
  if (percent != 0) {
    if (auto against = why_no_ramp()) return *against;
  }
  if (auto failed = audited(percent == 0 ? "shadow off" : "shadow on", who, {{"percent", percent}})) return *failed;
  if (const auto error = shadow_.set(percent); !error.empty()) return conflict(error);
  return ok({{"deployment", name_},
             {"shadow_percent", percent},
             {"meaning", percent == 0 ? std::string("no read is sent to both sides")
                                      : std::to_string(percent) + " % of the proven reads that the writer answers are "
                                                                  "run on the other side as well, and compared"}});
}

// With the exit code of what was found, as for a comparison.
Answer DeploymentControl::shadow() const {
  auto answer = ok(shadow_.report());
  if (text_of(answer.body.as_object(), "outcome") == "different") answer.exit_code = code(ExitCode::refused);
  return answer;
}

Answer DeploymentControl::compare(const CompareOptions& options) {
  const auto state = executor_.state();
  if (state.is_running()) return conflict("a cutover is running: compare when it has ended");
  if (is_final(state.phase)) return conflict("finished: there is no second side to compare with");
  if (!config().green) return conflict("no green is configured: set deployments." + name_ + ".green and reload");
  boost::json::array tables;
  for (const auto& table : options.tables) tables.emplace_back(table);
  if (auto failed = audited("compare", options.who, {{"tables", tables}, {"anew", options.anew}})) return *failed;
  const auto begun = comparison_.start(options);
  if (begun.is_conflict) return conflict(begun.refusal);
  if (!begun.refusal.empty()) return problem(422, "compare", "Nothing to compare", begun.refusal);
  return {202, code(ExitCode::done),
          boost::json::object{{"deployment", name_}, {"phase", "running"}, {"goes_on", begun.goes_on}}};
}

Answer DeploymentControl::stop_compare(const std::string& who) {
  if (!comparison_.is_under_way()) return conflict("no comparison is running");
  if (auto failed = audited("compare stop", who, {})) return *failed;
  if (!comparison_.stop(who)) return conflict("no comparison is running");
  return ok({{"deployment", name_}, {"stopping", true}});
}

// With the exit code of what was found: whoever only looks can depend on it as well.
Answer DeploymentControl::compare() const {
  auto report = comparison_.report();
  auto answer = ok({});
  const auto outcome = text_of(report, "outcome"), phase = text_of(report, "phase");
  if (outcome == "different") answer.exit_code = code(ExitCode::refused);
  if (outcome == "unsettled" || phase == "interrupted") answer.exit_code = code(ExitCode::unknown);
  if (phase == "stopped") answer.exit_code = code(ExitCode::aborted);
  answer.body = std::move(report);
  return answer;
}

std::uint64_t DeploymentControl::next_epoch() {
  const std::lock_guard guard(mutex_);
  return ++last_epoch_;
}

Answer DeploymentControl::cutover(const CutoverOptions& options) {
  const std::string verb = options.rollback ? "rollback" : "cutover";
  const auto from = options.rollback ? router::Side::green : router::Side::blue;
  const auto state = executor_.state();
  if (state.is_running()) return conflict("epoch " + std::to_string(state.epoch) + " is running");
  if (!config().green) return conflict("no green is configured: set deployments." + name_ + ".green and reload");
  if (is_final(state.phase)) return conflict("finished: the former writer no longer follows");
  if (auto against = why_not_alone()) return *against;
  if (state.writer != from) {
    return conflict(std::string("the writer is ") + router::name(state.writer) + " already; " +
                    (options.rollback ? "there is nothing to roll back" : "use rollback to go back"));
  }
  if (routes_.is_paused()) return conflict("the deployment is paused: resume it first");
  for (const auto& name : options.waive) {
    if (!conf::is_check_name(name)) return problem(400, "bad_argument", "No such check", conf::no_such_check(name));
  }
  if (options.dry_run) {
    readiness_.give_way();
    const std::lock_guard one(preparing_);
    auto checks = run_all_checks(from, false, never_);
    auto waive = config().waive;
    waive.insert(waive.end(), options.waive.begin(), options.waive.end());
    const auto failed = refusals(checks, waive);
    if (!failed.empty()) return refused(joined(failed), to_json(checks));
    boost::json::array plan;
    for (const auto& row : drain::standard_plan()) {
      if (row.road == drain::Road::forward || row.road == drain::Road::commit) plan.emplace_back(drain::name(row.step));
    }
    return ok({{"deployment", name_},
               {"direction", verb},
               {"outcome", "planned"},
               {"checks", to_json(checks)},
               {"plan", plan}});
  }
  const auto epoch = next_epoch();
  boost::json::array waived;
  for (const auto& name : options.waive) waived.emplace_back(name);
  if (auto failed = audited(verb, options.who,
                            {{"epoch", epoch},
                             {"rehearse", options.rehearse},
                             {"waive", waived},
                             {"window_ms", options.window_ms_max}})) {
    return *failed;
  }
  auto fresh = std::make_shared<Attempt>();
  fresh->epoch = epoch;
  fresh->direction = options.rollback ? drain::Direction::rollback : drain::Direction::cutover;
  fresh->who = options.who;
  fresh->waive = options.waive;
  fresh->started_at = utc_now();
  drain::Event event;
  event.kind = drain::EventKind::operator_start;
  event.epoch = epoch;
  event.direction = fresh->direction;
  event.rehearse = options.rehearse;
  {
    const std::lock_guard guard(mutex_);
    if (!doubt_.empty()) return conflict(doubt_);
    if (auto against = why_not_alone()) return *against;  // begun meanwhile; that is under this lock too
    executor_.set_limits(limits_of(config_, options.window_ms_max));
    const auto before = std::exchange(attempt_, fresh);
    if (!executor_.post_if_idle(std::move(event))) {
      attempt_ = before;  // of the one that has just begun
      return conflict("another attempt has just begun");
    }
  }
  return {202, code(ExitCode::done), boost::json::object{{"deployment", name_}, {"epoch", epoch}, {"direction", verb}}};
}

Answer DeploymentControl::abort(const std::string& who) {
  const auto state = executor_.state();
  if (!state.is_running() && replicator_.is_running()) {
    if (auto failed = audited("abort", who, {{"of", "replicate"}})) return *failed;
    return replicator_.cancel() ? ok({{"deployment", name_}, {"aborting", true}}) : conflict("nothing is running");
  }
  if (!state.is_running() && comparison_.is_under_way()) return stop_compare(who);
  if (!state.is_running()) return conflict("nothing is running");
  if (state.road == drain::Road::commit) return conflict("too late: committed; use rollback");
  if (auto failed = audited("abort", who, {{"epoch", state.epoch}})) return *failed;
  drain::Event event;
  event.kind = drain::EventKind::operator_abort;
  executor_.post(std::move(event));
  return ok({{"deployment", name_}, {"epoch", state.epoch}, {"aborting", true}});
}

Answer DeploymentControl::finish(const std::string& who) {
  const auto state = executor_.state();
  if (state.is_running()) return conflict("epoch " + std::to_string(state.epoch) + " is running");
  if (state.phase != drain::Phase::cooling) return conflict("only a committed cutover that is cooling can be finished");
  if (auto failed = audited("finish", who, {{"epoch", state.epoch}})) return *failed;
  boost::json::array removed;
  if (const auto error = take_down_way_back(state.writer, removed); !error.empty())
    return conflict("the way back could not be taken down: " + error);
  const auto deployment = config();
  const auto error = shared_.store.append({name_,
                                           state.epoch,
                                           RecordKind::binding,
                                           {{"finished", "yes"},
                                            {"blue", deployment.blue.text()},
                                            {"green", deployment.green ? deployment.green->text() : ""}}});
  if (!error.empty()) return problem(507, "store", "Not recorded", error);
  drain::Event event;
  event.kind = drain::EventKind::operator_finish;
  executor_.post(std::move(event));
  return ok({{"deployment", name_}, {"finished", true}, {"removed", removed}});
}

// "" or why not.
std::string DeploymentControl::take_down_way_back(router::Side writer, boost::json::array& removed) {
  if (is_mysql()) return finish_pair(mysql_.context(), writer, removed);
  auto gone = finish_pair(steps_.context(), writer);
  if (!gone) return gone.error().message();
  removed = std::move(*gone);
  return "";
}

Answer DeploymentControl::set_paused(bool paused, const std::string& who) {
  if (executor_.state().is_running()) return conflict("a cutover is running: abort it, or wait for its end");
  if (auto failed = audited(paused ? "pause" : "resume", who, {})) return *failed;
  if (!routes_.set_paused(paused)) return conflict("work is held already, by a cutover or for want of a decision");
  return ok({{"deployment", name_}, {"paused", paused}});
}

Answer DeploymentControl::blockers() {
  const auto writer = executor_.state().writer;
  auto list = is_mysql() ? list_blockers(mysql_.context(), writer) : list_blockers(steps_.context(), writer);
  return ok({{"deployment", name_}, {"blockers", std::move(list)}});
}

Answer DeploymentControl::explain_route(const std::string& named, const std::string& sql) {
  const auto table = routes_.table();
  if (sampler_.catalog() == nullptr) {
    // Nobody has needed it so far: without a ramp no routing looks at a text.
    if (auto error = sampler_.load_catalog(table.writer); !error.empty()) return conflict(error);
  }
  const auto catalog = sampler_.catalog();
  std::string database = named;
  if (database.empty() && !is_mysql()) {
    const auto known = catalog->databases();
    if (!known.empty()) database = known.front();
  }
  const auto told = is_mysql() ? router::explain_mysql_route(table, *catalog, database, sql)
                               : router::explain_route(table, *catalog, database, "", sql);
  return ok({{"deployment", name_},
             {"database", database},
             {"verdict", router::name(told.verdict)},
             {"why", told.why},
             {"writer", router::name(table.writer)},
             {"ramped", told.ramped},
             {"route", told.text}});
}

Answer DeploymentControl::report(std::optional<std::uint64_t> epoch) const {
  const auto state = executor_.state();
  const auto epochs = report_epochs();
  if (!epoch && !epochs.empty()) epoch = epochs.back();
  if (!epoch) return problem(404, "no_report", "No report", "No attempt of " + name_ + " has reached its end yet.");
  std::uint64_t complete = 0;
  {
    const std::lock_guard guard(mutex_);
    complete = reported_epoch_;
  }
  if (*epoch > complete || (state.is_running() && state.epoch == *epoch)) {
    return problem(404, "no_report", "No report yet",
                   "Epoch " + std::to_string(*epoch) + " is running or was never begun.");
  }
  boost::system::error_code error;
  auto value = boost::json::parse(content_of(report_file(*epoch, ".json")), error);
  if (error || !value.is_object()) {
    return problem(404, "no_report", "No report",
                   "There is no readable report of epoch " + std::to_string(*epoch) + ".");
  }
  return {200, code(ExitCode::done), std::move(value)};
}

Answer DeploymentControl::reports() const {
  boost::json::array list;
  for (const auto epoch : report_epochs()) list.emplace_back(epoch);
  return ok({{"deployment", name_}, {"epochs", list}});
}

}  // namespace turnout::control
