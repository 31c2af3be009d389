// What the shadow has seen, by shape: how often, with which outcome, how fast on either side. A worker keeps one and
// hands over what is new; control adds those up in one of its own.
//
// Bounded: so many shapes, of the texts and explanations so much of each. When a new shape finds no room, the one that
// was not seen for longest makes it, of those with nothing to tell; when all have something to tell, the new one is
// only counted (`without_room`).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "router/analysis.h"
#include "router/latency.h"
#include "router/shadow_plan.h"

namespace turnout::router {

enum class ShadowOutcome : std::uint8_t {
  same,         // at once
  caught_up,    // differed at first; the same when nothing was written in between
  explained,    // differs, and why is no fault of the other side: shadow_rows.h
  different,    // proven
  failed,       // proven: one side gives an error, or both another one
  unsettled,    // the writer's own answer kept changing
  unproven,     // differed, and was not checked again: too many of this shape were before
  not_compared  // never the same, or an AnswerGap; its latency and its errors count
};
inline constexpr std::size_t shadow_outcomes = 8;
[[nodiscard]] const char* name(ShadowOutcome outcome);
[[nodiscard]] constexpr std::size_t index(ShadowOutcome outcome) {
  return static_cast<std::size_t>(outcome);
}

// Reads that were taken, and then not run: always for a reason with a name.
enum class ShadowDrop : std::uint8_t {
  queue_full,   // shadow.queue
  memory,       // shadow.memory
  behind,       // the other side has not caught up within shadow.lag_time
  no_server,    // it could not be asked: no connection, or it was lost
  interrupted,  // a cutover, or the shadow was turned off
  not_whole,    // a form of request that is not shadowed: several Binds, rows by portions
};
inline constexpr std::size_t shadow_drops = 6;
[[nodiscard]] const char* name(ShadowDrop drop);

struct ShadowShape {
  std::uint64_t shape = 0;
  std::string database, text;
  std::array<std::uint64_t, shadow_outcomes> outcomes{};
  std::array<LatencyBins, 2> latency;  // the writer's, the other side's
  std::vector<ShapeErrors> errors;     // `blue` the writer's, `green` the other side's
  std::string not_compared;            // why
  std::string explained, different;    // the newest of each, in words
  std::array<std::string, 2> plans;    // the writer's, the other side's

  [[nodiscard]] std::uint64_t runs() const;
  [[nodiscard]] std::uint64_t proven() const {  // differences
    return outcomes[static_cast<std::size_t>(ShadowOutcome::different)] +
           outcomes[static_cast<std::size_t>(ShadowOutcome::failed)];
  }
  [[nodiscard]] bool has_news() const;  // something that somebody should read
};

class ShadowBook {
 public:
  static constexpr std::size_t text_bytes_max = 400;
  static constexpr std::size_t explanation_bytes_max = 400;
  static constexpr std::size_t plan_bytes_max = 4'000;
  static constexpr std::size_t sqlstates_max = 8;

  explicit ShadowBook(std::size_t shapes_max) : shapes_max_(shapes_max) {}

  // Null: there is no room. `text`: without literals.
  [[nodiscard]] ShadowShape* open(std::uint64_t shape, std::string_view database, std::string_view text);
  [[nodiscard]] ShadowShape* find(std::uint64_t shape);
  static void note_error(ShadowShape& shape, std::string_view sqlstate, bool on_writer, bool on_other);
  void dropped(ShadowDrop drop) { ++drops_[static_cast<std::size_t>(drop)]; }

  struct Look {
    std::vector<ShadowShape> shapes;
    std::array<std::uint64_t, shadow_drops> drops{};
    std::uint64_t without_room = 0;
  };
  // What has come together since it was asked last; the shapes stay known.
  [[nodiscard]] Look take();
  void add(const Look& look);
  void clear();

  // The ones to look at first: differing, failing, slower, then by how much of the time they take.
  [[nodiscard]] std::vector<const ShadowShape*> shapes(const SlowerBounds& bounds, std::size_t count_max) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] const std::array<std::uint64_t, shadow_drops>& drops() const { return drops_; }
  [[nodiscard]] std::uint64_t without_room() const { return without_room_; }

 private:
  struct Entry {
    ShadowShape since;           // the last take()
    std::uint64_t last_use = 0;  // by clock_
    bool has_told = false;       // before it
  };
  bool make_room();

  std::size_t shapes_max_;
  std::map<std::uint64_t, Entry> entries_;
  std::array<std::uint64_t, shadow_drops> drops_{};
  std::uint64_t without_room_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace turnout::router
