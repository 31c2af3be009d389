#include "control/journal.h"

#include <algorithm>
#include <thread>

#include "control/fence.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t look_ms_max = 2'000;
constexpr std::uint32_t courtesy_ms_max = 250;  // the old writer's copy: useful, not worth a wait

// The newest commit that this database remembers; 0 = none, or it cannot be asked.
std::uint64_t newest_commit(Shelf& shelf, router::Side side, const std::string& database) {
  auto client = shelf.fresh(side, database, look_ms_max);
  if (!client) return 0;
  const auto rows =
      client->query("SELECT coalesce(max(epoch), 0) FROM turnout.journal WHERE decision = 'commit'", look_ms_max);
  return rows ? static_cast<std::uint64_t>(rows->integer(0, 0)) : 0;  // no such table: nothing was ever decided here
}

}  // namespace

std::string journal_doubt(Shelf& shelf, const conf::Deployment& deployment, const std::vector<Record>& records,
                          const drain::Recovered& log) {
  std::vector<std::string> databases = deployment.databases;
  if (const auto* facts = newest(records, RecordKind::facts)) {
    for (const auto& stream : topology_of(facts->data).streams) databases.push_back(stream.database);
  }
  if (databases.empty()) return "";
  const auto& database = databases.back();
  std::uint64_t green = 0;
  std::thread asking([&] {
    if (deployment.green) green = newest_commit(shelf, router::Side::green, database);
  });
  const auto blue = newest_commit(shelf, router::Side::blue, database);
  asking.join();
  const auto seen = std::max(blue, green);
  if (seen <= log.epoch) return "";
  return "turnout.journal of database " + database + " on " + (blue >= green ? "blue" : "green") +
         " knows a commit of epoch " + std::to_string(seen) + ", the decision log in state_dir only knows epoch " +
         std::to_string(log.epoch) +
         ": this is not the state_dir of that cutover. Point control.state_dir at the right one; if it is lost, look "
         "which side takes writes, configure that one as blue, and delete the rows of turnout.journal on both sides";
}

StepAnswer copy_journal(StepContext& context, Attempt& attempt, router::Side from) {
  const auto to = router::other(from);
  const auto insert = [&](router::Side side) {
    return writing("INSERT INTO turnout.journal (epoch, side, decision, direction, by_whom) VALUES (" +
                   std::to_string(attempt.epoch) + ", " + quote_literal(router::name(side)) + ", 'commit', " +
                   quote_literal(drain::name(attempt.direction)) + ", " + quote_literal(attempt.who) +
                   ") ON CONFLICT (epoch, side) DO NOTHING");
  };
  for (const auto& database : databases_of(context, attempt)) {
    std::thread courtesy([&] {
      auto loan = context.shelf.take(from, database, courtesy_ms_max);
      if (loan && !(*loan)->query(insert(from), courtesy_ms_max)) {
        const std::lock_guard guard(attempt.mutex);
        attempt.notes.emplace_back(std::string("the journal on ") + router::name(from) +
                                   " has no copy of this decision");
      }
    });
    std::string error;
    if (auto loan = context.shelf.take(to, database, window_ms_max)) {
      const auto written = (*loan)->query(insert(to), window_ms_max);
      if (!written) error = written.error().message();
    } else {
      error = loan.error().message();
    }
    courtesy.join();
    if (!error.empty()) return StepAnswer::failed(error);
  }
  return StepAnswer::done();
}

}  // namespace turnout::control
