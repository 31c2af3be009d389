#include "proxy/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "proxy/client.h"
#include "proxy/pool.h"
#include "proxy/server_tls.h"
#include "proxy/worker.h"

namespace turnout::proxy {

Worker& Connection::worker() const {
  return pool_->shard().worker;
}

// ---- opening -------------------------------------------------------------------------------------------------------

void Connection::open() {
  opened_ms_ = worker().loop.now_ms();
  const std::size_t side = router::index(pool_->side());
  to_try_ = pool_->shard().addresses[side];
  first_ = pool_->shard().first_address[side];
  connect_next("no address is known for " + std::string(router::name(pool_->side())) +
               " yet: its name has not been found");
}

// The next address of those that the side has; behind the last one, what was wrong there is the failure.
void Connection::connect_next(std::string why) {
  if (transport_.is_open()) worker().loop.remove(transport_.fd(), *this);
  forget_login();
  input_.clear();
  output_.clear();
  while (tried_ < to_try_->size()) {
    const std::size_t at = (first_ + tried_++) % to_try_->size();
    pool_->shard().first_address[router::index(pool_->side())] = at;
    address_ = (*to_try_)[at];
    const int fd = Transport::connect_to(address_);
    if (fd < 0) {
      why = "cannot connect to " + address_.text() + ": " + std::strerror(errno);
      continue;
    }
    transport_ = Transport(fd);
    state_ = State::connecting;
    tries_since_ms_ = worker().loop.now_ms();
    events_ = EPOLLOUT;
    worker().loop.add(fd, events_, *this);
    return;
  }
  fail("08001", std::move(why));
}

void Connection::hurry(std::uint64_t now_ms, std::uint32_t ms_max) {
  if (state_ == State::warming) return;  // logged in: this address is the one
  const std::uint64_t share_ms = ms_max / std::max<std::size_t>(1, to_try_->size());
  if (tried_ < to_try_->size() && now_ms - tries_since_ms_ > share_ms)
    connect_next("no answer from " + address_.text());
}

void Connection::go_on_opening() {
  if (state_ == State::handshaking) {
    continue_handshake();
  } else if (const int error = Transport::socket_error(transport_.fd()); error != 0) {
    connect_next("cannot connect to " + address_.text() + ": " + std::strerror(error));
  } else {
    begin();
  }
}

void Connection::begin_tls() {
  if (std::string trouble = begin_server_tls(transport_, *pool_->shard().settings, pool_->side()); !trouble.empty()) {
    fail("08001", std::move(trouble));
    return;
  }
  state_ = State::handshaking;
  continue_handshake();
}

void Connection::continue_handshake() {
  switch (transport_.handshake()) {
    case IoStatus::ok:
      tls_is_up();
      return;
    case IoStatus::would_block:
      listen_to(transport_.wants_write() ? EPOLLOUT : EPOLLIN);
      return;
    case IoStatus::closed:
    case IoStatus::failed:
      fail("08001", "TLS with the server failed: " + transport_.error());
      return;
  }
}

void Connection::opened() {
  to_try_.reset();
  state_ = State::idle;
  worker().loop.change(transport_.fd(), transport_.wanted(events_), *this);  // from now on
  idle_since_ms_ = worker().loop.now_ms();
}

// ---- lease ---------------------------------------------------------------------------------------------------------

void Connection::lease_to(Client& session) {
  session_ = &session;
  state_ = State::leased;
}

void Connection::end_lease() {
  session_ = nullptr;
  cancel_waiting.reset();
  state_ = State::idle;
  idle_since_ms_ = worker().loop.now_ms();
  pause_reading(false);
}

void Connection::become_idle() {
  state_ = State::idle;
}

// ---- bytes ---------------------------------------------------------------------------------------------------------

void Connection::send(std::string_view bytes) {
  if (state_ == State::closed || bytes.empty()) return;
  if (!output_.empty()) {
    output_.append(bytes);
    return;
  }
  const IoResult put = transport_.write(bytes);
  if (put.status != IoStatus::ok) {
    transport_.shut_down();
    worker().loop.change(transport_.fd(), is_logged_in() ? transport_.wanted(events_) : events_, *this);
  } else if (put.bytes < bytes.size()) {
    output_.assign(bytes.substr(put.bytes));
    listen_to(events_ | EPOLLOUT);
  }
}

void Connection::flush() {
  const IoResult put = transport_.write(output_);
  if (put.status != IoStatus::ok) {
    lost("cannot send to the server: " + transport_.error());
    return;
  }
  output_.erase(0, put.bytes);
  if (!output_.empty()) return;
  output_.shrink_to_fit();
  listen_to(events_ & ~static_cast<std::uint32_t>(EPOLLOUT));
  if (session_ != nullptr) session_->server_took_everything();
}

void Connection::pause_reading(bool paused) {
  if (paused == reading_paused_ || state_ == State::closed) return;
  reading_paused_ = paused;
  listen_to(paused ? events_ & ~static_cast<std::uint32_t>(EPOLLIN) : events_ | EPOLLIN);
}

void Connection::listen_to(std::uint32_t events) {
  if (events == events_ || !transport_.is_open()) return;
  events_ = events;
  worker().loop.change(transport_.fd(), is_logged_in() ? transport_.wanted(events) : events, *this);
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Connection::failed(const LoginFailure& failure) {
  pool_->login_failed(*this, failure);
}

void Connection::fail(std::string sqlstate, std::string message, std::string raw_error) {
  if (state_ == State::closed) return;
  LoginFailure failure;
  failure.sqlstate = std::move(sqlstate);
  failure.message = std::move(message);
  failure.raw_error = std::move(raw_error);
  failed(failure);
}

void Connection::lost(const std::string& why, std::string raw_error) {
  if (state_ == State::closed) return;
  if (is_opening() || state_ == State::listening) {
    fail("08006", why, std::move(raw_error));
    return;
  }
  Client* const session = session_;
  session_ = nullptr;
  if (session != nullptr) session->server_lost(*this, why);
  if (state_ != State::closed) pool_->remove(*this);
}

Transport Connection::take_leave() {
  if (state_ == State::closed) return {};
  // A server that is told goodbye frees its slot at once instead of at its next write.
  if (is_logged_in() && output_.empty()) {
    std::string goodbye;
    put_goodbye(goodbye);
    [[maybe_unused]] const IoResult ignored = transport_.write(goodbye);
  }
  const bool may_have_backend = state_ != State::connecting && transport_.is_open();
  state_ = State::closed;
  session_ = nullptr;
  if (!may_have_backend) {
    transport_.close();
    return {};
  }
  worker().loop.remove(transport_.fd(), *this);
  return std::move(transport_);
}

void Connection::detach_from_loop() {
  worker().loop.remove(transport_.fd(), *this);
}

void Connection::attach_to_pool(Pool& pool) {
  pool_ = &pool;
  events_ = EPOLLIN;
  reading_paused_ = false;
  worker().loop.add(transport_.fd(), transport_.wanted(events_), *this);
}

}  // namespace turnout::proxy
