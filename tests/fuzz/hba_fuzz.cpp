// Any bytes as HBA rules: rules are sane, mistakes bounded, and the rule that is found is one that could be meant.
#include "fuzz.h"
#include "protocol/pg/frame_walk.h"
#include "protocol/pg/hba.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::pg;

void run_rules(std::string_view input) {
  const HbaFile file = parse_hba(input);
  must(file.mistakes.size() <= 50 && file.rules.size() <= 10'000, "mistakes and rules are bounded");
  for (const HbaRule& rule : file.rules) {
    must(!rule.databases.empty() && !rule.users.empty(), "a rule has databases and users");
    must(rule.prefix_bits <= 128 && rule.line > 0, "a network has 128 bits at most");
    must(rule.method != HbaMethod::peer || rule.connection == HbaRule::Connection::local, "peer is for unix sockets");
    must(rule.certificate == ClientCertificate::not_asked || rule.connection == HbaRule::Connection::host_tls,
         "certificates are shown inside TLS");
  }
  HbaClient client;
  client.user = input.substr(0, input.size() % 16);
  client.database = input.substr(input.size() - input.size() % 8);
  for (int bits = 0; bits < 8; ++bits) {
    client.is_unix = (bits & 1) != 0;
    client.is_tls = (bits & 2) != 0;
    client.is_physical_replication = (bits & 4) != 0;
    const HbaRule* const rule = find_rule(file.rules, client);
    if (rule == nullptr) continue;
    must((rule->connection == HbaRule::Connection::local) == client.is_unix, "of the client's kind");
    must(rule->connection != HbaRule::Connection::host_tls || client.is_tls, "with TLS only");
  }
}

void run_walk(Bytes input) {
  std::size_t whole = 0, pieces = 0;
  FrameWalk at_once, by_byte;
  const bool sound = at_once.feed(input, [&](char, std::uint8_t) { ++whole; });
  bool still_sound = true;
  for (const std::uint8_t& byte : input)
    still_sound = still_sound && by_byte.feed({&byte, 1}, [&](char, std::uint8_t) { ++pieces; });
  must(sound == still_sound && whole == pieces, "however it is cut");
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run_rules(turnout::protocol::pg::text({data, size}));
  turnout::fuzz::run_walk({data, size});
  static_cast<void>(turnout::protocol::pg::parse_address(turnout::protocol::pg::text({data, size})));
  return 0;
}
