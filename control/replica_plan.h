// What `prepare --replicate` found on both servers, what is in the way of a copy, and what is left to be made. Pure:
// replica_look.h asks the servers, replicate.h does it.
//
// Always true: a database that green already follows, whoever made that, only has its copy awaited; nothing is planned
// for a database of which anything fails; a schema is copied only into a database that holds nothing of anybody.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "control/check.h"
#include "control/decision_store.h"

namespace turnout::control {

enum class SlotState : std::uint8_t { absent, idle, active, lost, foreign };  // foreign: of another plugin or database

struct ServerFacts {
  int version = 0;  // 150020
  std::string system_identifier;
  std::string wal_level;
  bool is_standby = false;
  bool is_superuser = false;
  std::int64_t slots_free = 0;
  std::int64_t senders_free = 0;
  std::int64_t origins_free = 0;
  std::int64_t workers_free = 0;  // of logical replication
  std::int64_t sync_workers = 0;  // tables of one subscription copied at the same time
  std::vector<std::string> roles, tablespaces;
};

struct DatabaseFacts {
  std::string name;
  bool is_on_blue = false, is_on_green = false;
  std::string blue_encoding, green_encoding;
  std::string create_sql;         // that makes it on green
  bool is_followed = false;       // green has a subscription for it
  bool is_schema_copied = false;  // by an earlier run: turnout.replica says so, in the copy's own transaction
  std::vector<std::string> objects_on_green;  // of users; after a schema copy of ours: tables with rows
  std::vector<std::string> without_identity;  // tables of blue
  std::vector<std::string> extensions;        // of blue
  std::vector<std::string> available;         // extensions that green could make
  bool is_published = false;
  SlotState slot = SlotState::absent;
  std::string unreachable;  // why green cannot log in to blue; "" = it can
};

struct ReplicaFacts {
  ServerFacts blue, green;
  std::vector<DatabaseFacts> databases;
  std::string no_dump;  // why there is no usable pg_dump; "" = there is one
};

// Every check, in the order in which an operator would mend them.
[[nodiscard]] std::vector<Check> audit(const ReplicaFacts& facts);

enum class ReplicaStep : std::uint8_t {
  copy_schema,
  make_publication,
  drop_lost_slot,
  make_slot,
  make_subscription,
  await_copy,
  analyze,
};
[[nodiscard]] const char* name(ReplicaStep step);
[[nodiscard]] std::vector<ReplicaStep> steps_for(const DatabaseFacts& database);

// One table while it is copied, and all of them.
struct TableProgress {
  char state = 'i';               // pg_subscription_rel.srsubstate
  std::int64_t size = 0;          // on blue
  std::int64_t bytes_copied = 0;  // pg_stat_progress_copy: of the text form, so only nearly the same measure
};
struct CopyProgress {
  std::int64_t tables = 0, tables_ready = 0, bytes_copied = 0, bytes_total = 0;
  friend bool operator==(const CopyProgress&, const CopyProgress&) = default;
};
[[nodiscard]] CopyProgress progress_of(const std::vector<TableProgress>& tables);

// What Turnout itself made, from the decision log: written before it is made, so that it may also not be there.
struct Made {
  std::string what;  // schema, publication, slot, subscription
  std::string database, name, side, undo;
  friend bool operator==(const Made&, const Made&) = default;
};
[[nodiscard]] boost::json::object to_json(const Made& made);
// Not undone yet, oldest first.
[[nodiscard]] std::vector<Made> still_made(const std::vector<Record>& records);

}  // namespace turnout::control
