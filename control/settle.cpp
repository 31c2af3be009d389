#include "control/settle.h"

#include <chrono>

#include "control/fence.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;
constexpr std::uint32_t settle_ms_max = 10'000;  // of one statement, off the critical path
// What was held comes back at once, to a server that has just begun: the rest of the move, which starts workers and
// decodes what both sides have done, leaves the processors to it.
constexpr std::chrono::milliseconds give_way_for{150};

void give_way(const std::atomic<bool>& cancelled) {
  const auto until = std::chrono::steady_clock::now() + give_way_for;
  while (!cancelled && std::chrono::steady_clock::now() < until) long_pause();
}
constexpr int guard_rows_max = 100;

// Before 16 the launcher starts nothing for wal_retrieve_retry_interval (5 s) after its last start, whatever that was
// for, and sleeps for all of it again whenever it is woken too early. So it is woken until it may.
constexpr int own_start_times_since = 160000;
constexpr auto wake_every = std::chrono::milliseconds(500);

// Fails on the first database where `work` fails.
template <typename Work>
StepAnswer for_each_database(StepContext& context, Attempt& attempt, router::Side side, Work work) {
  for (const auto& database : databases_of(context, attempt)) {
    auto loan = context.shelf.take(side, database, connect_ms_max);
    if (!loan) return failed(loan.error());
    auto answer = work(**loan, database);
    if (!answer.ok) return answer;
  }
  return StepAnswer::done();
}

// The same for each of the streams that come forward.
template <typename Work>
StepAnswer for_each_stream(StepContext& context, Attempt& attempt, router::Side side, Work work) {
  for (const auto& stream : streams_of(attempt)) {
    auto loan = context.shelf.take(side, stream.database, connect_ms_max);
    if (!loan) return failed(loan.error());
    auto answer = work(**loan, stream);
    if (!answer.ok) return answer;
  }
  return StepAnswer::done();
}

PgOutcome<bool> exists(PgClient& client, const std::string& sql) {
  const auto rows = client.query(sql, settle_ms_max);
  if (!rows) return rows.error();
  return !rows->empty();
}

std::string subscription_here(const std::string& name) {
  return "SELECT 1 FROM pg_subscription WHERE subname = " + quote_literal(name) +
         " AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
}

StepAnswer answer_of(const PgOutcome<PgRows>& outcome) {
  return outcome ? StepAnswer::done() : failed(outcome.error());
}

// 16 and newer on both sides: rows that came from elsewhere are not sent on. An older publisher ignores it and an older
// subscriber does not know the word.
bool knows_origin(PgClient& subscriber, PgClient& publisher) {
  return subscriber.server_version() >= 160000 && publisher.server_version() >= 160000;
}

PgOutcome<PgRows> create_subscription(StepContext& context, PgClient& follower, PgClient& writer, router::Side to,
                                      const std::string& database, const std::string& publication) {
  return follower.query(
      writing("CREATE SUBSCRIPTION " + quote_identifier(own_subscription(to)) + " CONNECTION " +
              quote_literal(replication_conninfo(context.config(), to, database)) + " PUBLICATION " +
              quote_identifier(publication) +
              " WITH (enabled = false, copy_data = false, create_slot = false, slot_name = " +
              quote_literal(own_slot(to, database)) + (knows_origin(follower, writer) ? ", origin = none)" : ")")),
      settle_ms_max);
}

// A slot that was moved forgets it when its server crashes before the next checkpoint (manual of
// pg_replication_slot_advance). It would then send back what had come forward. So the follower itself remembers,
// durably, from where on it wants to hear: a walsender begins at the later one of both.
StepAnswer start_at_proof(Attempt& attempt, PgClient& follower, const std::string& database,
                          const std::string& subscription) {
  std::string target;
  {
    const std::lock_guard guard(attempt.mutex);
    target = attempt.slot_target[database];
  }
  if (target.empty()) return StepAnswer::done();
  const auto moved = follower.query(
      "SELECT pg_replication_origin_advance(name, " + quote_literal(target) +
          ") FROM (SELECT 'pg_' || oid AS name FROM pg_subscription WHERE NOT subenabled AND subname = " +
          quote_literal(subscription) +
          " AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())) s "
          "WHERE coalesce(pg_replication_origin_progress(name, true), '0/0') < " +
          quote_literal(target) + "::pg_lsn",
      settle_ms_max);
  if (moved) return StepAnswer::done();
  if (!moved.error().is_refused()) return failed(moved.error());
  const std::lock_guard guard(attempt.mutex);
  attempt.notes.emplace_back(
      "the admin may not execute pg_replication_origin_advance on the side that follows: a crash of the "
      "new writer before its next checkpoint could stop the way back");
  return StepAnswer::done();
}

// Wakes the launcher; changes nothing about one that is enabled already.
StepAnswer enable(PgClient& follower, const std::string& subscription) {
  return answer_of(
      follower.query(writing("ALTER SUBSCRIPTION " + quote_identifier(subscription) + " ENABLE"), settle_ms_max));
}

StepAnswer create_reverse(StepContext& context, Attempt& attempt, router::Side from) {
  const auto to = router::other(from);
  return for_each_database(context, attempt, from, [&](PgClient& follower, const std::string& database) {
    const auto name = own_subscription(to);
    const auto enabled = exists(follower, subscription_here(name) + " AND subenabled");
    if (!enabled) return failed(enabled.error());
    if (*enabled) return StepAnswer::done();
    const auto there = exists(follower, subscription_here(name));
    if (!there) return failed(there.error());
    if (!*there) {
      auto writer = context.shelf.take(to, database, connect_ms_max);
      if (!writer) return failed(writer.error());
      const auto publication = marker_publication(**writer);
      if (!publication) return failed(publication.error());
      if (publication->empty())
        return StepAnswer::failed(std::string("no publication with turnout.marker on ") + router::name(to));
      const auto made = create_subscription(context, follower, **writer, to, database, *publication);
      if (!made) return failed(made.error());
    }
    auto placed = start_at_proof(attempt, follower, database, name);
    return placed.ok ? enable(follower, name) : placed;
  });
}

StepAnswer await_reverse(StepContext& context, Attempt& attempt, router::Side from,
                         const std::atomic<bool>& cancelled) {
  const auto to = router::other(from);
  return for_each_database(context, attempt, from, [&](PgClient& follower, const std::string& database) {
    auto writer = context.shelf.take(to, database, connect_ms_max);
    if (!writer) return failed(writer.error());
    const std::string streaming =
        "SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid "
        "WHERE r.state = 'streaming' AND s.slot_name = " +
        quote_literal(own_slot(to, database));
    auto woken = std::chrono::steady_clock::now();
    while (!cancelled) {
      const auto streams = exists(**writer, streaming);
      if (!streams) return failed(streams.error());
      if (*streams) return StepAnswer::done();
      long_pause();
      const auto now = std::chrono::steady_clock::now();
      if (follower.server_version() >= own_start_times_since || now - woken < wake_every) continue;
      woken = now;
      auto answer = enable(follower, own_subscription(to));
      if (!answer.ok) return answer;
    }
    return StepAnswer::failed("the way back of " + database + " does not stream yet");
  });
}

}  // namespace

std::string replication_conninfo(const conf::Deployment& config, router::Side writer, const std::string& database) {
  const auto& replication = config.replication;
  const bool blue = writer == router::Side::blue;
  auto address = blue ? replication.blue_address : replication.green_address;
  if (address == conf::Address{}) address = blue ? config.blue : config.green.value_or(conf::Address{});
  const auto& login = replication.login.user.empty() ? config.admin : replication.login;
  return conninfo(address, login, replication.tls, database);
}

PgOutcome<std::string> marker_publication(PgClient& client) {
  const auto rows = client.query(
      "SELECT pubname FROM pg_publication_tables t WHERE schemaname = 'turnout' AND tablename = 'marker' AND "
      "to_jsonb(t) ->> 'rowfilter' IS NULL ORDER BY 1",
      settle_ms_max);
  if (!rows) return rows.error();
  return rows->empty() ? std::string() : rows->text(0, 0);
}

namespace {

// `slot` is quoted.
StepAnswer bring_slot_near(PgClient& client, const std::string& slot) {
  constexpr int rounds = 10;
  constexpr int standby_snapshot_since = 160000;
  // Where decoding has to begin moves only past such a record; without the right to write one it takes longer.
  std::string wanted = "FFFFFFFF/FFFFFFFF", before;
  if (client.server_version() >= standby_snapshot_since) {
    const auto snapshot = client.query("SELECT pg_log_standby_snapshot()", quiet_ms_max);
    if (snapshot) wanted = snapshot->text(0, 0);
  }
  for (int round = 0; round < rounds; ++round) {
    const auto moved = client.query(
        "SELECT pg_replication_slot_advance(slot_name, greatest(confirmed_flush_lsn, pg_current_wal_flush_lsn())) "
        "FROM pg_replication_slots WHERE slot_name = " +
            slot + "; SELECT restart_lsn, restart_lsn >= " + quote_literal(wanted) +
            "::pg_lsn FROM pg_replication_slots WHERE slot_name = " + slot,
        quiet_ms_max);
    if (!moved) return failed(moved.error());
    if (moved->empty() || moved->boolean(0, 1)) break;
    const auto restart = moved->text(0, 0);
    if (round > 3 && restart == before) break;
    before = restart;
    long_pause();
  }
  return StepAnswer::done();
}

}  // namespace

StepAnswer bring_slots_near(StepContext& context, Attempt& attempt, router::Side from) {
  const auto to = router::other(from);
  for (const auto& database : databases_of(context, attempt)) {
    // Not a warm one: decoding throws the caches of its session away.
    auto client = context.shelf.fresh(to, database, connect_ms_max);
    if (!client) return failed(client.error());
    if (auto moved = bring_slot_near(*client, quote_literal(own_slot(to, database))); !moved.ok) return moved;
  }
  return StepAnswer::done();
}

StepAnswer advance_slots(StepContext& context, Attempt& attempt, router::Side from) {
  const auto to = router::other(from);
  for (const auto& database : databases_of(context, attempt)) {
    auto loan = context.shelf.take(to, database, connect_ms_max);
    if (!loan) return failed(loan.error());
    loan->discard();  // it is warm no more afterwards
    std::string target;
    {
      const std::lock_guard guard(attempt.mutex);
      target = attempt.slot_target[database];
    }
    const auto slot = quote_literal(own_slot(to, database));
    const auto advanced = (*loan)->query(
        "SELECT CASE WHEN confirmed_flush_lsn < " + quote_literal(target) +
            "::pg_lsn THEN (SELECT end_lsn FROM pg_replication_slot_advance(" + slot + ", " + quote_literal(target) +
            ")) ELSE confirmed_flush_lsn END FROM pg_replication_slots WHERE slot_name = " + slot,
        window_ms_max);
    if (!advanced) return failed(advanced.error());
    if (advanced->empty())
      return StepAnswer::failed("the slot " + slot + " on " + router::name(to) + " is gone: prepare again");
  }
  return StepAnswer::done();
}

StepAnswer disable_forward(StepContext& context, Attempt& attempt, router::Side from,
                           const std::atomic<bool>& cancelled) {
  give_way(cancelled);
  return for_each_stream(context, attempt, router::other(from), [](PgClient& client, const Stream& stream) {
    const auto there = exists(client, subscription_here(stream.subscription));
    if (!there) return failed(there.error());
    if (!*there) return StepAnswer::done();
    return answer_of(client.query(writing("ALTER SUBSCRIPTION " + quote_identifier(stream.subscription) + " DISABLE"),
                                  settle_ms_max));
  });
}

StepAnswer await_forward_gone(StepContext& context, Attempt& attempt, router::Side from,
                              const std::atomic<bool>& cancelled) {
  const auto wait_empty = [&](PgClient& client, const std::string& sql) {
    while (!cancelled) {
      const auto busy = exists(client, sql);
      if (!busy) return failed(busy.error());
      if (!*busy) return StepAnswer::done();
      long_pause();
    }
    return StepAnswer::failed("given up");
  };
  auto workers = for_each_stream(context, attempt, router::other(from), [&](PgClient& client, const Stream& stream) {
    return wait_empty(client, "SELECT 1 FROM pg_stat_subscription WHERE pid IS NOT NULL AND subid = " +
                                  std::to_string(stream.subscription_oid));
  });
  if (!workers.ok) return workers;
  return for_each_stream(context, attempt, from, [&](PgClient& client, const Stream& stream) {
    return wait_empty(client,
                      "SELECT 1 FROM pg_replication_slots WHERE active AND slot_name = " + quote_literal(stream.slot));
  });
}

// Announced only when it streams. All are there before any is waited for: a launcher of 15 starts together what it
// finds.
StepAnswer start_reverse(StepContext& context, Attempt& attempt, router::Side from,
                         const std::atomic<bool>& cancelled) {
  auto created = create_reverse(context, attempt, from);
  return created.ok ? await_reverse(context, attempt, from, cancelled) : created;
}

StepAnswer drop_forward(StepContext& context, Attempt& attempt, router::Side from) {
  auto dropped = for_each_stream(context, attempt, router::other(from), [](PgClient& client, const Stream& stream) {
    const auto there = exists(client, subscription_here(stream.subscription));
    if (!there) return failed(there.error());
    if (!*there) return StepAnswer::done();
    const auto name = quote_identifier(stream.subscription);
    // Without its slot first: so it needs no connection to `from`, and may stand in a transaction.
    return answer_of(client.query(
        writing("ALTER SUBSCRIPTION " + name + " SET (slot_name = NONE); DROP SUBSCRIPTION " + name), settle_ms_max));
  });
  if (!dropped.ok) return dropped;
  return for_each_stream(context, attempt, from, [](PgClient& client, const Stream& stream) {
    if (stream.slot.empty()) return StepAnswer::done();
    return answer_of(client.query(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND slot_name = " +
            quote_literal(stream.slot),
        settle_ms_max));
  });
}

StepAnswer read_guards(StepContext& context, Attempt& attempt, router::Side from) {
  const auto to = router::other(from);
  return for_each_database(context, attempt, to, [&](PgClient& client, const std::string& database) {
    const auto slot = quote_literal(guard_slot(database));
    const auto there = exists(client, "SELECT 1 FROM pg_replication_slots WHERE slot_name = " + slot);
    if (!there) return failed(there.error());
    std::string until;
    {
      const std::lock_guard guard(attempt.mutex);
      until = attempt.slot_target[database];
      if (!*there) attempt.guards[database] = "no guard slot: test_decoding is not installed on this server";
    }
    if (!*there) return StepAnswer::done();
    boost::json::array found;
    if (!until.empty()) {
      // Only what was done on this side itself, up to the proof: later writes are the clients' own.
      const auto rows =
          client.query("SELECT lsn, xid, data FROM pg_logical_slot_peek_changes(" + slot + ", " + quote_literal(until) +
                           ", " + std::to_string(guard_rows_max) +
                           ", 'only-local', '1', 'skip-empty-xacts', '1') WHERE data NOT LIKE 'BEGIN%' AND data NOT "
                           "LIKE 'COMMIT%' AND data NOT LIKE 'table turnout.%'",
                       settle_ms_max);
      if (!rows) return failed(rows.error());
      for (int row = 0; row < rows->size(); ++row) {
        found.push_back(boost::json::object{{"lsn", rows->text(row, 0)}, {"data", rows->text(row, 2)}});
      }
    }
    const auto dropped = client.query("SELECT pg_drop_replication_slot(" + slot + ")", settle_ms_max);
    if (!dropped) return failed(dropped.error());
    const std::lock_guard guard(attempt.mutex);
    attempt.guards[database] = boost::json::object{{"side", router::name(to)}, {"until", until}, {"found", found}};
    return StepAnswer::done();
  });
}

}  // namespace turnout::control
