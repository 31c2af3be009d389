// The shadow as pure decisions: which reads go to the other side as well, and which of them are taken.
//
// A shadow read is one that the writer has answered: it never waits, and nothing of it ever waits for its shadow. So it
// is always true that a unit that may be shadowed is a proven read, one text, outside of every transaction, of a
// session whose state is known, and that it went to the writer. What comes of it: shadow_answer.h (what is remembered
// of an answer), shadow_match.h (are two answers the same), shadow_book.h (by shape).
#pragma once

#include <cstddef>
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
// every tenth only. A shape's first runs are all taken, so that the rare ones are seen too. To find out what a unit is
// costs most of what a shadow costs those that are not taken; so where nothing new has been seen for a while, one in a
// few of them is looked at, and all of them again as soon as something new is.
class ShadowSampler {
 public:
  static constexpr std::uint64_t first_runs = 20;
  static constexpr std::uint32_t calm_units = 2'000;  // with nothing new among them
  static constexpr std::uint32_t calm_step = 8;

  explicit ShadowSampler(std::uint64_t seed) : state_(seed | 1U) {}
  // A new unit: is anybody to find out what it is?
  [[nodiscard]] bool look(std::uint8_t percent);
  // It is a shape of which so many have been taken before. Asked once at most behind a look().
  [[nodiscard]] bool take(std::uint64_t runs);

 private:
  std::uint64_t state_;
  bool is_drawn_ = false;
  std::uint32_t since_new_ = 0;  // units that were nothing new, one after the other
};

// How long reads of a shape take, as far as that has been measured.
struct ShadowPace {
  std::uint32_t timed = 0;     // of its reads
  std::uint64_t other_us = 0;  // that the other side took for the latest of them
};

// Reads that go to the other side in one message, each with an answer of its own: sending, and waking a backend, cost
// more than all the rest of a read that is quick. Only the first one's latency means anything, for the others wait for
// those before them. So a shape's reads go first, or alone, until enough of them are timed, and nothing waits behind
// what is not known to be quick: neither a slow read's followers, nor who wants to end what runs there.
class ShadowTrain {
 public:
  static constexpr std::size_t reads_max = 16;
  static constexpr std::uint64_t us_max = 50'000;     // of all of them, as it was so far
  static constexpr std::uint32_t timed_enough = 100;  // what is slower is found with fewer: SlowerBounds

  // May it come along? The first one always does. `writer_us`: that the writer took for it.
  [[nodiscard]] bool takes(const ShadowPace& pace, std::uint64_t writer_us);
  [[nodiscard]] bool is_full() const { return reads_ == reads_max || us_ >= us_max; }

 private:
  std::size_t reads_ = 0;
  std::uint64_t us_ = 0;
};

}  // namespace turnout::router
