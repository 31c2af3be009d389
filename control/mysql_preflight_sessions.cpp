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

std::string some_of_text(const std::string& query) {
  constexpr std::size_t shown_max = 60;
  return query.size() <= shown_max ? query : query.substr(0, shown_max) + "…";
}

void check_strangers(MysqlLook& look) {
  auto client = look.context.shelf.take(look.from);
  const auto not_there = [&](const std::string& why) {
    look.could_not_look("running_ddl", why);
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
  std::vector<std::string> ordinary, super, ddl;
  for (const auto& session : *sessions) {
    if (session.command != "Sleep" && changes_schema(session.query))
      ddl.push_back(text_of_session(session) + ": " + some_of_text(session.query));
    if (ours.has(session) || before.has(session) || session.user == "unauthenticated user") continue;
    // The follower's, before it asks for the log; and ours that are just being closed.
    if (session.user == replication || session.user == look.config.admin.user) continue;
    (passing->contains(session.user) ? super : ordinary).push_back(text_of_session(session));
  }
  look.verdict("running_ddl", Verdict::fail, ddl, "none", "no migration, no index being built",
               "wait for it to end; then see that the follower has the same change");
  look.verdict("bypassing_clients", Verdict::fail, ordinary, "none", "every client comes through Turnout",
               "point them at Turnout; waived: their writes get error 1290 from the fence on");
  look.verdict("superuser_sessions", Verdict::fail, super, "none",
               "nobody with READ ONLY ADMIN logged in beside Turnout: read_only does not hold them",
               "let them log out, or waive it if you know what they do");
}

// Replicas and change data capture: what they have of the old writer's log goes on in the new one's by GTID at best.
void check_log_readers(MysqlLook& look) {
  constexpr const char* name = "replication_clients";
  if (!look.pair) return look.could_not_look(name, look.no_pair);
  const auto chosen = choose_link(look.pair->there.links, look.pair->here.id());
  auto client = look.context.shelf.take(look.from);
  if (!client) return look.could_not_look(name, client.error().message());
  const auto readers = list_log_readers(**client);
  if (!readers) return look.could_not_look(name, readers.error().message());
  std::vector<std::string> others;
  for (const auto& reader : other_log_readers(*readers, chosen.link ? chosen.link->user : "", look.config.green->host))
    others.push_back(text_of_session(reader));
  look.verdict(name, Verdict::warn, others, "none but the follower", "no other reader of the writer's binary log",
               "they stay with the old writer, which follows the new one while there is a way back; point them at the "
               "new writer before turnout finish: by GTID they go on, by file and position they begin anew");
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

// Every account that has logged in here, at the side that is to become the writer. One that the writer refuses as well
// is gone: its password was changed, its database dropped.
void check_logins(MysqlLook& look) {
  constexpr const char* name = "auth.every_user";
  const auto& proxy = look.context.step.proxy;
  const auto refusal = [&](router::Side side, const auto& account) {
    return proxy.try_login(look.context.step.index, side, account);
  };
  std::vector<std::string> bad;
  std::size_t tried = 0;
  for (const auto& account : proxy.accounts(look.context.step.index)) {
    if (look.give_up) return look.could_not_look(name, "given up");
    if (account.user == look.config.admin.user) continue;  // it is what looks
    ++tried;
    const auto error = refusal(look.to, account);
    if (!error.empty() && refusal(look.from, account).empty())
      bad.push_back(fmt::format("{} in '{}': {}", account.user, account.database, error));
  }
  look.verdict(name, Verdict::fail, bad, fmt::format("{} accounts", tried),
               "every account that has logged in here can log in there",
               fmt::format("give the user its password, its host and its database on {}", router::name(look.to)));
}

void check_sessions(MysqlLook& look) {
  check_strangers(look);
  check_log_readers(look);
  check_transactions(look);
  check_pinned(look);
  check_capacity(look);
}

}  // namespace turnout::control
