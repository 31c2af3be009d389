// Is the server behind an address the one that a side of a deployment has always been? Asked before the data path uses
// an address that its name did not have before.
//
// Known is what the decision store has bound (the two servers of a cutover), else the first server seen since the
// start. What cannot be asked is `unknown`, never `same`; a server that lets nobody ask is trusted as long as none was
// ever known. Thread-safe; every question has a deadline.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "control/decision_store.h"
#include "control/pg_client.h"
#include "proxy/names.h"

namespace turnout::control {

class Identities {
 public:
  // `bound`: what the store knows, "" = nothing.
  [[nodiscard]] proxy::Identity check(const std::string& deployment, const PgTarget& target, const std::string& bound,
                                      std::uint32_t ms_max);

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::string> known_;  // (deployment, address as configured)
};

// The system identifier that a deployment's side is bound to by its latest cutover; "" = none, or that story is over.
[[nodiscard]] std::string bound_identity(const std::vector<Record>& records, router::Side side);
// The decision, apart from the asking: `seen` "" = could not be asked, `known` "" = never seen.
[[nodiscard]] proxy::Identity compare_identity(const std::string& known, const std::string& seen, bool was_reached);

}  // namespace turnout::control
