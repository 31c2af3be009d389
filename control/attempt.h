// What the steps of one attempt tell each other and the report. Everything a later step cannot do without after a crash
// is also in the decision store (`facts`, `undo`, the decision's detail). Guarded by its own mutex: steps run at the
// same time.
#pragma once

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/check.h"
#include "control/mysql_topology.h"
#include "control/sequence_book.h"
#include "control/streams.h"
#include "drain/cutover.h"

namespace turnout::control {

struct Attempt {
  std::uint64_t epoch = 0;
  drain::Direction direction = drain::Direction::cutover;
  std::string who;
  std::vector<std::string> waive;
  std::string started_at;

  std::mutex mutex;
  // Everything below: lock `mutex`.
  std::vector<Check> checks;
  std::vector<std::pair<std::string, double>> phases;  // name, when it began (the executor's clock)
  Topology topology;
  MysqlTopology mysql;            // instead, if that is the protocol
  std::optional<PgClient> probe;  // opened after the fence, told read-only: raise_fence leaves it to verify_fence
  std::optional<MysqlClient>
      mysql_probe;    // opened behind the fence: as long as it lives, `from` has not been restarted
  std::string token;  // of the marker; random, so that an old row is never taken for it
  std::map<std::string, std::string> schema;                    // database → fingerprint before the hold
  std::map<std::string, std::string> fence_position;            // database → position on `from` after the marker
  std::map<std::string, std::string> slot_target;               // database → position on `to` after the flush
  std::map<std::string, std::vector<SequenceState>> sequences;  // database → on `from`
  std::map<std::string, std::vector<SequenceState>> sequences_there;          // database → on `to`, before the hold
  std::map<std::string, std::shared_ptr<const SequenceBook>> sequence_books;  // database → of `from`, before the hold
  boost::json::array ended_sessions;                                          // strays: who they were
  boost::json::object guards;
  boost::json::array anchors;  // of change data capture: anchors.h
  boost::json::array notes;
  std::uint64_t client_errors_before = 0;
  std::uint32_t held_sessions = 0;  // the most that were held at once
  boost::json::object undo_proof;   // settings before and after, when it was reverted
};

}  // namespace turnout::control
