#include "proxy/login_trial.h"

#include <openssl/rand.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "proxy/server_tls.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

class Trial {
 public:
  Trial(const Settings& settings, router::Side side, const conf::Address& address)
      : settings_(settings), side_(side), address_(address) {
    deadline_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(settings.conf.pool.connect_ms_max);
  }

  std::string run(pg::ServerLogin::Input input) {
    const int fd = Transport::connect_to(address_);
    if (fd < 0) return "cannot connect to " + address_.text() + ": " + std::strerror(errno);
    transport_ = Transport(fd);
    if (!wait(POLLOUT)) return "no connection to " + address_.text() + " in time";
    if (const int error = Transport::socket_error(fd); error != 0)
      return "cannot connect to " + address_.text() + ": " + std::strerror(error);
    if (settings_.server_tls && !address_.is_unix())
      if (const std::string trouble = negotiate_tls(); !trouble.empty()) return trouble;
    const conf::ChannelBinding binding = settings_.conf.server_tls.channel_binding;
    if (binding != conf::ChannelBinding::disable) input.channel_binding_data = transport_.channel_binding(false);
    input.require_channel_binding = binding == conf::ChannelBinding::require;
    return converse(pg::ServerLogin(std::move(input)));
  }

 private:
  bool wait(short events) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now()).count();
    pollfd entry{transport_.fd(), events, 0};
    return left > 0 && ::poll(&entry, 1, static_cast<int>(left)) == 1;
  }

  std::string negotiate_tls() {
    std::string request;
    pg::Writer(request).u32(8).u32(pg::ssl_request_code);
    std::uint8_t answer = 0;
    if (transport_.write(request).bytes != request.size() || !wait(POLLIN) ||
        transport_.read({&answer, 1}).status != IoStatus::ok)
      return "the server ended the connection when asked for TLS";
    const conf::TlsMode mode = settings_.conf.server_tls.mode;
    if (answer != 'S')
      return mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow ? "" : "the server does not offer TLS";
    if (std::string trouble = begin_server_tls(transport_, settings_, side_); !trouble.empty()) return trouble;
    while (true) {
      const IoStatus status = transport_.handshake();
      if (status == IoStatus::ok) return {};
      if (status != IoStatus::would_block || !wait(transport_.wants_write() ? POLLOUT : POLLIN))
        return "TLS with the server failed: " + transport_.error();
    }
  }

  std::string converse(pg::ServerLogin login) {
    const std::string startup = login.startup_packet();
    if (transport_.write(startup).bytes != startup.size()) return "cannot send to the server";
    std::string input;
    std::array<std::uint8_t, 16 * 1024> buffer{};
    while (true) {
      pg::Header header;
      const pg::Framing framing = pg::read_header(pg::bytes_of(input), buffer.size(), header);
      if (framing == pg::Framing::malformed) return "the server sent a malformed message during login";
      if (framing == pg::Framing::incomplete || input.size() < header.total()) {
        if (!transport_.has_pending() && !wait(POLLIN)) return "the server did not complete the login in time";
        const IoResult got = transport_.read(buffer);
        if (got.status == IoStatus::would_block) continue;
        if (got.status != IoStatus::ok) return "the server ended the connection during login";
        input.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
        continue;
      }
      const std::string message = input.substr(0, header.total());
      input.erase(0, header.total());
      const pg::LoginStep step = login.on_message(header.type, pg::bytes_of(message).subspan(pg::header_bytes));
      if (!step.send.empty() && transport_.write(step.send).bytes != step.send.size())
        return "cannot send to the server";
      if (step.status == pg::LoginStep::Status::done) return {};
      if (step.status == pg::LoginStep::Status::failed) return step.sqlstate + ": " + step.message;
    }
  }

  const Settings& settings_;
  const router::Side side_;
  const conf::Address& address_;
  Transport transport_;
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace

std::string login_trial(const Settings& settings, router::Side side, const conf::Address& address,
                        const std::string& database, const std::string& user, const pg::Secret& secret) {
  pg::ServerLogin::Input input;
  input.user = user;
  input.database = database;
  input.secret = secret;
  RAND_bytes(input.nonce.data(), static_cast<int>(input.nonce.size()));
  return Trial(settings, side, address).run(std::move(input));
}

}  // namespace turnout::proxy
