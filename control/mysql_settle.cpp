#include "control/mysql_settle.h"

#include <chrono>
#include <optional>

#include "control/mysql_proof.h"
#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t settle_ms_max = 30'000;    // STOP SLAVE waits for the transaction that is being applied
constexpr std::chrono::seconds reverse_s_max{10};  // for both threads to run; then it is tried again, with the reason

std::string connection_of(Attempt& attempt) {
  return mysql_topology_of(attempt).connection;
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

std::string follow_side_sql(const MysqlDialect& dialect, const conf::Deployment& config, router::Side side,
                            const std::string& connection, const LinkTls& tls,
                            const std::optional<LogPosition>& begin) {
  const auto& replication = config.replication;
  const bool is_blue = side == router::Side::blue;
  auto address = is_blue ? replication.blue_address : replication.green_address;
  if (address == conf::Address{}) address = is_blue ? config.blue : config.green.value_or(conf::Address{});
  const auto& login = replication.login.user.empty() ? config.admin : replication.login;
  const FollowSource source{mysql_literal(address.host),
                            mysql_literal(login.user),
                            mysql_literal(login.password),
                            address.port,
                            tls.encrypts,
                            tls.verifies,
                            change_words(tls),
                            begin};
  return follow_sql(dialect, source, mysql_literal(connection));
}

BackTls way_back_tls(MysqlContext& context, const MysqlServer& follower, router::Side side, const LinkTls& now) {
  const auto& step = context.step;
  return tls_of_way_back(follower.dialect(), step.config().replication.tls, now,
                         has_followed_by(step.store.records(step.deployment), side),
                         [&](const std::string& name) { return follower.variable(name); });
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

ReverseDeed reverse_deed(const std::optional<ReplicaLink>& link, std::uint32_t writer_id, bool was_made) {
  if (!link) return was_made ? ReverseDeed::refuse : ReverseDeed::make;
  const bool is_elsewhere = link->writer_id != 0 && link->writer_id != writer_id;
  return is_elsewhere ? ReverseDeed::refuse : ReverseDeed::start;
}

namespace {

MysqlOutcome<MysqlRows> start_link(MysqlClient& client, const std::string& connection) {
  return client.query(start_link_sql(client.dialect(), mysql_literal(connection)));
}

// Where the old writer is to follow, and how; nothing begins.
StepAnswer change_source(MysqlContext& context, MysqlClient& client, const MysqlTopology& topology,
                         const std::optional<LogPosition>& begin) {
  const auto side = client.target().side;
  const auto follower = look_at(client);
  if (!follower) return failed(follower.error());
  const auto back = way_back_tls(context, *follower, side, topology.tls);
  if (!back.missing.empty())
    return StepAnswer::failed("the way back takes " + back.missing.front() + " on " + router::name(side) +
                              ": set it there");
  const auto sql =
      follow_side_sql(client.dialect(), context.step.config(), topology.to(), topology.connection, back.tls, begin);
  const auto changed = client.query(sql);
  return changed ? StepAnswer::done() : failed(changed.error());
}

StepAnswer follow_by_gtid(MysqlContext& context, MysqlClient& client, const MysqlTopology& topology, bool has_link) {
  if (has_link) {  // it may be somebody else's, and what is not named would stay as it was
    if (const auto dropped = drop_link(client, topology.connection); !dropped) return failed(dropped.error());
  }
  if (auto changed = change_source(context, client, topology, {}); !changed.ok) return changed;
  const auto started = start_link(client, topology.connection);
  return started ? StepAnswer::done() : failed(started.error());
}

// "" or why not. It must not start before that is durable.
std::string record_made(MysqlContext& context, Attempt& attempt) {
  const std::lock_guard guard(attempt.mutex);
  auto made = attempt.mysql;
  made.reverse_made = true;
  auto error = context.step.store.append({context.step.deployment, attempt.epoch, RecordKind::facts, to_json(made)});
  if (error.empty()) attempt.mysql = std::move(made);
  return error;
}

StepAnswer make_by_position(MysqlContext& context, Attempt& attempt, MysqlClient& client) {
  const auto topology = mysql_topology_of(attempt);
  std::string recorded;
  {
    const std::lock_guard guard(attempt.mutex);
    recorded = attempt.slot_target[server_position];
  }
  const auto begin = parse_log_position(recorded);
  if (!begin) return StepAnswer::failed("where the way back begins is not known: '" + recorded + "'");
  return change_source(context, client, topology, begin);
}

StepAnswer follow_by_position(MysqlContext& context, Attempt& attempt, MysqlClient& client,
                              const std::optional<ReplicaLink>& link) {
  const auto topology = mysql_topology_of(attempt);
  switch (reverse_deed(link, topology.to_id, topology.reverse_made)) {
    case ReverseDeed::refuse:
      return StepAnswer::failed(
          std::string("the way back of ") + router::name(topology.from) +
          (link ? " leads to another server" : " has been removed, and how far it had come is not known") +
          ": set up replication from " + router::name(topology.to()) + " by hand, Turnout goes on from there");
    case ReverseDeed::make:
      if (auto made = make_by_position(context, attempt, client); !made.ok) return made;
      break;
    case ReverseDeed::start:
      break;
  }
  if (!topology.reverse_made) {
    if (auto error = record_made(context, attempt); !error.empty()) return StepAnswer::failed(std::move(error));
  }
  const auto started = start_link(client, topology.connection);
  return started ? StepAnswer::done() : failed(started.error());
}

}  // namespace

StepAnswer start_reverse(MysqlContext& context, Attempt& attempt, router::Side from,
                         const std::atomic<bool>& cancelled) {
  auto client = context.shelf.fresh(from, settle_ms_max);
  if (!client) return failed(client.error());
  const auto topology = mysql_topology_of(attempt);
  auto link = find_link(*client, topology.connection);
  if (!link) return failed(link.error());
  if (!*link || !(*link)->runs_from(topology.to_id)) {
    auto begun = topology.kind == PositionKind::gtid ? follow_by_gtid(context, *client, topology, link->has_value())
                                                     : follow_by_position(context, attempt, *client, *link);
    if (!begun.ok) return begun;
  }
  const auto began = std::chrono::steady_clock::now();
  while (!cancelled) {
    link = find_link(*client, topology.connection);
    if (!link) return failed(link.error());
    if (*link && (*link)->runs_from(topology.to_id)) return StepAnswer::done();
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
