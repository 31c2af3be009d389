#include "proxy/server_dial.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/server_tls.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t message_bytes_max = 64 * 1024;

}  // namespace

ServerDial::ServerDial(Shard& shard, router::Side side, Handler& owner) : shard_(shard), side_(side), owner_(owner) {}

ServerDial::~ServerDial() {
  if (transport_.is_open()) shard_.worker.loop.remove(transport_.fd(), owner_);
}

void ServerDial::begin(pg::ServerLogin::Input input) {
  input_ = std::move(input);
  // One attempt, at the address that worked last time: the pools find out which one that is.
  const auto known = shard_.addresses[router::index(side_)];
  if (known->empty()) {
    fail("08001", "no address is known for " + std::string(router::name(side_)) + " yet: its name has not been found");
    return;
  }
  address_ = (*known)[shard_.first_address[router::index(side_)] % known->size()];
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
      on_connected();
      return;
    case State::asking_tls:
      on_tls_answer();
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

void ServerDial::on_connected() {
  const Settings& settings = *shard_.settings;
  if (const int error = Transport::socket_error(transport_.fd()); error != 0) {
    fail("08001", "cannot connect to " + address_.text() + ": " + std::strerror(error));
    return;
  }
  if (!settings.server_tls || address_.is_unix()) {
    begin_login();
    return;
  }
  std::string request;
  pg::Writer(request).u32(8).u32(pg::ssl_request_code);
  state_ = State::asking_tls;
  listen_to(EPOLLIN);
  send(request);
}

void ServerDial::on_tls_answer() {
  std::uint8_t answer = 0;
  const IoResult got = transport_.read({&answer, 1});
  if (got.status == IoStatus::would_block) return;
  const Settings& settings = *shard_.settings;
  const conf::TlsMode mode = settings.conf.server_tls.mode;
  if (got.status != IoStatus::ok) {
    fail("08006", "the server ended the connection when asked for TLS");
  } else if (answer == 'S') {
    if (std::string trouble = begin_server_tls(transport_, settings, side_); !trouble.empty()) {
      fail("08001", std::move(trouble));
      return;
    }
    state_ = State::handshaking;
    continue_handshake();
  } else if (answer == 'N' && (mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow)) {
    begin_login();
  } else {
    fail("08001", "the server does not offer TLS, and server_tls.sslmode requires it");
  }
}

void ServerDial::continue_handshake() {
  switch (transport_.handshake()) {
    case IoStatus::ok:
      begin_login();
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

void ServerDial::begin_login() {
  const conf::ChannelBinding binding = shard_.settings->conf.server_tls.channel_binding;
  if (binding != conf::ChannelBinding::disable) input_.channel_binding_data = transport_.channel_binding(false);
  input_.require_channel_binding = binding == conf::ChannelBinding::require;
  RAND_bytes(input_.nonce.data(), static_cast<int>(input_.nonce.size()));
  login_ = std::make_unique<pg::ServerLogin>(std::move(input_));
  state_ = State::logging_in;
  listen_to(EPOLLIN);
  send(login_->startup_packet());
}

// Exactly the bytes of each message: what stands behind the last one is the owner's to read.
void ServerDial::on_readable() {
  while (state_ == State::logging_in) {
    pg::Header header;
    const pg::Framing framing = pg::read_header(pg::bytes_of(pending_), message_bytes_max, header);
    if (framing == pg::Framing::malformed) {
      fail("08P01", "the server sent a malformed message during login");
      return;
    }
    const std::size_t wanted = framing == pg::Framing::complete ? header.total() : pg::header_bytes;
    if (framing == pg::Framing::complete && pending_.size() == wanted) {
      const std::string message = std::exchange(pending_, {});
      on_message(header.type, pg::bytes_of(message).subspan(pg::header_bytes));
      continue;
    }
    const std::span<std::uint8_t> all = shard_.worker.buffer();
    const std::span<std::uint8_t> into = all.first(std::min(wanted - pending_.size(), all.size()));
    const IoResult got = transport_.read(into);
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      fail("08006", "the server ended the connection during login");
      return;
    }
    pending_.append(pg::text(into.first(got.bytes)));
  }
}

void ServerDial::on_message(char type, pg::Bytes body) {
  const pg::LoginStep step = login_->on_message(type, body);
  send(step.send);
  if (state_ != State::logging_in) return;
  if (step.status == pg::LoginStep::Status::done) state_ = State::done;
  if (step.status == pg::LoginStep::Status::failed) fail(step.sqlstate, step.message, step.raw_error);
}

void ServerDial::send(std::string_view bytes) {
  if (bytes.empty()) return;
  const IoResult put = transport_.write(bytes);
  if (put.status != IoStatus::ok || put.bytes != bytes.size()) fail("08006", "cannot send to the server");
}

void ServerDial::listen_to(std::uint32_t events) {
  shard_.worker.loop.change(transport_.fd(), events, owner_);
}

void ServerDial::fail(std::string sqlstate, std::string message, std::string raw_error) {
  state_ = State::failed;
  failure_ = {std::move(sqlstate), std::move(message), std::move(raw_error)};
  if (transport_.is_open()) shard_.worker.loop.remove(transport_.fd(), owner_);
  transport_.close();
}

}  // namespace turnout::proxy
