#include "proxy/trial_line.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "proxy/server_tls.h"

namespace turnout::proxy {

TrialLine::TrialLine(const Settings& settings, router::Side side, const conf::Address& address)
    : settings_(settings),
      side_(side),
      address_(address),
      deadline_(std::chrono::steady_clock::now() + std::chrono::milliseconds(settings.conf.pool.connect_ms_max)) {}

bool TrialLine::wait(short events) const {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now()).count();
  pollfd entry{transport_.fd(), events, 0};
  return left > 0 && ::poll(&entry, 1, static_cast<int>(left)) == 1;
}

std::string TrialLine::connect() {
  const int fd = Transport::connect_to(address_);
  if (fd < 0) return "cannot connect to " + address_.text() + ": " + std::strerror(errno);
  transport_ = Transport(fd);
  if (!wait(POLLOUT)) return "no connection to " + address_.text() + " in time";
  if (const int error = Transport::socket_error(fd); error != 0)
    return "cannot connect to " + address_.text() + ": " + std::strerror(error);
  return {};
}

std::string TrialLine::begin_tls() {
  if (std::string trouble = begin_server_tls(transport_, settings_, side_); !trouble.empty()) return trouble;
  while (true) {
    const IoStatus status = transport_.handshake();
    if (status == IoStatus::ok) return {};
    if (status != IoStatus::would_block || !wait(transport_.wants_write() ? POLLOUT : POLLIN))
      return "TLS with the server failed: " + transport_.error();
  }
}

std::string TrialLine::send(std::string_view bytes) {
  return transport_.write(bytes).bytes == bytes.size() ? "" : "cannot send to the server";
}

std::uint8_t TrialLine::read_byte() {
  std::uint8_t byte = 0;
  return wait(POLLIN) && transport_.read({&byte, 1}).status == IoStatus::ok ? byte : 0;
}

std::string TrialLine::read_more(std::string& input) {
  std::array<std::uint8_t, 16 * 1024> buffer{};
  while (true) {
    if (!transport_.has_pending() && !wait(POLLIN)) return "the server did not complete the login in time";
    const IoResult got = transport_.read(buffer);
    if (got.status == IoStatus::would_block) continue;
    if (got.status != IoStatus::ok) return "the server ended the connection during login";
    input.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
    return {};
  }
}

}  // namespace turnout::proxy
