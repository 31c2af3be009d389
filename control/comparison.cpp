#include "control/comparison.h"

#include <algorithm>
#include <utility>

#include "control/audit_log.h"
#include "control/durable_file.h"

namespace turnout::control {

namespace {

constexpr std::uint64_t look_ms = 100;       // between two looks whether a cutover is over, or green less behind
constexpr std::uint64_t retry_ms = 2'000;    // after something went wrong with a server
constexpr std::uint32_t troubles_max = 30;   // one after the other, without a piece between them
constexpr std::uint32_t tries_max = 4;       // of one table, when a statement fails
constexpr std::uint32_t least_piece = 50;    // rows, when a statement takes too long
constexpr std::size_t tables_full_max = 10;  // as many tables may list as many differences as one may
constexpr std::chrono::milliseconds save_every(1'000);
constexpr std::chrono::milliseconds lag_every(200);

}  // namespace

Comparison::Comparison(Context context) : context_(std::move(context)) {
  const auto content = content_of(context_.file);
  if (content.empty()) return;
  auto known = parse_compare_state(content);
  if (!known) {
    state_.reason = "what an earlier comparison has left (" + context_.file.string() + ") cannot be read";
    return;
  }
  state_ = std::move(*known);
  if (!state_.is_under_way()) return;
  state_.phase = ComparePhase::interrupted;
  state_.reason = "Turnout ended while it ran: 'turnout compare " + context_.deployment + "' goes on where it was";
}

// ---- for whoever asks

bool Comparison::is_under_way() const {
  const std::lock_guard guard(mutex_);
  return state_.is_under_way();
}

boost::json::object Comparison::report() const {
  const std::lock_guard guard(mutex_);
  auto out = to_json(state_);
  out["deployment"] = context_.deployment;
  out["current"] = current_;
  out["waiting_for"] = waiting_for_;
  return out;
}

boost::json::object Comparison::summary() const {
  const std::lock_guard guard(mutex_);
  if (state_.phase == ComparePhase::none && state_.reason.empty()) return {};
  return control::summary(state_);
}

// ---- orders

Comparison::Begun Comparison::start(const CompareOptions& options) {
  const std::lock_guard ordering(ordering_);
  if (is_under_way())
    return {"a comparison is running: see 'turnout compare " + context_.deployment + " --show'", true};
  if (thread_.joinable()) thread_.join();
  CompareState known;
  {
    const std::lock_guard guard(mutex_);
    if (stopping_) return {"Turnout is ending", true};
    known = state_;
  }
  writer_ = context_.state().writer;
  const std::string writer = router::name(writer_);
  const bool goes_on = !options.anew && can_resume(known, writer, options.tables);
  if (!goes_on) known.tables.clear();
  CompareState fresh;
  fresh.phase = ComparePhase::running;
  fresh.who = options.who;
  fresh.started_at = goes_on ? known.started_at : utc_now();
  fresh.writer = writer;
  fresh.wanted = goes_on ? known.wanted : options.tables;
  fresh.rows_per_second = options.rows_per_second != 0 ? options.rows_per_second
                          : goes_on                    ? known.rows_per_second
                                                       : context_.config().compare.rows_per_second;
  if (auto error = look_up_tables(known, fresh); !error.empty()) return {error};
  if (auto error = write_durably(context_.file, serialized(fresh)); !error.empty()) return {error};
  {
    const std::lock_guard guard(mutex_);
    state_ = std::move(fresh);
    ordered_to_stop_ = false;
    waiting_for_.clear();
    current_.clear();
  }
  tell(std::string("comparison ") + (goes_on ? "goes on" : "begins"));
  thread_ = std::thread([this] { loop(); });
  return {"", false, goes_on};
}

std::string Comparison::look_up_tables(const CompareState& known, CompareState& fresh) {
  auto found = context_.pair->look_up(writer_, fresh.wanted.empty());
  if (!found) return found.error().message();
  std::vector<TableState> today;
  std::vector<std::string> unknown = fresh.wanted;
  for (auto& table : found->all) {
    const auto names_it = [&](const auto& text) { return is_named(table, text); };
    if (!fresh.wanted.empty() && std::none_of(fresh.wanted.begin(), fresh.wanted.end(), names_it)) continue;
    std::erase_if(unknown, names_it);
    today.push_back(std::move(table));
  }
  if (!unknown.empty()) return "no table " + unknown.front() + ' ' + found->unknown + ": write schema.table";
  databases_ = std::move(found->databases);
  fresh.not_published = std::move(found->left_out);
  fresh.tables = merged(std::move(today), known.tables);
  return "";
}

bool Comparison::stop(const std::string& who) {
  const std::lock_guard ordering(ordering_);
  {
    const std::lock_guard guard(mutex_);
    if (!state_.is_under_way()) return false;
    ordered_to_stop_ = true;
    stopped_by_ = who;
  }
  wake_.notify_all();
  return true;
}

void Comparison::stop_thread() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  const std::lock_guard ordering(ordering_);
  if (thread_.joinable()) thread_.join();
}

// ---- the thread

Comparison::Halt Comparison::halt() const {
  {
    const std::lock_guard guard(mutex_);
    if (stopping_) return Halt::shutdown;
    if (ordered_to_stop_) return Halt::order;
  }
  const auto now = context_.state();
  return now.is_running() || now.writer != writer_ ? Halt::cutover : Halt::none;
}

void Comparison::loop() {
  std::uint32_t troubles = 0;
  double share = -1;
  while (true) {
    std::string problem;
    const auto turn = go_through(problem);
    save(true);
    if (turn == Turn::done) return end(ComparePhase::finished, "");
    switch (halt()) {
      case Halt::shutdown:
        return end(ComparePhase::interrupted,
                   "Turnout ended while it ran: 'turnout compare " + context_.deployment + "' goes on where it was");
      case Halt::order:
        return end(ComparePhase::stopped, "by " + stopped_by_);
      case Halt::cutover:
        if (!wait_for_cutover()) return end(ComparePhase::interrupted, "the writer has moved: compare again");
        continue;
      case Halt::none:
        break;
    }
    if (turn != Turn::failed) continue;
    {
      const std::lock_guard guard(mutex_);
      const double now = state_.percent();
      troubles = now > share ? 1 : troubles + 1;
      share = now;
      waiting_for_ = problem;
    }
    if (troubles > troubles_max) return end(ComparePhase::interrupted, problem);
    static_cast<void>(rest(retry_ms));
  }
}

bool Comparison::wait_for_cutover() {
  {
    const std::lock_guard guard(mutex_);
    state_.phase = ComparePhase::paused;
    waiting_for_ = "the end of a cutover";
  }
  while (halt() == Halt::cutover) {
    const auto now = context_.state();
    if (!now.is_running() && now.writer != writer_) return false;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, std::chrono::milliseconds(look_ms), [this] { return stopping_ || ordered_to_stop_; });
  }
  const std::lock_guard guard(mutex_);
  state_.phase = ComparePhase::running;
  waiting_for_.clear();
  return true;
}

Comparison::Turn Comparison::go_through(std::string& problem) {
  for (const auto& database : databases_) {
    if (const auto turn = compare_database(database, problem); turn != Turn::done) return turn;
  }
  return Turn::done;
}

Comparison::Turn Comparison::compare_database(const std::string& database, std::string& problem) {
  std::vector<std::size_t> open, moving;
  const auto sort_out = [&] {
    const std::lock_guard guard(mutex_);
    open.clear();
    moving.clear();
    for (std::size_t i = 0; i < state_.tables.size(); ++i) {
      const auto& one = state_.tables[i];
      if (one.database != database) continue;
      if (one.stage == TableStage::waiting || one.stage == TableStage::running) open.push_back(i);
      if (!one.unsettled.empty()) moving.push_back(i);
    }
  };
  sort_out();
  if (open.empty() && moving.empty()) return Turn::done;
  const auto bounds = context_.config().compare;
  auto link = context_.pair->open(database, bounds.statement_ms_max);
  if (!link) {
    problem = link.error().message();
    return Turn::failed;
  }
  CompareHands hands{link->sql, *link->writer, *link->follower};
  hands.rounds = bounds.rounds;
  hands.go_on = [this] { return halt() == Halt::none; };
  hands.waits = [this](std::string text) {
    const std::lock_guard guard(mutex_);
    waiting_for_ = std::move(text);
  };
  piece_began_ = Clock::now();
  for (const bool again : {false, true}) {
    sort_out();
    for (const auto index : again ? moving : open) {
      hands.piece_rows = bounds.piece_rows;
      if (const auto turn = compare_table(index, *link, hands, again, problem); turn != Turn::done) return turn;
    }
  }
  return Turn::done;
}

Comparison::Turn Comparison::compare_table(std::size_t index, CompareLink& link, CompareHands& hands, bool again,
                                           std::string& problem) {
  TableState table;
  {
    const std::lock_guard guard(mutex_);
    table = state_.tables[index];
    current_ = table.full_text();
    waiting_for_.clear();
  }
  hands.listed_max = listed_max(index);
  hands.keep = [this, index](const TableState& now, std::uint64_t rows) { return keep(index, now, rows); };
  CompareError error;
  for (std::uint32_t tries = 0; tries < tries_max; ++tries) {
    if (tries > 0 && !rest(retry_ms / 4)) return Turn::gave_way;
    hands.writer.roll_back();
    hands.follower.roll_back();
    const auto look = context_.pair->look(link, table);
    if (!look) {
      error = look.error();
      break;
    }
    if (!look->why_not.empty()) {
      fail_table(index, look->why_not);
      return Turn::done;
    }
    {
      const std::lock_guard guard(mutex_);
      table = state_.tables[index];
    }
    TableComparison comparison(hands, *look, table);
    const bool is_done = again ? comparison.settle_again() : comparison.run();
    if (is_done) {
      const auto& now = comparison.state();
      if (!again && !now.differences.empty()) {
        tell(now.text() + ": " + std::to_string(now.differences.size()) + " differences");
      }
      return Turn::done;
    }
    if (!comparison.error()) return Turn::gave_way;
    error = *comparison.error();
    if (error.lost) break;
    // Too long for one statement: smaller pieces. Anything else may have been a lock, or a table that was altered.
    if (error.too_slow) hands.piece_rows = std::max(least_piece, hands.piece_rows / 4);
  }
  problem = error.message();
  if (error.lost) return Turn::failed;
  if (!again) fail_table(index, problem);
  return Turn::done;
}

// Each table has its own bound, and all of them together one: with a wrong green every row of every table differs.
std::size_t Comparison::listed_max(std::size_t index) const {
  const std::size_t most = context_.config().compare.differences_max;
  std::size_t others = 0;
  const std::lock_guard guard(mutex_);
  for (std::size_t i = 0; i < state_.tables.size(); ++i) {
    if (i != index) others += state_.tables[i].differences.size() + state_.tables[i].unsettled.size();
  }
  const std::size_t all = tables_full_max * most;
  return std::clamp<std::size_t>(all > others ? all - others : 0, 1, most);
}

void Comparison::fail_table(std::size_t index, std::string text) {
  {
    const std::lock_guard guard(mutex_);
    auto& table = state_.tables[index];
    table.stage = TableStage::failed;
    table.error = text;
  }
  save(true);
  tell("could not be compared: " + text);
}

bool Comparison::keep(std::size_t index, const TableState& table, std::uint64_t rows) {
  std::uint64_t rate = 0;
  {
    const std::lock_guard guard(mutex_);
    state_.tables[index] = table;
    rate = state_.rows_per_second;
  }
  save(table.stage == TableStage::done);
  const auto took_ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - piece_began_).count();
  if (!rest(rest_ms(rows, static_cast<std::uint64_t>(took_ms), rate))) return false;
  if (!wait_for_lag()) return false;
  piece_began_ = Clock::now();
  return halt() == Halt::none;
}

bool Comparison::wait_for_lag() {
  if (Clock::now() - lag_looked_at_ < lag_every) return true;
  while (true) {
    lag_looked_at_ = Clock::now();
    const auto lag = context_.lag();
    const auto most = context_.config().compare.lag_bytes_max;
    const bool is_late = lag.known && lag.bytes > static_cast<double>(most);
    {
      const std::lock_guard guard(mutex_);
      waiting_for_ = is_late ? std::string(router::name(router::other(writer_))) + " is " +
                                   std::to_string(static_cast<std::uint64_t>(lag.bytes)) +
                                   " bytes behind; going on below " + std::to_string(most)
                             : "";
    }
    if (!is_late) return true;
    if (!rest(look_ms)) return false;
  }
}

// False: there is a reason not to go on.
bool Comparison::rest(std::uint64_t ms) {
  const auto until = Clock::now() + std::chrono::milliseconds(ms);
  while (Clock::now() < until) {
    if (halt() != Halt::none) return false;
    std::unique_lock lock(mutex_);
    const auto wake = std::min(until, Clock::now() + std::chrono::milliseconds(look_ms));
    wake_.wait_until(lock, wake, [this] { return stopping_ || ordered_to_stop_; });
  }
  return true;
}

void Comparison::save(bool now) {
  if (!now && Clock::now() - saved_at_ < save_every) return;
  std::string content;
  {
    const std::lock_guard guard(mutex_);
    content = serialized(state_);
  }
  const auto error = write_durably(context_.file, content);
  saved_at_ = Clock::now();
  if (!error.empty() && error != last_file_error_) tell("the state of the comparison is not kept: " + error);
  last_file_error_ = error;
}

void Comparison::end(ComparePhase phase, std::string reason) {
  std::string text;
  {
    const std::lock_guard guard(mutex_);
    state_.phase = phase;
    state_.reason = std::move(reason);
    state_.ended_at = utc_now();
    waiting_for_.clear();
    current_.clear();
    text = std::string("comparison ") + name(phase);
    if (const auto outcome = state_.outcome(); !outcome.empty()) text += ": " + outcome;
    if (!state_.reason.empty()) text += ": " + state_.reason;
  }
  save(true);
  tell(std::move(text));
}

void Comparison::tell(std::string text) {
  boost::json::object event{{"text", std::move(text)}};
  {
    const std::lock_guard guard(mutex_);
    event["phase"] = name(state_.phase);
    event["outcome"] = state_.outcome();
  }
  context_.on_event(std::move(event));
}

}  // namespace turnout::control
