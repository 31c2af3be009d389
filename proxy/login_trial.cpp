#include "proxy/login_trial.h"

#include <openssl/rand.h>

#include "proxy/trial_line.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::uint32_t message_bytes_max = 16 * 1024;

std::string ask_for_tls(TrialLine& line, conf::TlsMode mode) {
  std::string request;
  pg::Writer(request).u32(8).u32(pg::ssl_request_code);
  if (!line.send(request).empty()) return "the server ended the connection when asked for TLS";
  switch (line.read_byte()) {
    case 'S':
      return line.begin_tls();
    case 0:
      return "the server ended the connection when asked for TLS";
    default:
      return mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow ? "" : "the server does not offer TLS";
  }
}

std::string converse(TrialLine& line, pg::ServerLogin login) {
  if (std::string trouble = line.send(login.startup_packet()); !trouble.empty()) return trouble;
  std::string input;
  while (true) {
    pg::Header header;
    const pg::Framing framing = pg::read_header(pg::bytes_of(input), message_bytes_max, header);
    if (framing == pg::Framing::malformed) return "the server sent a malformed message during login";
    if (framing == pg::Framing::incomplete || input.size() < header.total()) {
      if (std::string trouble = line.read_more(input); !trouble.empty()) return trouble;
      continue;
    }
    const std::string message = input.substr(0, header.total());
    input.erase(0, header.total());
    const pg::LoginStep step = login.on_message(header.type, pg::bytes_of(message).subspan(pg::header_bytes));
    if (std::string trouble = line.send(step.send); !trouble.empty()) return trouble;
    if (step.status == pg::LoginStep::Status::done) return {};
    if (step.status == pg::LoginStep::Status::failed) return step.sqlstate + ": " + step.message;
  }
}

}  // namespace

std::string login_trial(const Settings& settings, router::Side side, const conf::Address& address,
                        const std::string& database, const std::string& user, const pg::Secret& secret) {
  pg::ServerLogin::Input input;
  input.user = user;
  input.database = database;
  input.secret = secret;
  RAND_bytes(input.nonce.data(), static_cast<int>(input.nonce.size()));
  TrialLine line(settings, side, address);
  if (std::string trouble = line.connect(); !trouble.empty()) return trouble;
  const auto& tls = settings.conf.server_tls;
  if (settings.server_tls && !address.is_unix())
    if (std::string trouble = ask_for_tls(line, tls.mode); !trouble.empty()) return trouble;
  if (tls.channel_binding != conf::ChannelBinding::disable)
    input.channel_binding_data = line.transport().channel_binding(false);
  input.require_channel_binding = tls.channel_binding == conf::ChannelBinding::require;
  return converse(line, pg::ServerLogin(std::move(input)));
}

}  // namespace turnout::proxy
