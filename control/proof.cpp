#include "control/proof.h"

#include <openssl/rand.h>

#include <array>
#include <map>

#include "control/fence.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;

std::string random_uuid() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return "";
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += digits[bytes[i] >> 4U];
    out += digits[bytes[i] & 15U];
  }
  return out;
}

std::string token_of(Attempt& attempt) {
  const std::lock_guard guard(attempt.mutex);
  if (attempt.token.empty()) attempt.token = random_uuid();
  return attempt.token;
}

// One round trip: the select list is evaluated from left to right, the flush before the position. Who may not ask the
// origin locks the marker's row instead: the synchronous commit of that flushes all that was applied before it.
PgOutcome<PgRows> flush(PgClient& follower, const Stream& stream, const std::string& marker) {
  auto flushed = follower.query("SELECT pg_replication_origin_progress(" +
                                    quote_literal("pg_" + std::to_string(stream.subscription_oid)) +
                                    ", true); SELECT pg_current_wal_flush_lsn()",
                                window_ms_max);
  if (flushed || !flushed.error().is_refused()) return flushed;
  return follower.query(writing(marker + " FOR UPDATE") + "; SELECT pg_current_wal_flush_lsn()", window_ms_max);
}

// Seen, then flushed; the position after the flush.
PgOutcome<std::string> await_one(StepContext& context, Attempt& attempt, router::Side to, const Stream& stream,
                                 const std::string& token, const std::atomic<bool>& cancelled) {
  auto loan = context.shelf.take(to, stream.database, connect_ms_max);
  if (!loan) return loan.error();
  const std::string look = "SELECT 1 FROM turnout.marker WHERE epoch = " + std::to_string(attempt.epoch) +
                           " AND sub = " + quote_literal(stream.subscription) + " AND token = " + quote_literal(token);
  while (true) {
    const auto seen = (*loan)->query(look, window_ms_max);
    if (!seen) return seen.error();
    if (!seen->empty()) break;
    if (cancelled) {
      const auto text = "the marker has not come through " + stream.subscription;
      return PgError{to, (*loan)->target().text(), "", text, false, 0};
    }
    short_pause();
  }
  const auto flushed = flush(**loan, stream, look);
  if (!flushed) return flushed.error();
  return flushed->text(0, 0);
}

// Names, not OIDs: the two sides give different ones. Sequences are compared one by one when they are copied.
constexpr const char* fingerprint_sql = R"(
SELECT md5(coalesce(string_agg(line, E'\n' ORDER BY line), '')) FROM (
  SELECT n.nspname || '.' || c.relname || ' ' || c.relkind::text || ' ' || c.relreplident::text || ' ' ||
         coalesce(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text || a.attgenerated::text, '') AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
     AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'turnout') AND n.nspname !~ '^pg_toast'
) AS lines)";

}  // namespace

StepAnswer write_marker(StepContext& context, Attempt& attempt, router::Side from) {
  const auto token = token_of(attempt);
  if (token.empty()) return StepAnswer::failed("no random bytes for the marker's token");
  for (const auto& stream : streams_of(attempt)) {
    auto loan = context.shelf.take(from, stream.database, connect_ms_max);
    if (!loan) return failed(loan.error());
    const auto written = (*loan)->query(
        writing("INSERT INTO turnout.marker (epoch, sub, token) VALUES (" + std::to_string(attempt.epoch) + ", " +
                quote_literal(stream.subscription) + ", " + quote_literal(token) +
                ") ON CONFLICT (epoch, sub) DO UPDATE SET token = excluded.token, at = clock_timestamp()") +
            "; SELECT pg_current_wal_flush_lsn()",
        window_ms_max);
    if (!written) return failed(written.error());
    const std::lock_guard guard(attempt.mutex);
    attempt.fence_position[stream.database] = written->text(0, 0);
  }
  return StepAnswer::done();
}

StepAnswer await_marker(StepContext& context, Attempt& attempt, router::Side from, const std::atomic<bool>& cancelled) {
  const auto token = token_of(attempt);
  // Where the opposite slot of a database may begin: behind the last of its streams.
  std::map<std::string, std::string> positions;
  for (const auto& stream : streams_of(attempt)) {
    auto flushed = await_one(context, attempt, router::other(from), stream, token, cancelled);
    if (!flushed) return failed(flushed.error());
    positions[stream.database] = std::move(*flushed);
  }
  const std::lock_guard guard(attempt.mutex);
  attempt.slot_target.merge(positions);  // fixed ones: advancing to them twice is the same as once
  return StepAnswer::done();
}

std::string warm_marker(StepContext& context, Attempt& attempt, router::Side from) {
  const auto token = random_uuid();
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(quiet_ms_max);
  for (const auto& stream : streams_of(attempt)) {
    auto writer = context.shelf.take(from, stream.database, connect_ms_max);
    if (!writer) return writer.error().message();
    const auto sub = quote_literal(stream.subscription);
    const auto written = (*writer)->query(
        writing("INSERT INTO turnout.marker (epoch, sub, token) VALUES (0, " + sub + ", " + quote_literal(token) +
                ") ON CONFLICT (epoch, sub) DO UPDATE SET token = excluded.token"),
        quiet_ms_max);
    if (!written) return written.error().message();
    auto follower = context.shelf.take(router::other(from), stream.database, connect_ms_max);
    if (!follower) return follower.error().message();
    while (true) {
      const auto seen = (*follower)->query(
          "SELECT 1 FROM turnout.marker WHERE epoch = 0 AND sub = " + sub + " AND token = " + quote_literal(token),
          quiet_ms_max);
      if (!seen) return seen.error().message();
      if (!seen->empty()) break;
      if (std::chrono::steady_clock::now() > give_up) {
        return "a marker written on " + std::string(router::name(from)) + " does not arrive through " +
               stream.subscription + ": see the apply worker's errors in the log of " +
               router::name(router::other(from));
      }
      short_pause();
    }
  }
  return "";
}

PgOutcome<std::string> schema_fingerprint(PgClient& client) {
  const auto rows = client.query(fingerprint_sql, quiet_ms_max);
  if (!rows) return rows.error();
  return rows->text(0, 0);
}

StepAnswer check_schema(StepContext& context, Attempt& attempt, router::Side from) {
  for (const auto side : {from, router::other(from)}) {
    for (const auto& database : databases_of(context, attempt)) {
      auto loan = context.shelf.take(side, database, connect_ms_max);
      if (!loan) return failed(loan.error());
      const auto now = schema_fingerprint(**loan);
      if (!now) return failed(now.error());
      const std::lock_guard guard(attempt.mutex);
      const auto& before = attempt.schema[std::string(router::name(side)) + '/' + database];
      if (before != *now) {
        return StepAnswer::failed("the schema of " + database + " on " + router::name(side) +
                                  " has changed since the preparation: wait for the migration to end, then try again");
      }
    }
  }
  return StepAnswer::done();
}

}  // namespace turnout::control
