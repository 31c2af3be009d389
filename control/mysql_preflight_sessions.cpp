// Who is on the servers now, and what is open.

#include <fmt/format.h>

#include <algorithm>

#include "control/mysql_preflight.h"
#include "control/mysql_sessions.h"

namespace turnout::control {

namespace {

std::string text_of_session(const MysqlSession& session) {
  return fmt::format("{} from {} (id {})", session.user, session.host, session.number);
}

void check_strangers(MysqlLook& look) {
  auto client = look.context.shelf.take(look.from);
  const auto not_there = [&](const std::string& why) {
    look.could_not_look("bypassing_clients", why);
    look.could_not_look("superuser_sessions", why);
  };
  if (!client) return not_there(client.error().message());
  const auto passing = ask_passing_users(**client);
  if (!passing) return not_there(passing.error().message());
  const auto before = OwnConnections::look(look.context, look.from);  // some are gone when the list has come
  const auto sessions = list_sessions(**client);
  if (!sessions) return not_there(sessions.error().message());
  const auto ours = OwnConnections::look(look.context, look.from);
  const auto& replication = look.config.replication.login.user;
  std::vector<std::string> ordinary, super;
  for (const auto& session : *sessions) {
    if (ours.has(session) || before.has(session) || session.user == "unauthenticated user") continue;
    // The follower's, before it asks for the log; and ours that are just being closed.
    if (session.user == replication || session.user == look.config.admin.user) continue;
    (passing->contains(session.user) ? super : ordinary).push_back(text_of_session(session));
  }
  look.verdict("bypassing_clients", Verdict::fail, ordinary, "none", "every client comes through Turnout",
               "point them at Turnout; waived: their writes get error 1290 from the fence on");
  look.verdict("superuser_sessions", Verdict::fail, super, "none",
               "nobody with READ ONLY ADMIN logged in beside Turnout: read_only does not hold them",
               "let them log out, or waive it if you know what they do");
}

void check_transactions(MysqlLook& look) {
  constexpr const char* name = "long_transactions";
  const auto bound = look.config.cutover.transaction_ms_max;
  const auto rows = look.ask(name, look.from,
                             "SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM "
                             "information_schema.INNODB_TRX WHERE trx_mysql_thread_id <> 0");
  if (rows) {
    std::vector<std::string> old;
    for (std::size_t row = 0; row < rows->size(); ++row) {
      if (rows->integer(row, 1) * 1000 > std::int64_t{bound})
        old.push_back(fmt::format("id {}: {} s", rows->text(row, 0), rows->text(row, 1)));
    }
    look.verdict(name, Verdict::fail, old, fmt::format("none older than {} ms", bound), fmt::format("{} ms", bound),
                 "end them: the drain waits for them, and the fence breaks those of others");
  }
  if (const auto prepared = look.ask("prepared_transactions", look.from, "XA RECOVER")) {
    std::vector<std::string> names;
    for (std::size_t row = 0; row < prepared->size(); ++row) names.push_back(prepared->text(row, "data"));
    look.verdict("prepared_transactions", Verdict::fail, names, "none", "no XA transaction is prepared",
                 "XA COMMIT or XA ROLLBACK them: behind the fence nobody can");
  }
}

void check_pinned(MysqlLook& look) {
  std::vector<std::string> pinned;
  for (const auto& client : look.context.step.proxy.clients(look.context.step.index)) {
    if (!client.pinned_by.empty() && !client.in_transaction)
      pinned.push_back(
          fmt::format("client {} {} from {}: {}", client.id, client.user, client.address, client.pinned_by));
  }
  look.verdict("unmovable_sessions", Verdict::warn, pinned, "every session can move", "none",
               "the drain waits until they end: turnout clients says who they are");
}

void check_capacity(MysqlLook& look) {
  constexpr const char* name = "green.capacity";
  const auto rows = look.ask(name, look.to, "SELECT @@global.max_connections");
  if (!rows) return;
  std::int64_t now = 0;
  for (const auto& pool : look.context.step.proxy.pools(look.context.step.index)) {
    if (pool.side == look.from) now += pool.servers_active + pool.servers_idle + pool.servers_opening;
  }
  const auto measured = fmt::format("{} connections now, room for {}", now, rows->integer(0));
  const std::string bound = "the pools' present connections fit into max_connections";
  if (now > rows->integer(0))
    return look.fail(name, measured, bound, "raise max_connections there, or make the pools smaller");
  look.pass(name, measured, bound);
}

}  // namespace

void check_sessions(MysqlLook& look) {
  check_strangers(look);
  check_transactions(look);
  check_pinned(look);
  check_capacity(look);
}

}  // namespace turnout::control
