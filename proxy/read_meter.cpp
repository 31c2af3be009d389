#include "proxy/read_meter.h"

#include <algorithm>
#include <string>
#include <utility>

#include "router/mysql_shape.h"
#include "router/shape.h"

namespace turnout::proxy {

std::uint16_t ReadMeter::find(std::uint64_t shape) const {
  if (buckets_.empty()) return 0;
  std::uint16_t slot = buckets_[(shape >> 8) % buckets];
  while (slot != 0 && slots_[slot - 1U].look.shape != shape) slot = slots_[slot - 1U].next;
  return slot;
}

ReadMark ReadMeter::mark(router::Group group) {
  if (seen_ != 1 || shape_ == 0) return {};
  std::uint16_t slot = find(shape_);
  if (slot == 0) slot = make(shape_, sql_);
  if (slot == 0) return {};
  slots_[slot - 1U].is_asked = true;
  ReadMark mark;
  mark.slot = slot;
  mark.turn = slots_[slot - 1U].turn;
  mark.group = group;
  return mark;
}

// The first sight of a shape since the ramp began; 0 when every slot has been used since the last look.
std::uint16_t ReadMeter::make(std::uint64_t shape, std::string_view sql) {
  if (buckets_.empty()) buckets_.assign(buckets, 0);
  std::uint16_t slot = 0;
  if (slots_.size() < shapes_max) {
    slots_.emplace_back();
    slot = static_cast<std::uint16_t>(slots_.size());
  } else {
    for (std::size_t tried = 0; tried < 8 && slot == 0; ++tried) {
      hand_ = (hand_ + 1) % slots_.size();
      if (slots_[hand_].is_quiet && !slots_[hand_].is_asked) slot = static_cast<std::uint16_t>(hand_ + 1);
    }
    if (slot == 0) return 0;
    unlink(slot);
  }
  Slot& made = slots_[slot - 1U];
  made.look = {};
  made.look.shape = shape;
  made.look.text = grammar_ == router::Grammar::mysql ? router::mysql_shape_text(sql, text_bytes_max)
                                                      : router::shape_text(sql, text_bytes_max);
  made.turn = ++turns_;
  made.is_quiet = true;
  std::uint16_t& first = buckets_[(shape >> 8) % buckets];
  made.next = std::exchange(first, slot);
  return slot;
}

void ReadMeter::unlink(std::uint16_t slot) {
  std::uint16_t* at = &buckets_[(slots_[slot - 1U].look.shape >> 8) % buckets];
  while (*at != slot) at = &slots_[*at - 1U].next;
  *at = slots_[slot - 1U].next;
}

ReadMeter::Slot* ReadMeter::slot_of(const ReadMark& mark) {
  if (mark.slot == 0 || mark.slot > slots_.size()) return nullptr;
  Slot& slot = slots_[mark.slot - 1U];
  if (slot.turn != mark.turn) return nullptr;
  slot.is_quiet = false;
  return &slot;
}

void ReadMeter::ended(const ReadMark& mark, std::uint64_t us) {
  if (Slot* slot = slot_of(mark)) slot->look.latency[router::index(mark.group)].add(us);
}

void ReadMeter::failed(const ReadMark& mark, std::string_view sqlstate) {
  const bool on_green = mark.group == router::Group::green;
  if (Slot* slot = slot_of(mark)) note(*slot, sqlstate, !on_green, on_green);
}

void ReadMeter::answered_again(const ReadMark& mark, std::string_view sqlstate_on_writer) {
  Slot* const slot = slot_of(mark);
  if (slot == nullptr) return;
  note(*slot, std::string_view(mark.failed.data(), mark.failed.size()), false, true);
  if (!sqlstate_on_writer.empty()) note(*slot, sqlstate_on_writer, true, false);
}

void ReadMeter::note(Slot& slot, std::string_view sqlstate, bool on_blue, bool on_green) {
  auto& errors = slot.look.errors;
  auto found = std::ranges::find(errors, sqlstate, &router::ShapeErrors::sqlstate);
  if (found == errors.end()) {
    if (errors.size() >= sqlstates_max || sqlstate.size() != 5) return;
    found = errors.insert(errors.end(), {slot.look.shape, std::string(sqlstate), 0, 0});
  }
  found->blue += on_blue ? 1U : 0U;
  found->green += on_green ? 1U : 0U;
}

std::vector<router::ShapeLook> ReadMeter::take() {
  std::vector<router::ShapeLook> looks;
  for (Slot& slot : slots_) {
    slot.is_asked = false;
    if (slot.is_quiet) continue;
    looks.push_back(slot.look);
    slot.look.latency = {};
    slot.look.errors.clear();
    slot.is_quiet = true;
  }
  return looks;
}

void ReadMeter::forget() {
  if (slots_.empty()) return;
  slots_ = {};
  buckets_ = {};
  hand_ = 0;
}

}  // namespace turnout::proxy
