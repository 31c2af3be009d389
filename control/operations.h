// Everything an operator can ask for, once: REST, CLI, console and metrics are thin clients of this class.
//
// Thread-safe. Answers carry the JSON body, the HTTP status and the exit code of contract ("Exit codes" in the README).
// A cutover or rollback runs on a thread of its own; the call that starts it returns at once with its epoch, and
// whoever asked may go away. Errors are problem+json: {type, title, status, detail, …}.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conf/config.h"
#include "proxy/proxy.h"

namespace turnout::control {

struct Answer {
  int http_status = 200;
  int exit_code = 0;
  boost::json::value body;
};

struct CutoverOptions {
  bool rollback = false;            // sides swapped
  bool dry_run = false;             // preflight and the ordered plan; touches nothing
  bool rehearse = false;            // "resume on the old writer" in place of decide and flip
  std::uint32_t window_ms_max = 0;  // 0 = the configuration's
  std::vector<std::string> waive;   // preflight checks waived by name
  std::string who = "api";
};

struct CompareOptions {
  std::vector<std::string> tables;    // empty = all that is published
  std::uint64_t rows_per_second = 0;  // 0 = the configuration's
  bool anew = false;                  // do not go on where an earlier one was broken off
  std::string who = "api";
};

// One line of progress; also what /v1/events streams. `data` has deployment, epoch, phase, at_ms and counts.
struct ProgressEvent {
  std::uint64_t sequence = 0;
  std::string type;  // phase, preflight, ramp, shadow, compare, report, alarm
  boost::json::object data;
};

class Operations {
 public:
  Operations(const conf::Config& config, proxy::Proxy& proxy);
  ~Operations();
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;

  // The decision store, before the proxy asks for the servers behind names: it knows which ones they were. Throws when
  // state_dir cannot be locked.
  void open();
  // Reads the store, finishes or undoes what it finds, publishes the first routing table of every deployment. While
  // that cannot be decided the deployment holds and status says why.
  void start();
  void stop();
  // "", or what may not change while an attempt is under way, one a line.
  [[nodiscard]] std::string why_no_reload(const conf::Config& fresh) const;
  void reload(const conf::Config& config);
  // Of the server behind an address of a side; may block for dns.timeout. Also before start().
  [[nodiscard]] proxy::Identity identify(proxy::DeploymentIndex index, router::Side side,
                                         const conf::Address& numeric) const;
  [[nodiscard]] bool ready() const;  // every deployment has a table and is not holding for want of a decision

  [[nodiscard]] Answer status() const;  // {deployments: {name: {writer, ramp_percent, …}}}
  [[nodiscard]] Answer status(const std::string& deployment) const;
  [[nodiscard]] Answer clients() const;
  [[nodiscard]] Answer pools() const;
  [[nodiscard]] Answer blockers(const std::string& deployment) const;
  [[nodiscard]] Answer preflight(const std::string& deployment, bool rollback);
  [[nodiscard]] Answer prepare(const std::string& deployment, const std::string& who);
  // prepare, and before it green's copy where there is none; 202 once the checks are over. Then how far it is.
  [[nodiscard]] Answer replicate(const std::string& deployment, const std::string& who);
  [[nodiscard]] Answer replication(const std::string& deployment) const;
  [[nodiscard]] Answer undo_prepare(const std::string& deployment, const std::string& who);
  [[nodiscard]] Answer shift(const std::string& deployment, int percent, const std::string& who);
  // start, pause, resume, abort: the ramp that climbs by itself; without an action, how it stands.
  [[nodiscard]] Answer ramp(const std::string& deployment, const std::string& action, const std::string& who);
  [[nodiscard]] Answer ramp(const std::string& deployment) const;
  // A share of the writer's reads, run on the other side as well and compared; 0 = off. Without one, what it has seen.
  [[nodiscard]] Answer shadow(const std::string& deployment, int percent, const std::string& who);
  [[nodiscard]] Answer shadow(const std::string& deployment) const;
  // Row by row, in the background: 202. Without options, how it stands.
  [[nodiscard]] Answer compare(const std::string& deployment, const CompareOptions& options);
  [[nodiscard]] Answer stop_compare(const std::string& deployment, const std::string& who);
  [[nodiscard]] Answer compare(const std::string& deployment) const;
  [[nodiscard]] Answer cutover(const std::string& deployment, const CutoverOptions& options);  // 202 {epoch}
  [[nodiscard]] Answer abort(const std::string& deployment, const std::string& who);
  [[nodiscard]] Answer finish(const std::string& deployment, const std::string& who);
  [[nodiscard]] Answer pause(const std::string& deployment, const std::string& who);  // holds all new work
  [[nodiscard]] Answer resume(const std::string& deployment, const std::string& who);
  [[nodiscard]] Answer explain_route(const std::string& deployment, const std::string& database,
                                     const std::string& sql) const;
  [[nodiscard]] Answer report(const std::string& deployment,
                              std::optional<std::uint64_t> epoch) const;  // 404 while running
  [[nodiscard]] Answer reports(const std::string& deployment) const;
  [[nodiscard]] Answer audit(std::size_t lines) const;

  // Numbers for /metrics that belong to the control side.
  struct Gauges {
    std::string deployment, phase, writer;
    std::uint64_t epoch = 0;
    double ramp_ratio = 0, ramp_actual_ratio = 0;
    int ready_to_move = -1;  // 1: the preflight that runs by itself found nothing in the way; -1: not known
    std::uint64_t ramp_step_backs = 0;
    double ramp_worst_p95_ratio = 0;               // of the shapes that take time; 0 = nothing to compare
    router::SideNumbers ramp_green, ramp_control;  // measured reads of the present step
    double shadow_ratio = 0;
    std::vector<std::pair<std::string, std::uint64_t>> shadow_reads, shadow_drops;  // by outcome; by reason
    std::uint64_t shadow_slower = 0;                                                // shapes
    double lag_bytes = 0, lag_seconds = 0, slot_retained_bytes = 0;
    std::vector<double> pauses_s;  // longest pause of each finished cutover since start
  };
  [[nodiscard]] std::vector<Gauges> gauges() const;

  // Events after `sequence`, waiting up to wait_ms for the first one.
  [[nodiscard]] std::vector<ProgressEvent> events(std::uint64_t after, std::uint32_t wait_ms) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace turnout::control
