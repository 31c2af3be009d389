#include "control/route_book.h"

#include <memory>
#include <utility>

#include "drain/routing.h"

namespace turnout::control {

namespace {

bool lets_work_flow(drain::Routing routing) {
  switch (routing) {
    case drain::Routing::normal:
    case drain::Routing::warm:
    case drain::Routing::release_to:
    case drain::Routing::release_from:
      return true;
    case drain::Routing::hold_writes:
    case drain::Routing::fence:
    case drain::Routing::flip:
    case drain::Routing::hold_all:
      return false;
  }
  return false;
}

}  // namespace

void RouteBook::send(router::RoutingTable next) {
  table_ = next;
  publish_(std::make_shared<const router::RoutingTable>(next));
}

void RouteBook::publish(const drain::Action& action, std::array<bool, 2> keeps_default) {
  const std::lock_guard guard(mutex_);
  auto next = drain::routing_table(action, table_);
  for (std::size_t side = 0; side < keeps_default.size(); ++side) next.sides[side].keeps_default = keeps_default[side];
  released_ = lets_work_flow(action.routing);
  // The operator's own pause is not the cutover's to end: work that it releases stays held until `resume`.
  if (released_ && paused_) next.hold = router::Hold::all;
  send(next);
}

bool RouteBook::set_ramp(const router::RampOrders& ramp, std::uint64_t of_version) {
  const std::lock_guard guard(mutex_);
  if (!released_ || table_.version == 0 || (of_version != 0 && of_version != table_.version)) return false;
  auto next = table_;
  ++next.version;
  next.ramp = ramp;
  send(next);
  return true;
}

bool RouteBook::set_shadow(const router::ShadowOrders& shadow) {
  const std::lock_guard guard(mutex_);
  if (!released_ || table_.version == 0) return false;
  auto next = table_;
  ++next.version;
  next.shadow = shadow;
  send(next);
  return true;
}

bool RouteBook::let_read(router::Side side) {
  const std::lock_guard guard(mutex_);
  if (!released_ || table_.version == 0) return false;
  if (table_.sides[index(side)].may_read) return true;
  auto next = table_;
  ++next.version;
  next.sides[index(side)].may_read = true;
  send(next);
  return true;
}

bool RouteBook::set_paused(bool paused) {
  const std::lock_guard guard(mutex_);
  if (!released_ || table_.version == 0) return false;
  if (paused == paused_) return true;
  paused_ = paused;
  auto next = table_;
  ++next.version;
  next.hold = paused ? router::Hold::all : router::Hold::nothing;
  send(next);
  return true;
}

void RouteBook::hold_all(router::Side writer) {
  const std::lock_guard guard(mutex_);
  auto next = table_;
  ++next.version;
  next.writer = writer;
  next.hold_reads_on = writer;
  next.hold = router::Hold::all;
  released_ = false;
  send(next);
}

router::RoutingTable RouteBook::table() const {
  const std::lock_guard guard(mutex_);
  return table_;
}

bool RouteBook::is_paused() const {
  const std::lock_guard guard(mutex_);
  return paused_;
}

bool RouteBook::is_published() const {
  const std::lock_guard guard(mutex_);
  return table_.version != 0;
}

}  // namespace turnout::control
