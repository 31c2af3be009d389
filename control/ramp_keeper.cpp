#include "control/ramp_keeper.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

#include "control/audit_log.h"
#include "control/durable_file.h"
#include "router/ramp.h"

namespace turnout::control {

namespace {

constexpr std::int64_t gather_ms = 250;
constexpr std::int64_t retry_ms = 2'000;    // a weight that could not be set
constexpr std::int64_t gap_ms_max = 1'000;  // between two looks; a longer one is not time that a step was held
constexpr std::size_t shapes_shown = 50;

router::AnalysisBounds bounds_of(const conf::Ramp& ramp) {
  router::AnalysisBounds bounds;
  bounds.slower_ratio = 1 + ramp.slower_percent / 100.0;
  bounds.slower_ms = ramp.slower_ms;
  // A short step is mostly a test of the ramp itself: it may not be all warm-up.
  bounds.warm_ms = std::min(bounds.warm_ms, ramp.hold_ms / 4);
  return bounds;
}

std::string text_of(const boost::json::object& object, std::string_view key) {
  const auto* found = object.if_contains(key);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

std::uint64_t number_of(const boost::json::object& object, std::string_view key) {
  const auto* found = object.if_contains(key);
  if (found == nullptr) return 0;
  if (found->is_uint64()) return found->get_uint64();
  return found->is_int64() && found->get_int64() > 0 ? static_cast<std::uint64_t>(found->get_int64()) : 0;
}

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

boost::json::object to_json(const router::ShapeState& state) {
  return {{"shape", state.text},
          {"time_share", rounded(state.time_share)},
          {"green", control::to_json(state.green)},
          {"control", control::to_json(state.control)},
          {"p95_ratio", rounded(state.ratio)},
          {"evidence", rounded(state.log_evidence)},
          {"evidence_bound", rounded(state.log_evidence_needed)},
          {"slower", state.is_slower}};
}

}  // namespace

boost::json::object to_json(const router::SideNumbers& side) {
  return {{"reads", side.count},
          {"errors", side.errors},
          {"p50_ms", rounded(side.p50_ms)},
          {"p95_ms", rounded(side.p95_ms)}};
}

boost::json::object to_json(const router::StepBack& back) {
  return {{"kind", router::name(back.kind)}, {"shape", back.text},
          {"sqlstate", back.sqlstate},       {"why", back.why},
          {"green", to_json(back.green)},    {"control", to_json(back.control)}};
}

RampKeeper::RampKeeper(Context context) : context_(std::move(context)) {
  load();
}

void RampKeeper::tell(std::string text, boost::json::object more) {
  more["text"] = std::move(text);
  context_.on_event(std::move(more));
}

// ---- what survives a restart

void RampKeeper::load() {
  boost::system::error_code error;
  const auto value = boost::json::parse(content_of(context_.file), error);
  if (error || !value.is_object()) return;  // none was ever written
  const auto& state = value.get_object();
  const auto phase = router::ladder_phase(text_of(state, "phase"));
  const auto* steps = state.if_contains("steps");
  if (!phase || steps == nullptr || !steps->is_array()) return;
  router::Ladder ladder;
  ladder.phase = *phase;
  ladder.step = static_cast<std::uint32_t>(number_of(state, "step"));
  for (const auto& step : steps->get_array()) {
    if (!step.is_int64() || step.get_int64() < 0 || step.get_int64() > 100) return;
    ladder.steps.push_back(static_cast<std::uint32_t>(step.get_int64()));
  }
  if (ladder.is_on_step() && ladder.step >= ladder.steps.size()) return;
  ladder_ = std::move(ladder);
  writer_ = text_of(state, "writer");
  step_backs_ = number_of(state, "step_backs");
  if (const auto* back = state.if_contains("last_step_back"); back != nullptr && back->is_object()) {
    last_back_ = back->get_object();
  }
  is_restoring_ = ladder_.is_on_step();
}

// With mutex_ free: the disk may be slow, and status must not wait for it.
std::string RampKeeper::save() {
  std::string content;
  {
    const std::lock_guard guard(mutex_);
    boost::json::array steps;
    for (const auto step : ladder_.steps) steps.emplace_back(static_cast<std::int64_t>(step));
    content = boost::json::serialize(boost::json::object{{"phase", router::name(ladder_.phase)},
                                                         {"steps", steps},
                                                         {"step", ladder_.step},
                                                         {"writer", writer_},
                                                         {"step_backs", step_backs_},
                                                         {"last_step_back", last_back_}});
  }
  return write_durably(context_.file, content);
}

void RampKeeper::restore(const router::RoutingTable& table, std::int64_t now_ms) {
  if (table.hold != router::Hold::nothing || now_ms < retry_at_ms_) return;
  retry_at_ms_ = now_ms + retry_ms;
  if (table.ramp.percent != 0 || writer_ != router::name(table.writer)) {
    const std::lock_guard guard(mutex_);
    is_restoring_ = false;  // somebody has set a weight since, or a cutover has moved the writer
    if (table.ramp.percent == 0) ladder_ = router::move(ladder_, router::LadderEvent::taken_off, {}).ladder;
    return;
  }
  const auto percent = ladder_.percent();
  if (!context_.set_weight(static_cast<int>(percent)).empty()) return;  // green or blue is not there yet: try again
  {
    const std::lock_guard guard(mutex_);
    is_restoring_ = false;
  }
  tell("the ramp goes on after a restart: its step of " + std::to_string(percent) + " % begins anew",
       {{"percent", percent}});
}

// ---- orders

std::string RampKeeper::apply(const router::LadderMove& move) {
  if (*move.refusal != 0) return move.refusal;
  if (move.weight) {
    if (auto error = context_.set_weight(static_cast<int>(*move.weight)); !error.empty()) return error;
  }
  {
    const std::lock_guard guard(mutex_);
    ladder_ = move.ladder;
    writer_ = router::name(context_.routes.table().writer);
    is_restoring_ = false;
    held_ms_ = 0;
    waiting_for_.clear();
  }
  return save();
}

std::string RampKeeper::order(router::LadderEvent event) {
  const std::lock_guard acting(acting_);
  if (event == router::LadderEvent::resume && ladder_.phase == router::LadderPhase::interrupted &&
      writer_ != router::name(context_.routes.table().writer)) {
    return "the writer has moved since: start the ramp anew";
  }
  if (auto error = apply(router::move(ladder_, event, context_.config().ramp.ladder)); !error.empty()) return error;
  tell("ramp " + std::string(router::name(ladder_.phase)) + " at " +
           std::to_string(context_.routes.table().ramp.percent) + " %",
       {{"percent", context_.routes.table().ramp.percent}, {"ramp_phase", router::name(ladder_.phase)}});
  return "";
}

std::string RampKeeper::shift(int percent) {
  const std::lock_guard acting(acting_);
  if (auto error = context_.set_weight(percent); !error.empty()) return error;
  if (ladder_.phase == router::LadderPhase::off) return "";
  return apply(router::move(ladder_, router::LadderEvent::shift, {}));
}

// ---- looking

void RampKeeper::look(const router::RoutingTable& table, std::int64_t now_ms) {
  const std::unique_lock acting(acting_, std::try_to_lock);
  if (!acting.owns_lock()) return;  // an operator is changing it; the next look will see
  if (is_restoring_) return restore(table, now_ms);
  follow_weight(table, now_ms);
  std::optional<router::StepBack> back;
  {
    const std::lock_guard guard(mutex_);
    back = std::exchange(heeded_, std::nullopt);
  }
  if (back && table.ramp.percent != 0) return step_back(table, *back);
  if (table.ramp.percent == 0 || table.hold != router::Hold::nothing) return;
  const auto failures = context_.proxy.green_failures(context_.index);
  if (now_ms - gathered_at_ms_ < gather_ms && failures == failures_) return;
  failures_ = failures;
  gathered_at_ms_ = now_ms;
  const auto looks = context_.proxy.read_looks(context_.index);
  {
    const std::lock_guard guard(mutex_);
    for (const auto& one : looks) analysis_.add(one, now_ms);
    back = analysis_.look(now_ms);
  }
  if (back) {
    step_back(table, *back);
  } else {
    climb(table, now_ms);
  }
}

void RampKeeper::heed(router::StepBack back) {
  const std::lock_guard guard(mutex_);
  if (!heeded_) heeded_ = std::move(back);
}

// Whoever set the weight: another one is another step for the analysis.
void RampKeeper::follow_weight(const router::RoutingTable& table, std::int64_t now_ms) {
  const std::uint32_t percent = table.ramp.percent;
  if (ladder_.is_on_step() && percent == 0 && table.hold == router::Hold::nothing) {
    static_cast<void>(apply(router::move(ladder_, router::LadderEvent::taken_off, {})));
    tell("the ramp is interrupted: a cutover took the reads back to the writer", {{"percent", 0}});
  }
  if (percent == percent_) return;
  const std::lock_guard guard(mutex_);
  if (percent_ == 0) analysis_ = router::Analysis(bounds_of(context_.config().ramp));
  percent_ = percent;
  if (percent == 0) return;  // the last numbers stay to be looked at
  analysis_.begin_step(now_ms);
  held_ms_ = 0;
  looked_at_ms_ = now_ms;
}

void RampKeeper::step_back(const router::RoutingTable& table, const router::StepBack& back) {
  auto orders = table.ramp;
  orders.percent = 0;
  orders.threshold = 0;
  orders.control_from = router::threshold_all;
  orders.evicted = orders.late = false;
  if (!context_.routes.set_ramp(orders)) return;  // a hold has begun: the reads are on the writer already
  auto told = to_json(back);
  told["at"] = utc_now();
  told["percent"] = table.ramp.percent;
  {
    const std::lock_guard guard(mutex_);
    ladder_ = router::move(ladder_, router::LadderEvent::step_back, {}).ladder;
    last_back_ = told;
    ++step_backs_;
    waiting_for_.clear();
  }
  std::string trouble = save();
  if (trouble.empty()) trouble = context_.record_back(told);
  tell("stepped back from " + std::to_string(table.ramp.percent) + " %: " + back.why + ": " + back.text,
       {{"percent", 0}, {"ramp_phase", router::name(router::LadderPhase::stepped_back)}, {"step_back", told}});
  if (!trouble.empty()) tell("the step back could not be recorded: " + trouble);
}

void RampKeeper::climb(const router::RoutingTable& table, std::int64_t now_ms) {
  router::StepProgress progress;
  std::string missing;
  {
    const std::lock_guard guard(mutex_);
    if (ladder_.phase == router::LadderPhase::climbing && !table.ramp.evicted) {
      held_ms_ += std::min(now_ms - looked_at_ms_, gap_ms_max);
    }
    looked_at_ms_ = now_ms;
    progress = {held_ms_,
                analysis_.samples(router::Group::green),
                analysis_.samples(router::Group::control),
                table.ramp.control_from != router::threshold_all,
                table.ramp.evicted,
                analysis_.doubt()};
    const auto ramp = context_.config().ramp;
    missing = router::what_is_missing(progress, {ramp.hold_ms, ramp.samples_min});
    waiting_for_ = ladder_.phase == router::LadderPhase::climbing ? missing : "";
  }
  if (ladder_.phase != router::LadderPhase::climbing || !missing.empty() || now_ms < retry_at_ms_) return;
  if (const auto error = apply(router::move(ladder_, router::LadderEvent::climb, {})); !error.empty()) {
    retry_at_ms_ = now_ms + retry_ms;
    const std::lock_guard guard(mutex_);
    waiting_for_ = error;
    return;
  }
  tell("ramp climbs to " + std::to_string(ladder_.percent()) + " %",
       {{"percent", ladder_.percent()}, {"ramp_phase", router::name(ladder_.phase)}});
}

// ---- for people

boost::json::object RampKeeper::report() const {
  const auto table = context_.routes.table();
  const auto ramp = context_.config().ramp;
  const std::lock_guard guard(mutex_);
  boost::json::array steps, shapes;
  for (const auto step : ladder_.steps.empty() ? ramp.ladder : ladder_.steps) steps.emplace_back(step);
  for (const auto& state : analysis_.shapes(shapes_shown)) shapes.emplace_back(to_json(state));
  return {{"deployment", context_.deployment},
          {"phase", router::name(ladder_.phase)},
          {"percent", table.ramp.percent},
          {"ladder", steps},
          {"step", ladder_.step},
          {"waiting_for", waiting_for_},
          {"held_s", static_cast<double>(held_ms_) / 1000},
          {"hold_s", static_cast<double>(ramp.hold_ms) / 1000},
          {"samples", analysis_.samples(router::Group::green)},
          {"samples_needed", ramp.samples_min},
          {"evicted", table.ramp.evicted},
          {"green", to_json(analysis_.numbers(router::Group::green))},
          {"control", to_json(analysis_.numbers(router::Group::control))},
          {"shapes", shapes},
          {"step_backs", step_backs_},
          {"last_step_back", last_back_.empty() ? boost::json::value(nullptr) : boost::json::value(last_back_)}};
}

RampKeeper::Numbers RampKeeper::numbers() const {
  const std::lock_guard guard(mutex_);
  Numbers numbers;
  numbers.step_backs = step_backs_;
  numbers.phase = router::name(ladder_.phase);
  numbers.waiting_for = waiting_for_;
  if (!last_back_.empty()) numbers.step_back = text_of(last_back_, "why") + ": " + text_of(last_back_, "shape");
  numbers.green = analysis_.numbers(router::Group::green);
  numbers.control = analysis_.numbers(router::Group::control);
  for (const auto& state : analysis_.shapes(shapes_shown)) {
    if (state.time_share >= 0.01) numbers.worst_ratio = std::max(numbers.worst_ratio, state.ratio);
  }
  return numbers;
}

}  // namespace turnout::control
