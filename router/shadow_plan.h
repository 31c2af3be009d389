// A shape that got slower on the other side, and the plans that say why: is it slower, and what of a plan may be shown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "router/latency.h"
#include "router/shadow_rows.h"

namespace turnout::router {

struct SlowerBounds {
  double ratio = 1.25;  // of p95; both must be passed
  double ms = 2;
  std::uint32_t samples_min = 50;  // on each side
  double score = 4;                // standard deviations, by ranks
};
[[nodiscard]] bool is_slower(const LatencyBins& other, const LatencyBins& writer, const SlowerBounds& bounds);

// What an EXPLAIN has answered, as text: its one column, or a line for each row with the columns that hold something.
[[nodiscard]] std::string plan_text(const KeptAnswer& answer);

// EXPLAIN's text, literals in its conditions replaced: what a client has put into its values is not shown. At most
// `bytes_max`, then "…".
[[nodiscard]] std::string masked_plan(std::string_view plan, std::size_t bytes_max);

}  // namespace turnout::router
