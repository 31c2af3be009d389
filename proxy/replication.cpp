#include "proxy/replication.h"

#include <openssl/rand.h>

#include "proxy/cancel_key.h"
#include "proxy/canceller.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

Replication::Replication(Shard& shard, ReplicationStart start)
    : shard_(shard),
      client_(std::move(start.transport)),
      start_(std::move(start)),
      number_(shard.worker.next_session_number()),
      side_(shard.table().writer),
      server_end_(*this) {
  RAND_bytes(reinterpret_cast<unsigned char*>(&secret_), sizeof secret_);
}

Replication::~Replication() = default;

bool Replication::secret_matches(std::string_view key) const {
  return is_cancel_key(key, shard_.deployment.mock_key, number_, secret_, start_.has_long_key);
}

// ---- the connection to the writer ----------------------------------------------------------------------------------

void Replication::begin() {
  began_us_ = shard_.worker.loop.now_us();
  client_events_ = EPOLLIN;
  shard_.worker.loop.change(client_.fd(), client_events_, *this);
  // In a window nobody new is let in by the writer; it may be another one in a moment.
  if (shard_.table().hold == router::Hold::nothing) dial();
}

void Replication::dial() {
  dialled_us_ = shard_.worker.loop.now_us();
  side_ = shard_.table().writer;
  pg::ServerLogin::Input input;
  input.user = start_.user;
  if (start_.kind == pg::ReplicationKind::logical) input.database = start_.database;
  input.parameters = start_.parameters;
  input.parameters.emplace_back("replication", start_.value);
  input.secret = shard_.deployment.server_secret(start_.user);
  dial_ = std::make_unique<ServerDial>(shard_, side_, server_end_);
  dial_->begin(std::move(input));
  dialled();
}

void Replication::on_server_events(std::uint32_t events) {
  if (has_ended_) return;
  if (dial_) {
    dial_->on_events();
    dialled();
    return;
  }
  if ((events & EPOLLOUT) != 0 && !flush(server_, to_server_)) return;
  const bool is_readable = (events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0;
  if (is_readable && to_client_.waiting.empty() && !relay(server_, client_, to_client_, false)) return;
  note_writing();
  listen();
}

void Replication::dialled() {
  if (dial_->state() == ServerDial::State::failed) {
    const LoginFailure failure = dial_->failure();
    shard_.numbers.login_failures.add();
    if (failure.raw_error.empty()) {
      end(failure.message.c_str(), failure.sqlstate, failure.message);
      return;
    }
    std::string relayed = std::move(start_.said);
    pg::put_raw_error(relayed, failure.raw_error);
    [[maybe_unused]] const IoResult best_effort = client_.write(relayed);
    end(failure.message.c_str());
  } else if (dial_->state() == ServerDial::State::done) {
    welcome();
  }
}

void Replication::welcome() {
  std::string reply = std::move(start_.said);
  for (const auto& [name, value] : dial_->login().parameters()) pg::put_parameter_status(reply, name, value);
  pg::put_backend_key_data(reply, number_,
                           cancel_key(shard_.deployment.mock_key, number_, secret_, start_.has_long_key));
  pg::put_ready_for_query(reply, 'I');
  server_address_ = dial_->address();
  backend_pid_ = dial_->login().backend_pid();
  server_key_ = dial_->login().cancel_key();
  server_ = dial_->take_transport();
  dial_.reset();
  server_events_ = EPOLLIN;
  shard_.worker.loop.change(server_.fd(), server_events_, server_end_);
  shard_.numbers.logins.add();
  to_client_.waiting = std::move(reply);
  if (flush(client_, to_client_)) listen();
}

// ---- passing on ----------------------------------------------------------------------------------------------------

void Replication::on_events(std::uint32_t events) {
  if (has_ended_) return;
  if (!is_connected()) {  // the client has nothing to say before ReadyForQuery
    end("bytes before the login was answered, or none any more");
    return;
  }
  if ((events & EPOLLOUT) != 0 && !flush(client_, to_client_)) return;
  const bool is_readable = (events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0;
  const bool may_read = to_server_.waiting.empty() && !must_wait();
  if (is_readable && may_read && !relay(client_, server_, to_server_, true)) return;
  if (is_readable && !may_read && (events & (EPOLLHUP | EPOLLERR)) != 0) {
    end("client connection failed");
    return;
  }
  note_writing();
  listen();
}

bool Replication::relay(Transport& from, Transport& to, Flow& flow, bool from_client) {
  do {
    const std::span<std::uint8_t> buffer = shard_.worker.buffer();
    const IoResult got = from.read(buffer);
    if (got.status == IoStatus::would_block) return true;
    if (got.status != IoStatus::ok) {
      from_client ? end("client closed the connection")
                  : end("server connection lost", "08006", "the server ended the replication connection");
      return false;
    }
    const pg::Bytes data = buffer.first(got.bytes);
    (from_client ? shard_.numbers.bytes_from_clients : shard_.numbers.bytes_to_clients).add(got.bytes);
    const bool is_sound = flow.walk.feed(data, [&](char type, std::uint8_t first) {
      from_client ? watch_.client_said(type) : watch_.server_said(type, first);
    });
    if (!is_sound) {
      end("malformed message", "08P01", "invalid message length");
      return false;
    }
    const IoResult put = to.write(pg::text(data));
    if (put.status != IoStatus::ok) {
      end("the other end does not take it");
      return false;
    }
    if (put.bytes < data.size()) flow.waiting.assign(pg::text(data.subspan(put.bytes)));
  } while (flow.waiting.empty() && from.has_pending() && !(from_client && must_wait()));
  return true;
}

bool Replication::flush(Transport& to, Flow& flow) {
  if (flow.waiting.empty()) return true;
  const IoResult put = to.write(flow.waiting);
  if (put.status != IoStatus::ok) {
    end("the other end does not take it");
    return false;
  }
  flow.waiting.erase(0, put.bytes);
  if (flow.waiting.empty()) flow.waiting.shrink_to_fit();
  return true;
}

void Replication::listen() {
  const auto ask = [this](Transport& socket, Handler& handler, std::uint32_t& now, bool reads, bool writes) {
    const std::uint32_t wanted = (reads ? EPOLLIN : 0U) | (writes ? EPOLLOUT : 0U);
    if (wanted != now) shard_.worker.loop.change(socket.fd(), wanted, handler);
    now = wanted;
  };
  const bool client_reads = to_server_.waiting.empty() && !must_wait();
  ask(client_, *this, client_events_, client_reads, !to_client_.waiting.empty());
  ask(server_, server_end_, server_events_, to_client_.waiting.empty(), !to_server_.waiting.empty());
  // Bytes that OpenSSL has already decrypted make no event.
  if (client_reads && client_.has_pending()) shard_.continue_replication(number_);
}

// ---- cutover -------------------------------------------------------------------------------------------------------

bool Replication::must_wait() const {
  return start_.kind == pg::ReplicationKind::logical && shard_.table().hold != router::Hold::nothing &&
         !watch_.is_streaming() && !watch_.may_write() && to_server_.walk.is_between_messages();
}

void Replication::note_writing() {
  const bool writes = !has_ended_ && start_.kind == pg::ReplicationKind::logical && watch_.may_write();
  if (writes == is_writing_) return;
  is_writing_ = writes;
  auto& level = shard_.numbers.side[router::index(side_)].writes_in_flight;
  writes ? level.add() : level.subtract();
}

void Replication::table_changed() {
  if (!is_connected() && !dial_) {
    if (shard_.table().hold == router::Hold::nothing) dial();
    return;
  }
  if (shard_.table().writer != side_) {
    end("the writer has moved", "57P01", "terminating replication: the writer has moved to the other server");
    return;
  }
  if (is_connected()) listen();
}

void Replication::tick() {
  const std::uint64_t age_us = shard_.worker.loop.now_us() - dialled_us_;
  if (dial_ && age_us / 1000 > shard_.settings->conf.pool.connect_ms_max)
    end("login on the server took too long", "08001", "no connection to the server within pool.connect_timeout");
}

void Replication::cancel(CancelTicket ticket) {
  if (!is_connected()) {
    shard_.numbers.cancels_idle.add();
    return;
  }
  const bool is_sent = send_cancel(shard_, server_address_, backend_pid_, server_key_, std::move(ticket));
  (is_sent ? shard_.numbers.cancels_sent : shard_.numbers.cancels_limited).add();
}

void Replication::end(const char* reason, std::string_view sqlstate, std::string_view message) {
  if (has_ended_) return;
  has_ended_ = true;
  note_writing();
  if (!sqlstate.empty()) {
    shard_.numbers.client_errors.add();
    std::string fatal = std::move(start_.said);
    pg::put_error(fatal, {"FATAL", std::string(sqlstate), std::string(message), reason, {}});
    // Behind half a message it would be taken for a part of it.
    if (to_client_.waiting.empty() && to_client_.walk.is_between_messages()) [[maybe_unused]]
      const IoResult best_effort = client_.write(fatal);
  }
  if (server_.is_open()) {
    std::string goodbye;
    pg::put_empty_message(goodbye, 'X');
    const bool may_say_it = to_server_.waiting.empty() && to_server_.walk.is_between_messages();
    if (may_say_it) [[maybe_unused]]
      const IoResult best_effort = server_.write(goodbye);
    shard_.worker.loop.remove(server_.fd(), server_end_);
  }
  dial_.reset();
  server_.close();
  client_.close();
  shard_.remove_replication(*this);
}

ClientInfo Replication::info() const {
  ClientInfo info;
  info.id = number_;
  info.address = start_.address;
  info.user = start_.user;
  info.database = start_.kind == pg::ReplicationKind::logical ? start_.database : "replication";
  for (const auto& [name, value] : start_.parameters)
    if (name == "application_name") info.application = value;
  const bool is_held = is_connected() ? must_wait() : !dial_;
  info.state = dial_ ? "login" : is_held ? "held" : watch_.is_streaming() || watch_.may_write() ? "active" : "idle";
  info.side = router::name(side_);
  info.server_pid = backend_pid_;
  info.in_transaction = is_writing_;
  info.connected_s = info.state_s = static_cast<double>(shard_.worker.loop.now_us() - began_us_) / 1e6;
  info.pinned_by = "replication";
  return info;
}

}  // namespace turnout::proxy
