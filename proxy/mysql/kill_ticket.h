// One client's KILL on its way to another session, which may be another worker's, and the answer on its way back: it
// goes when nobody holds the ticket any more, whatever became of those who did.
#pragma once

#include <cstdint>

#include "proxy/proxy.h"

namespace turnout::proxy {
class Worker;
}  // namespace turnout::proxy

namespace turnout::proxy::mysql {

class Shared;

enum class KillOutcome { done, unknown, foreign, limited };

struct KillTicket {
  KillTicket(Worker& asking_worker, DeploymentIndex its_deployment, const Shared& its_shared, std::uint32_t its_session,
             std::uint64_t named)
      : connection(named),
        worker(asking_worker),
        deployment(its_deployment),
        shared(its_shared),
        session(its_session) {}
  ~KillTicket();
  KillTicket(const KillTicket&) = delete;
  KillTicket& operator=(const KillTicket&) = delete;

  KillOutcome outcome = KillOutcome::unknown;
  const std::uint64_t connection;  // as the client named it
  Worker& worker;                  // of who asked
  const DeploymentIndex deployment;
  const Shared& shared;
  const std::uint32_t session;
};

}  // namespace turnout::proxy::mysql
