// What must never happen in a World, and what must be true when it has come to rest.
#include <algorithm>

#include "tests/sim/steps.h"
#include "tests/sim/world.h"

namespace turnout::sim {
namespace {

using drain::Decision;
using drain::Road;

template <typename Number>
void append(std::string& key, Number value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

[[nodiscard]] std::uint8_t flags(std::initializer_list<bool> bits) {
  std::uint8_t packed = 0;
  for (const bool one : bits) packed = static_cast<std::uint8_t>(packed * 2 + (one ? 1 : 0));
  return packed;
}

void append(std::string& key, const Backend& backend) {
  append(key, flags({backend.is_open, backend.sees_read_only, backend.keeps_off, backend.in_transaction,
                     backend.is_proven}));
}

void append(std::string& key, const Databases& databases) {
  for (std::size_t i = 0; i < 2; ++i) {
    const Server& server = databases.server[i];
    append(key, flags({server.is_up, server.read_only, server.opens_read_only, server.connect_revoked}));
    append(key, server.prepared);
    append(key, server.sequence);
    append(key, server.flushed);
    append(key, server.reverse_slot);
    append(key, static_cast<std::uint16_t>(server.log.size()));
    for (const Entry& entry : server.log) append(key, entry.row);
    const Subscription& carrier = databases.into[i];
    append(key, flags({carrier.exists, carrier.is_enabled, carrier.worker_lives}));
    append(key, carrier.sent);
    append(key, carrier.sent_durable);
  }
}

void append(std::string& key, const router::RoutingTable& table) {
  append(key, static_cast<std::uint8_t>(table.version));
  append(key, static_cast<std::uint8_t>(table.epoch));
  append(key, table.hold);
  append(key, flags({table.writer == Side::green, table.hold_reads_on == Side::green}));
  for (const router::SideOrders& orders : table.sides) {
    append(key, flags({orders.may_write, orders.may_read, orders.warm, orders.prove_writable}));
  }
}

void append(std::string& key, const drain::State& state) {
  append(key, state.phase);
  append(key, state.epoch);
  append(key, flags({state.writer == Side::green, state.from == Side::green, state.restarted, state.fence_up,
                     state.held_at_ms >= 0, state.proving_at_ms >= 0}));
  append(key, state.road);
  append(key, state.decision);
  append(key, state.outcome);
  append(key, state.rest_phase);
  append(key, state.done);
  append(key, state.retry);
}

}  // namespace

void World::append_key(std::string& key) const {
  append(key, state_);
  append(key, databases_);
  append(key, flags({log_.begun, log_.undo, log_.ended, log_.writer == Side::green}));
  append(key, log_.epoch);
  append(key, log_.decision);
  append(key, latest_);
  for (const router::RoutingTable& table : adopted_) append(key, table);
  for (const Session& session : sessions_) {
    for (const Backend& backend : session.connection) append(key, backend);
    append(key, flags({session.is_held, session.in_transaction, session.side == Side::green}));
    append(key, session.writes_left);
    append(key, session.row);
    if (setup_.has_reads) append(key, session.token.epoch * 1000 + session.token.number);
  }
  append(key, stray_);
  append(key, stray_row_);
  append(key, prepared_row_);
  append(key, stray_writes_left_);
  append(key, sequence_read_);
  for (const std::uint16_t row : acknowledged_) append(key, row);
  // The order in which actions were issued says nothing; a step is outstanding at most once.
  std::uint64_t outstanding = 0, landed = 0, orphans = 0, stale = 0;
  for (const Running& running : running_) {
    outstanding |= bit(running.action.step);
    if (running.has_landed) landed |= bit(running.action.step);
    append(key, running.decision);
  }
  for (const drain::Action& action : orphans_) orphans |= bit(action.step);
  for (const drain::Action& action : stale_) stale |= bit(action.step);
  append(key, outstanding);
  append(key, landed);
  append(key, orphans);
  append(key, stale);
  if (setup_.has_reads) {
    append(key, board_epoch_);
    append(key, board_started_);
    append(key, board_proven_);
    append(key, sample_position_);
  }
  append(key, late_times_);
  append(key, attempts_left_);
  for (const std::uint8_t left : {faults_.failures, faults_.crashes, faults_.late, faults_.aborts, faults_.overflows,
                                  faults_.unknowns, faults_.stales, faults_.kills, faults_.losses, faults_.prepares}) {
    append(key, left);
  }
}

// Could a client of an ordinary role write there, now or by a connection or transaction it already has?
bool World::can_write(Side side) const {
  if (!databases_.at(side).opens_read_only) return true;
  for (const Session& session : sessions_) {
    if (session.connection[index(side)].may_begin_writing()) return true;
    if (session.in_transaction && session.side == side) return true;
  }
  return side == Side::blue && (stray_.may_begin_writing() || stray_.in_transaction);
}

void World::judge() {
  if (can_write(Side::blue) && can_write(Side::green)) databases_.fail("two writable sides (I1)");
  if (state_.road == Road::revert && log_.epoch == state_.epoch && log_.decision == Decision::commit &&
      databases_.at(state_.to()).read_only == false && !databases_.at(state_.from).read_only) {
    databases_.fail("going back after the decision (I4)");
  }
  judge_reads();
}

// Whatever a worker lets start now must see everything that any client of the proxy was told is committed.
void World::judge_reads() {
  for (const router::RoutingTable& table : adopted_) {
    if (table.hold == router::Hold::all) continue;
    const Side side = table.hold == router::Hold::writes ? table.hold_reads_on : table.writer;
    const Server& server = databases_.at(side);
    if (!server.is_up) continue;
    for (const std::uint16_t row : acknowledged_) {
      if (!server.has(row)) databases_.fail(std::string("a read on ") + router::name(side) + " misses a commit (I2)");
    }
  }
}

// The instant of no return: everything is on the new side and would survive its crash.
void World::judge_commit(Side from) {
  const Server& old_side = databases_.at(from);
  const Server& new_side = databases_.at(router::other(from));
  for (const Entry& entry : old_side.log) {
    const auto found = std::ranges::find(new_side.log, entry.row, &Entry::row);
    const bool durable = found != new_side.log.end() && found - new_side.log.begin() < new_side.flushed;
    if (!durable) databases_.fail("decided before row " + std::to_string(entry.row) + " was durable on the new side");
  }
  if (new_side.sequence < old_side.sequence) databases_.fail("decided with a sequence behind");
  for (const Session& session : sessions_) {
    if (session.in_transaction && session.side == from) databases_.fail("decided with a transaction open");
  }
}

void World::end_faults() {
  faults_ = {};
  faults_.late = 3;  // deadlines do pass, also on a good day
  refuses_new_work_ = true;
}

bool starts_work(const Move& move) {
  return move.kind == MoveKind::start_attempt || move.kind == MoveKind::sample_start ||
         move.kind == MoveKind::ramped_read;
}

bool World::is_at_rest() const {
  if (state_.is_running() || !running_.empty() || !all_adopted() || stray_.in_transaction || prepared_row_ != 0) {
    return false;
  }
  for (const Side side : {Side::blue, Side::green}) {
    const Server& server = databases_.at(side);
    const Subscription& carrier = databases_.carrier_to(side);
    if (!server.is_up || server.opens_read_only != server.read_only || databases_.can_replicate(side)) return false;
    if (!carrier.is_enabled && carrier.worker_lives) return false;
  }
  return std::ranges::none_of(sessions_, [](const Session& s) { return s.is_held || s.in_transaction; });
}

void World::judge_rest() {
  const Side side = writer();
  const Server& here = databases_.at(side);
  const Server& there = databases_.at(router::other(side));
  if (here.read_only || here.connect_revoked) databases_.fail("at rest the writer refuses writes (I4)");
  if (!there.read_only) databases_.fail("at rest the other side is writable (I4)");
  if (latest_.writer != side || latest_.hold != router::Hold::nothing || state_.writer != side) {
    databases_.fail("at rest the table does not send work to the writer");
  }
  if (!databases_.carrier_to(router::other(side)).worker_lives || databases_.carrier_to(side).exists) {
    databases_.fail("at rest replication does not run from the writer to the other side");
  }
  for (const drain::Action& orphan : orphans_) {
    if (!is_log_step(orphan.step))
      databases_.fail(std::string("at rest a former process may still ") + name(orphan.step));
  }
  for (const auto* rows : {&acknowledged_, &acknowledged_strays_}) {
    for (const std::uint16_t row : *rows) {
      if (!here.has(row)) databases_.fail("row " + std::to_string(row) + " was acknowledged and is lost");
    }
  }
  for (const Entry& entry : here.log) {
    if (!there.has(entry.row)) databases_.fail("the two sides differ at rest");
  }
  if (here.log.size() != there.log.size()) databases_.fail("the two sides differ at rest");
}

const char* name(MoveKind kind) {
  static constexpr std::array names = {"complete",
                                       "land",
                                       "answer",
                                       "fail",
                                       "fail_half",
                                       "lose_answer",
                                       "stale_answer",
                                       "orphan_lands",
                                       "adopt",
                                       "begin",
                                       "commit",
                                       "lose_connection",
                                       "lose_commit_answer",
                                       "reload",
                                       "stray_connects",
                                       "stray_sets_off",
                                       "stray_begins",
                                       "stray_commits",
                                       "stray_prepares",
                                       "stray_commits_prepared",
                                       "replicate",
                                       "flush",
                                       "carrier_ends",
                                       "kill",
                                       "revive",
                                       "sample_start",
                                       "sample_proven",
                                       "ramped_read",
                                       "start_attempt",
                                       "late",
                                       "abort",
                                       "overflow",
                                       "crash"};
  return names[static_cast<std::size_t>(kind)];
}

std::string World::text(const Move& move) const {
  std::string text = name(move.kind);
  if (move.kind <= MoveKind::lose_answer && move.a < running_.size()) {
    return text + " " + drain::name(running_[move.a].action.step) + " of epoch " +
           std::to_string(running_[move.a].action.epoch);
  }
  return text + " " + std::to_string(move.a) + " " + std::to_string(move.b);
}

}  // namespace turnout::sim
