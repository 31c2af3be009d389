#include "control/shadow_keeper.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>
#include <vector>

#include "control/audit_log.h"
#include "control/durable_file.h"
#include "router/shadow.h"
#include "router/shadow_alarm.h"

namespace turnout::control {

namespace {

using router::ShadowOutcome;

constexpr std::int64_t gather_ms = 500;
constexpr std::int64_t retry_ms = 2'000;
constexpr std::size_t shapes_shown = 100;
constexpr std::size_t plans_asked_max = 4;  // at once: each costs the writer an EXPLAIN
using Sums = std::array<std::uint64_t, router::shadow_outcomes>;

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

router::SlowerBounds bounds_of(const conf::Ramp& ramp) {
  router::SlowerBounds bounds;
  bounds.ratio = 1 + ramp.slower_percent / 100.0;
  bounds.ms = ramp.slower_ms;
  return bounds;
}

boost::json::object latency_of(const router::LatencyBins& bins) {
  return {{"reads", bins.count()},
          {"p50_ms", rounded(bins.percentile_ms(0.5))},
          {"p95_ms", rounded(bins.percentile_ms(0.95))},
          {"p99_ms", rounded(bins.percentile_ms(0.99))}};
}

double p95_ratio(const router::ShadowShape& shape) {
  const double here = shape.latency[0].percentile_ms(0.95), there = shape.latency[1].percentile_ms(0.95);
  return here > 0 ? there / here : 0;
}

void put_outcomes(boost::json::object& out, const Sums& outcomes) {
  for (std::size_t i = 0; i < outcomes.size(); ++i) out[router::name(static_cast<ShadowOutcome>(i))] = outcomes[i];
}

boost::json::object to_json(const router::ShadowShape& shape, const router::SlowerBounds& bounds, router::Side writer) {
  const auto* const here = router::name(writer);
  const auto* const there = router::name(router::other(writer));
  const bool slower = router::is_slower(shape.latency[1], shape.latency[0], bounds);
  boost::json::array errors;
  for (const auto& error : shape.errors) {
    errors.push_back(boost::json::object{{"sqlstate", error.sqlstate}, {here, error.blue}, {there, error.green}});
  }
  boost::json::object out{{"database", shape.database},
                          {"shape", shape.text},
                          {"runs", shape.runs()},
                          {"slower", slower},
                          {"p95_ratio", rounded(p95_ratio(shape))},
                          {here, latency_of(shape.latency[0])},
                          {there, latency_of(shape.latency[1])},
                          {"errors", std::move(errors)},
                          {"difference", shape.different},
                          {"explanation", shape.explained},
                          {"why_not_compared", shape.not_compared}};
  put_outcomes(out, shape.outcomes);
  if (!shape.plans[1].empty()) out["plans"] = boost::json::object{{here, shape.plans[0]}, {there, shape.plans[1]}};
  return out;
}

Sums sums_of(const std::vector<const router::ShadowShape*>& shapes) {
  Sums sums{};
  for (const auto* shape : shapes)
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += shape->outcomes[i];
  return sums;
}

std::size_t count_slower(const std::vector<const router::ShadowShape*>& shapes, const router::SlowerBounds& bounds) {
  return static_cast<std::size_t>(std::ranges::count_if(
      shapes, [&](const auto* shape) { return router::is_slower(shape->latency[1], shape->latency[0], bounds); }));
}

// Why nobody should depend on the other side yet: "different", "slower"; "same"; "" = nothing was compared.
std::string outcome_of(const Sums& sums, std::size_t slower) {
  const auto count = [&](ShadowOutcome outcome) { return sums[router::index(outcome)]; };
  if (count(ShadowOutcome::different) + count(ShadowOutcome::failed) != 0) return "different";
  if (slower != 0) return "slower";
  const bool is_same =
      count(ShadowOutcome::same) + count(ShadowOutcome::caught_up) + count(ShadowOutcome::explained) != 0;
  return is_same ? "same" : "";
}

}  // namespace

ShadowKeeper::ShadowKeeper(Context context) : context_(std::move(context)), book_(context_.config().shadow.shapes_max) {
  load();
}

// ---- what survives a restart

void ShadowKeeper::load() {
  boost::system::error_code error;
  const auto value = boost::json::parse(content_of(context_.file), error);
  if (error || !value.is_object()) return;  // none was ever written
  const auto* percent = value.get_object().if_contains("percent");
  if (percent == nullptr || !percent->is_int64()) return;
  const auto share = percent->get_int64();
  if (share > 0 && share <= 100) restores_ = static_cast<int>(share);
}

std::string ShadowKeeper::save(int percent) {
  return write_durably(context_.file, boost::json::serialize(boost::json::object{{"percent", percent}}));
}

void ShadowKeeper::restore(const router::RoutingTable& table, std::int64_t now_ms) {
  if (table.hold != router::Hold::nothing || now_ms < retry_at_ms_) return;
  retry_at_ms_ = now_ms + retry_ms;
  int percent = 0;
  {
    const std::lock_guard guard(mutex_);
    percent = restores_.value_or(0);
  }
  if (!context_.set_share(percent).empty()) return;  // a side is not there yet: try again
  const std::lock_guard guard(mutex_);
  restores_.reset();
  begin_anew(router::shadow_side(context_.routes.table()));
}

void ShadowKeeper::begin_anew(router::Side side) {
  book_ = router::ShadowBook(context_.config().shadow.shapes_max);
  told_.clear();
  asked_plans_.clear();
  since_ = utc_now();
  side_ = side;
  last_run_ms_ = 0;
}

// ---- orders

std::string ShadowKeeper::set(int percent) {
  const std::lock_guard acting(acting_);
  const bool was_on = context_.routes.table().shadow.percent != 0;
  if (auto error = context_.set_share(percent); !error.empty()) return error;
  {
    const std::lock_guard guard(mutex_);
    restores_.reset();
    if (percent != 0 && !was_on) begin_anew(router::shadow_side(context_.routes.table()));
  }
  context_.on_event({{"text", percent == 0 ? std::string("shadow off")
                                           : "shadow on: " + std::to_string(percent) + " % of the writer's reads"},
                     {"percent", percent}});
  return save(percent);
}

// ---- looking

void ShadowKeeper::look(const router::RoutingTable& table, std::int64_t now_ms) {
  const std::unique_lock acting(acting_, std::try_to_lock);
  if (!acting.owns_lock()) return;
  bool restores = false;
  {
    const std::lock_guard guard(mutex_);
    restores = restores_.has_value();
  }
  if (restores) return restore(table, now_ms);
  if (table.shadow.percent == 0 || now_ms - gathered_at_ms_ < gather_ms) return;
  gathered_at_ms_ = now_ms;
  const auto looks = context_.proxy.shadow_looks(context_.index);
  std::optional<router::StepBack> alarm;
  {
    const std::lock_guard guard(mutex_);
    if (router::shadow_side(table) != side_) {
      if (!router::casts_shadow(table)) return;  // after a move: the numbers of before it stay to be looked at
      return begin_anew(router::shadow_side(table));
    }
    for (const auto& look : looks) {
      if (!look.shapes.empty()) last_run_ms_ = now_ms;
      book_.add(look);
      if (table.ramp.percent != 0 && !alarm) alarm = alarm_of(look);
    }
  }
  tell_news(table);
  if (alarm) context_.on_alarm(std::move(*alarm));
}

std::optional<router::StepBack> ShadowKeeper::alarm_of(const router::ShadowBook::Look& look) {
  for (const auto& news : look.shapes) {
    const auto* known = book_.find(news.shape);
    if (auto found = router::find_step_back(news, known == nullptr ? news : *known)) return found;
  }
  return std::nullopt;
}

// Once for each shape: that it differs; and for one that got slower, its plans are asked for.
void ShadowKeeper::tell_news(const router::RoutingTable& table) {
  const auto bounds = bounds_of(context_.config().ramp);
  std::vector<boost::json::object> news;
  std::vector<std::uint64_t> plans;
  {
    const std::lock_guard guard(mutex_);
    for (const auto* shape : book_.shapes(bounds, shapes_shown)) {
      if (shape->proven() != 0 && told_.insert(shape->shape).second) {
        news.push_back({{"text", std::string("the shadow on ") + router::name(router::shadow_side(table)) +
                                     " differs: " + shape->different + ": " + shape->text},
                        {"shape", shape->text},
                        {"difference", shape->different}});
      }
      if (plans.size() < plans_asked_max && shape->plans[1].empty() &&
          router::is_slower(shape->latency[1], shape->latency[0], bounds) && asked_plans_.insert(shape->shape).second) {
        plans.push_back(shape->shape);
      }
    }
  }
  for (auto& one : news) context_.on_event(std::move(one));
  if (!plans.empty()) context_.proxy.ask_shadow_plans(context_.index, plans);
}

// ---- for people

boost::json::object ShadowKeeper::report() const {
  const auto table = context_.routes.table();
  const auto bounds = bounds_of(context_.config().ramp);
  const std::lock_guard guard(mutex_);
  const auto all = book_.shapes(bounds, book_.size());
  const Sums sums = sums_of(all);
  const auto slower = count_slower(all, bounds);
  boost::json::array shapes;
  for (std::size_t i = 0; i < std::min(all.size(), shapes_shown); ++i)
    shapes.emplace_back(to_json(*all[i], bounds, router::other(side_)));
  boost::json::object dropped;
  for (std::size_t i = 0; i < router::shadow_drops; ++i)
    dropped[router::name(static_cast<router::ShadowDrop>(i))] = book_.drops()[i];
  boost::json::object out{{"deployment", context_.deployment},
                          {"percent", table.shadow.percent},
                          {"writer", router::name(router::other(side_))},
                          {"side", router::name(side_)},
                          {"standing_still", table.shadow.percent != 0 && !router::casts_shadow(table)},
                          {"since", since_},
                          {"outcome", outcome_of(sums, slower)},
                          {"runs", std::uint64_t{0}},
                          {"slower", slower},
                          {"dropped", std::move(dropped)},
                          {"shapes_known", all.size()},
                          {"shapes_without_room", book_.without_room()},
                          {"shapes", std::move(shapes)}};
  std::uint64_t runs = 0;
  for (const auto count : sums) runs += count;
  out["runs"] = runs;
  put_outcomes(out, sums);
  return out;
}

boost::json::object ShadowKeeper::summary() const {
  auto all = report();
  if (all["since"].as_string().empty()) return {};
  for (const std::string_view key : {"deployment", "shapes", "dropped", "writer", "shapes_without_room"})
    all.erase(key);
  return all;
}

ShadowKeeper::Numbers ShadowKeeper::numbers() const {
  const auto bounds = bounds_of(context_.config().ramp);
  const std::lock_guard guard(mutex_);
  const auto all = book_.shapes(bounds, book_.size());
  const Sums sums = sums_of(all);
  Numbers numbers;
  for (std::size_t i = 0; i < sums.size(); ++i)
    numbers.reads.emplace_back(router::name(static_cast<ShadowOutcome>(i)), sums[i]);
  for (std::size_t i = 0; i < router::shadow_drops; ++i)
    numbers.drops.emplace_back(router::name(static_cast<router::ShadowDrop>(i)), book_.drops()[i]);
  numbers.slower = count_slower(all, bounds);
  return numbers;
}

Warmth ShadowKeeper::warmth(std::int64_t now_ms) const {
  const auto bounds = bounds_of(context_.config().ramp);
  const std::lock_guard guard(mutex_);
  Warmth warmth;
  warmth.side = side_;
  const auto all = book_.shapes(bounds, book_.size());
  warmth.slower = count_slower(all, bounds);
  warmth.shapes = all.size();
  for (const auto* shape : all) warmth.reads += shape->runs();
  if (last_run_ms_ != 0) warmth.age_ms = std::max<std::int64_t>(0, now_ms - last_run_ms_);
  return warmth;
}

}  // namespace turnout::control
