#include "control/identity.h"

#include <spdlog/spdlog.h>

#include "control/journal.h"

namespace turnout::control {

proxy::Identity compare_identity(const std::string& known, const std::string& seen, bool was_reached) {
  if (!was_reached) return proxy::Identity::unknown;
  if (known.empty()) return proxy::Identity::same;
  if (seen.empty()) return proxy::Identity::unknown;
  return known == seen ? proxy::Identity::same : proxy::Identity::different;
}

std::string bound_identity(const std::vector<Record>& records, router::Side side) {
  const auto* const bound = newest(records, RecordKind::binding);
  if (bound == nullptr || !text_of(bound->data, "finished").empty() || !text_of(bound->data, "writer").empty())
    return "";
  return text_of(bound->data, router::name(side));
}

proxy::Identity Identities::check(const std::string& deployment, const PgTarget& target, const std::string& bound,
                                  std::uint32_t ms_max) {
  auto connected = PgClient::connect(target, ms_max);
  const bool was_reached = connected.has_value();
  std::string seen;
  if (connected) {
    const auto rows = connected->query("SELECT system_identifier::text FROM pg_control_system()", ms_max);
    if (rows && !rows->empty()) seen = rows->text(0, 0);
  }
  const std::lock_guard guard(mutex_);
  std::string& learned = known_[{deployment, target.address.text()}];
  const auto verdict = compare_identity(bound.empty() ? learned : bound, seen, was_reached);
  if (learned.empty() && verdict == proxy::Identity::same) learned = seen;
  if (verdict == proxy::Identity::unknown)
    spdlog::debug("{}: who is at {} cannot be told", deployment,
                  target.numeric.empty() ? target.text() : target.numeric.front().text());
  return verdict;
}

}  // namespace turnout::control
