#include "control/compare_table.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

#include "control/step_context.h"

namespace turnout::control {

namespace {

constexpr std::size_t lookup_keys_max = 1'000;  // of one statement
constexpr std::size_t watched_keys_max = 100;   // rows that are worth looking at while the marker is on its way
constexpr std::size_t watches_max = 20;         // looks at them
constexpr std::size_t column_keys_max = 100;    // differing rows whose columns are looked at in one statement
constexpr std::uint32_t whole_rounds = 4;       // of a table without a key
constexpr std::int64_t rows_of_a_block = 50;    // about, for the size of a piece
constexpr std::chrono::milliseconds said_after(1'000);
constexpr std::chrono::milliseconds looks_apart(20);  // of rows without versions, lest all fall on one moment

// A number between -2^64 and 2^64, modulo 2^64.
std::uint64_t number_of(const std::string& text) {
  const bool is_negative = text.starts_with('-');
  std::uint64_t number = 0;
  std::from_chars(text.data() + (is_negative ? 1 : 0), text.data() + text.size(), number);
  return is_negative ? 0 - number : number;
}

std::vector<std::string> names_of(const std::vector<KeyColumn>& key) {
  std::vector<std::string> out;
  for (const auto& one : key) out.push_back(one.name);
  return out;
}

}  // namespace

TableComparison::TableComparison(CompareHands& hands, const TableLook& look, TableState state)
    : hands_(hands), sql_(hands.sql), look_(look), plan_(look.plan), state_(std::move(state)) {
  if (state_.stage == TableStage::done) return;
  const bool is_fresh =
      state_.stage != TableStage::running || state_.mode != name(plan_.mode) || state_.key != names_of(plan_.key);
  if (is_fresh) {
    TableState fresh;
    fresh.database = state_.database;
    fresh.table = state_.table;
    fresh.stage = TableStage::running;
    state_ = std::move(fresh);
    for (const auto& text : plan_.differences) add_table_difference(text);
  }
  state_.mode = name(plan_.mode);
  state_.key = names_of(plan_.key);
  state_.rows_estimate = static_cast<std::uint64_t>(std::max<std::int64_t>(look.rows_estimate, 0));
  state_.notes = plan_.notes;
}

// ---- asking

std::optional<CompareRows> TableComparison::ask(CompareClient& client, const std::string& sql) {
  if (!hands_.go_on()) return std::nullopt;
  auto outcome = client.query(sql);
  if (outcome) return std::move(*outcome);
  error_ = outcome.error();
  return std::nullopt;
}

std::optional<TableComparison::Sum> TableComparison::sum(CompareClient& client, const std::string& sql) {
  const auto answer = ask(client, sql);
  if (!answer) return std::nullopt;
  return Sum{number_of(answer->text(0, 0)), answer->text(0, 1)};
}

std::optional<SeenRows> TableComparison::rows(CompareClient& client, const std::string& sql, RowKey* last) {
  const auto answer = ask(client, sql);
  if (!answer) return std::nullopt;
  SeenRows out;
  for (std::size_t row = 0; row < answer->size(); ++row) {
    RowKey key;
    for (std::size_t i = 0; i < plan_.key.size(); ++i) key.push_back(answer->text(row, i + 2));
    if (last != nullptr) *last = key;
    add_row(out, std::move(key), {answer->text(row, 0), number_of(answer->text(row, 1)), 1});
  }
  return out;
}

std::optional<SeenRows> TableComparison::lookup(CompareClient& client, const CompareSource& source,
                                                const std::vector<RowKey>& keys) {
  SeenRows all;
  for (std::size_t at = 0; at < keys.size(); at += lookup_keys_max) {
    const auto end = std::min(at + lookup_keys_max, keys.size());
    const std::vector<RowKey> some(keys.begin() + static_cast<std::ptrdiff_t>(at),
                                   keys.begin() + static_cast<std::ptrdiff_t>(end));
    auto found = rows(client, sql_.lookup(plan_, source, some));
    if (!found) return std::nullopt;
    all.merge(*found);
  }
  return all;
}

// ---- the three ways through a table

bool TableComparison::run() {
  if (state_.stage == TableStage::done) return true;
  if (!plan_.is_readable) return finish();
  switch (plan_.mode) {
    case CompareMode::ranges:
      return run_ranges();
    case CompareMode::keys:
      return run_pages();
    case CompareMode::whole:
      return run_whole();
  }
  return true;
}

bool TableComparison::finish() {
  state_.stage = TableStage::done;
  return hands_.keep(state_, 0);
}

bool TableComparison::run_ranges() {
  while (!is_full()) {
    KeyRange range{state_.after, std::nullopt};
    Sum writer, follower;
    if (!choose_piece(range, writer, follower)) return false;
    bool has_grown = false;
    if (writer != follower && !compare_rows(range, has_grown)) return false;
    if (has_grown) continue;
    if (is_full()) break;
    state_.rows += writer.rows;
    ++state_.pieces;
    if (!range.upto) return look_for_null_keys() && finish();
    state_.after = range.upto;
    if (!hands_.keep(state_, std::max(writer.rows, follower.rows))) return false;
  }
  state_.is_cut_short = true;
  return finish();
}

// A piece ends at a key of the writer, so that it has a bounded number of its rows; where the follower has many more in
// there, at one of the follower's.
bool TableComparison::choose_piece(KeyRange& range, Sum& writer, Sum& follower) {
  const std::uint64_t most = 2ULL * hands_.piece_rows;
  const auto cut = [&](CompareClient& client, const CompareSource& source) {
    const auto bound = ask(client, sql_.bound(plan_, source, range, hands_.piece_rows));
    if (!bound) return false;
    if (bound->empty()) return true;
    range.upto.emplace();
    for (std::size_t i = 0; i < plan_.key.size(); ++i) range.upto->push_back(bound->text(0, i));
    return true;
  };
  if (!cut(hands_.writer, plan_.writer)) return false;
  while (true) {
    const auto there = sum(hands_.follower, sql_.sum(plan_, plan_.follower, range, most + 1));
    if (!there) return false;
    if (there->rows > most) {
      if (!cut(hands_.follower, plan_.follower)) return false;
      continue;
    }
    const auto here = sum(hands_.writer, sql_.sum(plan_, plan_.writer, range, most + 1));
    if (!here) return false;
    if (here->rows > most) {
      if (!cut(hands_.writer, plan_.writer)) return false;
      continue;
    }
    writer = *here;
    follower = *there;
    return true;
  }
}

bool TableComparison::compare_rows(const KeyRange& range, bool& has_grown) {
  const std::uint64_t most = 4ULL * hands_.piece_rows;
  auto there = rows(hands_.follower, sql_.rows(plan_, plan_.follower, range, most));
  if (!there) return false;
  const auto here = rows(hands_.writer, sql_.rows(plan_, plan_.writer, range, most));
  if (!here) return false;
  // Rows that came since the piece was chosen: what the limit has cut off would never be looked at.
  has_grown = here->size() >= most || there->size() >= most;
  if (has_grown) return true;
  auto keys = unlike(*here, *there);
  return settle(std::move(keys), std::move(*there), hands_.rounds);
}

// A follower whose key may be NULL can have rows that no range finds.
bool TableComparison::look_for_null_keys() {
  if (!plan_.follower_key_may_be_null) return true;
  const auto answer = ask(hands_.follower, sql_.null_keys(plan_, plan_.follower));
  if (!answer) return false;
  if (const auto count = number_of(answer->text(0, 0)); count != 0) {
    add_table_difference(std::to_string(count) + " rows without a key (NULL) on " +
                         router::name(hands_.follower.side()));
  }
  return true;
}

bool TableComparison::run_pages() {
  while (!is_full()) {
    auto& client = state_.is_backward ? hands_.follower : hands_.writer;
    auto& opposite = state_.is_backward ? hands_.writer : hands_.follower;
    const auto& source = state_.is_backward ? plan_.follower : plan_.writer;
    const auto& opposite_source = state_.is_backward ? plan_.writer : plan_.follower;
    RowKey last;
    auto page = rows(client, sql_.page(plan_, source, state_.after, hands_.piece_rows), &last);
    if (!page) return false;
    std::vector<RowKey> keys;
    for (const auto& [key, row] : *page) keys.push_back(key);
    auto found = lookup(opposite, opposite_source, keys);
    if (!found) return false;
    auto& follower = state_.is_backward ? *page : *found;
    const auto& writer = state_.is_backward ? *found : *page;
    const auto count = page->size();
    auto in_question = unlike(writer, follower);
    // On the way back only surplus rows are new; the others were compared on the way there.
    if (state_.is_backward)
      std::erase_if(in_question, [&](const auto& key) { return find_row(writer, key) != nullptr; });
    if (!settle(std::move(in_question), std::move(follower), hands_.rounds)) return false;
    if (is_full()) break;
    (state_.is_backward ? state_.rows_back : state_.rows) += count;
    ++state_.pieces;
    if (!last.empty()) state_.after = last;
    if (last.empty()) {
      if (state_.is_backward) return look_for_null_keys() && finish();
      state_.is_backward = true;
      state_.after.reset();
    }
    if (!hands_.keep(state_, count)) return false;
  }
  state_.is_cut_short = true;
  return finish();
}

// Nothing names a row here, so only totals of one moment a side can be compared; two rounds that find the same on
// each side, with a marker between, are a difference.
bool TableComparison::run_whole() {
  std::optional<Sum> last_writer, last_follower;
  for (std::uint32_t round = 0; round < whole_rounds; ++round) {
    state_.rows = state_.rows_back = 0;
    const auto writer = multiset(hands_.writer, plan_.writer, look_.writer_blocks, state_.rows);
    if (!writer) return false;
    std::vector<SeenRows> none;
    if (!await_marker({}, none)) return false;
    const auto follower = multiset(hands_.follower, plan_.follower, look_.follower_blocks, state_.rows_back);
    if (!follower) return false;
    if (*writer == *follower) return finish();
    if (last_writer == writer && last_follower == follower) {
      const auto side = [&](CompareClient& client, const Sum& one) {
        return std::string(router::name(client.side())) + " has " + std::to_string(one.rows) + " rows";
      };
      add_table_difference(side(hands_.writer, *writer) + ", " + side(hands_.follower, *follower) +
                           (writer->rows == follower->rows ? " with another content" : ""));
      return finish();
    }
    last_writer = writer;
    last_follower = follower;
  }
  state_.unsettled_more = 1;
  state_.notes.push_back("it kept changing: without a key it can only be compared in a quiet moment");
  return finish();
}

std::optional<TableComparison::Sum> TableComparison::multiset(CompareClient& client, const CompareSource& source,
                                                              std::int64_t blocks, std::uint64_t& counter) {
  if (!ask(client, sql_.snapshot)) return std::nullopt;
  const std::int64_t step = std::max<std::int64_t>(1, hands_.piece_rows / rows_of_a_block);
  Sum all;
  std::uint64_t hash = 0;
  // Blocks that were added since the facts were read belong to the last piece.
  for (std::int64_t first = 0; first == 0 || first < blocks; first += step) {
    const auto end = first + step >= blocks ? std::int64_t{4'294'967'295} : first + step;
    const auto answer = ask(client, sql_.blocks(plan_, source, first, end));
    if (!answer) return std::nullopt;
    const auto count = number_of(answer->text(0, 0));
    all.rows += count;
    hash += number_of(answer->text(0, 1));
    counter += count;
    ++state_.pieces;
    if (!hands_.keep(state_, count)) return std::nullopt;
  }
  if (!ask(client, "COMMIT")) return std::nullopt;
  all.hash = std::to_string(hash);
  return all;
}

// ---- rows in question

bool TableComparison::settle(std::vector<RowKey> keys, SeenRows follower, std::uint32_t rounds) {
  Settling settling(std::move(keys), std::move(follower), sql_.confirmations);
  rounds = std::max(rounds, sql_.confirmations);
  for (std::uint32_t round = 0; round < rounds && !settling.is_over(); ++round) {
    std::vector<SettledRow> found;
    if (round > 0 && sql_.confirmations > 1) std::this_thread::sleep_for(looks_apart);
    if (!settle_round(settling, found) || !add_differences(found)) return false;
  }
  add_unsettled(settling.keys());
  return true;
}

bool TableComparison::settle_round(Settling& settling, std::vector<SettledRow>& found) {
  const auto before = lookup(hands_.writer, plan_.writer, settling.keys());
  if (!before) return false;
  std::vector<SeenRows> during;
  if (!await_marker(settling.keys(), during)) return false;
  auto follower = lookup(hands_.follower, plan_.follower, settling.keys());
  if (!follower) return false;
  const auto after = lookup(hands_.writer, plan_.writer, settling.keys());
  if (!after) return false;
  found = settling.round(*before, during, std::move(*follower), *after);
  return true;
}

// Everything that the writer had committed before this call is applied when it returns true. Few rows are looked at on
// the writer meanwhile: one that changes all the time is settled when the follower shows any of these looks.
bool TableComparison::await_marker(const std::vector<RowKey>& keys, std::vector<SeenRows>& during) {
  const auto made = ask(hands_.writer, sql_.marker(look_.carrier));
  if (!made) return false;
  const std::string look = sql_.arrived(look_.carrier, made->text(0, 0));
  const auto began = std::chrono::steady_clock::now();
  const auto give_up = began + std::chrono::milliseconds(hands_.marker_ms_max);
  bool has_said_so = false;
  for (bool seen = false; !seen;) {
    if (!keys.empty() && keys.size() <= watched_keys_max && during.size() < watches_max) {
      auto now = lookup(hands_.writer, plan_.writer, keys);
      if (!now) return false;
      during.push_back(std::move(*now));
    }
    const auto arrived = ask(hands_.follower, look);
    if (!arrived) return false;
    seen = !arrived->empty();
    if (!seen && std::chrono::steady_clock::now() > give_up) {
      error_ = CompareError{
          hands_.follower.text() + ": a marker does not arrive through " + look_.carrier + ": replication stands still",
          true, false};
      return false;
    }
    if (has_said_so == seen && std::chrono::steady_clock::now() - began > said_after) {
      has_said_so = !seen;
      hands_.waits(seen ? "" : "a marker through " + look_.carrier + ", which tells lag from loss");
    }
    if (!seen && (keys.empty() || during.size() >= watches_max)) long_pause();
  }
  return true;
}

bool TableComparison::add_differences(const std::vector<SettledRow>& rows) {
  const std::string here = router::name(hands_.writer.side());
  const std::string there = router::name(hands_.follower.side());
  std::vector<RowKey> differing;
  const auto first = state_.differences.size();
  for (const auto& one : rows) {
    if (is_full()) break;
    const bool both = one.verdict == RowVerdict::differs;
    const auto kind = both                                        ? std::string("differs")
                      : one.verdict == RowVerdict::only_on_writer ? "only_on_" + here
                                                                  : "only_on_" + there;
    state_.differences.push_back({kind, one.key, {}, ""});
    if (both) differing.push_back(one.key);
  }
  for (std::size_t at = 0; at < differing.size(); at += column_keys_max) {
    const std::vector<RowKey> some(
        differing.begin() + static_cast<std::ptrdiff_t>(at),
        differing.begin() + static_cast<std::ptrdiff_t>(std::min(at + column_keys_max, differing.size())));
    std::map<RowKey, std::string> texts[2];
    for (const bool is_writer : {true, false}) {
      const auto answer = ask(is_writer ? hands_.writer : hands_.follower,
                              sql_.columns(plan_, is_writer ? plan_.writer : plan_.follower, some));
      if (!answer) {
        state_.differences.resize(first);  // this piece is begun anew
        return false;
      }
      for (std::size_t row = 0; row < answer->size(); ++row) {
        RowKey key;
        for (std::size_t i = 0; i < plan_.key.size(); ++i) key.push_back(answer->text(row, i));
        texts[is_writer ? 0 : 1][std::move(key)] = answer->text(row, plan_.key.size());
      }
    }
    for (auto at_row = first; at_row < state_.differences.size(); ++at_row) {
      auto& one = state_.differences[at_row];
      const auto here_found = texts[0].find(one.key), there_found = texts[1].find(one.key);
      if (here_found == texts[0].end() || there_found == texts[1].end()) continue;
      one.columns = differing_columns(plan_.columns, here_found->second, there_found->second);
    }
  }
  return true;
}

void TableComparison::add_unsettled(const std::vector<RowKey>& keys) {
  for (const auto& key : keys) {
    if (state_.unsettled.size() < hands_.listed_max) {
      state_.unsettled.push_back(key);
    } else {
      ++state_.unsettled_more;
    }
  }
}

void TableComparison::add_table_difference(std::string text) {
  state_.differences.push_back({"table", {}, {}, std::move(text)});
}

bool TableComparison::settle_again() {
  if (state_.unsettled.empty()) return true;
  auto before = state_;
  auto keys = std::move(state_.unsettled);
  state_.unsettled.clear();
  if (!settle(std::move(keys), {}, 2 * hands_.rounds)) {
    state_ = std::move(before);
    return false;
  }
  return hands_.keep(state_, 0);
}

}  // namespace turnout::control
