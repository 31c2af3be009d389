// The one place of the control side that publishes routing tables of a deployment, so that versions grow by one and a
// ramp never overwrites a hold. Thread-safe.
#pragma once

#include <array>
#include <functional>
#include <mutex>
#include <string>

#include "drain/cutover.h"
#include "router/routing_table.h"

namespace turnout::control {

class RouteBook {
 public:
  using Publish = std::function<void(router::RoutingTablePtr)>;
  explicit RouteBook(Publish publish) : publish_(std::move(publish)) { table_.version = 0; }

  // What the machine asks for. The operator's pause survives normal and released tables.
  // `keeps_default`: the sides where a fence by ALTER DATABASE stands or stood last (router::SideOrders).
  void publish(const drain::Action& action, std::array<bool, 2> keeps_default = {});
  // A new ramp, kept until the machine takes it off. False: a cutover holds, or another table than `of_version` (0 =
  // whichever) is in force by now.
  [[nodiscard]] bool set_ramp(const router::RampOrders& ramp, std::uint64_t of_version = 0);
  // The same for the shadow; it stays over a cutover, in which it stands still.
  [[nodiscard]] bool set_shadow(const router::ShadowOrders& shadow);
  // The side that follows takes reads again; a move closes the one that it leaves. False as for set_ramp.
  [[nodiscard]] bool let_read(router::Side side);
  // `pause` / `resume`: every new unit of work waits. False: a cutover is holding already.
  [[nodiscard]] bool set_paused(bool paused);
  // Nobody starts anything, because something is not known.
  void hold_all(router::Side writer);

  [[nodiscard]] router::RoutingTable table() const;
  [[nodiscard]] bool is_paused() const;
  [[nodiscard]] bool is_published() const;

 private:
  void send(router::RoutingTable next);

  Publish publish_;
  mutable std::mutex mutex_;
  router::RoutingTable table_;  // version 0: nothing published yet
  bool paused_ = false;
  bool released_ = true;  // no hold of a cutover is on
};

}  // namespace turnout::control
