#include "control/mysql_settle.h"

#include <chrono>
#include <optional>

#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t settle_ms_max = 30'000;    // STOP SLAVE waits for the transaction that is being applied
constexpr std::chrono::seconds reverse_s_max{10};  // for both threads to run; then it is tried again, with the reason

std::string connection_of(Attempt& attempt) {
  const std::lock_guard guard(attempt.mutex);
  return attempt.mysql.connection;
}

std::uint32_t id_of(Attempt& attempt, router::Side side) {
  const std::lock_guard guard(attempt.mutex);
  return attempt.mysql.from == side ? attempt.mysql.from_id : attempt.mysql.to_id;
}

MysqlOutcome<std::optional<ReplicaLink>> find_link(MysqlClient& client, const std::string& connection) {
  const auto server = look_at(client);
  if (!server) return server.error();
  for (const auto& link : server->links) {
    if (link.connection == connection) return std::optional(link);
  }
  return std::optional<ReplicaLink>();
}

MysqlOutcome<MysqlRows> stop_link(MysqlClient& client, const std::string& connection) {
  return client.query(stop_link_sql(client.dialect(), mysql_literal(connection)));
}

// Done where the link is gone already.
template <typename Change>
StepAnswer with_forward(MysqlContext& context, Attempt& attempt, router::Side to, Change change) {
  auto client = context.shelf.fresh(to, settle_ms_max);
  if (!client) return failed(client.error());
  const auto connection = connection_of(attempt);
  const auto link = find_link(*client, connection);
  if (!link) return failed(link.error());
  if (!*link) return StepAnswer::done();
  const auto changed = change(*client, connection);
  return changed ? StepAnswer::done() : failed(changed.error());
}

}  // namespace

conf::Tls replication_tls(const conf::Deployment& config) {
  conf::Tls tls = config.server_tls;
  tls.mode = config.replication.tls;
  if (tls.mode == conf::TlsMode::allow || tls.mode == conf::TlsMode::prefer) tls.mode = conf::TlsMode::disable;
  tls.certificate_file = tls.key_file = "";  // they are on this machine
  return tls;
}

std::string follow_side_sql(const MysqlDialect& dialect, const conf::Deployment& config, router::Side side,
                            const std::string& connection) {
  const auto& replication = config.replication;
  const bool is_blue = side == router::Side::blue;
  auto address = is_blue ? replication.blue_address : replication.green_address;
  if (address == conf::Address{}) address = is_blue ? config.blue : config.green.value_or(conf::Address{});
  const auto& login = replication.login.user.empty() ? config.admin : replication.login;
  const auto tls = replication_tls(config).mode;
  const bool verifies = tls == conf::TlsMode::verify_ca || tls == conf::TlsMode::verify_full;
  const FollowSource source{mysql_literal(address.host),   mysql_literal(login.user),
                            mysql_literal(login.password), address.port,
                            tls != conf::TlsMode::disable, verifies};
  return follow_sql(dialect, source, mysql_literal(connection));
}

MysqlOutcome<MysqlRows> drop_link(MysqlClient& client, const std::string& connection) {
  auto stopped = stop_link(client, connection);
  return stopped ? client.query(forget_link_sql(client.dialect(), mysql_literal(connection))) : std::move(stopped);
}

StepAnswer stop_forward(MysqlContext& context, Attempt& attempt, router::Side to) {
  return with_forward(context, attempt, to, stop_link);
}

StepAnswer await_forward_gone(MysqlContext& context, Attempt& attempt, router::Side to,
                              const std::atomic<bool>& cancelled) {
  const auto connection = connection_of(attempt);
  while (!cancelled) {
    auto loan = context.shelf.take(to);
    if (!loan) return failed(loan.error());
    const auto link = find_link(**loan, connection);
    if (!link) return failed(link.error());
    if (!*link || (!(*link)->reads && !(*link)->applies)) return StepAnswer::done();
    // A server that has been restarted meanwhile has begun with it again.
    if (auto stopped = stop_forward(context, attempt, to); !stopped.ok) return stopped;
    long_pause();
  }
  return StepAnswer::failed("the link to the old writer still runs on " + std::string(router::name(to)));
}

StepAnswer start_reverse(MysqlContext& context, Attempt& attempt, router::Side from,
                         const std::atomic<bool>& cancelled) {
  auto client = context.shelf.fresh(from, settle_ms_max);
  if (!client) return failed(client.error());
  const auto connection = connection_of(attempt);
  const auto writer_id = id_of(attempt, router::other(from));
  auto link = find_link(*client, connection);
  if (!link) return failed(link.error());
  if (!*link || !(*link)->runs_from(writer_id)) {  // one of that name may be somebody else's
    if (*link) {
      if (const auto stopped = stop_link(*client, connection); !stopped) return failed(stopped.error());
    }
    const auto sql = follow_side_sql(client->dialect(), context.step.config(), router::other(from), connection);
    if (const auto changed = client->query(sql); !changed) return failed(changed.error());
    if (const auto started = client->query(start_link_sql(client->dialect(), mysql_literal(connection))); !started)
      return failed(started.error());
  }
  const auto began = std::chrono::steady_clock::now();
  while (!cancelled) {
    link = find_link(*client, connection);
    if (!link) return failed(link.error());
    if (*link && (*link)->runs_from(writer_id)) return StepAnswer::done();
    if (std::chrono::steady_clock::now() - began > reverse_s_max)
      return StepAnswer::failed("the way back does not run yet: " + (*link ? (*link)->error : "no connection"));
    long_pause();
  }
  return StepAnswer::failed("the way back does not run yet");
}

StepAnswer drop_forward(MysqlContext& context, Attempt& attempt, router::Side to) {
  return with_forward(context, attempt, to, drop_link);
}

}  // namespace turnout::control
