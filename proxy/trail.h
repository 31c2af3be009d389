// What a session remembers of the transaction it is in, only while there is something to remember: most have none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/pg/state_watch.h"
#include "proxy/deployment.h"
#include "proxy/setting_journal.h"

namespace turnout::proxy {

// An effect of a text that was sent; it happens when its command is complete.
struct PendingEffect {
  std::uint32_t id;  // of the query or execute
  bool happened;
  protocol::pg::Effect effect;
};

struct Trail {
  SettingJournal journal;

  // Portals whose text has effects: those come with Execute, not with Bind.
  std::vector<std::pair<std::string, std::shared_ptr<const protocol::pg::Watch>>> portals;

  // ParameterStatus since the last ReadyForQuery, and the settings that texts seen by us have changed since then: what
  // is in the first and not in the second was set by something unseen.
  std::vector<std::pair<std::string, std::string>> reports;
  std::vector<std::string> touched;
  bool all_touched = false;

  // RESET goes back to the client's start-up value, which the server connection does not know: it is set there behind
  // the RESET, before the client gets its ReadyForQuery. `told`: what the client knows of what was reported meanwhile.
  std::vector<std::string> restarted;
  Welcome told;
  bool is_restarting = false;

  [[nodiscard]] bool is_empty() const { return portals.empty() && restarted.empty() && !is_restarting; }
};

}  // namespace turnout::proxy
