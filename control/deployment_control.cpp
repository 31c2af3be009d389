#include "control/deployment_control.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>
#include <utility>

#include "control/journal.h"
#include "control/managed_fence.h"
#include "control/mysql_compare.h"
#include "control/mysql_own_writes.h"
#include "control/mysql_preflight.h"
#include "control/mysql_start.h"
#include "control/postgres_compare.h"
#include "control/preflight.h"
#include "control/report.h"
#include "control/table.h"

namespace turnout::control {

namespace {

drain::Event event_of(drain::EventKind kind) {
  drain::Event event;
  event.kind = kind;
  return event;
}

// As the sampler counts it.
std::int64_t monotonic_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

bool write_file(const std::filesystem::path& path, const std::string& content) {
  const auto temporary = path.string() + ".new";
  {
    std::ofstream out(temporary, std::ios::trunc);
    out << content;
    out.flush();
    if (!out) return false;
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  return !error;
}

void read_positions(const boost::json::object& decision, const char* key, std::map<std::string, std::string>& into) {
  const auto* positions = decision.if_contains(key);
  if (positions == nullptr || !positions->is_object()) return;
  for (const auto& [database, position] : positions->get_object()) {
    if (position.is_string()) into[std::string(database)] = std::string(position.get_string());
  }
}

}  // namespace

DeploymentControl::DeploymentControl(proxy::DeploymentIndex index, const conf::Deployment& config, const Shared& shared)
    : index_(index),
      name_(config.name),
      protocol_(config.protocol),
      shared_(shared),
      config_(config),
      shelf_(config, [this](router::Side side) { return shared_.proxy.addresses(index_, side); }),
      types_(shelf_, shared.state_dir / (name_ + ".types.json"),
             [this](proxy::TypeMapsPtr types) { shared_.proxy.publish_types(index_, std::move(types)); }),
      routes_([this](router::RoutingTablePtr table) { shared_.proxy.publish(index_, std::move(table)); }),
      steps_(StepContext{index, name_, [this] { return this->config(); }, shelf_, shared.proxy, shared.store, routes_,
                         [this] { executor_.post(event_of(drain::EventKind::hold_overflow)); },
                         [this](router::Side writer) { return sampler_.load_catalog(writer); },
                         [this] { return shadow_.warmth(monotonic_ms()); }}),
      mysql_shelf_(config, [this](router::Side side) { return shared_.proxy.addresses(index_, side); }),
      mysql_(MysqlContext{steps_.context(), mysql_shelf_}),
      executor_(limits_of(config, 0), *this, is_mysql() ? drain::drained_plan() : drain::standard_plan()),
      mysql_watch_(watch_context()),
      ramp_(RampKeeper::Context{index, name_, shared.state_dir / ("ramp-" + name_ + ".json"),
                                [this] { return this->config(); }, shared.proxy, routes_,
                                [this](int percent) {
                                  const std::string error = percent == 0 ? "" : let_readers_in();
                                  return error.empty() ? sampler_.shift(percent) : error;
                                },
                                [this](boost::json::object event) {
                                  const auto level =
                                      event.contains("step_back") ? spdlog::level::warn : spdlog::level::info;
                                  spdlog::log(level, "{}: {}", name_, text_of(event, "text"));
                                  event["deployment"] = name_;
                                  shared_.events.add("ramp", std::move(event));
                                },
                                [this](boost::json::object back) {
                                  return shared_.audit.add(name_, "step back", "turnout", std::move(back));
                                }}),
      shadow_(ShadowKeeper::Context{index, name_, shared.state_dir / ("shadow-" + name_ + ".json"),
                                    [this] { return this->config(); }, shared.proxy, routes_,
                                    [this](int percent) {
                                      const std::string error = percent == 0 ? "" : let_readers_in();
                                      return error.empty() ? sampler_.cast_shadow(percent) : error;
                                    },
                                    [this](boost::json::object event) {
                                      const bool is_difference = event.contains("difference");
                                      spdlog::log(is_difference ? spdlog::level::warn : spdlog::level::info, "{}: {}",
                                                  name_, harmless(text_of(event, "text")));
                                      event["deployment"] = name_;
                                      shared_.events.add("shadow", std::move(event));
                                    },
                                    [this](router::StepBack back) { ramp_.heed(std::move(back)); }}),
      sampler_(Sampler::Context{index, name_, [this] { return this->config(); }, shelf_, shared.proxy, routes_, types_,
                                [this](std::string text) {
                                  spdlog::warn("{}: {}", name_, text);
                                  shared_.events.add("ramp", {{"deployment", name_}, {"text", text}});
                                },
                                [this](const router::RoutingTable& table, std::int64_t now_ms) {
                                  ramp_.look(table, now_ms);
                                  shadow_.look(table, now_ms);
                                },
                                is_mysql() ? &mysql_shelf_ : nullptr}),
      readiness_(Readiness::Context{[this](const std::atomic<bool>& give_up) { return look_by_itself(give_up); },
                                    [this] { return this->config().waive; },
                                    [this] { return this->config().cutover.check_interval_ms; },
                                    [this](const Readiness::Report& now) { readiness_changed(now); }}),
      replicator_(Replicator::Context{steps_.context(), preparing_,
                                      [this](boost::json::array& done) { return prepare_scratch(done); },
                                      [this](boost::json::object news, const std::string& line) {
                                        if (!line.empty()) spdlog::info("{}: {}", name_, line);
                                        news["deployment"] = name_;
                                        shared_.events.add("replicate", std::move(news));
                                      }}),
      comparison_(Comparison::Context{name_, shared.state_dir / ("compare-" + name_ + ".json"),
                                      [this] { return this->config(); }, compare_pair(),
                                      [this] { return executor_.state(); }, [this] { return sampler_.lag(); },
                                      [this](boost::json::object event) {
                                        spdlog::info("{}: {}", name_, text_of(event, "text"));
                                        event["deployment"] = name_;
                                        shared_.events.add("compare", std::move(event));
                                      }}) {}

DeploymentControl::~DeploymentControl() {
  stop();
}

std::shared_ptr<ComparePair> DeploymentControl::compare_pair() {
  if (is_mysql()) return mysql_compare_pair(mysql_shelf_);
  return postgres_compare_pair(name_, shelf_, [this] { return config().databases; });
}

MysqlWatch::Context DeploymentControl::watch_context() {
  return {mysql_shelf_,
          [this] { return executor_.state(); },
          [this](router::Side side) { return mysql_.clear_lost(side); },
          [this](WatchDeed deed, router::Side side) {
            const char* const verb = deed == WatchDeed::open ? "open writer" : "close follower";
            return shared_.audit.add(name_, verb, "turnout", {{"side", router::name(side)}}).empty();
          },
          [this](router::Side side) { return closed_at(shared_.store.records(name_), side); },
          [this](WatchDeed, router::Side side, const std::string& text) {
            spdlog::warn("{}: {}", name_, text);
            shared_.events.add("alarm", {{"deployment", name_}, {"side", router::name(side)}, {"text", text}});
            readiness_.forget();
          }};
}

drain::Limits DeploymentControl::limits_of(const conf::Deployment& config, std::uint32_t window_ms) {
  drain::Limits limits;
  limits.drain_ms_max = config.cutover.drain_ms_max;
  limits.proof_ms_max = config.cutover.proof_ms_max;
  limits.window_ms_max = window_ms != 0 ? window_ms : config.cutover.window_ms_max;
  return limits;
}

conf::Deployment DeploymentControl::config() const {
  const std::lock_guard guard(mutex_);
  return config_;
}

void DeploymentControl::start() {
  started_ = true;
  executor_.start();
  auto records = shared_.store.records(name_);
  auto log = recover(records);
  auto doubt = doubt_at_start(records, log);
  {
    const std::lock_guard guard(mutex_);
    last_epoch_ = std::max(last_epoch_, log.epoch);
    for (const auto epoch : report_epochs()) last_epoch_ = std::max(last_epoch_, epoch);
    reported_epoch_ = log.begun && !log.ended ? 0 : last_epoch_;
    doubt_ = doubt;
  }
  if (!doubt.empty()) {
    spdlog::error("{}: all work is held: {}", name_, doubt);
    shared_.events.add("alarm", {{"deployment", name_}, {"text", doubt}});
    routes_.hold_all(log.writer);
    return;
  }
  // Before the first table: what sessions are told of types must not change afterwards.
  if (config().green && !is_mysql()) types_.restore();
  drain::Event event;
  event.kind = drain::EventKind::recovered;
  event.recovered = log;
  executor_.post(std::move(event));
  if (is_mysql()) mysql_watch_.start(records);
  sampler_.start();  // positions and catalogs, for ramps
  readiness_.start();
}

// The store, the databases' own journals and the configuration must tell one story; else nobody may write.
std::string DeploymentControl::doubt_at_start(const std::vector<Record>& records, drain::Recovered& log) {
  const auto deployment = config();
  const auto* binding = newest(records, RecordKind::binding, "finished", "yes");
  if (binding != nullptr && binding->epoch == log.epoch && deployment.blue.text() == text_of(binding->data, "green")) {
    // Finished, and the configuration now calls the former green blue: a new story begins, its epochs go on.
    const auto error = shared_.store.append({name_, log.epoch, RecordKind::binding, {{"writer", "blue"}}});
    if (!error.empty()) return error;
    log = recover(shared_.store.records(name_));
    return "";
  }
  return is_mysql() ? mysql_doubt(mysql_shelf_, deployment, log) : journal_doubt(shelf_, deployment, records, log);
}

void DeploymentControl::stop() {
  if (!started_) return;
  started_ = false;
  replicator_.stop();
  comparison_.stop_thread();
  readiness_.stop();
  mysql_watch_.stop();
  sampler_.stop();
  executor_.stop();
  shelf_.close_all();
  mysql_shelf_.close_all();
}

std::string DeploymentControl::why_no_reload(const conf::Deployment& fresh) const {
  const auto state = executor_.state();
  if (!state.is_running()) return "";
  const auto now = config();
  const char* changed = nullptr;
  if (now.blue != fresh.blue)
    changed = "blue";
  else if (now.green != fresh.green)
    changed = "green";
  else if (now.databases != fresh.databases)
    changed = "databases";
  if (changed == nullptr) return "";
  return "deployments." + name_ + '.' + changed + ": cannot change while epoch " + std::to_string(state.epoch) +
         " is under way; abort it or wait for its end";
}

void DeploymentControl::reload(const conf::Deployment& fresh) {
  {
    const std::lock_guard guard(mutex_);
    config_ = fresh;
    was_reloaded_ = true;
  }
  if (!executor_.state().is_running()) between_attempts();
  readiness_.forget();
}

// What an attempt does not see change.
void DeploymentControl::between_attempts() {
  executor_.set_limits(limits_of(config(), 0));
  std::unique_lock guard(mutex_);
  if (!std::exchange(was_reloaded_, false)) return;
  const auto now = config_;
  guard.unlock();
  shelf_.reconfigure(now);
  mysql_shelf_.reconfigure(now);
}

std::vector<Check> DeploymentControl::run_all_checks(router::Side from, bool quick, const std::atomic<bool>& give_up) {
  return is_mysql() ? run_checks(mysql_.context(), from, quick, give_up)
                    : run_checks(steps_.context(), from, quick, give_up);
}

StepAnswer DeploymentControl::run_on_servers(const drain::Action& action, Attempt& attempt,
                                             const std::atomic<bool>& cancelled) {
  return is_mysql() ? mysql_.run(action, attempt, cancelled) : steps_.run(action, attempt, cancelled);
}

// Nothing while something else is under way, or when there is nothing to be ready for.
std::optional<std::vector<Check>> DeploymentControl::look_by_itself(const std::atomic<bool>& give_up) {
  const auto state = executor_.state();
  if (!config().green || state.is_running() || state.phase == drain::Phase::finished) return std::nullopt;
  const std::unique_lock one(preparing_, std::try_to_lock);
  if (!one.owns_lock()) return std::nullopt;
  auto checks = run_all_checks(state.writer, true, give_up);
  if (executor_.state().is_running()) return std::nullopt;
  return checks;
}

void DeploymentControl::readiness_changed(const Readiness::Report& now) {
  std::string because;
  for (const auto& name : now.refusals) because += (because.empty() ? "" : ", ") + name;
  const bool is_way_back = executor_.state().writer == router::Side::green;
  const std::string what = is_way_back ? "rollback" : "cutover";
  if (now.refusals.empty()) {
    spdlog::info("{}: ready for a {}", name_, what);
    shared_.events.add("readiness", {{"deployment", name_}, {"ready", true}, {"verb", what}});
    return;
  }
  const auto text = what + (is_way_back ? " unavailable since " + now.since : " not possible") + ": " + because;
  spdlog::warn("{}: {}", name_, text);
  shared_.events.add(is_way_back ? "alarm" : "readiness",
                     {{"deployment", name_}, {"ready", false}, {"verb", what}, {"text", text}});
}

bool DeploymentControl::ready() const {
  const std::lock_guard guard(mutex_);
  const auto now = executor_.state();
  return routes_.is_published() && doubt_.empty() && now.phase != drain::Phase::unknown &&
         !shared_.proxy.addresses(index_, now.writer).empty();
}

std::shared_ptr<Attempt> DeploymentControl::attempt(std::uint64_t epoch) {
  const std::lock_guard guard(mutex_);
  if (attempt_ != nullptr && attempt_->epoch == epoch) return attempt_;
  // Of an earlier process: what it knew is in the store.
  auto found = std::make_shared<Attempt>();
  found->epoch = epoch;
  found->started_at = utc_now();
  for (const auto& record : shared_.store.records(name_)) {
    if (record.epoch != epoch) continue;
    if (record.kind == RecordKind::facts && is_mysql()) found->mysql = mysql_topology_of(record.data);
    if (record.kind == RecordKind::facts && !is_mysql()) found->topology = topology_of(record.data);
    if (record.kind == RecordKind::begin) {
      found->who = text_of(record.data, "who");
      found->started_at = text_of(record.data, "at");
    }
    if (record.kind == RecordKind::decision) {
      read_positions(record.data, "fence_positions", found->fence_position);
      read_positions(record.data, "first_positions", found->slot_target);
    }
  }
  attempt_ = found;
  return found;
}

StepAnswer DeploymentControl::run(const drain::Action& action, const std::atomic<bool>& cancelled) {
  try {
    return run_step(action, cancelled);
  } catch (const std::exception& unexpected) {
    return StepAnswer::failed(unexpected.what());
  }
}

StepAnswer DeploymentControl::run_step(const drain::Action& action, const std::atomic<bool>& cancelled) {
  auto mine = attempt(action.epoch);
  if (action.step == drain::Step::run_preflight || action.step == drain::Step::open_to) mysql_watch_.settle();
  const auto answer_of = [](const std::string& error) {
    return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
  };
  if (action.step == drain::Step::run_preflight) {
    readiness_.give_way();
    const std::lock_guard one(preparing_);
    auto checks = run_all_checks(action.from, false, cancelled);
    auto waive = config().waive;
    waive.insert(waive.end(), mine->waive.begin(), mine->waive.end());
    const auto failed = refusals(checks, waive);
    {
      const std::lock_guard guard(mine->mutex);
      mine->checks = checks;
    }
    shared_.events.add("preflight", {{"deployment", name_}, {"epoch", action.epoch}, {"checks", to_json(checks)}});
    std::string names;
    for (const auto& name : failed) names += (names.empty() ? "" : ", ") + name;
    return answer_of(names);
  }
  if (action.step == drain::Step::record_begin) {
    {
      const std::lock_guard guard(mine->mutex);
      mine->client_errors_before = shared_.proxy.levels(index_).client_errors;
    }
    return answer_of(
        shared_.store.append({name_,
                              action.epoch,
                              RecordKind::begin,
                              {{"direction", drain::name(mine->direction)}, {"who", mine->who}, {"at", utc_now()}}}));
  }
  if (action.step == drain::Step::prepare) {
    const std::lock_guard one(preparing_);
    return run_on_servers(action, *mine, cancelled);
  }
  if (action.step == drain::Step::write_report) {
    write_report(action.epoch, executor_.state());
    return StepAnswer::done();
  }
  if (action.step == drain::Step::record_end) {
    const auto state = executor_.state();
    const auto outcome = state.road == drain::Road::commit ? drain::Outcome::committed : state.outcome;
    return answer_of(shared_.store.append(
        {name_,
         action.epoch,
         RecordKind::end,
         {{"outcome", drain::name(outcome)}, {"writer", router::name(state.writer)}, {"at_s", std::time(nullptr)}}}));
  }
  return run_on_servers(action, *mine, cancelled);
}

void DeploymentControl::publish(const drain::Action& action) {
  const auto records = is_mysql() ? std::vector<Record>{} : shared_.store.records(name_);
  routes_.publish(action, {is_by_database(records, router::Side::blue), is_by_database(records, router::Side::green)});
  if (action.step == drain::Step::publish_release_to) shared_.proxy.tokens(index_).proven.store(0);
}

void DeploymentControl::changed(const drain::State& before, const drain::State& now, const std::string& note) {
  if (!note.empty()) spdlog::info("{}: epoch {} {}: {}", name_, now.epoch, drain::name(now.phase), note);
  if (now.epoch == 0) return;
  const double at_ms = executor_.now_ms();
  const bool ended = before.is_running() && before.road != drain::Road::start && !now.is_running();
  if (before.phase != now.phase || before.epoch != now.epoch || ended) {
    auto mine = attempt(now.epoch);
    double since_ms = 0;
    {
      const std::lock_guard guard(mine->mutex);
      mine->phases.emplace_back(drain::name(now.phase), at_ms);
      since_ms = at_ms - mine->phases.front().second;
    }
    const auto levels = shared_.proxy.levels(index_);
    shared_.events.add("phase", {{"deployment", name_},
                                 {"epoch", now.epoch},
                                 {"phase", drain::name(now.phase)},
                                 {"at_ms", since_ms},
                                 {"writer", router::name(now.writer)},
                                 {"held_sessions", levels.held_sessions},
                                 {"reason", now.reason}});
  }
  if (!ended) return;
  readiness_.forget();
  // A refusal has had no step that reports.
  if (now.outcome == drain::Outcome::refused || now.outcome == drain::Outcome::planned ||
      !std::filesystem::exists(report_file(now.epoch, ".json"))) {
    write_report(now.epoch, now);
  }
  between_attempts();
  {
    const std::lock_guard guard(mutex_);
    reported_epoch_ = now.epoch;
    if (now.outcome == drain::Outcome::committed) pauses_s_.push_back(shared_.proxy.hold_times(index_).max_ms / 1000);
    if (pauses_s_.size() > 1000) pauses_s_.erase(pauses_s_.begin());
  }
  spdlog::info("{}: epoch {} {}: {}, the writer is {}", name_, now.epoch, drain::name(now.direction), outcome_text(now),
               router::name(now.writer));
  shared_.events.add("report", {{"deployment", name_},
                                {"epoch", now.epoch},
                                {"phase", drain::name(now.phase)},
                                {"outcome", outcome_text(now)},
                                {"reason", now.reason}});
}

std::filesystem::path DeploymentControl::report_file(std::uint64_t epoch, const char* extension) const {
  return shared_.state_dir / "reports" / (name_ + '-' + std::to_string(epoch) + extension);
}

void DeploymentControl::write_report(std::uint64_t epoch, const drain::State& state) {
  auto mine = attempt(epoch);
  ReportInput input;
  input.deployment = name_;
  input.state = state;
  if (state.held_at_ms >= 0 || mine->held_sessions > 0) input.hold = shared_.proxy.hold_times(index_);
  const auto errors = shared_.proxy.levels(index_).client_errors;
  input.client_errors = errors - std::min(errors, mine->client_errors_before);
  if (mine->client_errors_before == 0 && state.restarted) input.client_errors = 0;
  input.steps = executor_.times(epoch);
  input.ended_ms = executor_.now_ms();
  input.ended_at = utc_now();
  input.comparison = comparison_.summary();
  const auto report = build_report(input, *mine);
  std::error_code error;
  std::filesystem::create_directories(shared_.state_dir / "reports", error);
  if (!write_file(report_file(epoch, ".json"), boost::json::serialize(report)) ||
      !write_file(report_file(epoch, ".md"), markdown(report))) {
    spdlog::error("{}: the report of epoch {} cannot be written to {}: check space and permissions", name_, epoch,
                  (shared_.state_dir / "reports").string());
  }
}

std::vector<std::uint64_t> DeploymentControl::report_epochs() const {
  std::vector<std::uint64_t> epochs;
  std::error_code error;
  const std::string prefix = name_ + '-';
  for (const auto& entry : std::filesystem::directory_iterator(shared_.state_dir / "reports", error)) {
    const auto file = entry.path().stem().string();
    if (entry.path().extension() != ".json" || !file.starts_with(prefix)) continue;
    const auto number = file.substr(prefix.size());
    if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos || number.size() > 18) continue;
    epochs.push_back(std::stoull(number));
  }
  std::sort(epochs.begin(), epochs.end());
  return epochs;
}

}  // namespace turnout::control
