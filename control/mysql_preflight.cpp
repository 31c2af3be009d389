#include "control/mysql_preflight.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "control/mysql_identity.h"
#include "control/mysql_position.h"
#include "control/practice.h"

namespace turnout::control {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t connect_ms_max = 5'000;  // and of each question
constexpr std::int64_t look_ms = 500;            // between two looks whether it is given up

constexpr std::array same_settings = {
    "sql_mode",
    "character_set_server",
    "collation_server",
    "time_zone",
    "lower_case_table_names",
    "max_allowed_packet",
    "auto_increment_increment",
    "auto_increment_offset",
    "default_storage_engine",
};
constexpr std::array of_servers = {"identity", "version", "binlog", "settings.parity", "green.read_only"};
constexpr std::array of_replication = {"replication.active", "replication.errors", "replication.gtid",
                                       "replication.filters", "green.no_writes"};

MysqlOutcome<MysqlServer> look_at_side(MysqlShelf& shelf, router::Side side) {
  auto loan = shelf.take(side);
  if (!loan) return loan.error();
  return look_at(**loan);
}

std::string ask_replaced(MysqlContext& context) {
  const auto records = context.step.store.records(context.step.deployment);
  for (const auto side : {router::Side::blue, router::Side::green}) {
    const auto bound = bound_identity(records, side);
    if (bound.empty()) continue;
    auto loan = context.shelf.take(side);
    if (!loan) return loan.error().message();
    const auto seen = ask_identity(**loan);
    if (!seen) return seen.error().message();
    if (!is_server(**loan, *seen, bound))
      return fmt::format("{} is {}, but was {}", router::name(side), text_of(*seen), bound);
  }
  return "";
}

void judge_version(const MysqlPair& pair, CheckList& list) {
  const auto here = mysql_version(pair.here.variable("version")), there = mysql_version(pair.there.variable("version"));
  const auto& dialect = pair.here.dialect();
  const auto measured = pair.here.variable("version") + " → " + pair.there.variable("version");
  const std::string bound = dialect.version_bound;
  if (!here || !there || here->product != there->product)
    return list.fail("version", measured, bound, "a move from one product to the other is not what Turnout does");
  if (here->number < dialect.version_min || there->number < dialect.version_min)
    return list.fail("version", measured, bound, dialect.why_not_older);
  if (there->number < here->number)
    return list.warn("version", measured, bound, "replication from a newer to an older server is supported by nobody");
  if (here->number < there->number)
    return list.warn("version", measured, bound,
                     "the way back replicates from the newer to the older server, which nobody supports: rehearse it");
  list.pass("version", measured, bound);
}

void judge_binlog(const MysqlPair& pair, CheckList& list) {
  const auto& dialect = pair.here.dialect();
  std::vector<std::string> wrong;
  for (const auto& [side, server] : {std::pair{pair.from, &pair.here}, std::pair{pair.to(), &pair.there}}) {
    const std::string who = router::name(side);
    if (!server->is_on("log_bin")) wrong.push_back(who + ": log_bin is off");
    if (!server->is_on(dialect.log_updates)) wrong.push_back(who + ": " + dialect.log_updates + " is off");
    if (server->variable("binlog_format") == "STATEMENT") wrong.push_back(who + ": binlog_format is STATEMENT");
  }
  const auto modes = std::pair(pair.here.variable("gtid_mode"), pair.there.variable("gtid_mode"));
  if (modes.first != modes.second) wrong.push_back("gtid_mode is " + modes.first + " and " + modes.second);
  if (pair.kind() == PositionKind::gtid && !is_position(dialect, pair.kind(), pair.here.variable(dialect.position)))
    wrong.push_back(std::string(router::name(pair.from)) + ": " + dialect.position + " is empty");
  list.verdict("binlog", Verdict::fail, wrong, "on, with what was replicated, by rows",
               fmt::format("log_bin, {} and binlog_format ROW (or MIXED) on both sides", dialect.log_updates),
               "set them in the option files and restart: the proof and the way back are made of it");
}

// What holds by file and position alone.
void judge_file_positions(const MysqlPair& pair, const ReplicaLink& link, CheckList& list) {
  constexpr const char* name = "replication.gtid";
  constexpr const char* bound = "in use; else what makes positions in files outlive a crash";
  const std::string is_not = link.by_gtid ? "not by gtid_mode ON on both sides" : "not in use: by file and position";
  std::vector<std::string> wrong;
  for (const auto& [side, server] : {std::pair{pair.from, &pair.here}, std::pair{pair.to(), &pair.there}}) {
    if (!server->is_on("relay_log_recovery"))
      wrong.push_back(std::string(router::name(side)) + ": relay_log_recovery is off");
  }
  if (!wrong.empty())
    return list.fail(name, is_not + "; " + some_of(wrong), bound,
                     "relay_log_recovery=ON in the option files of both, and a restart: a follower that crashes would "
                     "apply transactions twice. Or gtid_mode=ON and SOURCE_AUTO_POSITION = 1");
  if (auto left = left_over_link(pair.here.links, link.connection); !left.empty())
    return list.fail(name, is_not + "; " + left, bound, "it would be taken for the way back");
  list.warn(name, is_not, bound,
            "the proof is what the follower says of itself; gtid_mode=ON and SOURCE_AUTO_POSITION = 1 prove more");
}

void judge_settings(const MysqlPair& pair, CheckList& list) {
  std::vector<std::string> different;
  for (const char* name : same_settings) {
    const auto here = pair.here.variable(name), there = pair.there.variable(name);
    if (here != there) different.push_back(fmt::format("{}: '{}' and '{}'", name, here, there));
  }
  list.verdict("settings.parity", Verdict::warn, different, "what clients notice is set alike", "equal",
               "set them alike, or know why not");
}

constexpr const char* no_writes_bound = "nothing in the follower's binary log that the writer has not";

void check_own_writes(MysqlLook& look) {
  if (look.pair->kind() == PositionKind::gtid) return judge_own_writes(*look.pair, look);
  auto follower = look.context.shelf.fresh(look.to, connect_ms_max);
  if (!follower) return look.could_not_look("green.no_writes", follower.error().message());
  const auto since = closed_at(look.context.step.store.records(look.context.step.deployment), look.to);
  const auto found = look_for_own_writes(*follower, since);
  if (!found) return look.could_not_look("green.no_writes", found.error().message());
  judge_own_writes(*found, look);
}

void check_lag(MysqlLook& look) {
  constexpr const char* name = "replication.lag";
  const auto bound = look.config.cutover.lag_ms_max;
  if (!look.pair) return look.could_not_look(name, look.no_pair);
  const auto position = look.ask_log_end(name);
  if (!position) return;
  const auto applied = look.ask_applied(name, *position);
  if (!applied) return;
  const auto bound_text = fmt::format("{} ms", bound);
  if (!*applied) {
    return look.fail(name, fmt::format("{} is not applied yet after {} ms", *position, bound), bound_text,
                     fmt::format("wait until green keeps up: {} there, or a higher cutover.lag_time",
                                 look.pair->here.dialect().look_advice));
  }
  look.pass(name, *position + " was applied in time", bound_text);
}

}  // namespace

MysqlLook::MysqlLook(MysqlContext& the_context, router::Side the_writer, const std::atomic<bool>& the_give_up)
    : context(the_context),
      give_up(the_give_up),
      config(the_context.step.config()),
      from(the_writer),
      to(router::other(the_writer)) {
  if (!config.green) {
    no_pair = "no green is configured";
    return;
  }
  auto there = look_at_side(context.shelf, to);
  auto here = look_at_side(context.shelf, from);
  if (!there || !here) {
    no_pair = !there ? there.error().message() : here.error().message();
    return;
  }
  pair = MysqlPair{from, std::move(*here), std::move(*there), ask_replaced(context)};
}

template <typename T, typename Question>
std::optional<T> MysqlLook::ask_by(const char* name, router::Side side, Question question) {
  if (give_up) {
    fail(name, "not looked: given up", "", "ask again");
    return std::nullopt;
  }
  auto client = context.shelf.fresh(side, connect_ms_max);
  auto answer = !client ? MysqlOutcome<T>(client.error()) : question(*client);
  if (answer) return std::move(*answer);
  could_not_look(name, answer.error().message());
  return std::nullopt;
}

std::optional<MysqlRows> MysqlLook::ask(const char* name, router::Side side, const std::string& sql) {
  return ask_by<MysqlRows>(name, side, [&](MysqlClient& client) { return client.query(sql); });
}

std::optional<std::string> MysqlLook::ask_log_end(const char* name) {
  using End = std::optional<std::string>;
  const auto end = ask_by<End>(name, from, [&](MysqlClient& client) { return log_end(client, pair->kind()); });
  if (end && !*end) could_not_look(name, std::string(router::name(from)) + " has no binary log");
  return end.value_or(End());
}

std::optional<bool> MysqlLook::ask_applied(const char* name, const std::string& position) {
  const auto connection = pair->link().link.value_or(ReplicaLink{}).connection;
  return ask_by<bool>(name, to, [&](MysqlClient& client) {
    // In pieces: each is answered before the client takes the server for dead, which a longer lag_time would outlast.
    for (const auto deadline = Clock::now() + std::chrono::milliseconds(config.cutover.lag_ms_max);;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      const auto piece_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, look_ms));  // 0 = for ever
      auto applied = await_applied(client, pair->kind(), connection, position, LogBehind::anything, piece_ms);
      if (!applied || *applied || give_up || Clock::now() >= deadline) return applied;
    }
  });
}

void MysqlLook::could_not_look(const char* name, const std::string& why) {
  fail(
      name, "could not look: " + why, "",
      fmt::format("see that turnout's admin can log in there and may read what it asks for, and that the server is not "
                  "too busy to answer within {} ms",
                  connect_ms_max));
}

void judge_servers(const MysqlPair& pair, CheckList& list) {
  const auto against = against_pair(pair.here, pair.there);
  const auto ids = fmt::format("server_id {} and {}", pair.here.id(), pair.there.id());
  if (against.empty() && !pair.replaced.empty())
    list.fail("identity", pair.replaced, "the servers that were prepared",
              "correct the address; if it was really replaced: turnout prepare, which takes it as it is now");
  else if (against.empty())
    list.pass("identity", ids, "two different servers");
  else
    list.fail("identity", against, "two different servers",
              "see where blue and green lead; give each its own server_id");
  judge_version(pair, list);
  judge_binlog(pair, list);
  judge_settings(pair, list);
  constexpr const char* read_only_bound = "the follower takes writes from nobody until the decision";
  if (pair.here.is_read_only())
    list.fail("green.read_only", std::string(router::name(pair.from)) + ", the writer, is read-only", read_only_bound,
              "see who fenced it");
  else if (!pair.there.is_read_only())
    list.warn("green.read_only", "off", read_only_bound,
              fmt::format("turnout prepare sets it, and so does the cutover; {}=1 in the option files of both servers "
                          "makes it outlive a restart",
                          pair.there.dialect().fence));
  else
    list.pass("green.read_only", "on", read_only_bound);
}

void judge_replication(const MysqlPair& pair, CheckList& list) {
  const auto& dialect = pair.here.dialect();
  const auto chosen = pair.link();
  if (!chosen.link) {
    for (const char* name : {"replication.active", "replication.errors", "replication.gtid", "replication.filters"})
      list.fail(name, chosen.why_not, "one connection that reads from the writer", dialect.follow_advice);
  } else {
    const auto& link = *chosen.link;
    const auto measured = fmt::format("reads: {}, applies: {}", link.reads ? "yes" : "no", link.applies ? "yes" : "no");
    // What a writer applies passes its own read_only: its log would go on behind the fence.
    const bool follows = std::ranges::any_of(pair.here.links, [](auto& one) { return one.reads || one.applies; });
    if (follows)
      list.fail("replication.active", std::string(router::name(pair.from)) + ", the writer, follows a server itself",
                "both threads run, and the writer follows nobody", "stop it there and RESET it");
    else if (link.runs())
      list.pass("replication.active", measured, "both threads run");
    else
      list.fail("replication.active", measured, "both threads run", "start it there, see its errors");
    list.verdict("replication.errors", Verdict::fail,
                 link.error.empty() ? std::vector<std::string>{} : std::vector{link.error}, "none", "none",
                 fmt::format("mend it there; it is what {} tells", dialect.look_advice));
    if (pair.kind() == PositionKind::file)
      judge_file_positions(pair, link, list);
    else if (!link.by_gtid)
      list.fail("replication.gtid", "not in use", dialect.by_gtid_bound, dialect.by_gtid_advice);
    else if (dialect.product == MysqlProduct::mysql)
      list.pass("replication.gtid", "in use", dialect.by_gtid_bound);
    else if (!pair.here.is_on("gtid_strict_mode") || !pair.there.is_on("gtid_strict_mode"))
      list.warn("replication.gtid", "in use; gtid_strict_mode is off", "in use, strict on both sides",
                "SET GLOBAL gtid_strict_mode = 1 refuses what would not have one order");
    else
      list.pass("replication.gtid", "in use, strict", "in use, strict on both sides");
    auto filters = link.filters;
    for (const char* name : {"Binlog_Do_DB", "Binlog_Ignore_DB"}) {
      if (const auto value = pair.here.variable(name); !value.empty())
        filters.push_back(std::string(name) + '=' + value);
    }
    list.verdict("replication.filters", Verdict::fail, filters, "none", "everything of the writer arrives",
                 "take the filters away: what they leave out would be lost");
  }
}

void judge_own_writes(const MysqlPair& pair, CheckList& list) {
  const auto& dialect = pair.here.dialect();
  const auto own =
      written_alone(dialect, pair.there.variable(dialect.state), pair.here.variable(dialect.state), pair.here.owned);
  constexpr const char* bound = no_writes_bound;
  if (!own)
    return list.fail("green.no_writes", std::string(dialect.state) + " cannot be read", bound,
                     "see its value on both sides");
  if (own->empty()) return list.pass("green.no_writes", "none", bound);
  list.fail("green.no_writes", "written there alone: " + some_of(*own), bound,
            "see in its binary log what that was: the way back would bring it, or stop on it");
}

void judge_own_writes(const OwnWrites& found, CheckList& list) {
  constexpr const char *name = "green.no_writes", *bound = no_writes_bound;
  constexpr const char* remedy = "turnout compare tells whether the two sides have the same rows";
  if (!found.behind.empty())
    return list.fail(name, "written there alone: " + some_of(found.behind), bound,
                     "see there (SHOW BINLOG EVENTS) what that was: the way back would stop on it; waive it if both "
                     "sides have it");
  const std::string seen = found.since.empty() ? "its last log is too long to be read" : "none since " + found.since;
  if (!found.before.empty())
    return list.warn(name,
                     std::to_string(found.before.size()) + " of its own before all that was replicated, the last at " +
                         found.before.back(),
                     bound, std::string("if they are not the making of the copy: ") + remedy);
  if (found.is_whole) return list.pass(name, seen, bound);
  list.warn(name, seen + ", and nobody knows of before", bound, remedy);
}

std::vector<Check> run_checks(MysqlContext& context, router::Side from, bool quick, const std::atomic<bool>& give_up) {
  MysqlLook look(context, from, give_up);
  if (look.pair) {
    judge_servers(*look.pair, look);
    judge_replication(*look.pair, look);
    check_own_writes(look);
  } else {
    for (const char* name : of_servers) look.could_not_look(name, look.no_pair);
    for (const char* name : of_replication) look.could_not_look(name, look.no_pair);
  }
  check_lag(look);
  check_data(look);
  check_numbers(look);
  check_accounts(look);
  check_sessions(look);
  if (!quick) check_logins(look);
  check_practice(look, context.step, look.config, look.to);
  return std::move(look.checks);
}

}  // namespace turnout::control
