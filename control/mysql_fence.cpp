#include "control/mysql_fence.h"

#include <algorithm>

#include "control/fence.h"
#include "control/mysql_events.h"
#include "control/mysql_sessions.h"
#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;

// Whether nobody's writes pass, or only those of the product's admins: read_only alone is less than that on MySQL.
MysqlOutcome<bool> is_fenced(MysqlClient& client) {
  const auto rows = client.query(std::string("SELECT @@global.") + client.dialect().fence);
  if (!rows) return rows.error();
  return says_read_only(rows->text(0));
}

MysqlOutcome<MysqlSettings> read_settings(MysqlClient& client) {
  const auto rows = client.query("SELECT @@global.read_only, @@global.event_scheduler");
  if (!rows) return rows.error();
  return MysqlSettings{client.target().side, says_read_only(rows->text(0, 0)), rows->text(0, 1) == "ON"};
}

MysqlOutcome<MysqlRows> set_global(MysqlClient& client, const char* name, bool on) {
  return client.query(std::string("SET GLOBAL ") + name + " = " + (on ? "ON" : "OFF"));
}

void remember_ended(Attempt& attempt, const MysqlSession& session) {
  const std::lock_guard guard(attempt.mutex);
  for (const auto& seen : attempt.ended_sessions) {
    if (seen.as_object().at("pid") == session.number) return;
  }
  attempt.ended_sessions.push_back(boost::json::object{{"pid", session.number},
                                                       {"user", session.user},
                                                       {"address", session.host},
                                                       {"application", ""},
                                                       {"state", session.command},
                                                       {"query", session.query}});
}

StepAnswer await_alone(MysqlContext& context, Attempt& attempt, MysqlClient& client,
                       const std::atomic<bool>& cancelled) {
  const auto passing = ask_passing_users(client);
  if (!passing) return failed(passing.error());
  const auto side = client.target().side;
  std::string still_there;
  while (!cancelled) {
    const auto sessions = list_sessions(client);
    if (!sessions) return failed(sessions.error());
    // Asked for after the list: whoever of ours is on it is known by now.
    std::optional<OwnConnections> ours;
    bool is_clear = true;
    for (const auto& session : *sessions) {
      if (!passing->contains(session.user)) continue;
      if (!ours) ours = OwnConnections::look(context, side);
      if (ours->has(session)) continue;
      if (const auto killed = kill_session(client, session.number); !killed)
        return StepAnswer::failed("the session of " + session.user + " cannot be ended: " + killed.error().message());
      remember_ended(attempt, session);
      is_clear = false;
      still_there = session.user + " (" + std::to_string(session.number) + ")";
    }
    if (is_clear) return StepAnswer::done();
    medium_pause();
  }
  return StepAnswer::failed("not alone on " + std::string(router::name(side)) + ": " + still_there);
}

}  // namespace

boost::json::object to_json(const MysqlSettings& settings) {
  return {{"side", router::name(settings.side)},
          {"read_only", settings.read_only},
          {"event_scheduler", settings.runs_events}};
}

MysqlSettings mysql_settings_of(const boost::json::object& data) {
  const auto flag = [&](const char* key) {
    const auto* value = data.if_contains(key);
    return value != nullptr && value->is_bool() && value->get_bool();
  };
  return {text_of(data, "side") == "green" ? router::Side::green : router::Side::blue, flag("read_only"),
          flag("event_scheduler")};
}

std::optional<MysqlSettings> mysql_unrestored(const std::vector<Record>& records, router::Side side) {
  std::optional<MysqlSettings> found;
  for (const auto& record : records) {
    if (text_of(record.data, "side") != router::name(side)) continue;
    if (record.kind == RecordKind::restored) found.reset();
    // The first one counts: later ones could only have remembered our own change.
    if (record.kind == RecordKind::undo && !found) found = mysql_settings_of(record.data);
  }
  return found;
}

StepAnswer record_undo(MysqlContext& context, Attempt& attempt, router::Side from) {
  auto& step = context.step;
  const auto records = step.store.records(step.deployment);
  if (has_undo(records, attempt.epoch, router::name(from))) return StepAnswer::done();
  auto loan = context.shelf.take(from);
  if (!loan) return failed(loan.error());
  const auto former = read_settings(**loan);
  if (!former) return failed(former.error());
  if (former->read_only)
    return StepAnswer::failed(std::string(router::name(from)) +
                              " is read-only already: somebody has set read_only on it");
  if (mysql_unrestored(records, from)) {  // of an attempt that is over: `from` is the writer, as it wants to be
    if (const auto error = append_restored(context.step, attempt, from); !error.empty())
      return StepAnswer::failed(error);
  }
  const auto events = enabled_events(**loan);
  if (!events) return failed(events.error());
  auto data = to_json(*former);
  data["events"] = to_json(*events);
  const auto error = step.store.append({step.deployment, attempt.epoch, RecordKind::undo, std::move(data)});
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

StepAnswer raise_fence(MysqlContext& context, router::Side from) {
  auto& step = context.step;
  const auto former = mysql_unrestored(step.store.records(step.deployment), from);
  if (!former) return StepAnswer::failed("the former settings are not in the store");
  auto loan = context.shelf.take(from);
  if (!loan) return failed(loan.error());
  if (former->runs_events) {
    if (const auto stopped = set_global(**loan, "event_scheduler", false); !stopped) return failed(stopped.error());
  }
  // It waits for statements that run and for commits under way; for no longer than lock_wait_timeout, then it fails and
  // nothing has changed.
  const auto set = set_global(**loan, (*loan)->dialect().fence, true);
  return set ? StepAnswer::done() : failed(set.error());
}

StepAnswer verify_fence(MysqlContext& context, Attempt& attempt, router::Side from,
                        const std::atomic<bool>& cancelled) {
  auto probe = context.shelf.fresh(from, connect_ms_max);
  if (!probe) return failed(probe.error());
  const auto fenced = is_fenced(*probe);
  if (!fenced) return failed(fenced.error());
  if (!*fenced) return StepAnswer::failed(std::string(router::name(from)) + " is not read-only");
  if (!is_waived(context, attempt, "superuser_sessions")) {
    if (auto alone = await_alone(context, attempt, *probe, cancelled); !alone.ok) return alone;
  }
  const auto prepared = prepared_xids(*probe);
  if (!prepared) return failed(prepared.error());
  if (!prepared->empty()) {
    return StepAnswer::failed("XA transaction '" + prepared->front() +
                              "' is prepared and would be left behind: commit it or roll it back");
  }
  const std::lock_guard guard(attempt.mutex);
  attempt.mysql_probe = std::move(*probe);
  return StepAnswer::done();
}

StepAnswer still_fenced(Attempt& attempt, router::Side from) {
  const std::lock_guard guard(attempt.mutex);
  const std::string who = router::name(from);
  if (!attempt.mysql_probe) return StepAnswer::failed("nobody has seen the fence of " + who);
  const auto fenced = is_fenced(*attempt.mysql_probe);
  if (!fenced)
    return StepAnswer::failed(who + " may have been restarted behind the fence: " + fenced.error().message());
  return *fenced ? StepAnswer::done() : StepAnswer::failed(who + " takes writes again: somebody has lowered the fence");
}

StepAnswer lower_fence(MysqlContext& context, Attempt& attempt, router::Side from) {
  auto& step = context.step;
  const auto former = mysql_unrestored(step.store.records(step.deployment), from);
  if (!former) return StepAnswer::done();
  auto loan = context.shelf.take(from);
  if (!loan) return failed(loan.error());
  if (const auto set = set_global(**loan, "read_only", former->read_only); !set) return failed(set.error());
  if (former->runs_events) {
    if (const auto set = set_global(**loan, "event_scheduler", true); !set) return failed(set.error());
  }
  const auto now = read_settings(**loan);
  if (!now) return failed(now.error());
  {
    const std::lock_guard guard(attempt.mutex);
    attempt.undo_proof = {{"identical", *former == *now}, {"before", to_json(*former)}, {"after", to_json(*now)}};
  }
  const auto error = append_restored(context.step, attempt, from);
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

StepAnswer await_writable(MysqlContext& context, router::Side side, const std::atomic<bool>& cancelled) {
  while (!cancelled) {
    auto client = context.shelf.fresh(side, connect_ms_max);
    if (!client) return failed(client.error());
    const auto told = read_settings(*client);
    if (!told) return failed(told.error());
    if (!told->read_only) return StepAnswer::done();
    long_pause();
  }
  return StepAnswer::failed(std::string(router::name(side)) + " is still read-only");
}

std::string keep_read_only(MysqlContext& context, router::Side to, boost::json::array& done) {
  auto loan = context.shelf.take(to);
  if (!loan) return loan.error().message();
  const auto now = is_fenced(**loan);
  if (!now) return now.error().message();
  if (*now) return "";
  const auto& dialect = (*loan)->dialect();
  if (const auto set = set_global(**loan, dialect.fence, true); !set) return set.error().message();
  done.emplace_back(std::string(router::name(to)) + " is read-only (SET GLOBAL " + dialect.fence + ")");
  return "";
}

StepAnswer open_side(MysqlContext& context, Attempt& attempt, router::Side side) {
  auto& step = context.step;
  const auto former = mysql_unrestored(step.store.records(step.deployment), side);
  auto loan = context.shelf.take(side);
  if (!loan) return failed(loan.error());
  if (const auto set = set_global(**loan, "read_only", false); !set) return failed(set.error());
  if (!former) return StepAnswer::done();
  if (former->runs_events) {
    if (const auto set = set_global(**loan, "event_scheduler", true); !set) return failed(set.error());
  }
  const auto error = append_restored(context.step, attempt, side);
  return error.empty() ? StepAnswer::done() : StepAnswer::failed(error);
}

StepAnswer end_former(MysqlContext& context, router::Side side, const std::atomic<bool>& cancelled) {
  auto loan = context.shelf.take(side);
  if (!loan) return failed(loan.error());
  while (!cancelled) {
    const auto sessions = list_sessions(**loan);
    if (!sessions) return failed(sessions.error());
    const auto known = context.shelf.numbers(side);
    bool is_clear = true;
    for (const auto& session : *sessions) {
      // A dead process sends nothing more; what it had sent says whose it is.
      if (!session.query.starts_with(mysql_signature)) continue;
      if (session.user != context.step.config().admin.user) continue;
      if (std::find(known.begin(), known.end(), session.number) != known.end()) continue;
      is_clear = false;
      if (const auto killed = kill_session(**loan, session.number); !killed) return failed(killed.error());
    }
    if (is_clear) return StepAnswer::done();
    long_pause();
  }
  return StepAnswer::failed("sessions of a former process are left on " + std::string(router::name(side)));
}

}  // namespace turnout::control
