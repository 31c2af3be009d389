#include "router/analysis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace turnout::router {

namespace {

constexpr std::size_t sqlstates_max = 16;  // of one shape; more are not told apart
constexpr double doubtful_log_e = 3;       // e³ ≈ 20: too much to go on, too little to step back

std::string_view class_of(std::string_view sqlstate) {
  return sqlstate.substr(0, 2);
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

const char* name(StepBackKind kind) {
  switch (kind) {
    case StepBackKind::error_class:
      return "error_class";
    case StepBackKind::error_rate:
      return "error_rate";
    case StepBackKind::latency:
      return "latency";
    case StepBackKind::shadow_difference:
      return "shadow_difference";
    case StepBackKind::shadow_error:
      return "shadow_error";
  }
  return "?";
}

bool is_of_the_moment(std::string_view sqlstate) {
  constexpr std::array<std::string_view, 6> classes = {"08", "40", "53", "55", "57", "70"};
  constexpr std::array<std::string_view, 2> mysql = {"H1205", "H3024"};  // waited for a lock; took longer than it may
  if (sqlstate.empty()) return false;                                    // most often: no error
  return std::ranges::find(classes, class_of(sqlstate)) != classes.end() ||
         std::ranges::find(mysql, sqlstate) != mysql.end();
}

std::optional<StepBack> find_step_back(std::span<const ShapeErrors> errors) {
  for (const ShapeErrors& seen : errors) {
    if (seen.green == 0 || is_of_the_moment(seen.sqlstate)) continue;
    const bool also_on_blue = std::ranges::any_of(errors, [&](const ShapeErrors& other) {
      return other.shape == seen.shape && other.blue > 0 && class_of(other.sqlstate) == class_of(seen.sqlstate);
    });
    if (also_on_blue) continue;
    StepBack found;
    found.shape = seen.shape;
    found.sqlstate = seen.sqlstate;
    found.why = "error class " + std::string(class_of(seen.sqlstate)) + " (" + seen.sqlstate + ") " +
                std::to_string(seen.green) + " times on green, never on blue for this shape";
    return found;
  }
  return std::nullopt;
}

// ---- evidence

void BlockEvidence::add(double score) {
  constexpr double score_max = 4;  // one block says so much and no more
  score = std::clamp(score, -score_max, score_max);
  ++blocks_;
  sum_ += score;
  squares_ += score * score;
}

// The mixture over effects of the upper half of N(0, 1/ρ): e = 2Φ(S/√(V+ρ)) · √(ρ/(V+ρ)) · exp(S² / 2(V+ρ)); only
// S > 0 speaks against green. V is the variance that chance gives to the sum, or what the blocks show where that is
// more.
double BlockEvidence::log_e() const {
  if (blocks_ < 2 || sum_ <= 0) return 0;
  const double count = blocks_;
  const double spread = (squares_ - sum_ * sum_ / count) / (count - 1);
  const double variance = count * std::max(1.0, spread);
  const double all = variance + decisive_;
  const double half = std::log(std::erfc(-sum_ / std::sqrt(2 * all)));
  return std::max(0.0, half + sum_ * sum_ / (2 * all) - std::log(all / decisive_) / 2);
}

// A bet on green, fair if both sides are equal, that keeps a fifth of its money when it loses.
void FailureEvidence::add(bool green_failed, bool control_failed, double expected) {
  if (green_failed == control_failed || expected <= 0 || expected >= 1) return;
  const double stake = 0.8 / std::max(expected, 1 - expected);
  log_e_ += std::log(green_failed ? 1 + stake * (1 - expected) : 1 - stake * expected);
}

// ---- the shapes

struct Analysis::One {
  struct Blocks {
    std::array<LatencyBins, 2> running;
    std::int64_t began_ms = 0;
    BlockEvidence slower;
  };

  explicit One(const AnalysisBounds& bounds) {
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].slower = BlockEvidence(bounds.blocks[i].decisive);
  }
  [[nodiscard]] double log_slower() const { return std::max(blocks[0].slower.log_e(), blocks[1].slower.log_e()); }

  std::uint64_t shape = 0;
  std::string text;
  std::uint64_t seen = 0;              // the clock when it was seen last
  std::array<LatencyBins, 2> latency;  // of the step
  std::array<Blocks, 2> blocks;        // by AnalysisBounds::blocks
  FailureEvidence failing;
  std::vector<ShapeErrors> errors;               // of the whole ramp
  std::array<std::uint64_t, 2> failed{};         // of the step
  std::array<std::uint64_t, 2> failed_lately{};  // errors of the moment since the last look
  std::array<std::uint64_t, 2> ran_lately{};
};

Analysis::Analysis(const AnalysisBounds& bounds) : bounds_(bounds) {}
Analysis::~Analysis() = default;
Analysis::Analysis(Analysis&&) noexcept = default;
Analysis& Analysis::operator=(Analysis&&) noexcept = default;

void Analysis::begin_step(std::int64_t now_ms) {
  step_began_ms_ = now_ms;
  samples_ = {};
  for (auto& [shape, one] : shapes_) {
    auto fresh = std::make_unique<One>(bounds_);
    fresh->shape = shape;
    fresh->text = std::move(one->text);
    fresh->seen = one->seen;
    fresh->errors = std::move(one->errors);
    one = std::move(fresh);
  }
}

Analysis::One& Analysis::one(const ShapeLook& look) {
  auto& found = shapes_[look.shape];
  if (!found) {
    found = std::make_unique<One>(bounds_);
    found->shape = look.shape;
  }
  if (found->text.empty()) found->text = look.text;
  found->seen = ++clock_;
  One& result = *found;
  if (shapes_.size() > bounds_.shapes_max) {
    shapes_.erase(std::ranges::min_element(shapes_, {}, [](const auto& entry) { return entry.second->seen; }));
  }
  return result;
}

void Analysis::add(const ShapeLook& look, std::int64_t now_ms) {
  One& here = one(look);
  for (const ShapeErrors& error : look.errors) {
    auto known = std::ranges::find(here.errors, error.sqlstate, &ShapeErrors::sqlstate);
    if (known == here.errors.end() && here.errors.size() < sqlstates_max) {
      here.errors.push_back({look.shape, error.sqlstate, 0, 0});
      known = std::prev(here.errors.end());
    }
    if (known != here.errors.end()) {
      known->blue += error.blue;
      known->green += error.green;
    }
    const std::array<std::uint64_t, 2> by_group = {error.blue, error.green};
    for (std::size_t group = 0; group < 2; ++group) {
      here.failed[group] += by_group[group];
      here.ran_lately[group] += by_group[group];
      if (is_of_the_moment(error.sqlstate)) here.failed_lately[group] += by_group[group];
    }
  }
  const bool is_warm = now_ms - step_began_ms_ >= bounds_.warm_ms;
  for (std::size_t group = 0; group < 2; ++group) {
    here.ran_lately[group] += look.latency[group].count();
    if (!is_warm || look.latency[group].count() == 0) continue;
    here.latency[group].add(look.latency[group]);
    samples_[group] += look.latency[group].count();
    for (One::Blocks& blocks : here.blocks) {
      blocks.running[group].add(look.latency[group]);
      if (blocks.began_ms == 0) blocks.began_ms = now_ms;
    }
  }
}

double Analysis::needed() const {
  const auto judged = static_cast<double>(std::ranges::count_if(shapes_, [&](const auto& entry) {
    return entry.second->blocks[0].slower.blocks() != 0 || entry.second->failing.log_e() != 0;
  }));
  return std::log(std::max(1.0, judged) / bounds_.alpha);
}

std::optional<StepBack> Analysis::look(std::int64_t now_ms) {
  std::optional<StepBack> found;
  for (auto& [shape, one] : shapes_) {
    if (auto failing = judge_errors(*one); failing && !found) found = std::move(failing);
  }
  for (auto& [shape, one] : shapes_) {
    if (found) return found;
    found = judge_latency(*one, now_ms);
  }
  return found;
}

std::optional<StepBack> Analysis::judge_errors(One& one) {
  const auto ran = static_cast<double>(one.ran_lately[0] + one.ran_lately[1]);
  if (ran != 0) {
    one.failing.add(one.failed_lately[index(Group::green)] != 0, one.failed_lately[index(Group::control)] != 0,
                    static_cast<double>(one.ran_lately[index(Group::green)]) / ran);
  }
  one.failed_lately = one.ran_lately = {};
  if (auto unknown = find_step_back(one.errors)) {
    auto because = because_of(one, StepBackKind::error_class, std::move(unknown->why));
    because.sqlstate = unknown->sqlstate;
    return because;
  }
  if (one.failing.log_e() < needed()) return std::nullopt;
  auto because = because_of(one, StepBackKind::error_rate, "");
  because.why = std::to_string(because.green.errors) + " errors in " + std::to_string(because.green.count) +
                " reads on green, " + std::to_string(because.control.errors) + " in " +
                std::to_string(because.control.count) + " of the control group: chance does that once in e^" +
                number(one.failing.log_e()) + ", the bound is e^" + number(needed());
  const auto* worst = std::ranges::max_element(one.errors, {}, &ShapeErrors::green).base();
  if (!one.errors.empty()) because.sqlstate = worst->sqlstate;
  return because;
}

bool Analysis::end_blocks(One& one, std::int64_t now_ms) const {
  bool is_enough = false;
  for (std::size_t i = 0; i < one.blocks.size(); ++i) {
    One::Blocks& blocks = one.blocks[i];
    const BlockRule& rule = bounds_.blocks[i];
    const auto& [control, green] = blocks.running;
    if (control.count() < bounds_.block_samples || green.count() < bounds_.block_samples) continue;
    if (now_ms - blocks.began_ms < rule.ms) continue;
    blocks.slower.add(rank_score(green, control));
    blocks.running = {};
    blocks.began_ms = 0;
    is_enough = is_enough || (blocks.slower.blocks() >= rule.blocks_min && blocks.slower.log_e() >= needed());
  }
  return is_enough;
}

std::optional<StepBack> Analysis::judge_latency(One& one, std::int64_t now_ms) {
  if (!end_blocks(one, now_ms)) return std::nullopt;
  double all_ms = 0;
  for (const auto& [shape, other] : shapes_) all_ms += other->latency[0].sum_ms() + other->latency[1].sum_ms();
  const ShapeState state = state_of(one, all_ms);
  if (!state.is_slower || state.time_share < bounds_.share_min) return std::nullopt;
  return because_of(one, StepBackKind::latency,
                    "p95 " + number(state.green.p95_ms) + " ms on green, " + number(state.control.p95_ms) +
                        " ms on blue at the same time: " + number(state.ratio) + " times, the bound is " +
                        number(bounds_.slower_ratio) + " times and " + number(bounds_.slower_ms) +
                        " ms; chance does that once in e^" + number(state.log_evidence) + ", the bound is e^" +
                        number(state.log_evidence_needed));
}

ShapeState Analysis::state_of(const One& one, double all_ms) const {
  const auto side = [&](Group group) {
    const LatencyBins& bins = one.latency[index(group)];
    return SideNumbers{bins.count() + one.failed[index(group)], one.failed[index(group)], bins.percentile_ms(0.5),
                       bins.percentile_ms(0.95)};
  };
  ShapeState state;
  state.shape = one.shape;
  state.text = one.text;
  state.green = side(Group::green);
  state.control = side(Group::control);
  const double ms = one.latency[0].sum_ms() + one.latency[1].sum_ms();
  state.time_share = all_ms > 0 ? ms / all_ms : 0;
  const bool enough = one.latency[0].count() >= bounds_.samples_min && one.latency[1].count() >= bounds_.samples_min;
  if (state.control.p95_ms > 0 && state.green.p95_ms > 0) state.ratio = state.green.p95_ms / state.control.p95_ms;
  state.is_slower =
      enough && state.ratio > bounds_.slower_ratio && state.green.p95_ms - state.control.p95_ms > bounds_.slower_ms;
  state.log_evidence = one.log_slower();
  state.log_evidence_needed = needed();
  return state;
}

StepBack Analysis::because_of(const One& one, StepBackKind kind, std::string why) const {
  const ShapeState state = state_of(one, 0);
  StepBack because;
  because.shape = one.shape;
  because.why = std::move(why);
  because.kind = kind;
  because.text = one.text;
  because.green = state.green;
  because.control = state.control;
  return because;
}

std::vector<ShapeState> Analysis::shapes(std::size_t count_max) const {
  double all_ms = 0;
  for (const auto& [shape, one] : shapes_) all_ms += one->latency[0].sum_ms() + one->latency[1].sum_ms();
  std::vector<ShapeState> states;
  for (const auto& [shape, one] : shapes_) states.push_back(state_of(*one, all_ms));
  std::ranges::stable_sort(states, std::ranges::greater(), &ShapeState::time_share);
  if (states.size() > count_max) states.resize(count_max);
  return states;
}

std::string Analysis::doubt() const {
  for (const ShapeState& state : shapes(shapes_.size())) {
    if (state.is_slower && state.time_share >= bounds_.share_min && state.log_evidence >= doubtful_log_e) {
      return "inconclusive: p95 " + number(state.green.p95_ms) + " ms on green, " + number(state.control.p95_ms) +
             " ms on blue of " + state.text;
    }
  }
  for (const auto& [shape, one] : shapes_) {
    if (one->failing.log_e() >= doubtful_log_e) return "inconclusive: errors on green of " + one->text;
  }
  return "";
}

SideNumbers Analysis::numbers(Group group) const {
  LatencyBins all;
  SideNumbers sum;
  for (const auto& [shape, one] : shapes_) {
    all.add(one->latency[index(group)]);
    sum.errors += one->failed[index(group)];
  }
  sum.count = all.count() + sum.errors;
  sum.p50_ms = all.percentile_ms(0.5);
  sum.p95_ms = all.percentile_ms(0.95);
  return sum;
}

}  // namespace turnout::router
