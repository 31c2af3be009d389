// Finds out where the databases' host names lead, on a thread of its own, and tells when that changes.
//
// A name is asked for again when its TTL is over (conf: dns); what it answers with is used once it is known to be the
// same server as before (proxy/names.h). Nobody ever waits for it but the start of the process: the last addresses that
// were published stay in use until others are. c-ares does the asking, with a channel a question, so that a changed
// /etc/resolv.conf or /etc/hosts counts at once and a question's end is the end of all that it began.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "conf/config.h"
#include "proxy/names.h"
#include "proxy/proxy.h"

namespace turnout::proxy {

// One side of a deployment, at a host that has a name.
struct Place {
  DeploymentIndex deployment = 0;
  router::Side side = router::Side::blue;
  conf::Address address;  // as the configuration names it
  friend bool operator==(const Place&, const Place&) = default;
};

class Resolver {
 public:
  struct Hooks {
    // May block; called on threads of its own, one a place. It looks at the server behind the number.
    std::function<Identity(const Place&, const conf::Address& numeric)> identify;
    std::function<void(const Place&, const std::vector<conf::Address>& numeric)> publish;  // on the resolver's thread
  };

  explicit Resolver(Hooks hooks);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  void stop();  // joins; waits for an identify() that runs

  // Replaces what is watched; a place that was there before keeps what it has. Any thread.
  void watch(const conf::Dns& limits, const std::vector<Place>& places);
  // Returns when every place has been published once, or after `ms`.
  void await_first(std::uint32_t ms) const;
  [[nodiscard]] std::vector<NameInfo> infos() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace turnout::proxy
