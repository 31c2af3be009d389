// The named checks before a cutover or rollback of a MySQL pair. Reads both servers and changes nothing.
//
// Always true: every check answers in every run; one that could not look is a FAIL that says so. What a check concludes
// from what it read is pure, and below.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "control/check.h"
#include "control/mysql_context.h"
#include "control/mysql_topology.h"

namespace turnout::control {

[[nodiscard]] std::vector<Check> run_checks(MysqlContext& context, router::Side from, const std::atomic<bool>& give_up);

// ---- of the two servers' own words; Side::blue and green are only for the texts
struct MysqlPair {
  router::Side from = router::Side::blue;
  MysqlServer here, there;  // `there` was read first
  [[nodiscard]] router::Side to() const { return router::other(from); }
};
void judge_servers(const MysqlPair& pair, CheckList& list);      // identity, version, binlog, settings.parity
void judge_replication(const MysqlPair& pair, CheckList& list);  // replication.* but lag, green.no_writes

// ---- internal to the preflight
class MysqlLook : public CheckList {
 public:
  MysqlLook(MysqlContext& context, router::Side from, const std::atomic<bool>& give_up);

  MysqlContext& context;
  const std::atomic<bool>& give_up;
  const conf::Deployment config;
  std::optional<MysqlPair> pair;  // nothing: `no_pair` says why
  std::string no_pair;
  const router::Side from, to;

  // One question; an error of the connection or the query makes `name` a FAIL that says so, and gives nothing.
  [[nodiscard]] std::optional<MysqlRows> ask(const char* name, router::Side side, const std::string& sql);
  void could_not_look(const char* name, const std::string& why);
};
void check_data(MysqlLook& look);      // schema.parity, replica_identity, unsupported_objects, jobs
void check_accounts(MysqlLook& look);  // roles.parity, privileges, fence.effective, reverse.possible
void check_sessions(MysqlLook& look);  // who is there, long and prepared transactions

}  // namespace turnout::control
