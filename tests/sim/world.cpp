#include "tests/sim/world.h"

#include <algorithm>
#include <utility>

#include "drain/routing.h"
#include "tests/sim/steps.h"

namespace turnout::sim {
namespace {

using drain::Action;
using drain::Decision;
using drain::Event;
using drain::EventKind;
using drain::Road;
using drain::Step;

// Retries come at once: what matters is that they come, not when.
[[nodiscard]] drain::Limits limits() {
  drain::Limits limits;
  limits.retry_ms = 0;
  return limits;
}

[[nodiscard]] router::RoutingTable nobody_works() {
  router::RoutingTable table;
  table.hold = router::Hold::all;
  return table;
}

}  // namespace

World::World(const Setup& setup)
    : setup_(setup),
      faults_(setup.faults),
      machine_(limits(), plan_with(setup.bug)),
      latest_(nobody_works()),
      adopted_(setup.workers, nobody_works()),
      stray_writes_left_(2),
      attempts_left_(setup.attempts) {
  for (std::uint8_t w = 0; w < setup.workers; ++w) {
    for (std::uint8_t i = 0; i < setup.sessions_per_worker; ++i) {
      Session session;
      session.worker = w;
      session.writes_left = setup.writes_per_session;
      sessions_.push_back(std::move(session));
    }
  }
  Event first;
  first.kind = EventKind::recovered;
  send(first);
  while (!running_.empty()) deliver(0, EventKind::action_done);
  for (std::size_t w = 0; w < adopted_.size(); ++w) adopt(w);
}

Side World::writer() const {
  return log_.decision == Decision::commit ? router::other(log_.writer) : log_.writer;
}

drain::SessionView World::view(const Session& session, drain::Unit unit) const {
  drain::SessionView view;
  view.unit = unit;
  view.in_transaction = session.in_transaction;
  view.has_lease = session.in_transaction;
  view.lease_side = session.side;
  return view;
}

// --- between the machine and its executor ---

void World::send(Event event) {
  std::vector<Event> queue{std::move(event)};
  for (std::size_t i = 0; i < queue.size(); ++i) {
    drain::Result result = machine_.step(state_, queue[i], now_ms());
    if (state_.is_running() && !result.state.is_running()) ++outcomes_[static_cast<std::size_t>(result.state.outcome)];
    state_ = std::move(result.state);
    for (const drain::ActionId id : result.cancelled) {
      const auto found = std::ranges::find(running_, id, [](const Running& r) { return r.action.id; });
      if (found == running_.end()) continue;
      if (faults_.stales > 0) stale_.push_back(found->action);
      running_.erase(found);
    }
    for (const Action& action : result.actions) {
      if (is_publication(action.step)) publish(action);
      if (is_publication(action.step) && !setup_.answers_apart) {
        Event done;
        done.kind = EventKind::action_done;
        done.epoch = action.epoch;
        done.id = action.id;
        queue.push_back(done);
      } else {
        running_.push_back({action, false, Decision::none});
      }
    }
  }
}

void World::deliver(std::size_t index, EventKind kind) {
  const Running running = running_[index];
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  Event event;
  event.kind = kind;
  event.epoch = running.action.epoch;
  event.id = running.action.id;
  event.decision = running.decision;
  event.reason = "injected";
  send(std::move(event));
}

void World::publish(const Action& action) {
  latest_ = drain::routing_table(action, latest_);
  if (action.routing != drain::Routing::flip) return;
  // The sampler starts over: what was measured in one direction says nothing about the other.
  board_writer_ = latest_.writer;
  board_epoch_ = action.epoch;
  board_started_ = 0;
  if (setup_.bug != Bug::token_across_epochs) board_proven_ = 0;
}

void World::land(Running& running, bool only_half) {
  running.has_landed = true;
  if (is_publication(running.action.step)) return;
  if (is_log_step(running.action.step)) {
    land_in_log(running);
  } else {
    land_on_servers(running.action, only_half);
  }
}

void World::land_in_log(Running& running) {
  const Action& action = running.action;
  const bool is_new = action.epoch > log_.epoch;
  const bool decides = action.step == Step::decide_commit || action.step == Step::decide_abort;
  if (is_new && (action.step == Step::record_begin || decides)) {
    const Side before = writer();
    log_ = {};
    log_.epoch = action.epoch;
    log_.direction = before == Side::blue ? drain::Direction::cutover : drain::Direction::rollback;
    log_.writer = before;
  }
  if (action.epoch != log_.epoch) return;
  if (action.step == Step::record_begin) log_.begun = true;
  if (action.step == Step::record_undo) log_.undo = true;
  if (action.step == Step::record_end) log_.ended = true;
  if (!decides) return;
  if (log_.decision == Decision::none) {
    log_.decision = action.step == Step::decide_commit ? Decision::commit : Decision::abort;
    if (log_.decision == Decision::commit) judge_commit(action.from);
  }
  running.decision = log_.decision;
}

void World::land_fence(const Action& action, bool only_half) {
  Server& server = databases_.at(action.from);
  const bool raise = action.step == Step::raise_fence;
  if (!raise && (log_.epoch != action.epoch || log_.decision != Decision::abort)) {
    databases_.fail("fence lowered without an abort record (I9)");
  }
  server.read_only = raise;
  if (!only_half) server.connect_revoked = raise;
}

void World::land_on_servers(const Action& action, bool only_half) {
  const Side from = action.from;
  const Side to = router::other(from);
  if (is_effect(action.step) && (action.epoch != log_.epoch || log_.ended || !log_.begun)) {
    databases_.fail(std::string(drain::name(action.step)) + " landed outside its attempt");
  }
  switch (static_cast<int>(action.step)) {
    case static_cast<int>(Step::prepare):
      databases_.at(to).connect_revoked = false;
      databases_.at(to).reverse_slot = databases_.at(to).flushed;
      break;
    case static_cast<int>(Step::raise_fence):
    case static_cast<int>(Step::lower_fence):
      land_fence(action, only_half);
      break;
    case static_cast<int>(Step::verify_fence):
      if (from == Side::blue) stray_ = {};
      break;
    case static_cast<int>(Step::write_marker):
      if (!databases_.at(from).has(marker_of(action.epoch))) databases_.commit(from, marker_of(action.epoch));
      break;
    case static_cast<int>(Step::await_marker):
      databases_.flush(to);
      break;
    case static_cast<int>(Step::read_sequences):
      sequence_read_ = databases_.at(from).sequence;
      break;
    case static_cast<int>(Step::copy_sequences):
      databases_.at(to).sequence = std::max(databases_.at(to).sequence, sequence_read_);
      break;
    case static_cast<int>(Step::advance_slots):
      databases_.advance_reverse_slot(to);
      break;
    case static_cast<int>(Step::open_to):
      if (log_.decision != Decision::commit) databases_.fail("opened without a commit record (I9)");
      databases_.at(to).read_only = false;
      break;
    case static_cast<int>(Step::disable_forward):
      databases_.carrier_to(to).is_enabled = false;
      break;
    case static_cast<int>(Step::start_reverse):
      databases_.start_subscription(from);
      break;
    case static_cast<int>(Step::drop_forward):
      databases_.carrier_to(to) = {};
      break;
    case static_cast<int>(Step::end_former_from):
    case static_cast<int>(Step::end_former_to):
      if (setup_.bug == Bug::former_backends_ignored) break;
      std::erase_if(orphans_, [&action](const Action& orphan) { return side_of(orphan) == side_of(action); });
      break;
    default:
      break;
  }
}

// --- moves ---

void World::apply(const Move& move) {
  switch (move.kind) {
    case MoveKind::complete:
    case MoveKind::land:
    case MoveKind::answer:
    case MoveKind::fail:
    case MoveKind::fail_half:
    case MoveKind::lose_answer:
    case MoveKind::stale_answer:
    case MoveKind::orphan_lands:
      apply_executor(move);
      break;
    case MoveKind::adopt:
    case MoveKind::begin:
    case MoveKind::commit:
    case MoveKind::lose_connection:
    case MoveKind::lose_commit_answer:
      apply_session(move);
      break;
    case MoveKind::stray_connects:
    case MoveKind::stray_sets_off:
    case MoveKind::stray_begins:
    case MoveKind::stray_commits:
    case MoveKind::stray_prepares:
    case MoveKind::stray_commits_prepared:
      apply_stray(move);
      break;
    case MoveKind::reload:
    case MoveKind::replicate:
    case MoveKind::flush:
    case MoveKind::carrier_ends:
    case MoveKind::kill:
    case MoveKind::revive:
      apply_servers(move);
      break;
    case MoveKind::sample_start:
    case MoveKind::sample_proven:
    case MoveKind::ramped_read:
      apply_reads(move);
      break;
    case MoveKind::start_attempt:
    case MoveKind::late:
    case MoveKind::abort:
    case MoveKind::overflow:
    case MoveKind::crash:
      apply_accident(move);
      break;
  }
  judge();
}

void World::apply_executor(const Move& move) {
  if (move.kind == MoveKind::orphan_lands) {
    Running late{orphans_[move.a], false, Decision::none};
    orphans_.erase(orphans_.begin() + move.a);
    return land(late, false);
  }
  if (move.kind == MoveKind::stale_answer) return take_stale_answer(move.a);
  Running& running = running_[move.a];
  switch (static_cast<int>(move.kind)) {
    case static_cast<int>(MoveKind::land):
      return land(running, false);
    case static_cast<int>(MoveKind::complete):
      land(running, false);
      break;
    case static_cast<int>(MoveKind::fail):
      --faults_.failures;
      break;
    case static_cast<int>(MoveKind::fail_half):
      --faults_.failures;
      land(running, true);
      break;
    case static_cast<int>(MoveKind::lose_answer):
      --faults_.unknowns;
      // Not written yet does not mean that it will not be: the write is still on its way.
      if (!running.has_landed) orphans_.push_back(running.action);
      running.decision = Decision::unknown;
      break;
    default:
      break;
  }
  const bool refused = running.action.step == Step::run_preflight && !passes_preflight(running.action);
  const bool failed = move.kind == MoveKind::fail || move.kind == MoveKind::fail_half || refused;
  const bool decides = running.action.step == Step::decide_commit || running.action.step == Step::decide_abort;
  deliver(move.a, failed ? EventKind::action_failed : decides ? EventKind::decision_result : EventKind::action_done);
}

bool World::passes_preflight(const Action& action) const {
  const Side to = router::other(action.from);
  const Subscription& carrier = databases_.carrier_to(to);
  return carrier.is_enabled && carrier.worker_lives && databases_.at(to).is_up && databases_.at(action.from).is_up;
}

void World::take_stale_answer(std::size_t index) {
  --faults_.stales;
  const Action action = stale_[index];
  stale_.erase(stale_.begin() + static_cast<std::ptrdiff_t>(index));
  Event event;
  event.kind = EventKind::action_done;
  event.epoch = action.epoch;
  event.id = action.id;
  if (setup_.bug == Bug::stale_epoch_accepted) {
    const auto found =
        std::ranges::find(running_, action.step, [](const Running& running) { return running.action.step; });
    if (found == running_.end()) return;
    event.epoch = found->action.epoch;
    event.id = found->action.id;
    running_.erase(found);
  }
  send(event);
}

void World::apply_session(const Move& move) {
  if (move.kind == MoveKind::adopt) return adopt(move.a);
  Session& session = sessions_[move.a];
  if (move.kind == MoveKind::begin) return begin(session);
  if (move.kind == MoveKind::commit) return commit(session, true);
  --faults_.losses;
  const Side side = session.side;
  if (move.kind == MoveKind::lose_commit_answer) {
    commit(session, false);
  } else {
    session.in_transaction = false;
  }
  session.connection[index(side)] = {};
}

void World::adopt(std::size_t worker) {
  adopted_[worker] = latest_;
  for (Session& session : sessions_) {
    if (session.worker != worker) continue;
    for (const Side side : {Side::blue, Side::green}) {
      Backend& connection = session.connection[index(side)];
      const router::SideOrders& orders = latest_.sides[index(side)];
      connection.is_proven = false;
      const bool is_free = !session.in_transaction || session.side != side;
      if (!orders.may_write && is_free && setup_.bug != Bug::own_connection_keeps_off) connection = {};
      const Server& server = databases_.at(side);
      if (orders.may_write && orders.warm && !connection.is_open && server.is_up && !server.connect_revoked) {
        databases_.connect(connection, side);
      }
    }
  }
}

void World::begin(Session& session) {
  const router::RoutingTable& table = adopted_[session.worker];
  const drain::Passage passage = drain::passage(view(session, drain::Unit::write), table);
  if (passage.verdict == drain::Verdict::hold) {
    session.is_held = true;
    return;
  }
  Backend& connection = session.connection[index(passage.side)];
  if (!connection.is_open) {
    databases_.connect(connection, passage.side);
    connection.keeps_off = setup_.bug == Bug::own_connection_keeps_off;
  }
  if (table.sides[index(passage.side)].prove_writable) connection.is_proven = true;
  if (!connection.may_begin_writing()) {
    databases_.fail(std::string("a client of the proxy was refused as read-only on ") + router::name(passage.side));
  }
  session.is_held = false;
  session.in_transaction = true;
  session.side = passage.side;
  session.row = next_row_++;
  --session.writes_left;
  ++databases_.at(passage.side).sequence;
}

void World::commit(Session& session, bool answer_arrives) {
  const Side side = session.side;
  ++databases_.at(side).sequence;  // nextval comes anywhere in a transaction
  databases_.commit(side, session.row);
  if (log_.decision == Decision::commit && side != writer())
    databases_.fail("a write on the old side after the decision");
  if (answer_arrives) {
    acknowledge(session, session.row);
  } else {
    drain::Loss loss;
    loss.sent = loss.in_transaction = loss.is_commit = true;
    const bool again = drain::recourse(loss) == drain::Recourse::again || setup_.bug == Bug::commit_replayed;
    if (again) databases_.commit(side, session.row);
  }
  session.in_transaction = false;
  const bool may_stay = adopted_[session.worker].sides[index(side)].may_write;
  if (!may_stay && setup_.bug != Bug::own_connection_keeps_off) session.connection[index(side)] = {};
}

void World::acknowledge(Session& session, std::uint16_t row) {
  session.acknowledged.push_back(row);
  acknowledged_.push_back(row);
  session.token = {board_epoch_, board_started_};
}

void World::apply_stray(const Move& move) {
  switch (static_cast<int>(move.kind)) {
    case static_cast<int>(MoveKind::stray_connects):
      return databases_.connect(stray_, Side::blue);
    case static_cast<int>(MoveKind::stray_sets_off):
      stray_.keeps_off = true;
      return;
    case static_cast<int>(MoveKind::stray_begins):
      stray_.in_transaction = true;
      --stray_writes_left_;
      ++databases_.at(Side::blue).sequence;
      stray_row_ = next_row_++;
      return;
    case static_cast<int>(MoveKind::stray_prepares):
      --faults_.prepares;
      stray_.in_transaction = false;
      prepared_row_ = stray_row_;
      databases_.at(Side::blue).prepared = 1;
      return;
    case static_cast<int>(MoveKind::stray_commits_prepared):
      databases_.commit(Side::blue, prepared_row_);
      acknowledged_strays_.push_back(prepared_row_);
      databases_.at(Side::blue).prepared = 0;
      prepared_row_ = 0;
      return;
    default:
      databases_.commit(Side::blue, stray_row_);
      acknowledged_strays_.push_back(stray_row_);
      stray_.in_transaction = false;
      return;
  }
}

void World::apply_servers(const Move& move) {
  const Side side = move.a == 0 ? Side::blue : Side::green;
  if (move.kind == MoveKind::replicate) return databases_.replicate(side);
  if (move.kind == MoveKind::flush) return databases_.flush(side);
  if (move.kind == MoveKind::carrier_ends) {
    databases_.carrier_to(side).worker_lives = false;
    return;
  }
  if (move.kind == MoveKind::kill) return kill(side);
  if (move.kind == MoveKind::revive) {
    databases_.at(side).is_up = true;
    return;
  }
  const Side of = move.b == 0 ? Side::blue : Side::green;
  if (move.a < sessions_.size()) {
    sessions_[move.a].connection[index(of)].sees_read_only = databases_.at(of).read_only;
  } else if (move.a == sessions_.size()) {
    databases_.at(of).opens_read_only = databases_.at(of).read_only;
  } else {
    stray_.sees_read_only = databases_.at(Side::blue).read_only;
  }
}

void World::kill(Side side) {
  --faults_.kills;
  databases_.at(side).is_up = false;
  databases_.crash(side);
  for (Session& session : sessions_) {
    session.connection[index(side)] = {};
    if (session.side == side) session.in_transaction = false;
  }
  if (side == Side::blue) stray_ = {};
  // Applied is not durable: what was proven before a crash of the reading side may be gone after it.
  board_proven_ = 0;
  ++board_started_;
  sample_position_ = static_cast<std::uint16_t>(databases_.at(writer()).log.size());
  std::erase_if(orphans_, [side](const Action& orphan) { return side_of(orphan) == side; });
}

void World::apply_reads(const Move& move) {
  if (move.kind == MoveKind::sample_start) {
    ++board_started_;
    sample_position_ = static_cast<std::uint16_t>(databases_.at(writer()).log.size());
    return;
  }
  if (move.kind == MoveKind::sample_proven) {
    board_proven_ = board_started_;
    return;
  }
  const Server& server = databases_.at(router::other(writer()));
  for (const std::uint16_t row : sessions_[move.a].acknowledged) {
    if (!server.has(row)) databases_.fail("a session did not read its own write");
  }
}

void World::apply_accident(const Move& move) {
  Event event;
  switch (static_cast<int>(move.kind)) {
    case static_cast<int>(MoveKind::start_attempt):
      return start_attempt();
    case static_cast<int>(MoveKind::crash):
      return crash();
    case static_cast<int>(MoveKind::late):
      --faults_.late;
      ++late_times_;
      if (setup_.bug == Bug::unfence_by_timer && state_.fence_up) {
        databases_.at(state_.from).read_only = databases_.at(state_.from).connect_revoked = false;
      }
      event.kind = EventKind::tick;
      break;
    case static_cast<int>(MoveKind::abort):
      --faults_.aborts;
      event.kind = EventKind::operator_abort;
      break;
    default:
      --faults_.overflows;
      event.kind = EventKind::hold_overflow;
      break;
  }
  send(event);
}

void World::start_attempt() {
  --attempts_left_;
  Event event;
  event.kind = EventKind::operator_start;
  event.epoch = std::max(log_.epoch, state_.epoch) + 1;
  event.direction = writer() == Side::blue ? drain::Direction::cutover : drain::Direction::rollback;
  event.rehearse = setup_.rehearse;
  send(event);
}

// The process dies with its connections; what it had sent to a server may still be executed there. A new one starts.
void World::crash() {
  --faults_.crashes;
  for (const Running& running : running_) {
    const Step step = running.action.step;
    const bool is_sent = !running.has_landed && is_effect(step) && !is_publication(step) && !is_log_step(step);
    if (is_sent) orphans_.push_back(running.action);
  }
  // The store serves the process that holds its lock. A dead one begins no attempt there any more; that its decision of
  // the attempt that goes on arrives late is more than the lock allows, and must do no harm.
  std::erase_if(orphans_,
                [this](const Action& orphan) { return is_log_step(orphan.step) && orphan.epoch != log_.epoch; });
  running_.clear();
  stale_.clear();
  state_ = {};
  for (Session& session : sessions_) {
    session.connection = {};
    session.is_held = session.in_transaction = false;
    session.token = {};
  }
  latest_ = nobody_works();
  std::ranges::fill(adopted_, nobody_works());
  board_epoch_ = log_.epoch;
  board_started_ = board_proven_ = 0;
  board_writer_ = writer();
  Event event;
  event.kind = EventKind::recovered;
  event.recovered = {.epoch = log_.epoch,
                     .direction = log_.direction,
                     .begun = log_.begun,
                     .undo = log_.undo,
                     .ended = log_.ended,
                     .decision = log_.decision,
                     .writer = log_.writer};
  send(event);
}

}  // namespace turnout::sim
