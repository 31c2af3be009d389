#include "conf/schema.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace turnout::conf {
namespace {

// Bounds that are the same idea in several places. A day is "longer than anybody means it"; a month bounds cooling.
constexpr std::uint64_t second_ms = 1'000;
constexpr std::uint64_t day_ms = 24ULL * 3600 * second_ms;
constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t gib = 1024ULL * 1024 * 1024;
constexpr std::size_t name_bytes_max = 40;  // it becomes part of slot names, which Postgres cuts at 63 bytes
constexpr std::size_t deployments_max = 64;

constexpr std::array protocols = {Named<Protocol>{"postgres", Protocol::postgres},
                                  Named<Protocol>{"mysql", Protocol::mysql}};
constexpr std::array pool_modes = {Named<PoolMode>{"transaction", PoolMode::transaction},
                                   Named<PoolMode>{"session", PoolMode::session}};
constexpr std::array auths = {Named<ClientAuth>{"scram-sha-256", ClientAuth::scram_sha_256},
                              Named<ClientAuth>{"md5", ClientAuth::md5}, Named<ClientAuth>{"trust", ClientAuth::trust},
                              Named<ClientAuth>{"cert", ClientAuth::cert}, Named<ClientAuth>{"peer", ClientAuth::peer}};
constexpr std::array tls_modes = {
    Named<TlsMode>{"disable", TlsMode::disable},     Named<TlsMode>{"allow", TlsMode::allow},
    Named<TlsMode>{"prefer", TlsMode::prefer},       Named<TlsMode>{"require", TlsMode::require},
    Named<TlsMode>{"verify-ca", TlsMode::verify_ca}, Named<TlsMode>{"verify-full", TlsMode::verify_full}};
constexpr std::array channel_bindings = {Named<ChannelBinding>{"disable", ChannelBinding::disable},
                                         Named<ChannelBinding>{"prefer", ChannelBinding::prefer},
                                         Named<ChannelBinding>{"require", ChannelBinding::require}};
constexpr std::array fences = {Named<Fence>{"auto", Fence::automatic}, Named<Fence>{"server", Fence::server},
                               Named<Fence>{"database", Fence::database}};
constexpr std::array policies = {
    Named<TokenPolicy>{"session", TokenPolicy::session}, Named<TokenPolicy>{"bounded", TokenPolicy::bounded},
    Named<TokenPolicy>{"global", TokenPolicy::global}, Named<TokenPolicy>{"strict", TokenPolicy::strict}};
constexpr std::array log_levels = {Named<std::string_view>{"trace", "trace"}, Named<std::string_view>{"debug", "debug"},
                                   Named<std::string_view>{"info", "info"}, Named<std::string_view>{"warn", "warn"},
                                   Named<std::string_view>{"error", "error"}};

template <typename Value, std::size_t size>
std::span<const Named<Value>> all(const std::array<Named<Value>, size>& choices) {
  return choices;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= name_bytes_max && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

void read_login(Section& section, Login& login) {
  section.text("user", login.user);
  section.text("password_file", login.password_file);
}

void read_tls(Section section, Tls& tls, bool is_towards_clients) {
  section.choice("sslmode", tls.mode, all(tls_modes));
  section.text("cert_file", tls.certificate_file);
  section.text("key_file", tls.key_file);
  section.text("ca_file", tls.ca_file);
  if (!is_towards_clients) section.choice("channel_binding", tls.channel_binding, all(channel_bindings));
  section.finish();
}

void read_pool(Section section, Pool& pool) {
  section.choice("mode", pool.mode, all(pool_modes));
  section.count("size", pool.size, {1, 10'000});
  section.count("size_min", pool.size_min, {0, 10'000});
  section.count("reserve", pool.reserve, {0, 10'000});
  section.duration("reserve_after", pool.reserve_after_ms, {0, 3600 * second_ms});
  section.count("opening", pool.opening_max, {1, 10'000});
  section.duration("wait_timeout", pool.wait_ms_max, {1, day_ms});
  section.duration("idle_timeout", pool.idle_ms_max, {0, 7 * day_ms});
  section.duration("lifetime", pool.lifetime_ms_max, {0, 30 * day_ms});
  section.count("lifetime_jitter", pool.lifetime_jitter_percent, {0, 90});
  section.duration("connect_timeout", pool.connect_ms_max, {1, 600 * second_ms});
  section.count("prepared_statements", pool.prepared_statements_max, {1, 100'000});
  section.finish();
}

void read_limits(Section section, Limits& limits) {
  section.count("clients", limits.clients_max, {1, 1'000'000});
  section.count("server_connections", limits.server_connections_max, {0, 1'000'000});
  section.count("server_connections_per_user", limits.server_connections_per_user_max, {0, 1'000'000});
  section.count("server_connections_per_database", limits.server_connections_per_database_max, {0, 1'000'000});
  section.count("cancels", limits.cancels_max, {1, 100'000});
  section.count("cancels_per_second", limits.cancels_per_second_max, {1, 1'000'000});
  section.count("unproven_logins", limits.unproven_logins_max, {1, 10'000});
  section.duration("login_timeout", limits.login_ms_max, {1, 3600 * second_ms});
  section.duration("idle_in_transaction_timeout", limits.idle_in_transaction_ms_max, {0, 7 * day_ms});
  section.duration("client_idle_timeout", limits.client_idle_ms_max, {0, 30 * day_ms});
  section.count("replication_clients", limits.replication_clients_max, {0, 10'000});
  // The lower bounds keep a client able to log in and say anything at all.
  section.bytes("message_size", limits.message_bytes_max, {16 * kib, gib - 1});
  section.bytes("startup_size", limits.startup_bytes_max, {512, 64 * kib});
  section.bytes("buffered_message_size", limits.buffered_message_bytes_max, {16 * kib, gib - 1});
  section.count("session_channels", limits.session_channels_max, {0, 1'000'000});
  section.count("channels", limits.channels_max, {0, 1'000'000});
  section.bytes("notification_queue", limits.notification_queue_bytes_max, {16 * kib, gib - 1});
  section.finish();
}

void read_hold(Section section, Hold& hold) {
  section.count("sessions", hold.sessions_max, {1, 1'000'000});
  section.bytes("memory", hold.bytes_max, {64 * kib, 64 * gib});
  section.count("release_per_ms", hold.release_per_ms, {1, 100'000});
  section.finish();
}

void read_cutover(Section section, Cutover& cutover) {
  section.duration("lag_time", cutover.lag_ms_max, {1, 3600 * second_ms});
  section.bytes("lag_size", cutover.lag_bytes_max, {1, 1024 * gib});
  section.duration("transaction_age", cutover.transaction_ms_max, {1, day_ms});
  section.duration("drain", cutover.drain_ms_max, {1, 3600 * second_ms});
  section.duration("proof", cutover.proof_ms_max, {1, 3600 * second_ms});
  section.duration("window", cutover.window_ms_max, {1, 3600 * second_ms});
  section.duration("cooling", cutover.cooling_ms, {0, 40 * day_ms});
  section.bytes("slot_retained_size", cutover.slot_retained_bytes_max, {1, kib * kib * gib});
  section.duration("check_interval", cutover.check_interval_ms, {0, day_ms});
  section.duration("rehearsal_age", cutover.rehearsal_ms_max, {1, 40 * day_ms});
  section.choice("fence", cutover.fence, all(fences));
  section.finish();
}

void read_policies(Section section, const TreeNode& node, std::map<std::string, TokenPolicy>& own) {
  for (const Entry& entry : node.entries) section.choice(entry.key, own[entry.key], all(policies));
  section.finish();
}

void read_ramp(Section section, Ramp& ramp) {
  section.choice("policy", ramp.policy, all(policies));
  section.duration("bounded", ramp.bounded_ms, {1, 3600 * second_ms});
  section.duration("sample_interval", ramp.sample_ms, {1, 60 * second_ms});
  section.bytes("lag_size", ramp.lag_bytes_max, {1, 1024 * gib});
  section.counts("ladder", ramp.ladder, {1, 100});
  section.duration("hold_time", ramp.hold_ms, {0, 30 * day_ms});
  section.count("samples", ramp.samples_min, {0, 1'000'000'000});
  section.count("slower_percent", ramp.slower_percent, {1, 10'000});
  section.duration("slower_by", ramp.slower_ms, {0, 60 * second_ms});
  read_policies(section.section("users"), section.inside("users"), ramp.user_policies);
  read_policies(section.section("databases"), section.inside("databases"), ramp.database_policies);
  section.finish();
}

void read_compare(Section section, Compare& compare) {
  section.count("piece_rows", compare.piece_rows, {100, 100'000});
  section.count("rows_per_second", compare.rows_per_second, {0, 1'000'000'000});
  section.bytes("lag_size", compare.lag_bytes_max, {1, 1024 * gib});
  section.duration("statement_timeout", compare.statement_ms_max, {100, 3600 * second_ms});
  section.count("rounds", compare.rounds, {1, 100});
  section.count("differences", compare.differences_max, {1, 10'000});
  section.finish();
}

void read_shadow(Section section, Shadow& shadow) {
  section.count("queue", shadow.queue_max, {1, 100'000});
  section.bytes("memory", shadow.bytes_max, {64 * kib, 64 * gib});
  section.count("connections", shadow.connections_max, {2, 1'000});
  section.bytes("result_size", shadow.result_bytes_max, {kib, 64 * gib});
  section.duration("statement_timeout", shadow.statement_ms_max, {10, 3600 * second_ms});
  section.duration("lag_time", shadow.lag_ms_max, {10, 3600 * second_ms});
  section.count("brackets", shadow.brackets, {1, 20});
  section.count("shapes", shadow.shapes_max, {10, 10'000});
  section.finish();
}

void read_replication(Section section, Replication& replication) {
  read_login(section, replication.login);
  section.address("blue_address", replication.blue_address);
  section.address("green_address", replication.green_address);
  section.choice("tls", replication.tls, all(tls_modes));
  section.finish();
}

void read_replicate(Section section, Replicate& replicate) {
  section.text("pg_dump", replicate.pg_dump);
  section.duration("dump_time", replicate.dump_ms_max, {1'000, day_ms});
  section.bytes("dump_size", replicate.dump_bytes_max, {64 * kib, gib});
  section.duration("statement_time", replicate.statement_ms_max, {1'000, day_ms});
  section.duration("stall_time", replicate.stall_ms_max, {1'000, day_ms});
  section.finish();
}

// `auth: hba:FILE` is the one value of auth that carries another.
void read_auth(Section& section, Deployment& deployment) {
  constexpr std::string_view hba_prefix = "hba:";
  const TreeNode* node = section.scalar("auth");
  if (node == nullptr) return;
  if (node->scalar.starts_with(hba_prefix)) {
    deployment.auth = ClientAuth::hba;
    deployment.hba_file = node->scalar.substr(hba_prefix.size());
  } else {
    section.choice("auth", deployment.auth, all(auths));
  }
}

bool starts_like_sql(std::string_view text) {
  constexpr std::string_view select = "select ";
  return text.size() >= select.size() && std::ranges::equal(text.substr(0, select.size()), select, [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b;
         });
}

// `users` is a file, or the word passthrough, or a mapping: an auth query.
void read_users(Section& section, const TreeNode& deployment_node, Walker& walker, Deployment& deployment) {
  const Entry* const users = deployment_node.find("users");
  if (users != nullptr && users->value.kind == TreeNode::Kind::map) {
    AuthQuery& query = deployment.auth_query;
    Section inside = section.section("users");
    inside.text("query", query.query);
    read_login(inside, query.login);
    inside.text("database", query.database);
    inside.duration("cache_time", query.cache_ms, {0, 3600 * second_ms});
    inside.count("cache_size", query.cache_users_max, {1, 1'000'000});
    inside.require("query", "query: \"SELECT name, secret FROM a_schema.a_function($1)\"");
    inside.require("user", "user: the role that runs the query, with no other rights");
    inside.finish();
    return;
  }
  const TreeNode* const node = section.scalar("users");
  if (node == nullptr) return;
  if (starts_like_sql(node->scalar)) {
    walker.add(
        node->at, section.path_of("users"),
        "an auth query is a mapping; write users: { query: \"…\", user: a role of its own, password_file: FILE }");
    return;
  }
  if (node->scalar != "passthrough") {
    deployment.users_file = node->scalar;
    return;
  }
  // Whoever can log in to the writer can log in here. What servers of MySQL keep of a password opens nothing: clients
  // send it whole. Of PostgreSQL the admin reads what is kept.
  if (deployment.protocol == Protocol::mysql) {
    deployment.passes_passwords = true;
    return;
  }
  deployment.auth_query.query =
      "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin AND "
      "(rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())";
  deployment.auth_query.login = deployment.admin;
}

// Everything the cutover relates to is inherited here, so that nobody downstream has to know the defaults.
void inherit_replication(Deployment& deployment) {
  auto& replication = deployment.replication;
  if (replication.login.user.empty()) {
    replication.login.user = deployment.admin.user;
    if (replication.login.password_file.empty()) replication.login.password_file = deployment.admin.password_file;
  }
  if (replication.blue_address == Address{}) replication.blue_address = deployment.blue;
  if (replication.green_address == Address{} && deployment.green) replication.green_address = *deployment.green;
}

void read_deployment(const Entry& entry, Walker& walker, std::vector<Deployment>& deployments) {
  Deployment deployment;
  deployment.name = entry.key;
  const std::string path = "deployments." + entry.key;
  walker.remember(path, entry.at);
  if (!is_name(entry.key)) {
    walker.add(entry.at, path, "a deployment's name has 1 to 40 of a-z, 0-9, _ and -");
  }
  if (entry.value.kind == TreeNode::Kind::null) {
    walker.add(entry.at, path, "has no value; write listen, blue, admin and users below it");
    return;
  }
  Section section(walker, entry.value, path);
  section.choice("protocol", deployment.protocol, all(protocols));
  section.addresses("listen", deployment.listen);
  section.address("blue", deployment.blue);
  Address green;
  section.address("green", green);
  if (walker.was_written(section.path_of("green"))) deployment.green = green;
  Section admin = section.section("admin");
  read_login(admin, deployment.admin);
  if (walker.was_written(admin.path())) admin.require("user", "the role for checks, fence and proof");
  admin.finish();
  read_replication(section.section("replication"), deployment.replication);
  read_auth(section, deployment);
  read_users(section, entry.value, walker, deployment);
  section.texts("databases", deployment.databases);
  section.texts("cdc", deployment.cdc);
  section.texts("waive", deployment.waive);
  read_pool(section.section("pool"), deployment.pool);
  read_limits(section.section("limits"), deployment.limits);
  read_hold(section.section("hold"), deployment.hold);
  read_cutover(section.section("cutover"), deployment.cutover);
  read_ramp(section.section("ramp"), deployment.ramp);
  read_replicate(section.section("replicate"), deployment.replicate);
  read_compare(section.section("compare"), deployment.compare);
  read_shadow(section.section("shadow"), deployment.shadow);
  read_tls(section.section("client_tls"), deployment.client_tls, true);
  read_tls(section.section("server_tls"), deployment.server_tls, false);
  section.require("listen", "listen: [\"127.0.0.1:6432\"]");
  section.require("blue", "blue: \"host:port\", the production database");
  section.require("admin", "admin: { user: turnout, password_file: FILE }");
  section.finish();
  inherit_replication(deployment);
  deployments.push_back(std::move(deployment));
}

void read_control(Section section, Control& control) {
  control.listen = {"127.0.0.1", 6480, {}};
  section.address("listen", control.listen);
  section.text("token_file", control.token_file);
  section.text("state_dir", control.state_dir);
  section.finish();
}

void read_dns(Section section, Dns& dns) {
  section.duration("ttl_min", dns.ttl_ms_min, {100, 3600 * second_ms});
  section.duration("ttl_max", dns.ttl_ms_max, {100, day_ms});
  section.duration("timeout", dns.timeout_ms, {100, 60 * second_ms});
  section.addresses("servers", dns.servers);
  section.finish();
}

void read_deployments(const TreeNode& node, Walker& walker, std::vector<Deployment>& deployments) {
  const Section shape(walker, node, "deployments");  // says so when it is not a mapping
  if (node.kind == TreeNode::Kind::map && node.entries.empty()) {
    walker.add_at_key("deployments", "is empty; write at least one deployment below it");
  }
  if (node.kind == TreeNode::Kind::null)
    walker.add_at_key("deployments", "has no value; write at least one deployment below it");
  if (node.entries.size() > deployments_max) {
    walker.add_at_key("deployments", "has more than " + std::to_string(deployments_max) + " entries");
    return;
  }
  for (const auto& entry : node.entries) read_deployment(entry, walker, deployments);
}

}  // namespace

Config read_config(const TreeNode& root, Walker& walker) {
  Config config;
  if (root.kind == TreeNode::Kind::null) {
    walker.add({1, 1}, {}, "the file is empty; see the README for the smallest useful one");
    return config;
  }
  Section section(walker, root, {});
  const bool has_deployments = root.find("deployments") != nullptr;
  const TreeNode& deployments = section.inside("deployments");
  if (has_deployments) read_deployments(deployments, walker, config.deployments);
  read_control(section.section("control"), config.control);
  read_dns(section.section("dns"), config.dns);
  section.count("workers", config.workers, {0, 256});
  std::string_view log_level = config.log_level;
  section.choice("log_level", log_level, all(log_levels));
  config.log_level = std::string(log_level);
  section.require("deployments", "deployments: { app: { listen, blue, green, admin, users } }");
  section.finish();
  return config;
}

}  // namespace turnout::conf
