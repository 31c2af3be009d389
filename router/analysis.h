// Is green worse than blue? The same shapes, at the same time, on both sides: reads of the sessions that are ramped
// against reads of an equal share of sessions that stay on blue (the control group). Numbers in, verdicts out; the
// caller counts, and says what time it is.
//
// Three reasons to step back, each for one shape:
//  - an error class that blue does not know: at once;
//  - errors of the moment (connections lost, time-outs, conflicts) more often than on blue;
//  - latency.
// The last two are judged while the numbers grow, so they are e-processes: under equal sides such a number passes 1/α
// with a probability of at most α, however often one looks. Latency is compared by ranks within blocks of time, so that
// what hits both sides cancels out and heavy tails do not matter; the spread between blocks counts where it is greater
// than chance allows, so that a side's bursts are not taken for its nature. Evidence alone is not enough: the effect
// has to be worth a step back as well. tests/router/calibration_test.cpp measures both kinds of mistakes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "router/latency.h"

namespace turnout::router {

enum class Group : std::uint8_t { control = 0, green = 1 };
[[nodiscard]] constexpr std::size_t index(Group group) {
  return static_cast<std::size_t>(group);
}

// How often a shape ended in an error of one SQLSTATE on each side. What fails on green is run again on the writer:
// where that failed in the same class, both have it.
struct ShapeErrors {
  std::uint64_t shape = 0;
  std::string sqlstate;  // five characters; the first two are the class
  std::uint64_t blue = 0;
  std::uint64_t green = 0;
};

// What one worker saw of one shape since it was asked last.
struct ShapeLook {
  std::uint64_t shape = 0;
  std::string text;                    // without literals
  std::array<LatencyBins, 2> latency;  // by Group
  std::vector<ShapeErrors> errors;
};

struct SideNumbers {
  std::uint64_t count = 0, errors = 0;
  double p50_ms = 0, p95_ms = 0;
};

enum class StepBackKind : std::uint8_t {
  error_class,
  error_rate,
  latency,
  shadow_difference,  // shadow_alarm.h
  shadow_error
};
[[nodiscard]] const char* name(StepBackKind kind);

struct StepBack {
  std::uint64_t shape = 0;
  std::string sqlstate;  // of an error
  std::string why;       // which number against which bound
  StepBackKind kind = StepBackKind::error_class;
  std::string text;  // of the shape
  SideNumbers green, control;
};

// Not a property of the statement but of the moment or the machine: judged by rate. 08 connection, 40 conflict,
// 53 resources, 55 locks, 57 operator, time-out and shutdown, 70 (MySQL) ended by KILL or its time limit.
[[nodiscard]] bool is_of_the_moment(std::string_view sqlstate);

// The first shape that meets, on green, a class of error that it did not meet on blue: one is enough. Order of the
// observations decides between several.
[[nodiscard]] std::optional<StepBack> find_step_back(std::span<const ShapeErrors> errors);

// Latencies are compared within blocks of time, and what the blocks say is added up.
struct BlockRule {
  std::uint32_t ms;          // a block ends when it is so old, and both sides have block_samples
  std::uint32_t blocks_min;  // fewer decide nothing
  double decisive;           // the evidence is sharpest where about so many decide
};

struct AnalysisBounds {
  double slower_ratio = 1.25;  // at p95, both must be passed
  double slower_ms = 2;
  double alpha =
      0.0001;  // per ramp, over all shapes; real noise is no ideal, calibrated so that 10 000 ramps make ≤ 4 alarms
  double share_min = 0.01;         // of all the time that reads take; a lesser shape is not worth a step back
  std::uint32_t samples_min = 50;  // of a shape on each side
  std::uint32_t block_samples = 10;
  // Either may decide. Short blocks are soon enough for what is read often; a side's own noise lasts as long as one, so
  // many have to agree. In long ones it averages out, so fewer do: for what is read too seldom to fill a short one.
  std::array<BlockRule, 2> blocks = {BlockRule{500, 8, 16}, BlockRule{2'000, 7, 1.5}};
  std::uint32_t warm_ms = 5'000;  // of a step: green's caches are cold, latencies do not count yet
  std::size_t shapes_max = 512;   // beyond that the shape that was not seen for longest is forgotten
};

// Evidence that green's blocks are slower: a normal mixture over rank scores, `decisive` as in BlockRule.
class BlockEvidence {
 public:
  explicit BlockEvidence(double decisive = 16) : decisive_(decisive) {}
  void add(double score);
  [[nodiscard]] double log_e() const;
  [[nodiscard]] std::uint32_t blocks() const { return blocks_; }

 private:
  double decisive_;
  std::uint32_t blocks_ = 0;
  double sum_ = 0, squares_ = 0;
};

// Evidence that of looks in which only one side failed, it is green too often.
class FailureEvidence {
 public:
  // `expected`: green's share of the executions.
  void add(bool green_failed, bool control_failed, double expected);
  [[nodiscard]] double log_e() const { return log_e_; }

 private:
  double log_e_ = 0;
};

struct ShapeState {
  std::uint64_t shape = 0;
  std::string text;
  SideNumbers green, control;
  double time_share = 0;    // of all measured reads' time, 0 … 1
  double ratio = 0;         // green's p95 to the control group's; 0 = not known
  double log_evidence = 0;  // that green is slower
  double log_evidence_needed = 0;
  bool is_slower = false;  // beyond both bounds of the effect
};

class Analysis {
 public:
  explicit Analysis(const AnalysisBounds& bounds = {});
  ~Analysis();
  Analysis(Analysis&&) noexcept;
  Analysis& operator=(Analysis&&) noexcept;

  // A new weight: what was measured counts no more, what blue was seen to fail with does.
  void begin_step(std::int64_t now_ms);
  void add(const ShapeLook& look, std::int64_t now_ms);
  // Samples of the step, warm-up left out.
  [[nodiscard]] std::uint64_t samples(Group group) const { return samples_[index(group)]; }
  [[nodiscard]] std::optional<StepBack> look(std::int64_t now_ms);
  // Why it would be too early to say that green is as good; "" = nothing speaks against it.
  [[nodiscard]] std::string doubt() const;
  // The shapes that take most of the time first.
  [[nodiscard]] std::vector<ShapeState> shapes(std::size_t count_max) const;
  // All shapes together.
  [[nodiscard]] SideNumbers numbers(Group group) const;

 private:
  struct One;
  One& one(const ShapeLook& look);
  [[nodiscard]] ShapeState state_of(const One& one, double all_ms) const;
  [[nodiscard]] StepBack because_of(const One& one, StepBackKind kind, std::string why) const;
  [[nodiscard]] std::optional<StepBack> judge_errors(One& one);
  [[nodiscard]] std::optional<StepBack> judge_latency(One& one, std::int64_t now_ms);
  // Ends the blocks that are full. Has one of them brought enough evidence?
  [[nodiscard]] bool end_blocks(One& one, std::int64_t now_ms) const;
  [[nodiscard]] double needed() const;

  AnalysisBounds bounds_;
  std::map<std::uint64_t, std::unique_ptr<One>> shapes_;
  std::array<std::uint64_t, 2> samples_{};
  std::int64_t step_began_ms_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace turnout::router
