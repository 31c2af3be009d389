// One deployment's control: its machine, its routing tables, its connections to the two servers, and the verbs an
// operator has for it. Thread-safe.
//
// Always true: an effect is in the audit log before it begins; the epoch of an attempt is greater than any that the
// decision store, a report or a database has seen; while it is not known which side may write, everything is held and
// status says why.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "control/attempt.h"
#include "control/audit_log.h"
#include "control/comparison.h"
#include "control/decision_store.h"
#include "control/event_log.h"
#include "control/executor.h"
#include "control/mysql_steps.h"
#include "control/mysql_watch.h"
#include "control/operations.h"
#include "control/postgres_steps.h"
#include "control/ramp_keeper.h"
#include "control/readiness.h"
#include "control/replicator.h"
#include "control/route_book.h"
#include "control/sampler.h"
#include "control/shadow_keeper.h"
#include "control/shelf.h"
#include "control/type_book.h"

namespace turnout::control {

// What all deployments share; everything outlives them.
struct Shared {
  proxy::Proxy& proxy;
  DecisionStore& store;
  AuditLog& audit;
  EventLog& events;
  std::filesystem::path state_dir;
};

class DeploymentControl : private Runner {
 public:
  DeploymentControl(proxy::DeploymentIndex index, const conf::Deployment& config, const Shared& shared);
  ~DeploymentControl() override;

  void start();
  void stop();
  [[nodiscard]] std::string why_no_reload(const conf::Deployment& fresh) const;  // "" or what an attempt stands on
  void reload(const conf::Deployment& config);
  [[nodiscard]] bool ready() const;
  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] boost::json::object status() const;
  [[nodiscard]] Operations::Gauges gauges() const;
  [[nodiscard]] Answer preflight(bool rollback);
  [[nodiscard]] Answer prepare(const std::string& who);
  [[nodiscard]] Answer replicate(const std::string& who);
  [[nodiscard]] Answer replication() const;
  [[nodiscard]] Answer undo_prepare(const std::string& who);
  [[nodiscard]] Answer shift(int percent, const std::string& who);
  [[nodiscard]] Answer ramp(const std::string& action, const std::string& who);
  [[nodiscard]] Answer ramp() const;
  [[nodiscard]] Answer shadow(int percent, const std::string& who);  // 0 = off
  [[nodiscard]] Answer shadow() const;
  [[nodiscard]] Answer compare(const CompareOptions& options);
  [[nodiscard]] Answer stop_compare(const std::string& who);
  [[nodiscard]] Answer compare() const;
  [[nodiscard]] Answer cutover(const CutoverOptions& options);
  [[nodiscard]] Answer abort(const std::string& who);
  [[nodiscard]] Answer finish(const std::string& who);
  [[nodiscard]] Answer set_paused(bool paused, const std::string& who);
  [[nodiscard]] Answer blockers();
  [[nodiscard]] Answer explain_route(const std::string& named, const std::string& sql);
  [[nodiscard]] Answer report(std::optional<std::uint64_t> epoch) const;
  [[nodiscard]] Answer reports() const;

 private:
  // Runner
  [[nodiscard]] StepAnswer run(const drain::Action& action, const std::atomic<bool>& cancelled) override;
  void publish(const drain::Action& action) override;
  void changed(const drain::State& before, const drain::State& now, const std::string& note) override;

  [[nodiscard]] boost::json::object readiness_text(const drain::State& state) const;
  [[nodiscard]] bool is_mysql() const { return protocol_ == conf::Protocol::mysql; }
  [[nodiscard]] std::vector<Check> run_all_checks(router::Side from, bool quick, const std::atomic<bool>& give_up);
  [[nodiscard]] StepAnswer run_on_servers(const drain::Action& action, Attempt& attempt,
                                          const std::atomic<bool>& cancelled);
  [[nodiscard]] std::optional<std::vector<Check>> look_by_itself(const std::atomic<bool>& give_up);
  void readiness_changed(const Readiness::Report& now);
  void between_attempts();
  [[nodiscard]] MysqlWatch::Context watch_context();
  [[nodiscard]] std::shared_ptr<ComparePair> compare_pair();
  [[nodiscard]] std::string doubt_at_start(const std::vector<Record>& records, drain::Recovered& log);
  [[nodiscard]] StepAnswer run_step(const drain::Action& action, const std::atomic<bool>& cancelled);
  [[nodiscard]] std::shared_ptr<Attempt> attempt(std::uint64_t epoch);
  [[nodiscard]] conf::Deployment config() const;
  [[nodiscard]] std::uint64_t next_epoch();
  void write_report(std::uint64_t epoch, const drain::State& state);
  [[nodiscard]] std::filesystem::path report_file(std::uint64_t epoch, const char* extension) const;
  [[nodiscard]] std::vector<std::uint64_t> report_epochs() const;
  [[nodiscard]] std::optional<Answer> audited(const std::string& verb, const std::string& who,
                                              boost::json::object detail);
  [[nodiscard]] std::optional<Answer> why_no_ramp() const;
  [[nodiscard]] std::optional<Answer> why_not_alone() const;
  // Before reads are wanted on the side that follows. "" or why it takes none.
  [[nodiscard]] std::string let_readers_in();
  [[nodiscard]] std::optional<Answer> why_not_of_mysql(const char* what) const;
  [[nodiscard]] std::string take_down_way_back(router::Side writer, boost::json::array& removed);
  [[nodiscard]] std::string prepare_scratch(boost::json::array& done);
  [[nodiscard]] Answer conflict(const std::string& detail) const;
  [[nodiscard]] static drain::Limits limits_of(const conf::Deployment& config, std::uint32_t window_ms_max);

  const proxy::DeploymentIndex index_;
  const std::string name_;
  const conf::Protocol protocol_;  // asked under the lock too
  Shared shared_;
  mutable std::mutex mutex_;
  conf::Deployment config_;
  std::shared_ptr<Attempt> attempt_;
  std::uint64_t last_epoch_ = 0;
  std::uint64_t reported_epoch_ = 0;  // the newest epoch whose report is complete
  std::string doubt_;                 // why everything is held although no cutover runs; "" = it is not
  std::vector<double> pauses_s_;
  bool started_ = false;
  bool was_reloaded_ = false;                // the shelves have not heard of it
  std::mutex preparing_;                     // one `prepare` or preflight at a time
  std::optional<std::uint64_t> readers_in_;  // the epoch since which the follower's doors are known to be open
  const std::atomic<bool> never_{false};

  Shelf shelf_;
  TypeBook types_;
  RouteBook routes_;
  PostgresSteps steps_;
  MysqlShelf mysql_shelf_;
  MysqlSteps mysql_;  // instead of steps_, if that is the protocol
  Executor executor_;
  MysqlWatch mysql_watch_;
  RampKeeper ramp_;
  ShadowKeeper shadow_;
  Sampler sampler_;
  Readiness readiness_;
  Replicator replicator_;
  Comparison comparison_;
};

}  // namespace turnout::control
