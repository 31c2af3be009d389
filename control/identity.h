// Is the server behind an address the one that a side of a deployment has always been? Asked before the data path uses
// an address that its name did not have before.
//
// Known is what the decision store has bound (the two servers of a cutover), else the first server seen since the
// start. What cannot be asked is `unknown`, never `same`; a server that lets nobody ask is trusted as long as none was
// ever known. How a server is asked is its protocol's matter (postgres_witness, mysql_identity.h); what it answers is a
// text here. Thread-safe; every question has a deadline.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "control/decision_store.h"
#include "control/pg_client.h"
#include "proxy/names.h"

namespace turnout::control {

struct Witness {
  bool was_reached = false;
  std::string seen;       // who it is, "" = it tells nobody
  bool is_known = false;  // it is the one that was asked for, although it looks otherwise by now
};

class Identities {
 public:
  // `bound`: what the store knows, "" = nothing. `ask` is told who it should be.
  using Ask = std::function<Witness(const std::string& known)>;
  [[nodiscard]] proxy::Identity check(const std::string& deployment, const conf::Address& address,
                                      const std::string& bound, const Ask& ask);

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::string> known_;  // (deployment, address as configured)
};

// By the system identifier.
[[nodiscard]] Witness postgres_witness(const PgTarget& target, std::uint32_t ms_max);

// Who a deployment's side is bound to be by its latest preparation; "" = nobody, or that story is over.
[[nodiscard]] std::string bound_identity(const std::vector<Record>& records, router::Side side);
// `both`: blue and green. "" or why it is not in the store.
[[nodiscard]] std::string bind_identities(DecisionStore& store, const std::string& deployment,
                                          boost::json::object both);
// The decision, apart from the asking: `seen` "" = could not be asked, `known` "" = never seen.
[[nodiscard]] proxy::Identity compare_identity(const std::string& known, const std::string& seen, bool was_reached);

}  // namespace turnout::control
