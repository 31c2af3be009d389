#include "control/mysql_steps.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/level_steps.h"
#include "control/mysql_events.h"
#include "control/mysql_fence.h"
#include "control/mysql_identity.h"
#include "control/mysql_own_writes.h"
#include "control/mysql_proof.h"
#include "control/mysql_sessions.h"
#include "control/mysql_settle.h"
#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

constexpr std::size_t warm_connections_per_side = 2;  // as many steps as run at the same time on one side

}  // namespace

StepAnswer MysqlSteps::run(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled) {
  // The watch's statements (mysql_watch.h) must not come behind these.
  const bool prepares = action.step == drain::Step::prepare;
  if (prepares) end_lost(action.from, cancelled);
  if (prepares || action.step == drain::Step::open_to) end_lost(router::other(action.from), cancelled);
  auto answer = dispatch(action, attempt, cancelled);
  if (answer.ok) return answer;
  for (const auto side : sides_of(action)) end_lost(side, cancelled);
  return answer;
}

// What a follower takes while it is writable never reaches the writer, and stops the way back.
std::string MysqlSteps::own_writes(router::Side from) {
  auto follower = context_.shelf.take(router::other(from));
  if (!follower) return follower.error().message();
  const auto there = look_at(**follower);  // first: see written_alone()
  if (!there) return there.error().message();
  auto writer = context_.shelf.take(from);
  if (!writer) return writer.error().message();
  const auto here = look_at(**writer);
  if (!here) return here.error().message();
  if (kind_of(*here, *there, choose_link(there->links, here->id()).link) == PositionKind::file)
    return own_writes_in_log(**follower);
  const auto& dialect = here->dialect();
  const auto own = written_alone(dialect, there->variable(dialect.state), here->variable(dialect.state), here->owned);
  if (!own) return std::string(dialect.state) + " cannot be read";
  return own->empty() ? "" : "written on " + std::string(router::name(router::other(from))) + " alone: " + own->front();
}

std::string MysqlSteps::own_writes_in_log(MysqlClient& follower) {
  const auto side = follower.target().side;
  const auto since = closed_at(context_.step.store.records(context_.step.deployment), side);
  const auto own = look_for_own_writes(follower, since);
  if (!own) return own.error().message();
  return own->behind.empty() ? "" : "written on " + std::string(router::name(side)) + " alone: " + own->behind.front();
}

std::string MysqlSteps::left_over(const MysqlTopology& topology) {
  auto writer = context_.shelf.take(topology.from);
  if (!writer) return writer.error().message();
  const auto links = links_of(**writer);
  return links ? left_over_link(*links, topology.connection) : links.error().message();
}

std::string MysqlSteps::prepare(Attempt& attempt, router::Side from, boost::json::array& done) {
  const auto topology = discover(context_.shelf, from);
  if (!topology) return topology.error().message();
  if (topology->kind == PositionKind::file) {
    if (auto error = left_over(*topology); !error.empty()) return error;
    done.emplace_back("positions are places in the writer's log: there are no GTIDs, or they are not used");
  }
  {
    const std::lock_guard guard(attempt.mutex);
    attempt.mysql = *topology;
  }
  if (auto error = bind_both(); !error.empty()) return error;
  return keep_read_only(context_, topology->to(), done);
}

// From here on a name of blue's leads to this blue, and one of green's to this green.
std::string MysqlSteps::bind_both() {
  boost::json::object both;
  for (const auto side : {router::Side::blue, router::Side::green}) {
    auto loan = context_.shelf.take(side);
    if (!loan) return loan.error().message();
    const auto identity = ask_identity(**loan);
    if (!identity) return identity.error().message();
    both[router::name(side)] = text_of(*identity);
  }
  return bind_identities(context_.step.store, context_.step.deployment, std::move(both));
}

StepAnswer MysqlSteps::prepare_step(Attempt& attempt, router::Side from) {
  boost::json::array done;
  if (auto error = prepare(attempt, from, done); !error.empty()) return StepAnswer::failed(std::move(error));
  // Once more than the preflight: from here on it is read-only, and the proof sees whether it has stayed so.
  const bool is_file = mysql_topology_of(attempt).kind == PositionKind::file;
  if (!is_file || !is_waived(context_, attempt, "green.no_writes")) {
    if (auto error = own_writes(from); !error.empty()) return StepAnswer::failed(std::move(error));
  }
  for (const auto side : {from, router::other(from)}) {
    if (auto error = context_.shelf.warm(side, warm_connections_per_side); !error.empty())
      return StepAnswer::failed(std::move(error));
  }
  auto& step = context_.step;
  const std::lock_guard guard(attempt.mutex);
  auto error = step.store.append({step.deployment, attempt.epoch, RecordKind::facts, to_json(attempt.mysql)});
  if (!error.empty()) return StepAnswer::failed(std::move(error));
  for (auto& line : done) attempt.notes.push_back(std::move(line));
  return StepAnswer::done();
}

StepAnswer MysqlSteps::dispatch(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled) {
  using enum drain::Step;
  const auto from = action.from;
  const auto to = router::other(from);
  if (auto answer = run_level_step(context_.step, action, attempt, cancelled)) return *answer;
  switch (action.step) {
    case drain::Step::prepare:
      return prepare_step(attempt, from);
    case record_undo:
      return control::record_undo(context_, attempt, from);
    case raise_fence:
      return control::raise_fence(context_, from);
    case verify_fence:
      return control::verify_fence(context_, attempt, from, cancelled);
    case write_marker:
      return read_fence_position(context_, attempt, from);
    case await_marker:
      return await_fence_position(context_, attempt, to, cancelled);
    case open_to:
      return open_side(context_, attempt, to);
    case await_open: {
      auto told = control::await_writable(context_, to, cancelled);
      return told.ok ? await_proven(context_.step, attempt, to, cancelled) : told;
    }
    case disable_forward:
      return stop_forward(context_, attempt, to);
    case await_forward_gone:
      return control::await_forward_gone(context_, attempt, to, cancelled);
    case start_reverse:
      return control::start_reverse(context_, attempt, from, cancelled);
    case drop_forward:
      return control::drop_forward(context_, attempt, to);
    case lower_fence:
      return control::lower_fence(context_, attempt, from);
    case await_writable:
      return control::await_writable(context_, from, cancelled);
    case end_former_from:
      return control::end_former(context_, from, cancelled);
    case end_former_to:
      return control::end_former(context_, to, cancelled);
    // The binary log carries them, in its order: they are there when the position is.
    case check_schema:
    case read_sequences:
    case copy_sequences:
    // No slots, and the journal is the decision store's alone.
    case advance_slots:
    case copy_journal:
      return StepAnswer::done();
    case read_guards:  // there are none; but replication runs back now
      return move_events(context_, attempt, from);
    case await_warm:
    case await_held:
    case await_drained:
    case await_closed:
    case await_flipped:
    case await_released:
    case await_released_from:
    case decide_commit:
    case decide_abort:
    case run_preflight:
    case record_begin:
    case write_report:
    case record_end:
    case publish_warm:
    case publish_hold:
    case publish_fence:
    case publish_flip:
    case publish_release_to:
    case publish_release_from:
    case publish_doubt:
    case publish_normal:
      return StepAnswer::failed(std::string(drain::name(action.step)) + " is not a step of the servers");
  }
  return StepAnswer::failed("unknown step");
}

// True: it was there and has been told. After a restart the server gives numbers out anew, to anybody: only a session
// of the admin's that the shelf does not know is the lost one.
MysqlOutcome<bool> MysqlSteps::kill_lost(MysqlClient& client, std::uint64_t number) {
  const auto sessions = list_sessions(client);
  if (!sessions) return sessions.error();
  const auto known = context_.shelf.numbers(client.target().side);
  const auto& admin = context_.step.config().admin.user;
  const bool is_there = std::ranges::any_of(*sessions, [&](const MysqlSession& session) {
    return session.number == number && session.user == admin && std::ranges::find(known, number) == known.end();
  });
  return is_there ? kill_session(client, number) : MysqlOutcome<bool>(false);
}

bool MysqlSteps::clear_lost(router::Side side) {
  for (const auto number : context_.shelf.lost(side)) {
    auto client = context_.shelf.fresh(side, window_ms_max);
    if (!client) {
      if (!client.error().lost) spdlog::warn("{}: {}", context_.step.deployment, client.error().message());
      return false;
    }
    const auto was_there = kill_lost(*client, number);
    if (!was_there || *was_there) return false;
    context_.shelf.forget_lost(side, number);
  }
  return true;
}

// A statement whose connection was lost may still be running. It is over when the server lists it no more; until then
// nobody is told that the step failed, because the way back would race with it.
void MysqlSteps::end_lost(router::Side side, const std::atomic<bool>& cancelled) {
  while (!cancelled && !clear_lost(side)) long_pause();
}

}  // namespace turnout::control
