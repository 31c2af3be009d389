#include "control/sequence_book.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include "control/fence.h"

namespace turnout::control {

namespace {

constexpr std::size_t chunk = 100;  // sequences that one text names: longer ones take more than their share to plan
constexpr int exact_in_one_since = 180000;  // pg_get_sequence_data()

// Indices of states that one statement asks for.
using Asked = std::vector<std::size_t>;

// One column of text: "17" or, exactly, "(17,t)"; NULL or "(,)": silent. The shorter answer costs two thirds.
std::string state_sql(int version) {
  return version >= exact_in_one_since
             ? "coalesce(pg_sequence_last_value(s.seqrelid)::text, pg_get_sequence_data(s.seqrelid)::text)"
             : "pg_sequence_last_value(s.seqrelid)::text";
}

// Whoever makes, drops, renames or alters a sequence writes a new row here, whose transaction is newer than all others;
// drawing from it and setting it do not.
constexpr std::string_view version_sql =
    "(SELECT count(*) || ' ' || coalesce(sum(c.xmin::text::bigint), 0) FROM pg_class c WHERE c.relkind = 'S')"
    " || '/' || "
    "(SELECT count(*) || ' ' || coalesce(sum(q.xmin::text::bigint), 0) FROM pg_sequence q)";

std::string book_sql(int version) {
  return std::string("SELECT s.seqrelid, ") + state_sql(version) +
         ", quote_ident(n.nspname) || '.' || quote_ident(c.relname), s.seqincrement, " + std::string(version_sql) +
         " FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
         " WHERE n.nspname <> 'turnout' AND c.relpersistence <> 't'";
}

// One text of all, "1234 17;1235 (5,f);1236 ;": thousands of rows would take longer than what they say.
std::string again_sql(int version) {
  return std::string("SELECT ") + std::string(version_sql) + ", coalesce(string_agg(s.seqrelid || ' ' || coalesce(" +
         state_sql(version) + ", '') || ';', ''), '') FROM pg_sequence s";
}

// false: silent.
bool take_state(std::string_view text, SequenceState& into) {
  const bool is_exact = text.starts_with('(');
  if (is_exact) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  into.last_value = value;
  into.is_called = !is_exact || std::string_view(end, text.data() + text.size()).starts_with(",t");
  return true;
}

// What again_sql() answers. For each state: was it told?
std::vector<bool> take_states(std::string_view text, const SequenceBook& book, std::vector<SequenceState>& into) {
  std::vector<bool> is_told(into.size(), false);
  while (!text.empty()) {
    const auto one = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    std::uint32_t oid = 0;
    const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), oid);
    const SequenceState* const known = error == std::errc() ? book.find(oid) : nullptr;
    if (known == nullptr) continue;  // made since: the version says so
    const auto at = static_cast<std::size_t>(known - book.states.data());
    const auto state = one.substr(static_cast<std::size_t>(end - one.data()));
    is_told[at] = take_state(state.substr(std::min<std::size_t>(1, state.size())), into[at]);
  }
  return is_told;
}

std::string asking_sql(const std::vector<SequenceState>& states, const Asked& asked) {
  std::string sql;
  for (const auto at : asked) {
    if (!sql.empty()) sql += " UNION ALL ";
    sql += "SELECT " + std::to_string(at) + ", last_value, is_called FROM " + states[at].name;
  }
  return sql;
}

std::vector<Asked> blocks_of(const Asked& all) {
  std::vector<Asked> blocks;
  for (std::size_t begin = 0; begin < all.size(); begin += chunk) {
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(begin);
    blocks.emplace_back(from, from + static_cast<std::ptrdiff_t>(std::min(chunk, all.size() - begin)));
  }
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

PgOutcome<bool> ask_block(PgClient& client, std::vector<SequenceState>& states, const Asked& asked,
                          const std::set<std::string>& prepared) {
  const auto sql = asking_sql(states, asked);
  const auto statement = statement_name(sql);
  const auto rows = client.query(prepared.contains(statement) ? "EXECUTE " + statement : sql, quiet_ms_max);
  if (!rows) return rows.error();
  for (int row = 0; row < rows->size(); ++row) {
    const auto at = static_cast<std::size_t>(rows->integer(row, 0));
    if (at >= states.size()) continue;
    auto& state = states[at];
    state.last_value = rows->integer(row, 1);
    state.is_called = rows->boolean(row, 2);
  }
  return true;
}

PgOutcome<bool> ask_blocks(PgClient& client, std::vector<SequenceState>& states, const std::vector<Asked>& blocks,
                           const std::set<std::string>& prepared) {
  for (const auto& block : blocks) {
    if (const auto asked = ask_block(client, states, block, prepared); !asked) return asked.error();
  }
  return true;
}

struct Row {
  std::uint32_t oid = 0;
  SequenceState state;
  bool is_silent = false;
};

// Of what book_sql() answers, in order of names.
std::vector<Row> rows_of(const PgRows& answer) {
  std::vector<Row> rows;
  for (int row = 0; row < answer.size(); ++row) {
    Row one;
    one.oid = static_cast<std::uint32_t>(answer.integer(row, 0));
    one.state.name = answer.text(row, 2);
    one.state.increment = answer.integer(row, 3, 1);
    one.is_silent = !take_state(answer.text(row, 1), one.state);
    rows.push_back(std::move(one));
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.state.name < b.state.name; });
  return rows;
}

}  // namespace

const SequenceState* SequenceBook::find(std::uint32_t oid) const {
  const auto found = std::lower_bound(by_oid.begin(), by_oid.end(), std::pair{oid, std::size_t{0}});
  return found == by_oid.end() || found->first != oid ? nullptr : &states[found->second];
}

PgOutcome<SequenceBook> read_sequence_book(PgClient& client) {
  const auto answer = client.query(book_sql(client.server_version()), quiet_ms_max);
  if (!answer) return answer.error();
  SequenceBook book;
  Asked silent;
  for (auto& row : rows_of(*answer)) {
    if (row.is_silent) silent.push_back(book.states.size());
    book.by_oid.emplace_back(row.oid, book.states.size());
    book.states.push_back(std::move(row.state));
  }
  std::sort(book.by_oid.begin(), book.by_oid.end());
  if (!answer->empty()) book.version = answer->text(0, 4);
  book.silent = blocks_of(silent);
  if (const auto asked = ask_blocks(client, book.states, book.silent, {}); !asked) return asked.error();
  return book;
}

PgOutcome<bool> plan_sequence_reads(PgClient& client, const SequenceBook& book) {
  if (book.silent.empty()) return true;
  const auto prepared = prepared_here(client);
  if (!prepared) return prepared.error();
  for (const auto& block : book.silent) {
    const auto sql = asking_sql(book.states, block);
    const auto statement = statement_name(sql);
    if (prepared->contains(statement)) continue;
    // Planned by its first execution.
    const auto planned = client.query("PREPARE " + statement + " AS " + sql + "; EXECUTE " + statement, quiet_ms_max);
    if (!planned) return planned.error();
  }
  return true;
}

PgOutcome<std::vector<SequenceState>> read_again(PgClient& client, const SequenceBook& book) {
  const auto answer = client.query(again_sql(client.server_version()), quiet_ms_max);
  if (!answer) return answer.error();
  if (answer->text(0, 0) != book.version) {
    auto all = read_sequence_book(client);
    if (!all) return all.error();
    return std::move(all->states);
  }
  auto states = book.states;
  auto is_told = take_states(answer->text(0, 1), book, states);
  auto blocks = book.silent;
  for (const auto& block : blocks)
    for (const auto at : block) is_told[at] = true;
  Asked newly_silent;
  for (std::size_t at = 0; at < states.size(); ++at)
    if (!is_told[at]) newly_silent.push_back(at);
  for (auto& block : blocks_of(newly_silent)) blocks.push_back(std::move(block));
  if (blocks.empty()) return states;
  const auto prepared = prepared_here(client);
  if (!prepared) return prepared.error();
  if (const auto asked = ask_blocks(client, states, blocks, *prepared); !asked) return asked.error();
  return states;
}

PgOutcome<bool> ask_each(PgClient& client, std::vector<SequenceState>& states) {
  Asked all(states.size());
  for (std::size_t at = 0; at < all.size(); ++at) all[at] = at;
  return ask_blocks(client, states, blocks_of(all), {});
}

}  // namespace turnout::control
