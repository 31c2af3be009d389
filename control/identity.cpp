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

std::string bind_identities(DecisionStore& store, const std::string& deployment, boost::json::object both) {
  const auto records = store.records(deployment);
  const auto* bound = newest(records, RecordKind::binding);
  if (bound != nullptr && text_of(bound->data, "blue") == text_of(both, "blue") &&
      text_of(bound->data, "green") == text_of(both, "green")) {
    return "";
  }
  return store.append({deployment, 0, RecordKind::binding, std::move(both)});
}

Witness postgres_witness(const PgTarget& target, std::uint32_t ms_max) {
  auto connected = PgClient::connect(target, ms_max);
  if (!connected) return {};
  const auto rows = connected->query("SELECT system_identifier::text FROM pg_control_system()", ms_max);
  return {true, rows && !rows->empty() ? rows->text(0, 0) : "", false};
}

proxy::Identity Identities::check(const std::string& deployment, const conf::Address& address, const std::string& bound,
                                  const Ask& ask) {
  const auto learned = [&]() -> std::string& { return known_[{deployment, address.text()}]; };
  std::string known = bound;
  if (known.empty()) {
    const std::lock_guard guard(mutex_);
    known = learned();
  }
  const auto witness = ask(known);
  const auto verdict =
      witness.is_known ? proxy::Identity::same : compare_identity(known, witness.seen, witness.was_reached);
  if (verdict == proxy::Identity::unknown)
    spdlog::debug("{}: who is at {} now cannot be told", deployment, address.text());
  const std::lock_guard guard(mutex_);
  if (verdict == proxy::Identity::same && (learned().empty() || witness.is_known)) learned() = witness.seen;
  return verdict;
}

}  // namespace turnout::control
