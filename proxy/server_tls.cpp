#include "proxy/server_tls.h"

namespace turnout::proxy {

std::string begin_server_tls(Transport& transport, const Settings& settings, router::Side side) {
  if (!settings.server_tls) return "server_tls is not configured any more";
  const conf::Address& named = side == router::Side::blue ? settings.conf.blue : *settings.conf.green;
  const bool checks_name = settings.conf.server_tls.mode == conf::TlsMode::verify_full;
  transport.start_tls(*settings.server_tls, false, named.host, checks_name);
  return {};
}

}  // namespace turnout::proxy
