#include "control/practice.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "control/decision_store.h"

namespace turnout::control {

namespace {

constexpr double day_s = 86'400;

// The window, run on this pair with this traffic not long ago: by a rehearsal, or in earnest.
void check_rehearsal(CheckList& list, const StepContext& context, const conf::Deployment& config) {
  constexpr const char* name = "rehearsal.recent";
  const double age_s_max = config.cutover.rehearsal_ms_max / 1000.0;
  const auto bound = fmt::format("{:.1f} days", age_s_max / day_s);
  const std::string todo = "turnout cutover " + context.deployment + " --rehearse";
  const auto records = context.store.records(context.deployment);
  double youngest_s = -1;
  for (const auto& record : records) {
    if (record.kind != RecordKind::end) continue;
    const auto outcome = text_of(record.data, "outcome");
    const auto* at_s = record.data.if_contains("at_s");
    if (at_s == nullptr || !at_s->is_int64()) continue;
    if (outcome != drain::name(drain::Outcome::rehearsed) && outcome != drain::name(drain::Outcome::committed))
      continue;
    youngest_s = std::max(0.0, static_cast<double>(std::time(nullptr) - at_s->as_int64()));
  }
  if (youngest_s < 0) return list.warn(name, "never", bound, todo);
  const auto measured = fmt::format("{:.1f} days ago", youngest_s / day_s);
  if (youngest_s > age_s_max) return list.warn(name, measured, bound, todo);
  list.pass(name, measured, bound);
}

// Has the side that will be the writer been read with the real statements, lately, and was it as fast? Else the first
// minutes after the flip are what fills its caches.
void check_warm(CheckList& list, const StepContext& context, router::Side to) {
  constexpr const char* name = "green.warm";
  constexpr std::uint64_t reads_min = 1'000;
  constexpr std::int64_t age_ms_max = 60LL * 60 * 1000;
  const std::string bound = fmt::format("{} reads within the last hour, no shape slower", reads_min);
  const std::string todo =
      fmt::format("turnout shadow {} on 10: real reads fill its caches and plans; turnout shadow {} report",
                  context.deployment, context.deployment);
  const Warmth warmth = context.warmth ? context.warmth() : Warmth{};
  if (warmth.side != to || warmth.reads == 0 || warmth.age_ms < 0 || warmth.age_ms > age_ms_max)
    return list.warn(name, "not read lately", bound, todo);
  const std::string measured = fmt::format("{} reads of {} shapes, {} of them slower, the latest {} s ago",
                                           warmth.reads, warmth.shapes, warmth.slower, warmth.age_ms / 1000);
  if (warmth.reads < reads_min || warmth.slower != 0) return list.warn(name, measured, bound, todo);
  list.pass(name, measured, bound);
}

}  // namespace

void check_practice(CheckList& list, const StepContext& context, const conf::Deployment& config, router::Side to) {
  check_rehearsal(list, context, config);
  check_warm(list, context, to);
}

}  // namespace turnout::control
