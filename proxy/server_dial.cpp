#include "proxy/server_dial.h"

#include <openssl/rand.h>

#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t message_bytes_max = 64 * 1024;

}  // namespace

void ServerDial::begin(pg::ServerLogin::Input input) {
  input_ = std::move(input);
  if (const auto address = known_address()) connect(*address);
}

void ServerDial::connected() {
  if (!shard_.settings->server_tls || address_.is_unix()) {
    begin_login();
    return;
  }
  std::string request;
  pg::Writer(request).u32(8).u32(pg::ssl_request_code);
  state_ = State::asking_tls;
  listen_to(EPOLLIN);
  send(request);
}

void ServerDial::tls_answered() {
  std::uint8_t answer = 0;
  const IoResult got = transport_.read({&answer, 1});
  if (got.status == IoStatus::would_block) return;
  const conf::TlsMode mode = shard_.settings->conf.server_tls.mode;
  if (got.status != IoStatus::ok)
    fail({"08006", "the server ended the connection when asked for TLS"});
  else if (answer == 'S')
    begin_tls();
  else if (answer == 'N' && (mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow))
    begin_login();
  else
    fail({"08001", "the server does not offer TLS, and server_tls.sslmode requires it"});
}

void ServerDial::begin_login() {
  const conf::ChannelBinding binding = shard_.settings->conf.server_tls.channel_binding;
  if (binding != conf::ChannelBinding::disable) input_.channel_binding_data = transport_.channel_binding(false);
  input_.require_channel_binding = binding == conf::ChannelBinding::require;
  RAND_bytes(input_.nonce.data(), static_cast<int>(input_.nonce.size()));
  login_ = std::make_unique<pg::ServerLogin>(std::move(input_));
  log_in();
  send(login_->startup_packet());
}

std::optional<std::size_t> ServerDial::wanted(pg::Bytes pending) {
  pg::Header header;
  const pg::Framing framing = pg::read_header(pending, message_bytes_max, header);
  if (framing == pg::Framing::malformed) {
    fail({"08P01", "the server sent a malformed message during login"});
    return std::nullopt;
  }
  return framing == pg::Framing::complete ? header.total() : pg::header_bytes;
}

void ServerDial::on_message(pg::Bytes message) {
  const pg::LoginStep step = login_->on_message(static_cast<char>(message[0]), message.subspan(pg::header_bytes));
  send(step.send);
  if (state_ != State::logging_in) return;
  if (step.status == pg::LoginStep::Status::done) state_ = State::done;
  if (step.status == pg::LoginStep::Status::failed) fail({step.sqlstate, step.message, step.raw_error});
}

}  // namespace turnout::proxy
