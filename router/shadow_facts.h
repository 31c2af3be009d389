// What a statement's text says about its answer: is the order of the rows a part of it, can it be the same twice, and
// what would explain a difference. By Postgres' own grammar; asked once for a shape, for it costs a parse.
#pragma once

#include <string>
#include <string_view>

namespace turnout::router {

struct ShadowFacts {
  bool is_ordered = false;       // ORDER BY at the outermost level
  bool cuts_by_order = false;    // LIMIT, OFFSET or DISTINCT ON: which rows come hangs on the order
  bool numbers_rows = false;     // a window function: its value hangs on the order within the window
  bool gathers_freely = false;   // an aggregate that keeps its values' order (array_agg, string_agg) and is told none
  bool depends_on_time = false;  // now() in a condition
  // Why two answers of it are never the same, whoever gives them: random(), now() among the columns. Its errors and its
  // latency are compared all the same. "" = nothing known.
  std::string never_same;
};

// A text that cannot be parsed, or that has several statements, is never the same.
[[nodiscard]] ShadowFacts shadow_facts(std::string_view sql);

}  // namespace turnout::router
