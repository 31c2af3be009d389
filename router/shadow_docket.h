// Differences that wait for their trial: a few of each shape, and whose shape has had the fewest trials goes first.
// A shape that is never settled (its rows are written all the time) keeps no other one waiting that way.
//
// Bounded: `cases_max` wait, `of_shape_max` of one shape; what finds no room is not tried.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace turnout::router {

template <typename Case>
class ShadowDocket {
 public:
  static constexpr std::size_t cases_max = 20, of_shape_max = 2, shapes_max = 10'000;

  // False: there is no room for it, and `waiting` is as it was.
  [[nodiscard]] bool add(std::uint64_t shape, Case&& waiting) {
    const auto same = std::ranges::count(waiting_, shape, &Waiting::shape);
    if (waiting_.size() >= cases_max || same >= static_cast<std::ptrdiff_t>(of_shape_max)) return false;
    waiting_.push_back({shape, std::move(waiting)});
    return true;
  }

  // The next one to be tried, which counts as a trial of its shape.
  [[nodiscard]] std::optional<Case> next() {
    const auto first = std::ranges::min_element(waiting_, {}, [this](const Waiting& one) { return trials(one.shape); });
    if (first == waiting_.end()) return std::nullopt;
    if (trials_.size() >= shapes_max) trials_.clear();
    ++trials_[first->shape];
    std::optional<Case> out(std::move(first->waiting));
    waiting_.erase(first);
    return out;
  }

  [[nodiscard]] std::size_t size() const { return waiting_.size(); }
  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  void clear() { waiting_.clear(); }

 private:
  struct Waiting {
    std::uint64_t shape;
    Case waiting;
  };

  [[nodiscard]] std::uint64_t trials(std::uint64_t shape) const {
    const auto found = trials_.find(shape);
    return found == trials_.end() ? 0 : found->second;
  }

  std::vector<Waiting> waiting_;  // oldest first
  std::unordered_map<std::uint64_t, std::uint64_t> trials_;
};

}  // namespace turnout::router
