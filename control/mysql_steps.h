// The steps of drain/plan.h on two servers of MariaDB or of MySQL, as postgres_steps.h has them for Postgres. Each is
// idempotent, and over when run() returns: what a lost connection has left running has been ended first. Steps that
// have nothing to do here (row-based replication carries sequences, AUTO_INCREMENT and the schema) answer that they are
// done.
#pragma once

#include <atomic>
#include <boost/json/array.hpp>

#include "control/mysql_context.h"

namespace turnout::control {

class MysqlSteps {
 public:
  explicit MysqlSteps(MysqlContext context) : context_(std::move(context)) {}

  // Everything but preflight, reports and the records of begin and end, which are the deployment's.
  [[nodiscard]] StepAnswer run(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled);
  // What a cutover from `from` needs: the link found, the follower read-only, connections open. "" or why not.
  [[nodiscard]] std::string prepare(Attempt& attempt, router::Side from, boost::json::array& done);
  [[nodiscard]] MysqlContext& context() { return context_; }
  // One try to end what lost connections have left running there. True: nothing of it is left.
  [[nodiscard]] bool clear_lost(router::Side side);

 private:
  [[nodiscard]] StepAnswer dispatch(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled);
  [[nodiscard]] StepAnswer prepare_step(Attempt& attempt, router::Side from);
  [[nodiscard]] std::string own_writes(router::Side from);
  [[nodiscard]] std::string bind_both();
  [[nodiscard]] std::string own_writes_in_log(MysqlClient& follower);
  [[nodiscard]] std::string left_over(const MysqlTopology& topology);
  [[nodiscard]] MysqlOutcome<bool> kill_lost(MysqlClient& client, std::uint64_t number);
  void end_lost(router::Side side, const std::atomic<bool>& cancelled);

  MysqlContext context_;
};

}  // namespace turnout::control
