// How a client must prove who it is: by the deployment's `auth`, or by the first rule that matches it.
#include <openssl/rand.h>

#include "proxy/auth_query.h"
#include "proxy/greeting.h"
#include "proxy/replication.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

void Greeting::begin_authentication() {
  switch (shard_.settings->conf.auth) {
    case conf::ClientAuth::trust:
      begin_login(pg::ClientMethod::trust);
      return;
    case conf::ClientAuth::md5:
      begin_login(pg::ClientMethod::md5);
      return;
    case conf::ClientAuth::scram_sha_256:
      begin_login(pg::ClientMethod::scram_sha_256);
      return;
    case conf::ClientAuth::cert:
      if (has_certificate(pg::ClientCertificate::names_user)) begin_login(pg::ClientMethod::trust);
      return;
    case conf::ClientAuth::peer:
      if (is_system_user()) begin_login(pg::ClientMethod::trust);
      return;
    case conf::ClientAuth::hba:
      authenticate_by_rule();
      return;
  }
}

void Greeting::authenticate_by_rule() {
  const Transport::Peer peer = transport_.peer();
  pg::HbaClient client;
  client.is_unix = peer.is_unix;
  client.is_tls = transport_.is_tls();
  client.address = peer.address;
  client.user = user_;
  client.database = database_;
  client.is_physical_replication = replication_ == pg::ReplicationKind::physical;
  const pg::HbaRule* const rule = pg::find_rule(shard_.settings->rules, client);
  const std::string who = "host \"" + (peer.is_unix ? "[local]" : address_.substr(0, address_.rfind(':'))) +
                          "\", user \"" + user_ + "\", database \"" + database_ + "\", " +
                          (client.is_tls ? "SSL encryption" : "no encryption");
  if (rule == nullptr) {
    refuse_login("no rule matches", "no pg_hba.conf entry for " + who);
    return;
  }
  if (rule->certificate != pg::ClientCertificate::not_asked && !has_certificate(rule->certificate)) return;
  switch (rule->method) {
    case pg::HbaMethod::trust:
    case pg::HbaMethod::cert:
      begin_login(pg::ClientMethod::trust);
      return;
    case pg::HbaMethod::md5:
      begin_login(pg::ClientMethod::md5);
      return;
    case pg::HbaMethod::scram_sha_256:
      begin_login(pg::ClientMethod::scram_sha_256);
      return;
    case pg::HbaMethod::peer:
      if (is_system_user()) begin_login(pg::ClientMethod::trust);
      return;
    case pg::HbaMethod::reject:
      refuse_login("a rule rejects it", "pg_hba.conf rejects connection for " + who);
      return;
  }
}

bool Greeting::has_certificate(pg::ClientCertificate wish) {
  const auto name = transport_.certified_name();
  if (!name) {
    refuse_login("no client certificate", "connection requires a valid client certificate");
    return false;
  }
  if (wish == pg::ClientCertificate::trusted || *name == user_) return true;
  refuse_login("the client's certificate names somebody else",
               "certificate authentication failed for user \"" + user_ + "\"");
  return false;
}

bool Greeting::is_system_user() {
  if (transport_.peer().is_unix && transport_.system_user() == user_) return true;
  refuse_login("the system's user is somebody else", "Peer authentication failed for user \"" + user_ + "\"");
  return false;
}

void Greeting::refuse_login(const char* reason, const std::string& message) {
  shard_.numbers.login_failures.add();
  end(reason, "28000", message);
}

void Greeting::begin_login(pg::ClientMethod method) {
  method_ = method;
  if (method == pg::ClientMethod::trust || !shard_.settings->conf.auth_query.is_set()) {
    converse(shard_.deployment.client_secret(user_, method));
    return;
  }
  const FetchedSecrets::Found found = shard_.deployment.fetched().find(user_, shard_.worker.loop.now_ms());
  if (found.is_known) {
    secret_known(found.secret);
    return;
  }
  state_ = State::awaiting_secret;
  shard_.auth_query().ask(*this);
}

void Greeting::secret_known(const std::optional<pg::Secret>& secret) {
  fetched_ = secret;
  converse(secret);
}

// Whether the user exists cannot be said now; a client may come back with its password later.
void Greeting::secret_unavailable() {
  shard_.numbers.login_failures.add();
  end("the auth query has no answer", "57P03", "logins cannot be checked now: the auth query has no answer");
}

void Greeting::converse(std::optional<pg::Secret> secret) {
  pg::ClientLogin::Input input;
  input.method = method_;
  input.user = user_;
  input.secret = std::move(secret);
  // As the server does: a user whose secret is a SCRAM verifier gets the method that fits it.
  if (method_ == pg::ClientMethod::md5 && input.secret && input.secret->kind == pg::Secret::Kind::scram_verifier)
    input.method = pg::ClientMethod::scram_sha_256;
  input.mock_key = shard_.deployment.mock_key;
  RAND_bytes(input.nonce.data(), static_cast<int>(input.nonce.size()));
  RAND_bytes(input.md5_salt.data(), static_cast<int>(input.md5_salt.size()));
  input.channel_binding_data = transport_.channel_binding(true);
  login_ = std::make_unique<pg::ClientLogin>(std::move(input));
  state_ = State::authenticating;
  on_login_step(login_->start());
}

// What opens the server for this user from now on: a SCRAM login proves more than the verifier says, and a secret that
// was fetched is not written down anywhere else.
void Greeting::learn_secrets() {
  const bool is_fetched = fetched_ && fetched_->kind != pg::Secret::Kind::scram_verifier;
  if (is_fetched)
    shard_.deployment.learn(user_, *fetched_);
  else if (const auto learned = login_->learned())
    shard_.deployment.learn(user_, *learned);
}

void Greeting::begin_replication() {
  Deployment& deployment = shard_.deployment;
  const std::uint32_t limit = shard_.settings->conf.limits.replication_clients_max;
  if (deployment.replications.fetch_add(1, std::memory_order_relaxed) >= limit) {
    deployment.replications.fetch_sub(1, std::memory_order_relaxed);
    end("too many replication clients", "53300",
        "too many replication clients: limits.replication_clients (" + std::to_string(limit) + ") is reached");
    return;
  }
  ReplicationStart start;
  start.transport = std::move(transport_);
  start.address = std::move(address_);
  start.user = user_;
  start.database = database_;
  start.value = replication_value_;
  start.parameters = std::move(wished_);
  start.said = std::move(output_);
  start.kind = replication_;
  start.has_long_key = version_ >= pg::protocol_3_2;
  state_ = State::ended;
  Replication& replication = shard_.add_replication(std::make_unique<Replication>(shard_, std::move(start)));
  replication.begin();
  shard_.remove_greeting(*this);
}

}  // namespace turnout::proxy
