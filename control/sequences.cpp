#include "control/sequences.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "control/fence.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;
constexpr std::size_t chunk = 100;  // sequences that one text names: longer ones take more than their share to plan
constexpr int exact_in_one_since = 180000;  // pg_get_sequence_data()

// All states at once. Before 18 the server tells nothing of one that was never drawn from (NULL): such a one has to be
// asked itself, for setval(…, false) may have moved it.
std::string states_sql(int version) {
  const bool exact = version >= exact_in_one_since;
  return std::string("SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), s.seqincrement, ") +
         (exact ? "d.last_value, d.is_called" : "pg_sequence_last_value(s.seqrelid), true") +
         " FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace" +
         (exact ? " CROSS JOIN LATERAL pg_get_sequence_data(s.seqrelid) d" : "") +
         " WHERE n.nspname <> 'turnout' AND c.relpersistence <> 't'";
}

// Indices of states that one statement asks for.
using Asked = std::vector<std::size_t>;

std::string reading_sql(const std::vector<SequenceState>& states, const Asked& asked) {
  std::string sql;
  for (const auto at : asked) {
    if (!sql.empty()) sql += " UNION ALL ";
    sql += "SELECT " + quote_literal(states[at].name) + "::text, last_value, is_called FROM " + states[at].name;
  }
  return sql;
}

// Those that were never drawn from, by blocks of all: when one of them is, only its block's text is another one.
std::vector<Asked> blocks_of(const std::vector<SequenceState>& states, const std::set<std::string>& silent) {
  std::vector<Asked> blocks;
  for (std::size_t at = 0; at < states.size(); ++at) {
    if (at % chunk == 0) blocks.emplace_back();
    if (silent.contains(states[at].name)) blocks.back().push_back(at);
  }
  std::erase_if(blocks, [](const Asked& block) { return block.empty(); });
  return blocks;
}

// The same text has the same name in every session.
std::string statement_name(const std::string& sql) {
  std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  for (const char c : sql) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return "turnout_seq_" + std::to_string(hash);
}

PgOutcome<std::set<std::string>> prepared_here(PgClient& client) {
  const auto rows =
      client.query("SELECT name FROM pg_prepared_statements WHERE name LIKE 'turnout\\_seq\\_%'", quiet_ms_max);
  if (!rows) return rows.error();
  std::set<std::string> names;
  for (int row = 0; row < rows->size(); ++row) names.insert(rows->text(row, 0));
  return names;
}

// Asked of the sequences themselves.
PgOutcome<bool> read_chunk(PgClient& client, std::vector<SequenceState>& states, const Asked& asked,
                           const std::set<std::string>& prepared) {
  const auto sql = reading_sql(states, asked);
  const auto statement = statement_name(sql);
  const auto rows = client.query(prepared.contains(statement) ? "EXECUTE " + statement : sql, quiet_ms_max);
  if (!rows) return rows.error();
  std::map<std::string, int> found;
  for (int row = 0; row < rows->size(); ++row) found[rows->text(row, 0)] = row;
  for (const auto at : asked) {
    const auto row = found.find(states[at].name);
    if (row == found.end()) continue;
    states[at].last_value = rows->integer(row->second, 1);
    states[at].is_called = rows->boolean(row->second, 2);
  }
  return true;
}

// What one statement tells of all, in order of names; those of which it tells nothing are in `silent`.
PgOutcome<std::vector<SequenceState>> read_told(PgClient& client, std::set<std::string>& silent) {
  const auto rows = client.query(states_sql(client.server_version()), quiet_ms_max);
  if (!rows) return rows.error();
  std::vector<SequenceState> states;
  for (int row = 0; row < rows->size(); ++row) {
    SequenceState one;
    one.name = rows->text(row, 0);
    one.increment = rows->integer(row, 1, 1);
    one.last_value = rows->integer(row, 2);
    one.is_called = rows->boolean(row, 3);
    if (rows->is_null(row, 2)) silent.insert(one.name);
    states.push_back(std::move(one));
  }
  std::sort(states.begin(), states.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return states;
}

PgOutcome<PgRows> set_all(PgClient& client, const std::vector<SequenceState>& states, std::uint32_t ms_max) {
  std::string values;
  for (const auto& one : states) {
    values += (values.empty() ? "(" : ", (") + quote_literal(one.name) + "::regclass, " +
              std::to_string(one.last_value) + "::bigint, " + (one.is_called ? "true)" : "false)");
  }
  // setval writes WAL under a transaction id, so this commit makes it durable.
  return client.query(writing("SELECT count(setval(s.name, s.value, s.called)) FROM (VALUES " + values +
                              ") AS s (name, value, called)"),
                      ms_max);
}

}  // namespace

PgOutcome<std::vector<SequenceState>> read_all_sequences(PgClient& client) {
  std::set<std::string> silent;
  auto states = read_told(client, silent);
  if (!states || silent.empty()) return states;
  const auto prepared = prepared_here(client);
  if (!prepared) return prepared.error();
  for (const auto& block : blocks_of(*states, silent)) {
    if (const auto read = read_chunk(client, *states, block, *prepared); !read) return read.error();
  }
  return states;
}

PgOutcome<bool> plan_sequence_reads(PgClient& client) {
  std::set<std::string> silent;
  const auto states = read_told(client, silent);
  if (!states) return states.error();
  if (silent.empty()) return true;
  const auto prepared = prepared_here(client);
  if (!prepared) return prepared.error();
  for (const auto& block : blocks_of(*states, silent)) {
    const auto sql = reading_sql(*states, block);
    const auto statement = statement_name(sql);
    if (prepared->contains(statement)) continue;
    // Planned by its first execution.
    const auto planned = client.query("PREPARE " + statement + " AS " + sql + "; EXECUTE " + statement, quiet_ms_max);
    if (!planned) return planned.error();
  }
  return true;
}

namespace {

PgOutcome<std::vector<SequenceState>> read_on(StepContext& context, router::Side side, const std::string& database) {
  auto loan = context.shelf.take(side, database, connect_ms_max);
  if (!loan) return loan.error();
  return read_all_sequences(**loan);
}

}  // namespace

// Of both servers at once: what the follower has is needed to set only what differs, and nobody draws from it there.
StepAnswer read_sequences(StepContext& context, Attempt& attempt, router::Side from) {
  for (const auto& database : databases_of(context, attempt)) {
    PgOutcome<std::vector<SequenceState>> there = PgError{};
    std::thread follower([&] { there = read_on(context, router::other(from), database); });
    auto here = read_on(context, from, database);
    follower.join();
    if (!here) return failed(here.error());
    if (!there) return failed(there.error());
    const std::lock_guard guard(attempt.mutex);
    attempt.sequences[database] = std::move(*here);
    attempt.sequences_there[database] = std::move(*there);
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

std::vector<SequenceState> sequences_to_set(const std::vector<SequenceState>& now,
                                            const std::vector<SequenceState>& wanted) {
  std::map<std::string, const SequenceState*> there;
  for (const auto& one : now) there[one.name] = &one;
  std::vector<SequenceState> list;
  for (const auto& one : wanted) {
    const auto found = there.find(one.name);
    const bool is_equal = found != there.end() && found->second->last_value == one.last_value &&
                          found->second->is_called == one.is_called;
    if (!is_equal) list.push_back(one);
  }
  return list;
}

namespace {

// What is equal already is left alone, and by that is verified too.
StepAnswer bring_to(PgClient& client, const std::string& database, const std::vector<SequenceState>& set,
                    std::uint32_t ms_max) {
  if (const auto done = set_all(client, set, ms_max); !done) return failed(done.error());
  auto now = set;
  std::set<std::string> names;
  for (const auto& one : now) names.insert(one.name);
  for (const auto& block : blocks_of(now, names)) {
    if (const auto read = read_chunk(client, now, block, {}); !read) return failed(read.error());
  }
  for (std::size_t at = 0; at < set.size(); ++at) {
    if (!has_reached(now[at], set[at]))
      return StepAnswer::failed("sequence " + set[at].name + " of " + database + " is behind after it was set");
  }
  return StepAnswer::done();
}

StepAnswer bring_all(StepContext& context, Attempt& attempt, router::Side from, std::uint32_t ms_max) {
  for (const auto& database : databases_of(context, attempt)) {
    std::vector<SequenceState> set;
    {
      const std::lock_guard guard(attempt.mutex);
      set = sequences_to_set(attempt.sequences_there[database], attempt.sequences[database]);
    }
    if (set.empty()) continue;
    auto loan = context.shelf.take(router::other(from), database, connect_ms_max);
    if (!loan) return failed(loan.error());
    auto answer = bring_to(**loan, database, set, ms_max);
    if (!answer.ok) return answer;
  }
  return StepAnswer::done();
}

}  // namespace

StepAnswer copy_sequences(StepContext& context, Attempt& attempt, router::Side from) {
  return bring_all(context, attempt, from, window_ms_max);
}

StepAnswer bring_sequences_near(StepContext& context, Attempt& attempt, router::Side from) {
  auto answer = read_sequences(context, attempt, from);
  return answer.ok ? bring_all(context, attempt, from, quiet_ms_max) : answer;
}

}  // namespace turnout::control
