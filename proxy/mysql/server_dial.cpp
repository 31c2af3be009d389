#include "proxy/mysql/server_dial.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "protocol/mysql/command.h"
#include "proxy/server_tls.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

ServerDial::ServerDial(Shard& shard, router::Side side, Handler& owner) : shard_(shard), side_(side), owner_(owner) {}

ServerDial::~ServerDial() {
  if (transport_.is_open()) shard_.worker.loop.remove(transport_.fd(), owner_);
}

void ServerDial::begin(my::ServerLogin::Input input) {
  // One attempt, at the address that worked last time: the pools find out which one that is.
  const auto known = shard_.addresses[router::index(side_)];
  if (known->empty()) {
    fail("08001", "no address is known for " + std::string(router::name(side_)) + " yet: its name has not been found");
    return;
  }
  address_ = (*known)[shard_.first_address[router::index(side_)] % known->size()];
  set_way(input, *shard_.settings, address_);
  login_ = std::make_unique<my::ServerLogin>(std::move(input));
  const int fd = Transport::connect_to(address_);
  if (fd < 0) {
    fail("08001", "cannot connect to " + address_.text() + ": " + std::strerror(errno));
    return;
  }
  transport_ = Transport(fd);
  shard_.worker.loop.add(fd, EPOLLOUT, owner_);
}

void ServerDial::on_events() {
  switch (state_) {
    case State::connecting:
      if (const int error = Transport::socket_error(transport_.fd()); error != 0) {
        fail("08001", "cannot connect to " + address_.text() + ": " + std::strerror(error));
        return;
      }
      state_ = State::logging_in;
      listen_to(EPOLLIN);  // the server speaks first
      return;
    case State::logging_in:
      on_readable();
      return;
    case State::handshaking:
      continue_handshake();
      return;
    case State::done:
    case State::failed:
      return;
  }
}

void ServerDial::on_readable() {
  while (state_ == State::logging_in) {
    my::Header header;
    const bool has_header = my::read_header(my::bytes_of(input_), header);
    if (has_header && header.payload > my::login_bytes_max) {
      fail("08P01", "the server sent a packet that is too long for a login");
      return;
    }
    const std::size_t wanted = has_header ? header.total() : my::header_bytes;
    if (has_header && input_.size() == wanted) {
      const std::string packet = std::exchange(input_, {});
      on_packet(header.number, my::bytes_of(packet).subspan(my::header_bytes));
      continue;
    }
    const std::span<std::uint8_t> all = shard_.worker.buffer();
    const std::span<std::uint8_t> into = all.first(std::min(wanted - input_.size(), all.size()));
    const IoResult got = transport_.read(into);
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      fail("08006", "the server ended the connection during login");
      return;
    }
    input_.append(my::text(into.first(got.bytes)));
  }
}

void ServerDial::on_packet(std::uint8_t number, my::Bytes payload) {
  my::LoginStep step = login_->on_message(number, payload);
  if (step.status == my::LoginStep::Status::failed)
    fail(login_failure(step, payload));
  else
    on_login_step(step);
  my::wipe(step.send);  // perhaps the password
}

void ServerDial::on_login_step(const my::LoginStep& step) {
  using Status = my::LoginStep::Status;
  // What it has to say fits any socket buffer.
  if (!step.send.empty() && transport_.write(step.send).bytes != step.send.size()) {
    fail("08006", "cannot send to the server");
    return;
  }
  switch (step.status) {
    case Status::more:
      return;
    case Status::start_tls:
      if (std::string trouble = begin_server_tls(transport_, *shard_.settings, side_); !trouble.empty()) {
        fail("08001", std::move(trouble));
        return;
      }
      state_ = State::handshaking;
      continue_handshake();
      return;
    case Status::done:
      state_ = State::done;
      return;
    case Status::failed:
    case Status::user:
      fail(step.sqlstate, step.message);
      return;
  }
}

void ServerDial::continue_handshake() {
  switch (transport_.handshake()) {
    case IoStatus::ok:
      state_ = State::logging_in;
      listen_to(EPOLLIN);
      on_login_step(login_->tls_started());
      if (transport_.has_pending()) on_readable();
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

void ServerDial::listen_to(std::uint32_t events) {
  shard_.worker.loop.change(transport_.fd(), events, owner_);
}

FinishedLogin ServerDial::take() {
  shard_.worker.loop.remove(transport_.fd(), owner_);
  return {std::move(transport_), address_, std::move(login_)};
}

// The server does not count one that says goodbye among the aborted.
void ServerDial::say_goodbye() {
  if (!transport_.is_open()) return;  // taken
  std::string payload, message;
  my::put_command(payload, my::Command::quit);
  my::put_message(message, 0, payload);
  [[maybe_unused]] const IoResult best_effort = transport_.write(message);
}

void ServerDial::fail(std::string sqlstate, std::string message) {
  fail(LoginFailure{std::move(sqlstate), std::move(message)});
}

void ServerDial::fail(LoginFailure failure) {
  state_ = State::failed;
  failure_ = std::move(failure);
  if (transport_.is_open()) shard_.worker.loop.remove(transport_.fd(), owner_);
  transport_.close();
}

}  // namespace turnout::proxy::mysql
