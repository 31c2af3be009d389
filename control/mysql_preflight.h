// The named checks before a cutover or rollback of a MySQL pair. Reads both servers and changes nothing.
//
// Always true: every check answers in every run; one that could not look is a FAIL that says so. What a check concludes
// from what it read is pure, and below.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/check.h"
#include "control/mysql_context.h"
#include "control/mysql_own_writes.h"
#include "control/mysql_topology.h"

namespace turnout::control {

// `quick` leaves out what tries something out: logins.
[[nodiscard]] std::vector<Check> run_checks(MysqlContext& context, router::Side from, bool quick,
                                            const std::atomic<bool>& give_up);

// ---- of the two servers' own words; Side::blue and green are only for the texts
struct MysqlPair {
  router::Side from = router::Side::blue;
  MysqlServer here, there;  // `there` was read first
  std::string replaced;     // which of them is not the one that was prepared; "" = both are
  [[nodiscard]] router::Side to() const { return router::other(from); }
  [[nodiscard]] ChosenLink link() const { return choose_link(there.links, here.id()); }
  [[nodiscard]] PositionKind kind() const { return kind_of(here, there, link().link); }
};
void judge_servers(const MysqlPair& pair, CheckList& list);      // identity, version, binlog, settings.parity
void judge_replication(const MysqlPair& pair, CheckList& list);  // replication.* but lag
void judge_own_writes(const MysqlPair& pair, CheckList& list);   // green.no_writes, where there are GTIDs
void judge_own_writes(const OwnWrites& found, CheckList& list);  // and where not

// A column whose values the server gives out: table → its next one, and the last one its type can hold (0 = not known).
struct MysqlCounter {
  std::uint64_t next = 0, last = 0;
};
using MysqlCounters = std::map<std::string, MysqlCounter>;
[[nodiscard]] std::uint64_t last_of_type(const std::string& column_type);  // "int(10) unsigned"
[[nodiscard]] std::vector<std::string> nearly_full(const MysqlCounters& counters);
// Where the follower, which has applied all that `here` was read behind, gives out numbers that the writer has given
// out.
[[nodiscard]] std::vector<std::string> given_out_again(const MysqlCounters& here, const MysqlCounters& there);

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
  // Of the writer's log; and whether the follower applies all up to there within the bound for its lag.
  [[nodiscard]] std::optional<std::string> ask_log_end(const char* name);
  [[nodiscard]] std::optional<bool> ask_applied(const char* name, const std::string& position);
  void could_not_look(const char* name, const std::string& why);

 private:
  template <typename T, typename Question>
  [[nodiscard]] std::optional<T> ask_by(const char* name, router::Side side, Question question);
};
void check_data(MysqlLook& look);      // schema.parity, replica_identity, unsupported_objects, jobs
void check_numbers(MysqlLook& look);   // auto_increment
void check_accounts(MysqlLook& look);  // roles.parity, privileges, fence.effective, reverse.possible
void check_logins(MysqlLook& look);    // auth.every_user
void check_sessions(MysqlLook& look);  // who is there, long and prepared transactions

}  // namespace turnout::control
