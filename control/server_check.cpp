#include "control/server_check.h"

#include "control/pg_client.h"

namespace turnout::control {
namespace {

// Reserved settings a version does not know simply have no row.
constexpr const char* question =
    "SELECT current_setting('max_connections')::bigint, coalesce(sum(setting::bigint), 0)::bigint "
    "FROM pg_catalog.pg_settings WHERE name IN ('superuser_reserved_connections', 'reserved_connections')";

std::string database_of(const conf::Deployment& deployment) {
  return deployment.databases.empty() ? "postgres" : deployment.databases.front();
}

ServerFinding check_side(const conf::Deployment& deployment, router::Side side, const conf::Address& address,
                         std::uint32_t connect_ms_max) {
  ServerFinding finding;
  finding.deployment = deployment.name;
  const PgTarget target{side, address, deployment.admin, deployment.server_tls, database_of(deployment)};
  const std::string where = deployment.name + ": " + target.text();
  auto connected = PgClient::connect(target, connect_ms_max);
  auto asked = connected ? connected->query(question, connect_ms_max) : PgOutcome<PgRows>(connected.error());
  if (!asked || asked->empty()) {
    finding.kind = ServerFinding::Kind::unreachable;
    finding.text = deployment.name + ": " + (asked ? where + ": no answer" : asked.error().message()) +
                   "; check the address, deployments." + deployment.name + ".admin and the server's pg_hba.conf";
    return finding;
  }
  const std::int64_t most = asked->integer(0, 0), reserved = asked->integer(0, 1);
  finding.text = pool_mistake(deployment, router::name(side), most, reserved);
  if (!finding.text.empty()) {
    finding.kind = ServerFinding::Kind::pool_too_large;
    return finding;
  }
  finding.text = where + ": logged in as " + deployment.admin.user + ", " + std::to_string(most) + " connections, " +
                 std::to_string(reserved) + " reserved; the pool of " + std::to_string(deployment.pool.size) + " fits";
  return finding;
}

}  // namespace

std::string pool_mistake(const conf::Deployment& deployment, const std::string& side, std::int64_t connections_max,
                         std::int64_t connections_reserved) {
  const std::int64_t allowed = connections_max - connections_reserved;
  if (static_cast<std::int64_t>(deployment.pool.size) <= allowed) return "";
  return "deployments." + deployment.name + ".pool.size: " + std::to_string(deployment.pool.size) +
         " is more than the " + std::to_string(allowed) + " connections that " + side + " allows (max_connections " +
         std::to_string(connections_max) + ", " + std::to_string(connections_reserved) +
         " of them reserved); lower pool.size or raise max_connections";
}

std::vector<ServerFinding> check_servers(const conf::Config& config, std::uint32_t connect_ms_max) {
  std::vector<ServerFinding> findings;
  for (const conf::Deployment& deployment : config.deployments) {
    if (deployment.protocol != conf::Protocol::postgres || deployment.admin.user.empty()) continue;
    findings.push_back(check_side(deployment, router::Side::blue, deployment.blue, connect_ms_max));
    if (deployment.green) {
      findings.push_back(check_side(deployment, router::Side::green, *deployment.green, connect_ms_max));
    }
  }
  return findings;
}

}  // namespace turnout::control
