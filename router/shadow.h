// The shadow as pure decisions: which reads go to the other side as well, and which of them are taken.
//
// A shadow read is one that the writer has answered: it never waits, and nothing of it ever waits for its shadow. So it
// is always true that a unit that may be shadowed is a proven read, one text, outside of every transaction, of a
// session whose state is known, and that it went to the writer. What comes of it: shadow_answer.h (what is remembered
// of an answer), shadow_match.h (are two answers the same), shadow_book.h (by shape).
#pragma once

#include <cstdint>

#include "router/route.h"
#include "router/routing_table.h"

namespace turnout::router {

[[nodiscard]] constexpr Side shadow_side(const RoutingTable& table) {
  return other(table.writer);
}
// Is there a shadow at all just now? Not while a cutover or a pause holds anything.
[[nodiscard]] bool casts_shadow(const RoutingTable& table);
// `route` is what the table says of this unit.
[[nodiscard]] bool may_shadow(const RoutingTable& table, const Unit& unit, const Route& route);

// Which of them. By chance, not by counting: an application that repeats ten statements in a row would otherwise show
// every tenth only. A shape's first runs are all taken, so that the rare ones are seen too.
class ShadowSampler {
 public:
  static constexpr std::uint64_t first_runs = 20;

  explicit ShadowSampler(std::uint64_t seed) : state_(seed | 1U) {}
  // `runs`: how many of this shape have been taken before.
  [[nodiscard]] bool take(std::uint8_t percent, std::uint64_t runs);

 private:
  std::uint64_t state_;
};

}  // namespace turnout::router
