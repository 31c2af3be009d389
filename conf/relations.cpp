#include "conf/relations.h"

#include <algorithm>
#include <string>
#include <vector>

#include "conf/address.h"
#include "conf/check_names.h"
#include "conf/mysql_relations.h"
#include "conf/quantity.h"

namespace turnout::conf {
namespace {

constexpr std::size_t slot_name_length_max = 63;

struct Place {
  Address address;
  std::string key;  // where it is written
};

bool is_set(const Address& address) {
  return address != Address{};
}

std::string key_of(const Deployment& deployment, std::string_view key) {
  return "deployments." + deployment.name + "." + std::string(key);
}

std::vector<Place> listeners(const Config& config) {
  std::vector<Place> places;
  for (const auto& deployment : config.deployments) {
    for (std::size_t i = 0; i < deployment.listen.size(); ++i) {
      if (is_set(deployment.listen[i])) {
        places.push_back({deployment.listen[i], key_of(deployment, "listen") + "." + std::to_string(i)});
      }
    }
  }
  if (is_set(config.control.listen)) places.push_back({config.control.listen, "control.listen"});
  return places;
}

void check_listeners(const Config& config, Walker& walker) {
  const auto places = listeners(config);
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!overlaps(places[i].address, places[j].address)) continue;
      // The default of control.listen has no place of its own: blame the one that was written.
      const bool is_written = walker.was_written(places[i].key);
      const auto& blamed = is_written ? places[i] : places[j];
      const auto& other = is_written ? places[j] : places[i];
      walker.add_at_key(blamed.key, blamed.address.text() + " is taken by " + other.key + " (" + other.address.text() +
                                        "); each listener needs an address of its own");
      break;
    }
  }
}

// Listening on the address of one's own database: every connection would come back in, until nothing is left.
void check_loops(const Config& config, Walker& walker) {
  for (const auto& place : listeners(config)) {
    for (const auto& deployment : config.deployments) {
      const auto refuse = [&](const Address& side, std::string_view name) {
        if (!is_set(side) || !overlaps(place.address, side)) return;
        // A wildcard listener and a database of the same port on another machine do not meet.
        if (place.address.host != side.host && !is_local(side)) return;
        walker.add_at_key(key_of(deployment, name), side.text() + " is where Turnout itself listens (" + place.key +
                                                        "); name the database's own address");
      };
      refuse(deployment.blue, "blue");
      if (deployment.green) refuse(*deployment.green, "green");
    }
  }
}

void check_sides(const Deployment& deployment, Walker& walker) {
  if (deployment.green && is_set(deployment.blue) && overlaps(deployment.blue, *deployment.green)) {
    walker.add_at_key(key_of(deployment, "green"),
                      "is the same server as blue (" + deployment.blue.text() + "); green is a second database server");
  }
}

void check_users(const Deployment& deployment, Walker& walker) {
  if (deployment.protocol == Protocol::mysql) return;  // check_mysql
  const bool needs_users = deployment.auth == ClientAuth::scram_sha_256 || deployment.auth == ClientAuth::md5;
  if (needs_users && !walker.was_written(key_of(deployment, "users"))) {
    walker.add_at_key(key_of(deployment, "users"),
                      "is required unless auth is trust, cert or peer; name a file in PgBouncer's userlist format "
                      "(\"user\" \"secret\")");
  }
}

// A method that could let nobody in is a mistake of the configuration, not of the clients.
void check_auth(const Deployment& deployment, Walker& walker) {
  const auto auth = key_of(deployment, "auth");
  if (deployment.auth == ClientAuth::cert &&
      (deployment.client_tls.mode == TlsMode::disable || deployment.client_tls.ca_file.empty())) {
    walker.add_at_key(auth, "cert needs client_tls with a ca_file: it says whose certificates count");
  }
  const std::string& query = deployment.auth_query.query;
  if (deployment.auth_query.is_set() && query.find("$1") == std::string::npos) {
    walker.add_at_key(
        key_of(deployment, "users.query"),
        "has no $1; that is where the client's name goes, and without it everybody would be the first row");
  }
  if (deployment.auth != ClientAuth::peer) return;
  for (std::size_t i = 0; i < deployment.listen.size(); ++i) {
    if (deployment.listen[i].is_unix() || !is_set(deployment.listen[i])) continue;
    walker.add_at_key(key_of(deployment, "listen") + "." + std::to_string(i),
                      deployment.listen[i].text() +
                          " cannot be served by auth: peer, which asks the kernel who is at the other "
                          "end of a unix socket; listen on unix:/path, or write auth: hba:FILE");
  }
}

void check_channel_binding(const Deployment& deployment, Walker& walker) {
  if (deployment.server_tls.channel_binding != ChannelBinding::require) return;
  const auto key = key_of(deployment, "server_tls.channel_binding");
  const TlsMode mode = deployment.server_tls.mode;
  if (mode == TlsMode::disable || mode == TlsMode::allow || mode == TlsMode::prefer)
    walker.add_at_key(key, "there may be no TLS to bind to; write sslmode: require, or better verify-full");
  if (deployment.blue.is_unix() || (deployment.green && deployment.green->is_unix()))
    walker.add_at_key(key, "there is no TLS on a unix socket, so nothing could be bound to");
}

// In the order of time: the drain and the proof lie inside the window, or the deadline would cut every attempt short.
void check_cutover(const Deployment& deployment, Walker& walker) {
  const auto& cutover = deployment.cutover;
  if (cutover.check_interval_ms != 0 && cutover.check_interval_ms < 1'000) {
    walker.add_at_key(key_of(deployment, "cutover.check_interval"),
                      "is too short: 1s at least, or 0 for never; each run asks both servers some fifty questions");
  }
  const std::uint64_t steps_ms = std::uint64_t{cutover.drain_ms_max} + cutover.proof_ms_max;
  if (cutover.window_ms_max > steps_ms) return;
  const auto window = key_of(deployment, "cutover.window");
  const auto drain = key_of(deployment, "cutover.drain");
  const auto proof = key_of(deployment, "cutover.proof");
  const auto& blamed = walker.was_written(window) ? window : walker.was_written(drain) ? drain : proof;
  walker.add_at_key(blamed, "window (" + duration_text(cutover.window_ms_max) + ") must be longer than drain (" +
                                duration_text(cutover.drain_ms_max) + ") and proof (" +
                                duration_text(cutover.proof_ms_max) + ") together");
}

void check_limits(const Deployment& deployment, Walker& walker) {
  const auto& limits = deployment.limits;
  if (deployment.pool.size > limits.clients_max) {
    const auto size = key_of(deployment, "pool.size");
    walker.add_at_key(walker.was_written(size) ? size : key_of(deployment, "limits.clients"),
                      "a pool of " + std::to_string(deployment.pool.size) + " is larger than limits.clients (" +
                          std::to_string(limits.clients_max) + "); more connections than clients are never used");
  }
  if (deployment.pool.size_min > deployment.pool.size) {
    walker.add_at_key(key_of(deployment, "pool.size_min"), "size_min (" + std::to_string(deployment.pool.size_min) +
                                                               ") must not be larger than size (" +
                                                               std::to_string(deployment.pool.size) + ")");
  }
  if (limits.buffered_message_bytes_max > limits.message_bytes_max) {
    const auto buffered = key_of(deployment, "limits.buffered_message_size");
    walker.add_at_key(walker.was_written(buffered) ? buffered : key_of(deployment, "limits.message_size"),
                      "buffered_message_size (" + bytes_text(limits.buffered_message_bytes_max) +
                          ") must not be larger than message_size (" + bytes_text(limits.message_bytes_max) + ")");
  }
}

void check_ramp(const Deployment& deployment, Walker& walker) {
  const auto& ramp = deployment.ramp;
  if (ramp.ladder.empty()) {
    walker.add_at_key(key_of(deployment, "ramp.ladder"), "is empty; write at least one step, such as [10, 100]");
  }
  if (std::ranges::adjacent_find(ramp.ladder, std::greater_equal<>{}) != ramp.ladder.end()) {
    walker.add_at_key(key_of(deployment, "ramp.ladder"), "the steps must grow, such as [1, 10, 50, 100]");
  }
  if (ramp.policy == TokenPolicy::bounded && ramp.sample_ms >= ramp.bounded_ms) {
    const auto bounded = key_of(deployment, "ramp.bounded");
    walker.add_at_key(walker.was_written(bounded) ? bounded : key_of(deployment, "ramp.sample_interval"),
                      "sample_interval (" + duration_text(ramp.sample_ms) + ") must be shorter than bounded (" +
                          duration_text(ramp.bounded_ms) + "), or green could never be known to be fresh enough");
  }
}

bool is_verifying(TlsMode mode) {
  return mode == TlsMode::verify_ca || mode == TlsMode::verify_full;
}

void check_tls(const Tls& tls, const std::string& path, bool is_towards_clients, Walker& walker) {
  const bool has_files = !tls.certificate_file.empty() || !tls.key_file.empty() || !tls.ca_file.empty();
  if (tls.mode == TlsMode::disable) {
    if (has_files) walker.add_at_key(path + ".sslmode", "TLS is off although files are named; write sslmode: require");
    return;
  }
  if (tls.certificate_file.empty() && (is_towards_clients || !tls.key_file.empty())) {
    walker.add_at_key(path + ".cert_file", is_towards_clients
                                               ? "is required: a server that offers TLS needs a certificate"
                                               : "is required with key_file: they are a pair");
  }
  if (tls.key_file.empty() && (is_towards_clients || !tls.certificate_file.empty())) {
    walker.add_at_key(path + ".key_file", "is required with cert_file: they are a pair");
  }
  if (is_verifying(tls.mode) && tls.ca_file.empty()) {
    walker.add_at_key(path + ".ca_file", "is required to verify: name the file with the certificates to trust");
  }
}

void check_databases(const Deployment& deployment, Walker& walker) {
  for (const auto& database : deployment.databases) {
    if (database == "turnout" || database == "pgbouncer") {
      walker.add_at_key(key_of(deployment, "databases"),
                        "\"" + database + "\" is the name of the console, not of a database");
    }
  }
  for (const auto& name : deployment.cdc) {
    const bool is_slot_name =
        !name.empty() && name.size() <= slot_name_length_max &&
        std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
    if (!is_slot_name) {
      walker.add_at_key(key_of(deployment, "cdc"),
                        "\"" + name +
                            "\" is not a slot's name: up to 63 of a-z, 0-9 and _; write the logical slot that the "
                            "consumer reads on blue");
    }
  }
  for (const auto& name : deployment.waive) {
    if (!is_check_name(name)) walker.add_at_key(key_of(deployment, "waive"), no_such_check(name));
  }
}

void check_control(const Control& control, Walker& walker) {
  if (is_set(control.listen) && !is_local(control.listen) && control.token_file.empty()) {
    walker.add_at_key("control.token_file",
                      "is required because " + control.listen.text() +
                          " can be reached from other machines; name a file with a long random token");
  }
}

// A name server that has a name would need a name server.
void check_dns(const Dns& dns, Walker& walker) {
  if (dns.ttl_ms_min > dns.ttl_ms_max) {
    walker.add_at_key(walker.was_written("dns.ttl_min") ? "dns.ttl_min" : "dns.ttl_max",
                      "ttl_min (" + duration_text(dns.ttl_ms_min) + ") must not be longer than ttl_max (" +
                          duration_text(dns.ttl_ms_max) + ")");
  }
  for (std::size_t i = 0; i < dns.servers.size(); ++i) {
    if (!is_set(dns.servers[i]) || is_numeric(dns.servers[i])) continue;
    walker.add_at_key("dns.servers." + std::to_string(i),
                      "\"" + dns.servers[i].text() + "\" is not a name server; write its number and port, 10.0.0.2:53");
  }
}

}  // namespace

void check_relations(const Config& config, Walker& walker) {
  check_listeners(config, walker);
  check_loops(config, walker);
  for (const auto& deployment : config.deployments) {
    check_sides(deployment, walker);
    check_mysql(deployment, walker);
    check_users(deployment, walker);
    check_auth(deployment, walker);
    check_channel_binding(deployment, walker);
    check_cutover(deployment, walker);
    check_limits(deployment, walker);
    check_ramp(deployment, walker);
    check_tls(deployment.client_tls, key_of(deployment, "client_tls"), true, walker);
    check_tls(deployment.server_tls, key_of(deployment, "server_tls"), false, walker);
    check_databases(deployment, walker);
  }
  check_control(config.control, walker);
  check_dns(config.dns, walker);
}

}  // namespace turnout::conf
