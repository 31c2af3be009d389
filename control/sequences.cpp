#include "control/sequences.h"

#include <map>

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;

constexpr const char* names_sql =
    "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), s.seqincrement FROM pg_sequence s "
    "JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname <> 'turnout' AND c.relpersistence <> 't' ORDER BY 1";

StepAnswer failed(const PgError& error) {
  return StepAnswer::failed(error.message());
}

// The state of a sequence can only be read from the sequence itself: pg_sequences hides the value of one that was set
// but not called. One statement, prepared under a name that says for which sequences.
std::string reading_sql(const std::vector<SequenceState>& names) {
  std::string sql;
  for (const auto& one : names) {
    if (!sql.empty()) sql += " UNION ALL ";
    sql += "SELECT " + quote_literal(one.name) + "::text, last_value, is_called, " + std::to_string(one.increment) +
           "::bigint FROM " + one.name;
  }
  return sql;
}

PgOutcome<std::vector<SequenceState>> names_of(PgClient& client) {
  const auto rows = client.query(names_sql, quiet_ms_max);
  if (!rows) return rows.error();
  std::vector<SequenceState> names;
  for (int row = 0; row < rows->size(); ++row) {
    SequenceState one;
    one.name = rows->text(row, 0);
    one.increment = rows->integer(row, 1, 1);
    names.push_back(std::move(one));
  }
  return names;
}

std::vector<Stream> streams_of(Attempt& attempt) {
  const std::lock_guard guard(attempt.mutex);
  return attempt.topology.streams;
}

PgOutcome<PgRows> set_all(PgClient& client, const std::vector<SequenceState>& states) {
  std::string values;
  for (const auto& one : states) {
    values += (values.empty() ? "(" : ", (") + quote_literal(one.name) + "::regclass, " +
              std::to_string(one.last_value) + "::bigint, " + (one.is_called ? "true)" : "false)");
  }
  // setval writes WAL under a transaction id, so this commit makes it durable.
  return client.query(writing("SELECT count(setval(s.name, s.value, s.called)) FROM (VALUES " + values +
                              ") AS s (name, value, called)"),
                      window_ms_max);
}

}  // namespace

PgOutcome<std::vector<SequenceState>> read_all_sequences(PgClient& client) {
  const auto names = names_of(client);
  if (!names) return names.error();
  std::vector<SequenceState> states;
  if (names->empty()) return states;
  const auto rows = client.query(reading_sql(*names), quiet_ms_max);
  if (!rows) return rows.error();
  for (int row = 0; row < rows->size(); ++row) {
    states.push_back({rows->text(row, 0), rows->integer(row, 1), rows->boolean(row, 2), rows->integer(row, 3, 1)});
  }
  return states;
}

StepAnswer read_sequences(StepContext& context, Attempt& attempt, router::Side from) {
  for (const auto& stream : streams_of(attempt)) {
    auto loan = context.shelf.take(from, stream.database, connect_ms_max);
    if (!loan) return failed(loan.error());
    auto states = read_all_sequences(**loan);
    if (!states) return failed(states.error());
    const std::lock_guard guard(attempt.mutex);
    attempt.sequences[stream.database] = std::move(*states);
  }
  return StepAnswer::done();
}

bool has_reached(const SequenceState& now, const SequenceState& wanted) {
  if (now.last_value == wanted.last_value) return now.is_called || !wanted.is_called;
  return wanted.increment < 0 ? now.last_value < wanted.last_value : now.last_value > wanted.last_value;
}

std::vector<std::string> sequence_gaps(const std::vector<SequenceState>& from, const std::vector<SequenceState>& to) {
  std::map<std::string, const SequenceState*> there;
  for (const auto& one : to) there[one.name] = &one;
  std::vector<std::string> gaps;
  for (const auto& one : from) {
    const auto found = there.find(one.name);
    if (found == there.end()) {
      gaps.push_back(one.name + " does not exist there");
    } else if (found->second->increment != one.increment) {
      gaps.push_back(one.name + " steps by " + std::to_string(found->second->increment) + " in place of " +
                     std::to_string(one.increment));
    }
  }
  return gaps;
}

StepAnswer copy_sequences(StepContext& context, Attempt& attempt, router::Side from) {
  for (const auto& stream : streams_of(attempt)) {
    std::vector<SequenceState> wanted;
    {
      const std::lock_guard guard(attempt.mutex);
      wanted = attempt.sequences[stream.database];
    }
    if (wanted.empty()) continue;
    auto loan = context.shelf.take(router::other(from), stream.database, connect_ms_max);
    if (!loan) return failed(loan.error());
    if (const auto set = set_all(**loan, wanted); !set) return failed(set.error());
    const auto now = read_all_sequences(**loan);
    if (!now) return failed(now.error());
    std::map<std::string, const SequenceState*> there;
    for (const auto& one : *now) there[one.name] = &one;
    for (const auto& one : wanted) {
      const auto found = there.find(one.name);
      if (found == there.end() || !has_reached(*found->second, one)) {
        return StepAnswer::failed("sequence " + one.name + " of " + stream.database + " is behind after it was set");
      }
    }
  }
  return StepAnswer::done();
}

}  // namespace turnout::control
