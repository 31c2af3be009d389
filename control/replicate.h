// Green's copy, made from nothing: schema by pg_dump, publication on blue, slot, subscription on green, the copy by the
// server itself, ANALYZE. What `prepare --replicate` does before what `prepare` always does.
//
// Always true: each thing is in the decision log, with what undoes it, before it is made; every step looks first, so
// that a second call goes on where the first one ended, however it ended; the schema arrives whole or not at all, and
// green itself remembers that it did (turnout.replica, in the same transaction); the slot is there before the
// subscription, so no statement of ours leaves one behind that nobody knows. Blocks for as long as a copy takes: on a
// thread of its own.
#pragma once

#include <atomic>
#include <boost/json/array.hpp>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "control/replica_look.h"

namespace turnout::control {

// How far it is, for whoever watches; and the way to stop it. Thread-safe.
class ReplicaWatch {
 public:
  struct News {
    std::string phase;     // checks, schema, publication, slot, subscription, copy, analyze, prepare, done, failed
    std::string database;  // that it is about; "" = all
    CopyProgress copy;
    std::string note;
    bool has_moved = false;  // to this phase, just now
  };
  using Tell = std::function<void(const News&)>;
  explicit ReplicaWatch(Tell tell) : tell_(std::move(tell)) {}

  void phase(const std::string& name, const std::string& database);
  void copy(const CopyProgress& progress, const std::string& note);
  [[nodiscard]] News news() const;

  // Of the thread that works: a statement that may take long. cancel() ends it on the server.
  void begins(const PgClient& client);
  void ended();
  [[nodiscard]] const std::atomic<bool>& cancelled() const { return cancelled_; }
  void reset();
  void cancel(Shelf& shelf);

 private:
  struct Busy {
    router::Side side = router::Side::blue;
    std::int32_t pid = 0;
  };
  const Tell tell_;
  mutable std::mutex mutex_;
  News news_;
  std::optional<Busy> busy_;
  std::atomic<bool> cancelled_{false};
};

// "" or what is in the way; `done` gets a line for each thing that was made. `look` has passed the audit.
[[nodiscard]] std::string make_replica(StepContext& context, const ReplicaLook& look, std::uint64_t epoch,
                                       ReplicaWatch& watch, boost::json::array& done);

}  // namespace turnout::control
