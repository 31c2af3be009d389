#include "proxy/mysql/server_dial.h"

#include <utility>

#include "protocol/mysql/command.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

void ServerDial::begin(my::ServerLogin::Input input) {
  const auto address = known_address();
  if (!address) return;
  set_way(input, *shard_.settings, *address);
  begin_at(*address, std::move(input));
}

void ServerDial::begin_at(const conf::Address& address, my::ServerLogin::Input input) {
  login_ = std::make_unique<my::ServerLogin>(std::move(input));
  connect(address);
}

std::optional<std::size_t> ServerDial::wanted(my::Bytes pending) {
  my::Header header;
  if (!my::read_header(pending, header)) return my::header_bytes;
  if (header.payload <= my::login_bytes_max) return header.total();
  fail({"08P01", "the server sent a packet that is too long for a login"});
  return std::nullopt;
}

void ServerDial::on_message(my::Bytes message) {
  my::Header header;
  static_cast<void>(my::read_header(message, header));  // it is whole
  const my::Bytes payload = message.subspan(my::header_bytes);
  my::LoginStep step = login_->on_message(header.number, payload);
  if (step.status == my::LoginStep::Status::failed)
    fail(login_failure(step, payload));
  else
    on_login_step(step);
  my::wipe(step.send);  // perhaps the password
}

void ServerDial::on_login_step(const my::LoginStep& step) {
  using Status = my::LoginStep::Status;
  send(step.send);
  if (state_ == State::failed) return;
  switch (step.status) {
    case Status::more:
      return;
    case Status::start_tls:
      begin_tls();
      return;
    case Status::done:
      state_ = State::done;
      return;
    case Status::failed:
    case Status::user:
      fail({step.sqlstate, step.message});
      return;
  }
}

void ServerDial::tls_is_up() {
  log_in();
  on_login_step(login_->tls_started());
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

}  // namespace turnout::proxy::mysql
