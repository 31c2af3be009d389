#include "proxy/client.h"

#include <algorithm>
#include <array>

#include "proxy/client_path.h"
#include "proxy/worker.h"
#include "router/ramp.h"

namespace turnout::proxy {

Client::Client(Shard& shard, Account& account, Transport transport, std::string address, std::uint32_t number)
    : shard_(shard),
      account_(account),
      transport_(std::move(transport)),
      number_(number),
      hash_(router::hash16(number, shard.deployment.seed)),
      address_(std::move(address)) {
  ++account_.sessions;
}

void Client::begin() {
  connected_us_ = since_us_ = worker().loop.now_us();
  events_ = EPOLLIN;
  worker().loop.change(transport_.fd(), transport_.wanted(events_), *this);
}

// ---- the client's socket -------------------------------------------------------------------------------------------

void Client::listen_to(std::uint32_t events) {
  if (events == events_ || state_ == State::ended) return;
  events_ = events;
  worker().loop.change(transport_.fd(), transport_.wanted(events), *this);
}

void Client::pause_client(bool paused) {
  const std::uint32_t base = events_ & static_cast<std::uint32_t>(EPOLLOUT);
  listen_to(base | static_cast<std::uint32_t>(paused ? EPOLLRDHUP : EPOLLIN));
}

void Client::send_to_client(std::string_view bytes) {
  if (state_ == State::ended || bytes.empty()) return;
  shard_.numbers.bytes_to_clients.add(bytes.size());
  if (!output_.empty()) {
    output_.append(bytes);
    return;
  }
  const IoResult put = transport_.write(bytes);
  if (put.status != IoStatus::ok) {
    end("client connection failed");
    return;
  }
  if (put.bytes < bytes.size()) {
    output_.assign(bytes.substr(put.bytes));
    listen_to(events_ | EPOLLOUT);
  }
}

void Client::flush_client() {
  const IoResult put = transport_.write(output_);
  if (put.status != IoStatus::ok) {
    end("client connection failed");
    return;
  }
  output_.erase(0, put.bytes);
  if (!output_.empty()) return;
  output_.shrink_to_fit();
  listen_to(events_ & ~static_cast<std::uint32_t>(EPOLLOUT));
  client_took_everything();
}

// ---- holding -------------------------------------------------------------------------------------------------------

void Client::start_hold(std::size_t bytes) {
  set_state(State::held);
  unit_began_us_ = since_us_;
  if (held_us_ == 0) held_us_ = since_us_;
  shard_.hold(*this, bytes);
}

void Client::reconsider() {
  set_state(State::idle);
  run_input();
  if (state_ == State::idle || state_ == State::active) pause_client(false);
}

void Client::publish_pins(std::uint32_t now) {
  for (std::size_t i = 0; i < pin_count; ++i) {
    const std::uint32_t bit = std::uint32_t{1} << i;
    if (((now ^ published_pins_) & bit) == 0) continue;
    if ((now & bit) != 0) {
      shard_.numbers.pinned_now[i].add();
      shard_.numbers.pinned[i].add();
    } else {
      shard_.numbers.pinned_now[i].subtract();
    }
  }
  published_pins_ = now;
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Client::end_at_safe_point() {
  ending_at_safe_point_ = true;
  if (state_ == State::idle && !in_transaction())
    end("the proxy stops", "57P01", "terminating connection: Turnout is shutting down");
}

void Client::check_deadlines(std::uint64_t now_ms) {
  const conf::Limits& limits = conf().limits;
  const std::uint64_t quiet_ms = now_ms - std::min(now_ms, since_us_ / 1000);
  if (!is_quiet()) return;
  if (in_transaction() && limits.idle_in_transaction_ms_max != 0 && quiet_ms > limits.idle_in_transaction_ms_max)
    end("idle in transaction for too long", "25P03",
        "terminating connection due to limits.idle_in_transaction_timeout");
  else if (!in_transaction() && limits.client_idle_ms_max != 0 && quiet_ms > limits.client_idle_ms_max)
    end("idle for too long", "57P05", "terminating connection due to limits.client_idle_timeout");
}

void Client::end(const char* reason, std::string_view sqlstate, std::string_view message) {
  if (state_ == State::ended) return;
  if (!sqlstate.empty()) {
    shard_.numbers.client_errors.add();
    std::string fatal;
    put_fatal(fatal, reason, sqlstate, message);
    if (output_.empty()) [[maybe_unused]]
      const IoResult best_effort = transport_.write(fatal);
  }
  leave();
  transport_.close();
  shard_.remove_session(*this);
}

void Client::leave() {
  if (state_ == State::held) shard_.unhold(*this);
  if (state_ == State::waiting)
    for (const auto& side : account_.pools())
      for (const auto& pool : side) pool->forget(*this);
  leave_server();
  state_ = State::ended;
  left();
  if (published_pins_ != 0) publish_pins(0);
  --account_.sessions;
}

Transport Client::hand_over() {
  leave();
  Transport transport = std::move(transport_);
  shard_.deployment.clients.fetch_add(1, std::memory_order_relaxed);  // removing the session counts one away
  shard_.remove_session(*this);
  return transport;
}

ClientInfo Client::basic_info(const Connection* connection) const {
  static constexpr std::array<const char*, 5> states = {"idle", "waiting", "held", "active", "closing"};
  ClientInfo info;
  info.id = number_;
  info.address = address_;
  info.user = account_.shared.user;
  info.database = account_.shared.database;
  info.state = states[static_cast<std::size_t>(state_)];
  if (connection != nullptr) {
    info.side = router::name(connection->pool().side());
    info.server_pid = connection->backend_pid();
  }
  info.in_transaction = in_transaction();
  const std::uint64_t now_us = worker().loop.now_us();
  info.connected_s = static_cast<double>(now_us - connected_us_) / 1e6;
  info.state_s = static_cast<double>(now_us - since_us_) / 1e6;
  return info;
}

}  // namespace turnout::proxy
