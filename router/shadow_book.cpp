#include "router/shadow_book.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace turnout::router {

namespace {

std::string shortened(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  std::string out(text.substr(0, bytes_max));
  while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0x80U) != 0) out.pop_back();  // no half of a letter
  return out + "…";
}

void take_newest(std::string& into, const std::string& newest, std::size_t bytes_max) {
  if (!newest.empty()) into = shortened(newest, bytes_max);
}

// All of the time that the writer had for it, by the reads that were timed: of what is quick and comes often only some
// are (ShadowTrain).
double writer_ms(const ShadowShape& shape) {
  const std::uint64_t timed = shape.latency[0].count();
  return timed == 0 ? 0 : shape.latency[0].sum_ms() * static_cast<double>(shape.runs()) / static_cast<double>(timed);
}

void add_up(ShadowShape& sum, const ShadowShape& more) {
  for (std::size_t i = 0; i < shadow_outcomes; ++i) sum.outcomes[i] += more.outcomes[i];
  for (std::size_t side = 0; side < sum.latency.size(); ++side) {
    sum.latency[side].add(more.latency[side]);
    take_newest(sum.plans[side], more.plans[side], ShadowBook::plan_bytes_max);
  }
  for (const ShapeErrors& error : more.errors) {
    const auto found = std::ranges::find(sum.errors, error.sqlstate, &ShapeErrors::sqlstate);
    if (found != sum.errors.end()) {
      found->blue += error.blue;
      found->green += error.green;
    } else if (sum.errors.size() < ShadowBook::sqlstates_max) {
      sum.errors.push_back(error);
    }
  }
  take_newest(sum.not_compared, more.not_compared, ShadowBook::explanation_bytes_max);
  take_newest(sum.explained, more.explained, ShadowBook::explanation_bytes_max);
  take_newest(sum.different, more.different, ShadowBook::explanation_bytes_max);
}

}  // namespace

const char* name(ShadowOutcome outcome) {
  switch (outcome) {
    case ShadowOutcome::same:
      return "same";
    case ShadowOutcome::caught_up:
      return "caught_up";
    case ShadowOutcome::explained:
      return "explained";
    case ShadowOutcome::different:
      return "different";
    case ShadowOutcome::failed:
      return "failed";
    case ShadowOutcome::unsettled:
      return "unsettled";
    case ShadowOutcome::unproven:
      return "unproven";
    case ShadowOutcome::not_compared:
      return "not_compared";
  }
  return "?";
}

const char* name(ShadowDrop drop) {
  switch (drop) {
    case ShadowDrop::queue_full:
      return "queue_full";
    case ShadowDrop::memory:
      return "memory";
    case ShadowDrop::behind:
      return "behind";
    case ShadowDrop::no_server:
      return "no_server";
    case ShadowDrop::interrupted:
      return "interrupted";
    case ShadowDrop::not_whole:
      return "not_whole";
  }
  return "?";
}

std::uint64_t ShadowShape::runs() const {
  return std::accumulate(outcomes.begin(), outcomes.end(), std::uint64_t{0});
}

bool ShadowShape::has_news() const {
  const auto count = [this](ShadowOutcome outcome) { return outcomes[index(outcome)]; };
  return proven() != 0 || count(ShadowOutcome::explained) != 0 || count(ShadowOutcome::unproven) != 0 ||
         !plans[1].empty();
}

ShadowShape* ShadowBook::find(std::uint64_t shape) {
  const auto found = entries_.find(shape);
  return found == entries_.end() ? nullptr : &found->second.since;
}

ShadowShape* ShadowBook::open(std::uint64_t shape, std::string_view database, std::string_view text) {
  auto found = entries_.find(shape);
  if (found == entries_.end()) {
    if (entries_.size() >= shapes_max_ && !make_room()) {
      ++without_room_;
      return nullptr;
    }
    found = entries_.emplace(shape, Entry{}).first;
    found->second.since.shape = shape;
    found->second.since.database = database;
    found->second.since.text = shortened(text, text_bytes_max);
  }
  found->second.last_use = ++clock_;
  return &found->second.since;
}

bool ShadowBook::make_room() {
  auto oldest = entries_.end();
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    if (at->second.has_told || at->second.since.has_news()) continue;
    if (oldest == entries_.end() || at->second.last_use < oldest->second.last_use) oldest = at;
  }
  if (oldest == entries_.end()) return false;
  entries_.erase(oldest);
  return true;
}

void ShadowBook::note_error(ShadowShape& shape, std::string_view sqlstate, bool on_writer, bool on_other) {
  auto found = std::ranges::find(shape.errors, sqlstate, &ShapeErrors::sqlstate);
  if (found == shape.errors.end()) {
    if (shape.errors.size() >= sqlstates_max || sqlstate.size() != 5) return;
    found = shape.errors.insert(shape.errors.end(), {shape.shape, std::string(sqlstate), 0, 0});
  }
  found->blue += on_writer ? 1U : 0U;
  found->green += on_other ? 1U : 0U;
}

ShadowBook::Look ShadowBook::take() {
  Look look;
  for (auto& [shape, entry] : entries_) {
    const bool has_words = entry.since.has_news() || !entry.since.errors.empty();
    if (entry.since.runs() == 0 && !has_words && entry.since.latency[1].count() == 0) continue;
    entry.has_told = entry.has_told || entry.since.has_news();
    ShadowShape fresh;
    fresh.shape = shape;
    fresh.database = entry.since.database;
    fresh.text = entry.since.text;
    look.shapes.push_back(std::exchange(entry.since, std::move(fresh)));
  }
  look.drops = std::exchange(drops_, {});
  look.without_room = std::exchange(without_room_, 0);
  return look;
}

void ShadowBook::add(const Look& look) {
  for (const ShadowShape& more : look.shapes)
    if (ShadowShape* const sum = open(more.shape, more.database, more.text)) add_up(*sum, more);
  for (std::size_t i = 0; i < shadow_drops; ++i) drops_[i] += look.drops[i];
  without_room_ += look.without_room;
}

void ShadowBook::clear() {
  entries_.clear();
  drops_ = {};
  without_room_ = 0;
}

std::vector<const ShadowShape*> ShadowBook::shapes(const SlowerBounds& bounds, std::size_t count_max) const {
  std::vector<std::tuple<std::uint64_t, bool, double, const ShadowShape*>> ranked;
  ranked.reserve(entries_.size());
  for (const auto& [shape, entry] : entries_) {
    const ShadowShape& one = entry.since;
    ranked.emplace_back(one.proven(), is_slower(one.latency[1], one.latency[0], bounds), writer_ms(one), &one);
  }
  std::ranges::sort(ranked, [](const auto& left, const auto& right) {
    if (std::get<0>(left) != std::get<0>(right)) return std::get<0>(left) > std::get<0>(right);
    if (std::get<1>(left) != std::get<1>(right)) return std::get<1>(left);
    return std::get<2>(left) > std::get<2>(right);
  });
  std::vector<const ShadowShape*> out;
  for (const auto& entry : ranked) {
    if (out.size() == count_max) break;
    out.push_back(std::get<3>(entry));
  }
  return out;
}

}  // namespace turnout::router
