// What the ramp's analysis hears of a unit of work.
//
// A mark is set when the unit is decided, and taken off when the client's answer is complete. In between: an error of
// green that the client does not see leaves its SQLSTATE in the mark, and the second run, on the writer, says whether
// it was green's alone.
#include <algorithm>

#include "proxy/client.h"
#include "proxy/worker.h"

namespace turnout::proxy {

void Client::measure_begin(const router::Route& route) {
  if (route.ramped || route.control)
    mark_ = shard_.reads.mark(route.ramped ? router::Group::green : router::Group::control);
}

void Client::measure_error(std::string_view sqlstate, bool is_seen) {
  if (mark_.has_failed()) {
    if (!no_ramp_) return;  // more of the same, before the second run has begun
    const std::string_view on_green(mark_.failed.data(), mark_.failed.size());
    if (on_green.substr(0, 2) != sqlstate.substr(0, 2)) shard_.numbers.green_failures.add();
    shard_.reads.answered_again(mark_, sqlstate);
  } else if (ramped_ && !is_seen) {
    std::copy_n(sqlstate.begin(), std::min(sqlstate.size(), mark_.failed.size()), mark_.failed.begin());
    return;
  } else {
    if (mark_.group == router::Group::green) shard_.numbers.green_failures.add();
    shard_.reads.failed(mark_, sqlstate);
  }
  mark_ = {};
}

void Client::measure_end() {
  if (mark_.has_failed()) {
    shard_.numbers.green_failures.add();
    shard_.reads.answered_again(mark_, {});
  } else {
    shard_.reads.ended(mark_, worker().loop.now_us() - since_us_);
  }
  mark_ = {};
}

}  // namespace turnout::proxy
