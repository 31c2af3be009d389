#include "control/sequences.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "control/fence.h"
#include "control/sequence_book.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 2'000;

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

std::shared_ptr<const SequenceBook> book_of(Attempt& attempt, const std::string& database) {
  const std::lock_guard guard(attempt.mutex);
  return attempt.sequence_books[database];
}

PgOutcome<SequenceBook> read_all(StepContext& context, router::Side side, const std::string& database) {
  auto loan = context.shelf.take(side, database, connect_ms_max);
  if (!loan) return loan.error();
  return read_sequence_book(**loan);
}

// What `to` has, for copy_sequences.
StepAnswer read_there(StepContext& context, Attempt& attempt, router::Side to, const std::string& database) {
  auto there = read_all(context, to, database);
  if (!there) return failed(there.error());
  const std::lock_guard guard(attempt.mutex);
  attempt.sequences_there[database] = std::move(there->states);
  return StepAnswer::done();
}

}  // namespace

StepAnswer read_sequences(StepContext& context, Attempt& attempt, router::Side from) {
  for (const auto& database : databases_of(context, attempt)) {
    auto loan = context.shelf.take(from, database, connect_ms_max);
    if (!loan) return failed(loan.error());
    const auto book = book_of(attempt, database);
    auto states = read_again(**loan, book ? *book : SequenceBook{});
    if (!states) return failed(states.error());
    const std::lock_guard guard(attempt.mutex);
    attempt.sequences[database] = std::move(*states);
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
  std::vector<SequenceState> list;
  auto there = now.begin();
  for (const auto& one : wanted) {
    while (there != now.end() && there->name < one.name) ++there;
    const bool is_equal = there != now.end() && there->name == one.name && there->last_value == one.last_value &&
                          there->is_called == one.is_called;
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
  if (const auto asked = ask_each(client, now); !asked) return failed(asked.error());
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
  const auto to = router::other(from);
  for (const auto& database : databases_of(context, attempt)) {
    auto here = read_all(context, from, database);
    if (!here) return failed(here.error());
    {
      const std::lock_guard guard(attempt.mutex);
      attempt.sequences[database] = here->states;
      attempt.sequence_books[database] = std::make_shared<const SequenceBook>(std::move(*here));
    }
    if (auto there = read_there(context, attempt, to, database); !there.ok) return there;
  }
  if (auto brought = bring_all(context, attempt, from, quiet_ms_max); !brought.ok) return brought;
  for (const auto& database : databases_of(context, attempt)) {
    if (auto there = read_there(context, attempt, to, database); !there.ok) return there;
  }
  return StepAnswer::done();
}

std::string warm_sequence_reads(PgClient& client, Attempt& attempt, const std::string& database) {
  const auto book = book_of(attempt, database);
  if (const auto planned = plan_sequence_reads(client, *book); !planned) return planned.error().message();
  const auto read = read_again(client, *book);
  return read ? "" : read.error().message();
}

}  // namespace turnout::control
