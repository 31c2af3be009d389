// What the databases hold, and who may do what: both servers' catalogs compared.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "control/mysql_preflight.h"
#include "control/mysql_sessions.h"
#include "control/mysql_settle.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 5'000;

constexpr const char* columns_sql =
    "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), SHA2(GROUP_CONCAT(COLUMN_NAME, ' ', COLUMN_TYPE, ' ', IS_NULLABLE, "
    "' "
    "', "
    "COALESCE(COLLATION_NAME, ''), ' ', COALESCE(COLUMN_DEFAULT, ''), ' ', EXTRA ORDER BY ORDINAL_POSITION), 256) FROM "
    "information_schema.COLUMNS WHERE TABLE_SCHEMA NOT IN ";
constexpr const char* by_table = " GROUP BY TABLE_SCHEMA, TABLE_NAME";
constexpr const char* no_key_sql =
    "SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME) FROM information_schema.TABLES t WHERE t.TABLE_TYPE = 'BASE "
    "TABLE' "
    "AND NOT EXISTS (SELECT 1 FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA AND "
    "s.TABLE_NAME = t.TABLE_NAME AND s.NON_UNIQUE = 0 AND s.INDEX_NAME = 'PRIMARY') "
    "AND t.TABLE_SCHEMA NOT IN ";
constexpr const char* engines_sql =
    "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' (', ENGINE, ')') FROM information_schema.TABLES WHERE TABLE_TYPE = "
    "'BASE TABLE' AND ENGINE <> 'InnoDB' AND TABLE_SCHEMA NOT IN ";
constexpr const char* events_sql =
    "SELECT CONCAT(EVENT_SCHEMA, '.', EVENT_NAME) FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'";

std::vector<std::string> first_column(const MysqlRows& rows) {
  std::vector<std::string> out;
  for (std::size_t row = 0; row < rows.size(); ++row) out.push_back(rows.text(row));
  return out;
}

// One statement on both sides, name → fingerprint; what the follower lacks or has otherwise.
std::optional<std::vector<std::string>> differences(MysqlLook& look, const char* name, const std::string& sql) {
  const auto here = look.ask(name, look.from, sql);
  if (!here) return std::nullopt;
  const auto there = look.ask(name, look.to, sql);
  if (!there) return std::nullopt;
  std::map<std::string, std::string> known;
  for (std::size_t row = 0; row < there->size(); ++row) known[there->text(row, 0)] = there->text(row, 1);
  std::vector<std::string> out;
  for (std::size_t row = 0; row < here->size(); ++row) {
    const auto found = known.find(here->text(row, 0));
    if (found == known.end())
      out.push_back(here->text(row, 0) + " is missing");
    else if (found->second != here->text(row, 1))
      out.push_back(here->text(row, 0) + " differs");
  }
  return out;
}

void check_privileges(MysqlLook& look) {
  constexpr const char* name = "privileges";
  if (!look.pair) return look.could_not_look(name, look.no_pair);
  std::vector<std::string> lacks;
  for (const auto side : {look.from, look.to}) {
    const auto rows = look.ask(
        name, side,
        std::string(
            "SELECT REPLACE(PRIVILEGE_TYPE, '_', ' ') FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = ") +
            mysql_me);
    if (!rows) return;
    const auto has = first_column(*rows);
    for (const char* right : look.pair->here.dialect().admin_rights) {
      if (std::find(has.begin(), has.end(), right) == has.end())
        lacks.push_back(fmt::format("{}: {}", router::name(side), right));
    }
  }
  look.verdict(name, Verdict::fail, lacks, "all there", "what a cutover does on both servers",
               "GRANT these ON *.* TO the deployment's admin there");
}

// Users of Turnout whom read_only does not hold would write through any fence.
void check_fence(MysqlLook& look) {
  constexpr const char* name = "fence.effective";
  constexpr const char* bound = "nobody who comes through Turnout has READ ONLY ADMIN";
  auto client = look.context.shelf.take(look.from);
  if (!client) return look.could_not_look(name, client.error().message());
  if ((*client)->dialect().holds_admins)
    return look.pass(name, "super_read_only holds those with admin rights too", "nobody's writes pass it");
  const auto passing = ask_passing_users(**client);
  if (!passing) return look.could_not_look(name, passing.error().message());
  std::vector<std::string> clients, others;
  for (const auto& account : look.context.step.proxy.accounts(look.context.step.index)) {
    // The admin's own pool only looks what the server is.
    if (account.user != look.config.admin.user && passing->contains(account.user) &&
        std::find(clients.begin(), clients.end(), account.user) == clients.end())
      clients.push_back(account.user);
  }
  if (!clients.empty())
    return look.fail(name, some_of(clients), bound, "REVOKE READ ONLY ADMIN ON *.* FROM them (GRANT ALL gives it)");
  for (const auto& user : *passing) {
    if (user != look.config.admin.user && user != "root" && user != "mysql" && user != "mariadb.sys")
      others.push_back(user);
  }
  look.verdict(name, Verdict::warn, others, "nobody but admins", bound,
               "they write through a fence when they log in beside Turnout: REVOKE it, or know what they do");
}

// From this machine, in the old writer's place: that one's files are not here, but what we trust ourselves is.
conf::Tls trial_tls(const conf::Deployment& config, const LinkTls& link) {
  conf::Tls tls = config.server_tls;
  if (!link.verifies && !link.has("SSL_CA") && !link.has("SSL_CAPATH")) tls.ca_file = "";
  if (!link.has("SSL_CERT")) tls.certificate_file = tls.key_file = "";
  tls.mode = !link.encrypts                          ? conf::TlsMode::disable
             : link.verifies && !tls.ca_file.empty() ? conf::TlsMode::verify_full
                                                     : conf::TlsMode::require;
  return tls;
}

// Where the old writer is to log in, as it finds it.
MysqlTarget reverse_target(const MysqlLook& look, const LinkTls& link) {
  const auto& replication = look.config.replication;
  const bool is_blue = look.to == router::Side::blue;
  const auto ours = is_blue ? look.config.blue : look.config.green.value_or(conf::Address{});
  MysqlTarget target{look.to, is_blue ? replication.blue_address : replication.green_address,
                     replication.login.user.empty() ? look.config.admin : replication.login,
                     trial_tls(look.config, link)};
  if (target.address == conf::Address{}) target.address = ours;
  const auto& step = look.context.step;
  if (target.address == ours && !ours.is_unix()) target.numeric = step.proxy.addresses(step.index, look.to);
  return target;
}

constexpr const char* reverse = "reverse.possible";
constexpr const char* reverse_bound = "the old writer can log in to the new one and read its log";

void try_reverse_login(MysqlLook& look, const MysqlTarget& target, const LinkTls& now, const LinkTls& back) {
  const auto how = text_of(back);
  auto client = MysqlClient::connect(target, connect_ms_max);
  if (!client && back.has("SSL_CERT") && target.tls.certificate_file.empty())
    return look.warn(reverse, how + ", without which it could not be tried: " + client.error().message(), reverse_bound,
                     "see that the login takes that certificate");
  if (!client)
    return look.fail(reverse, how + ": " + client.error().message(), reverse_bound,
                     "see replication.login, replication.tls and the two addresses");
  // Of the account that has logged in: another one of that name may have it.
  const auto rows =
      client->query(std::string("SELECT CURRENT_USER(), COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE "
                                "PRIVILEGE_TYPE = 'REPLICATION SLAVE' AND GRANTEE = ") +
                    mysql_me);
  if (!rows) return look.could_not_look(reverse, rows.error().message());
  if (rows->integer(0, 1) == 0)
    return look.fail(reverse, rows->text(0) + " has no REPLICATION SLAVE on " + router::name(look.to), reverse_bound,
                     "GRANT REPLICATION SLAVE ON *.* TO it");
  const auto measured = rows->text(0) + " may read the log of " + router::name(look.to) + ", " + how;
  if (now.encrypts && !back.encrypts)
    return look.warn(reverse, measured + ", which the connection that runs now has", reverse_bound,
                     "set replication.tls to prefer: the way back is then as the way there");
  look.pass(reverse, measured, reverse_bound);
}

void check_reverse(MysqlLook& look) {
  if (!look.pair) return look.could_not_look(reverse, look.no_pair);
  const auto& pair = *look.pair;
  const auto chosen = choose_link(pair.there.links, pair.here.id());
  const auto now = chosen.link ? chosen.link->tls : LinkTls();
  const auto back = way_back_tls(look.context, pair.here, look.from, now);
  const auto target = reverse_target(look, back.tls);
  if (target.address.is_unix())
    return look.fail(reverse, target.address.text() + " is a socket", reverse_bound,
                     "set replication.blue_address and green_address");
  constexpr std::size_t password_bytes_max = 32;  // of MySQL's SOURCE_PASSWORD
  if (pair.here.dialect().product == MysqlProduct::mysql && target.login.password.size() > password_bytes_max)
    return look.fail(reverse, "the password has more than 32 characters, which MySQL does not take for replication",
                     reverse_bound, "give replication.user a shorter one");
  if (!back.missing.empty())
    return look.fail(reverse,
                     fmt::format("{} takes {} of {}, which is not set", text_of(back.tls),
                                 fmt::join(back.missing, " and "), router::name(look.from)),
                     reverse_bound, "set it in that server's option file: the way back names the server's own files");
  try_reverse_login(look, target, now, back.tls);
}

// They move with the writes (mysql_events.h); until then they must run on the writer alone, and be able to afterwards.
void check_events(MysqlLook& look) {
  constexpr const char* name = "jobs";
  constexpr const char* bound = "events run on the writer alone, and can on the other one";
  const auto here = look.ask(name, look.from, events_sql);
  const auto there = look.ask(name, look.to, events_sql);
  const auto scheduler = look.ask(name, look.to, "SELECT @@global.event_scheduler");
  if (!here || !there || !scheduler || !look.pair) return;
  if (scheduler->text(0) == "ON" && there->size() != 0)
    return look.fail(name, "on the follower too: " + some_of(first_column(*there), 3), bound,
                     look.pair->here.dialect().event_advice);
  if (scheduler->text(0) == "DISABLED" && here->size() != 0)
    return look.fail(name, "event_scheduler is DISABLED on the follower", bound,
                     "start it with event_scheduler=OFF: the move sets it ON");
  look.pass(name, std::to_string(here->size()) + " enabled events move with the writes", bound);
}

}  // namespace

void check_data(MysqlLook& look) {
  if (const auto different =
          differences(look, "schema.parity", std::string(columns_sql) + mysql_own_schemas + by_table)) {
    look.verdict("schema.parity", Verdict::fail, *different, "every table of the writer is there, column by column",
                 "equal columns", "see what was changed on one side alone, or waive it if it is meant");
  }
  if (const auto rows = look.ask("replica_identity", look.from, std::string(no_key_sql) + mysql_own_schemas)) {
    look.verdict("replica_identity", Verdict::warn, first_column(*rows), "every table has a primary key",
                 "a primary key", "without one each changed row is searched for in the whole table: it may lag");
  }
  if (const auto rows = look.ask("unsupported_objects", look.from, std::string(engines_sql) + mysql_own_schemas)) {
    look.verdict("unsupported_objects", Verdict::warn, first_column(*rows), "InnoDB everywhere", "InnoDB",
                 "they have no transactions: a statement that fails half-way leaves different rows on the two sides");
  }
  check_events(look);
}

void check_accounts(MysqlLook& look) {
  if (!look.pair) {
    look.could_not_look("roles.parity", look.no_pair);
  } else if (const auto different = differences(look, "roles.parity", look.pair->here.dialect().accounts_sql)) {
    look.verdict("roles.parity", Verdict::fail, *different, "every account is there, with its password and rights",
                 "equal", "create or alter them on the follower (SET sql_log_bin = 0 first)");
  }
  check_privileges(look);
  check_fence(look);
  check_reverse(look);
}

}  // namespace turnout::control
