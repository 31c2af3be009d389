#include "proxy/mysql/killer.h"

#include <utility>

#include "protocol/mysql/command.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

constexpr std::uint64_t again_ms = 200;

}  // namespace

Killer::Killer(Shard& shard, const ServerConnection& victim, CancelTicket ticket, Kills kills)
    : Canceller(shard, victim, std::move(ticket)), victim_(victim.backend_pid()), kills_(kills) {}

bool Killer::has_abandoned_victim() const {
  const Connection* const victim = pool_->find(connection_id_);
  return victim != nullptr && static_cast<const ServerConnection*>(victim)->is_abandoned();
}

// To the server that has the victim, whatever its side's name leads to by now.
bool Killer::open() {
  my::ServerLogin::Input input = login_input(*pool_, address_);
  input.database.clear();
  state_ = State::dialling;
  dial_ = std::make_unique<ServerDial>(shard_, pool_->side(), *this);
  dial_->begin_at(address_, std::move(input));
  return dial_->state() != ServerDial::State::failed;
}

void Killer::on_events(std::uint32_t) {
  switch (state_) {
    case State::dialling:
      dial_->on_events();
      dialled();
      return;
    case State::killing:
    case State::resting:
      on_readable();
      return;
    case State::away:
      return;
  }
}

void Killer::dialled() {
  if (dial_->state() == ServerDial::State::failed) {
    retry_or_finish();
  } else if (dial_->state() == ServerDial::State::done) {
    FinishedLogin login = dial_->take();
    dial_.reset();
    transport_ = std::move(login.transport);
    capabilities_ = login.login->capabilities();
    shard_.worker.loop.add(transport_.fd(), EPOLLIN, *this);
    kill();
  }
}

void Killer::on_readable() {
  do {
    const std::span<std::uint8_t> buffer = shard_.worker.buffer();
    const IoResult got = transport_.read(buffer);
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      // Gone without an answer: whether the server has still read it is not known.
      state_ == State::killing ? finish(false) : retry_or_finish();
      return;
    }
    input_.append(my::text(buffer.first(got.bytes)));
    my::Header header;
    while (my::read_header(my::bytes_of(input_), header)) {
      if (header.payload > my::login_bytes_max) {
        finish(state_ != State::killing);
        return;
      }
      if (input_.size() < header.total()) break;
      const std::string packet = input_.substr(0, header.total());
      input_.erase(0, header.total());
      on_packet(my::bytes_of(packet).subspan(my::header_bytes));
      if (is_buried()) return;
    }
  } while (transport_.has_pending());
}

void Killer::on_packet(my::Bytes payload) {
  if (state_ != State::killing) return;
  // Also an error is an answer: there is no such connection any more, or it is not ours to kill.
  const bool is_done = payload.empty() || payload[0] == my::error_byte;
  state_ = State::resting;
  again_ms_ = shard_.worker.loop.now_ms() + again_ms;
  if (is_done || !has_abandoned_victim()) take_leave();
}

// The server does not count one that says goodbye among the aborted.
void Killer::take_leave() {
  std::string payload, message;
  my::put_command(payload, my::Command::quit);
  my::put_message(message, 0, payload);
  if (state_ == State::resting) [[maybe_unused]]
    const IoResult best_effort = transport_.write(message);
  finish(true);
}

void Killer::kill() {
  std::string payload, message;
  const char* const kill = kills_ == Kills::query ? "KILL QUERY " : "KILL ";
  my::put_query(payload, kill + std::to_string(victim_), capabilities_);
  my::put_message(message, 0, payload);
  state_ = State::killing;
  if (transport_.write(message).bytes != message.size()) finish(false);  // it fits any socket buffer
}

void Killer::retry_or_finish() {
  if (!has_abandoned_victim()) {
    finish(true);
    return;
  }
  transport_.close();
  dial_.reset();
  input_.clear();
  state_ = State::away;
  again_ms_ = shard_.worker.loop.now_ms() + again_ms;
}

void Killer::tick(std::uint64_t now_ms) {
  if (state_ != State::resting && state_ != State::away) return;
  if (!has_abandoned_victim()) {
    take_leave();
    return;
  }
  if (now_ms < again_ms_) return;
  if (state_ == State::resting) {
    kill();
    return;
  }
  if (!open()) retry_or_finish();
}

// What cannot be ended is not waited for any longer: its connection is nobody's.
void Killer::time_out() {
  finish(state_ != State::killing && !has_abandoned_victim());
}

// ---- asking --------------------------------------------------------------------------------------------------------

bool send_kill(Shard& shard, ServerConnection& victim, CancelTicket ticket, Killer::Kills kills) {
  return begin_cancel(shard, victim, std::move(ticket),
                      [&](CancelTicket its) { return std::make_unique<Killer>(shard, victim, std::move(its), kills); });
}

bool abandon(Shard& shard, ServerConnection& victim) {
  victim.leave_behind();
  static_cast<void>(send_kill(shard, victim, {}));
  shard.worker.loop.tick_soon();
  return victim.cancels_in_flight != 0;
}

}  // namespace turnout::proxy::mysql
