#include "proxy/dial.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/server_tls.h"
#include "proxy/worker.h"

namespace turnout::proxy {

Dial::Dial(Shard& shard, router::Side side, Handler& owner) : shard_(shard), side_(side), owner_(owner) {}

Dial::~Dial() {
  if (transport_.is_open()) shard_.worker.loop.remove(transport_.fd(), owner_);
}

std::optional<conf::Address> Dial::known_address() {
  const auto known = shard_.addresses[router::index(side_)];
  if (known->empty()) {
    fail(
        {"08001", "no address is known for " + std::string(router::name(side_)) + " yet: its name has not been found"});
    return std::nullopt;
  }
  return (*known)[shard_.first_address[router::index(side_)] % known->size()];
}

void Dial::connect(const conf::Address& address) {
  address_ = address;
  const int fd = Transport::connect_to(address_);
  if (fd < 0) {
    fail({"08001", "cannot connect to " + address_.text() + ": " + std::strerror(errno)});
    return;
  }
  transport_ = Transport(fd);
  shard_.worker.loop.add(fd, EPOLLOUT, owner_);
}

void Dial::on_events() {
  switch (state_) {
    case State::connecting:
      if (const int error = Transport::socket_error(transport_.fd()); error != 0)
        fail({"08001", "cannot connect to " + address_.text() + ": " + std::strerror(error)});
      else
        connected();
      return;
    case State::asking_tls:
      tls_answered();
      return;
    case State::handshaking:
      continue_handshake();
      return;
    case State::logging_in:
      on_readable();
      return;
    case State::done:
    case State::failed:
      return;
  }
}

void Dial::begin_tls() {
  if (std::string trouble = begin_server_tls(transport_, *shard_.settings, side_); !trouble.empty()) {
    fail({"08001", std::move(trouble)});
    return;
  }
  state_ = State::handshaking;
  continue_handshake();
}

void Dial::continue_handshake() {
  switch (transport_.handshake()) {
    case IoStatus::ok:
      tls_is_up();
      if (transport_.has_pending()) on_readable();
      return;
    case IoStatus::would_block:
      listen_to(transport_.wants_write() ? EPOLLOUT : EPOLLIN);
      return;
    case IoStatus::closed:
    case IoStatus::failed:
      fail({"08001", "TLS with the server failed: " + transport_.error()});
      return;
  }
}

void Dial::log_in() {
  state_ = State::logging_in;
  listen_to(EPOLLIN);
}

void Dial::on_readable() {
  while (state_ == State::logging_in) {
    const std::optional<std::size_t> size = wanted(protocol::bytes_of(pending_));
    if (!size) return;
    if (pending_.size() == *size) {
      const std::string message = std::exchange(pending_, {});
      on_message(protocol::bytes_of(message));
      continue;
    }
    const std::span<std::uint8_t> all = shard_.worker.buffer();
    const std::span<std::uint8_t> into = all.first(std::min(*size - pending_.size(), all.size()));
    const IoResult got = transport_.read(into);
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      fail({"08006", "the server ended the connection during login"});
      return;
    }
    pending_.append(protocol::text(into.first(got.bytes)));
  }
}

// What a login has to say fits any socket buffer.
void Dial::send(std::string_view bytes) {
  if (bytes.empty()) return;
  const IoResult put = transport_.write(bytes);
  if (put.status != IoStatus::ok || put.bytes != bytes.size()) fail({"08006", "cannot send to the server"});
}

void Dial::listen_to(std::uint32_t events) {
  shard_.worker.loop.change(transport_.fd(), events, owner_);
}

void Dial::fail(LoginFailure failure) {
  state_ = State::failed;
  failure_ = std::move(failure);
  if (transport_.is_open()) shard_.worker.loop.remove(transport_.fd(), owner_);
  transport_.close();
}

}  // namespace turnout::proxy
