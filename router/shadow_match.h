// Are two answers the same, and when is a difference proven? Digests in, verdicts out.
//
// The writer's data change between its answer and the shadow's, so a difference by itself means nothing. It is proven
// by brackets: the writer is asked, the other side is asked after it has applied what the writer had then, the writer
// is asked again. Both answers of the writer alike, the other side's not: had it shown any state of the writer's
// between the two, it would have given an answer that the writer itself never gave around that moment. (An answer that
// came and went within one bracket would do it; so several brackets must say the same.) The writer's answers not alike:
// the bracket says nothing.
#pragma once

#include <cstdint>

#include "router/shadow_answer.h"

namespace turnout::router {

enum class ShadowMatch : std::uint8_t {
  same,
  order,    // the same rows, in another order, of a statement that asks for one
  rows,     // other rows, or another number of them
  columns,  // other names or types of columns
  error,    // one side failed, or each with another error
  unknown,  // one of the answers cannot be compared: AnswerGap
};

// `is_ordered`: the statement says ORDER BY.
[[nodiscard]] ShadowMatch match(const AnswerDigest& writer, const AnswerDigest& other, bool is_ordered);

enum class TrialVerdict : std::uint8_t {
  again,      // one more bracket
  same,       // what differed was the time between the two answers
  different,  // proven
  unsettled,  // the writer's own answer changes all the time
};

class ShadowTrial {
 public:
  struct Limits {
    std::uint32_t brackets = 3;  // that must say "different"
    std::uint32_t tries = 8;     // brackets altogether
  };
  explicit ShadowTrial(const Limits& limits) : limits_(limits) {}

  // `is_stable`: the writer's two answers are alike. `of_other`: the first of them and the other side's.
  [[nodiscard]] TrialVerdict add(bool is_stable, ShadowMatch of_other);
  // Between two brackets: longer each time, so that what changes in bursts is met at rest.
  [[nodiscard]] std::uint32_t pause_ms() const;

 private:
  Limits limits_;
  std::uint32_t tried_ = 0, different_ = 0;
};

}  // namespace turnout::router
