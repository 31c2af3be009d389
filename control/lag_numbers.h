// How far the side that follows is behind.
#pragma once

namespace turnout::control {

struct LagNumbers {
  bool known = false;
  double bytes = 0, seconds = 0, slot_retained_bytes = 0;
};

}  // namespace turnout::control
