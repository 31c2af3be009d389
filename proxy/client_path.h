// The parts of a client that every unit of work passes through, inline: each protocol's own reading is compiled into
// them, so that sharing them costs no call.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "proxy/client.h"
#include "proxy/shadow_runner.h"
#include "proxy/worker.h"

namespace turnout::proxy {

inline void Client::set_state(State state) {
  state_ = state;
  since_us_ = worker().loop.now_us();
}

inline bool Client::wants_verdict(router::Unit& unit) {
  unit.session_hash = hash_;
  unit.required_sample = required_sample_;
  unit.during_release = shard_.is_releasing();
  const router::RoutingTable& table = shard_.table();
  is_looked_at_ = shard_.shadow && shard_.shadow->looks();
  if (!is_looked_at_ && !table.needs_verdicts() && !unit.during_release) return false;
  shard_.reads.begin_unit();
  unit.policy = account_.ramp_policy;
  if (unit.policy.value_or(table.ramp.policy) == conf::TokenPolicy::global)
    unit.required_sample = std::max(required_sample_, shard_.deployment.tokens.written.load(std::memory_order_acquire));
  return true;
}

inline void Client::note_answer(const Pool& pool) {
  if (unit_is_read_) {
    shard_.numbers.side[router::index(pool.side())].reads_proven.add();
    ++reads_lately_;
  }
  // Every answer from the writer, reads included, raises the token: what was seen once is not unseen elsewhere.
  if (pool.side() == shard_.table().writer)
    required_sample_ = shard_.deployment.tokens.started.load(std::memory_order_acquire) + 1;
  if (!unit_is_read_) shard_.deployment.tokens.raise_written(required_sample_);
}

inline Connection* Client::take_connection(const router::Route& route, std::uint64_t wanted) {
  Pool& pool = account_.pool(route.side, route.access);
  set_state(State::waiting);
  unit_began_us_ = since_us_;
  return pool.take(*this, wanted);
}

inline void Client::lease_began(Connection& connection) {
  const std::uint64_t now_us = worker().loop.now_us();
  shard_.numbers.wait.record(now_us - unit_began_us_);
  if (held_us_ != 0) {
    shard_.deployment.record_hold(now_us - held_us_);
    held_us_ = 0;
  }
  lease_side_ = connection.pool().side();
  set_state(State::active);
  shard_.lease_began(connection.pool());
}

inline void Client::lease_ended(Connection& connection) {
  shard_.lease_ended(connection.pool());
  set_state(State::idle);
}

inline bool Client::keeps_by_mode(const Connection& connection) const {
  const router::RoutingTable& table = shard_.table();
  const Pool& pool = connection.pool();
  return conf().pool.mode == conf::PoolMode::session && table.hold == router::Hold::nothing &&
         table.writer == pool.side() && pool.access() == router::Access::write && !shard_.is_stopping();
}

template <typename Process>
void Client::read_all(bool is_ending, Process process) {
  do {
    const std::size_t had = input_.size();
    constexpr std::size_t step_bytes = 64 * 1024;
    std::span<std::uint8_t> into = worker().buffer();
    if (had != 0) {
      input_.resize(had + step_bytes);
      into = {reinterpret_cast<std::uint8_t*>(input_.data()) + had, step_bytes};
    }
    const IoResult got = transport_.read(into);
    if (had != 0) input_.resize(had + got.bytes);
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      end(got.status == IoStatus::closed ? "client closed the connection" : "client connection failed");
      return;
    }
    shard_.numbers.bytes_from_clients.add(got.bytes);
    if (got.bytes == into.size() || is_ending) worker().loop.change(transport_.fd(), transport_.wanted(events_), *this);
    if (had != 0) {
      process_input(process);
    } else {
      const protocol::Bytes data = into.first(got.bytes);
      const std::size_t used = process(data);
      if (state_ == State::ended) return;
      if (used < data.size()) input_.assign(protocol::text(data.subspan(used)));
    }
  } while (state_ != State::ended && (events_ & EPOLLIN) != 0 && transport_.has_pending());
}

template <typename Process>
void Client::process_input(Process process) {
  if (input_.empty() || state_ == State::ended) return;
  std::string data;
  data.swap(input_);
  const std::size_t used = process(protocol::bytes_of(data));
  if (state_ == State::ended || used == data.size()) return;
  data.erase(0, used);
  input_ = std::move(data);
}

}  // namespace turnout::proxy
