#include "tests/sim/databases.h"

#include <algorithm>

namespace turnout::sim {
namespace {

[[nodiscard]] std::uint16_t size_of(const std::vector<Entry>& log) {
  return static_cast<std::uint16_t>(log.size());
}

}  // namespace

bool Server::has(std::uint16_t row) const {
  return std::ranges::find(log, row, &Entry::row) != log.end();
}

Databases::Databases() {
  at(Side::green).read_only = at(Side::green).opens_read_only = true;
  carrier_to(Side::green) = {.exists = true, .is_enabled = true, .worker_lives = true};
}

void Databases::connect(Backend& backend, Side side) const {
  backend = {};
  backend.is_open = true;
  backend.sees_read_only = at(side).opens_read_only;
}

void Databases::commit(Side side, std::uint16_t row) {
  Server& here = at(side);
  if (here.has(row)) fail("row " + std::to_string(row) + " executed twice on " + router::name(side));
  here.log.push_back({row, false});
  flush(side);
}

void Databases::flush(Side side) {
  at(side).flushed = size_of(at(side).log);
  carrier_to(side).sent_durable = carrier_to(side).sent;
}

bool Databases::can_replicate(Side into_side) const {
  const Subscription& carrier = carrier_to(into_side);
  const Server& source = at(router::other(into_side));
  return carrier.worker_lives && source.is_up && at(into_side).is_up && carrier.sent < source.flushed;
}

void Databases::replicate(Side into_side) {
  Subscription& carrier = carrier_to(into_side);
  const Entry& entry = at(router::other(into_side)).log[carrier.sent];
  Server& target = at(into_side);
  if (target.has(entry.row)) {
    fail("row " + std::to_string(entry.row) + " sent back to " + router::name(into_side));
  }
  target.log.push_back({entry.row, true});
  ++carrier.sent;
}

// Without the flush of the origin before it, what was applied but is not durable still lies ahead of the slot.
void Databases::advance_reverse_slot(Side side) {
  at(side).reverse_slot = at(side).flushed;
}

void Databases::start_subscription(Side into_side) {
  Subscription& carrier = carrier_to(into_side);
  if (carrier.exists && carrier.is_enabled) return;
  const std::uint16_t position = at(router::other(into_side)).reverse_slot;
  carrier = {.exists = true, .is_enabled = true, .worker_lives = true, .sent = position, .sent_durable = position};
}

void Databases::crash(Side side) {
  Server& here = at(side);
  here.opens_read_only = here.read_only;
  if (!carrier_to(side).is_enabled) carrier_to(side).worker_lives = false;
  here.log.resize(here.flushed);
  carrier_to(side).sent = carrier_to(side).sent_durable;
  here.reverse_slot = std::min(here.reverse_slot, here.flushed);
}

}  // namespace turnout::sim
