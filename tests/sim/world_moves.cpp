// What may happen next in a World.
#include "tests/sim/steps.h"
#include "tests/sim/world.h"

#include <algorithm>

namespace turnout::sim {
namespace {

using drain::Action;
using drain::Step;
using drain::Unit;
using drain::Verdict;

[[nodiscard]] Move move_of(MoveKind kind, std::size_t a = 0, std::size_t b = 0) {
  return {kind, static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b)};
}

constexpr std::array both_sides = {Side::blue, Side::green};

}  // namespace

bool is_fault(const Move& move) {
  switch (move.kind) {
    case MoveKind::fail:
    case MoveKind::fail_half:
    case MoveKind::lose_answer:
    case MoveKind::stale_answer:
    case MoveKind::lose_connection:
    case MoveKind::lose_commit_answer:
    case MoveKind::stray_prepares:
    case MoveKind::kill:
    case MoveKind::late:
    case MoveKind::abort:
    case MoveKind::overflow:
    case MoveKind::crash:
      return true;
    case MoveKind::complete:
    case MoveKind::land:
    case MoveKind::answer:
    case MoveKind::orphan_lands:
    case MoveKind::adopt:
    case MoveKind::begin:
    case MoveKind::commit:
    case MoveKind::reload:
    case MoveKind::stray_connects:
    case MoveKind::stray_sets_off:
    case MoveKind::stray_begins:
    case MoveKind::stray_commits:
    case MoveKind::stray_commits_prepared:
    case MoveKind::replicate:
    case MoveKind::flush:
    case MoveKind::carrier_ends:
    case MoveKind::revive:
    case MoveKind::sample_start:
    case MoveKind::sample_proven:
    case MoveKind::ramped_read:
    case MoveKind::start_attempt:
      return false;
  }
  return false;
}

std::vector<Move> World::moves() const {
  std::vector<Move> moves;
  add_executor_moves(moves);
  add_session_moves(moves);
  add_stray_moves(moves);
  add_server_moves(moves);
  if (setup_.has_reads && !refuses_new_work_) add_read_moves(moves);
  add_accidents(moves);
  return moves;
}

bool World::splits(Step step) const {
  if (is_publication(step) || !is_effect(step)) return false;
  if (setup_.answers_apart) return true;
  return step == Step::raise_fence || step == Step::lower_fence || step == Step::open_to ||
         step == Step::decide_commit || step == Step::decide_abort;
}

void World::add_executor_moves(std::vector<Move>& moves) const {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    const Running& running = running_[i];
    const Step step = running.action.step;
    const bool may_land = can_complete(running);
    if (!splits(step)) {
      if (may_land) moves.push_back(move_of(MoveKind::complete, i));
    } else if (running.has_landed) {
      moves.push_back(move_of(MoveKind::answer, i));
    } else if (may_land) {
      moves.push_back(move_of(MoveKind::land, i));
    }
    if (is_publication(step)) continue;
    if (faults_.failures > 0) {
      moves.push_back(move_of(MoveKind::fail, i));
      if (may_land && is_effect(step) && !running.has_landed) moves.push_back(move_of(MoveKind::fail_half, i));
    }
    const bool asks_store = step == Step::decide_commit || step == Step::decide_abort;
    if (faults_.unknowns > 0 && asks_store) moves.push_back(move_of(MoveKind::lose_answer, i));
  }
  for (std::size_t i = 0; i < orphans_.size(); ++i) {
    const std::optional<Side> side = side_of(orphans_[i]);
    if (!side || databases_.at(*side).is_up) moves.push_back(move_of(MoveKind::orphan_lands, i));
  }
  if (faults_.stales == 0) return;
  for (std::size_t i = 0; i < stale_.size(); ++i) {
    if (stale_[i].epoch != state_.epoch) moves.push_back(move_of(MoveKind::stale_answer, i));
  }
}

bool World::can_complete(const Running& running) const {
  if (is_publication(running.action.step)) return true;
  const std::optional<Side> side = side_of(running.action);
  if (side && !databases_.at(*side).is_up) return false;
  return levels_allow(running) && server_allows(running);
}

bool World::all_adopted() const {
  return std::ranges::all_of(adopted_, [this](const auto& table) { return table.version == latest_.version; });
}

bool World::owns_connection_on(Side side) const {
  return std::ranges::any_of(sessions_, [side](const Session& s) { return s.connection[index(side)].is_open; });
}

bool World::all_may_write_on(Side side) const {
  return std::ranges::none_of(sessions_, [side](const Session& s) {
    const Backend& connection = s.connection[index(side)];
    return connection.is_open && !connection.may_begin_writing();
  });
}

// Answers that the proxy's levels give.
bool World::levels_allow(const Running& running) const {
  const Action& action = running.action;
  switch (static_cast<int>(action.step)) {
    case static_cast<int>(Step::await_warm):
    case static_cast<int>(Step::await_held):
    case static_cast<int>(Step::await_flipped):
      return all_adopted();
    case static_cast<int>(Step::await_drained):
      return std::ranges::none_of(sessions_,
                                  [&action](const Session& s) { return s.in_transaction && s.side == action.from; });
    case static_cast<int>(Step::await_closed):
      return all_adopted() && (setup_.bug == Bug::own_connection_keeps_off || !owns_connection_on(action.from));
    case static_cast<int>(Step::await_released):
      return all_adopted() && std::ranges::none_of(sessions_, &Session::is_held);
    case static_cast<int>(Step::await_released_from):
      return all_adopted() && all_may_write_on(action.from) && std::ranges::none_of(sessions_, &Session::is_held);
    case static_cast<int>(Step::await_open):
      return all_may_write_on(router::other(action.from));
    default:
      return true;
  }
}

// Answers that the servers give.
bool World::server_allows(const Running& running) const {
  const Side from = running.action.from;
  const Side to = router::other(from);
  const Server& old_side = databases_.at(from);
  const Subscription& carrier = databases_.carrier_to(to);
  switch (static_cast<int>(running.action.step)) {
    case static_cast<int>(Step::verify_fence): {
      const bool own_gone = setup_.bug == Bug::own_connection_keeps_off || !owns_connection_on(from);
      return old_side.opens_read_only && old_side.prepared == 0 && own_gone;
    }
    case static_cast<int>(Step::await_marker):
      if (setup_.bug == Bug::marker_in_another_subscription) return true;
      return databases_.at(to).has(marker_of(running.action.epoch));
    case static_cast<int>(Step::await_forward_gone):
      return !carrier.worker_lives;
    case static_cast<int>(Step::await_open):
      return !databases_.at(to).opens_read_only;
    case static_cast<int>(Step::await_writable):
      return !old_side.opens_read_only && !old_side.connect_revoked;
    case static_cast<int>(Step::start_reverse):
      return databases_.at(to).is_up;
    default:
      return true;
  }
}

bool World::may_begin(const Session& session) const {
  const router::RoutingTable& table = adopted_[session.worker];
  const drain::Passage passage = drain::passage(view(session, Unit::write), table);
  if (passage.verdict == Verdict::hold) return !session.is_held;
  const Server& server = databases_.at(passage.side);
  const Backend& connection = session.connection[index(passage.side)];
  if (!server.is_up) return false;
  if (!connection.is_open && server.connect_revoked) return false;
  const bool needs_proof = table.sides[index(passage.side)].prove_writable && !connection.is_proven;
  if (!needs_proof) return true;
  return connection.is_open ? connection.may_begin_writing() : !server.opens_read_only;
}

void World::add_session_moves(std::vector<Move>& moves) const {
  for (std::size_t w = 0; w < adopted_.size(); ++w) {
    if (adopted_[w].version != latest_.version) moves.push_back(move_of(MoveKind::adopt, w));
  }
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    const Session& session = sessions_[i];
    for (const Side side : both_sides) {
      const Backend& connection = session.connection[index(side)];
      const bool differs = connection.sees_read_only != databases_.at(side).read_only;
      if (connection.is_open && differs) moves.push_back(move_of(MoveKind::reload, i, index(side)));
    }
    if (session.in_transaction) {
      moves.push_back(move_of(MoveKind::commit, i));
      if (faults_.losses > 0) {
        moves.push_back(move_of(MoveKind::lose_connection, i));
        moves.push_back(move_of(MoveKind::lose_commit_answer, i));
      }
    } else if (session.writes_left > 0 && (session.is_held || !refuses_new_work_) && may_begin(session)) {
      moves.push_back(move_of(MoveKind::begin, i));
    }
  }
}

void World::add_stray_moves(std::vector<Move>& moves) const {
  const Server& blue = databases_.at(Side::blue);
  if (prepared_row_ != 0 && blue.is_up) moves.push_back(move_of(MoveKind::stray_commits_prepared));
  if (!setup_.has_stray || !blue.is_up) return;
  if (stray_.in_transaction) {
    moves.push_back(move_of(MoveKind::stray_commits));
    if (faults_.prepares > 0 && prepared_row_ == 0) moves.push_back(move_of(MoveKind::stray_prepares));
    return;
  }
  if (refuses_new_work_) return;
  if (!stray_.is_open) {
    if (!blue.connect_revoked && stray_writes_left_ > 0) moves.push_back(move_of(MoveKind::stray_connects));
    return;
  }
  if (stray_writes_left_ == 0) return;
  // Ordinary clients override the default where they work, not on a standby they have no business with.
  if (!stray_.keeps_off && writer() == Side::blue) moves.push_back(move_of(MoveKind::stray_sets_off));
  if (stray_.may_begin_writing()) moves.push_back(move_of(MoveKind::stray_begins));
}

void World::add_server_moves(std::vector<Move>& moves) const {
  for (const Side side : both_sides) {
    const Server& server = databases_.at(side);
    if (databases_.can_replicate(side)) moves.push_back(move_of(MoveKind::replicate, index(side)));
    const bool lags = server.is_up && server.flushed < server.log.size();
    if (setup_.flushes_by_itself && lags) moves.push_back(move_of(MoveKind::flush, index(side)));
    const Subscription& carrier = databases_.carrier_to(side);
    if (!carrier.is_enabled && carrier.worker_lives) moves.push_back(move_of(MoveKind::carrier_ends, index(side)));
    if (!server.is_up) {
      moves.push_back(move_of(MoveKind::revive, index(side)));
    } else if (server.opens_read_only != server.read_only) {
      moves.push_back(move_of(MoveKind::reload, sessions_.size(), index(side)));
    }
    if (faults_.kills > 0 && server.is_up) moves.push_back(move_of(MoveKind::kill, index(side)));
  }
  if (setup_.has_stray && stray_.is_open && stray_.sees_read_only != databases_.at(Side::blue).read_only) {
    moves.push_back(move_of(MoveKind::reload, sessions_.size() + 1));
  }
}

bool World::may_read_ramped(const Session& session) const {
  const bool same = setup_.bug == Bug::token_across_epochs || session.token.epoch == board_epoch_;
  return board_proven_ > (same ? session.token.number : 0);
}

// Only at rest, and only while the other side follows.
void World::add_read_moves(std::vector<Move>& moves) const {
  const Side side = router::other(writer());
  const Subscription& carrier = databases_.carrier_to(side);
  if (state_.is_running() || board_writer_ != writer() || !carrier.worker_lives) return;
  if (board_started_ == board_proven_ && board_started_ < 5) moves.push_back(move_of(MoveKind::sample_start));
  if (board_started_ > board_proven_ && carrier.sent >= sample_position_) {
    moves.push_back(move_of(MoveKind::sample_proven));
  }
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    if (may_read_ramped(sessions_[i])) moves.push_back(move_of(MoveKind::ramped_read, i));
  }
}

void World::add_accidents(std::vector<Move>& moves) const {
  const bool running = state_.is_running();
  if (!running && attempts_left_ > 0 && !refuses_new_work_ && all_adopted()) {
    moves.push_back(move_of(MoveKind::start_attempt));
  }
  if (faults_.late > 0 && running) moves.push_back(move_of(MoveKind::late));
  if (faults_.aborts > 0 && running) moves.push_back(move_of(MoveKind::abort));
  if (faults_.overflows > 0 && running) moves.push_back(move_of(MoveKind::overflow));
  if (faults_.crashes > 0) moves.push_back(move_of(MoveKind::crash));
}

}  // namespace turnout::sim
