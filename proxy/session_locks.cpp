// Session advisory locks through a cutover and a rollback, a session's half (proxy/lock_transfer.h):
//
//   hold: ask for the locks → try them on a warm connection of the other side → all of them? parked, else it stays
//   hold is over, other writer: prove the new connection → let go on the old one, counting → as often on the new one
//   hold is over, same writer: prove the old connection, clean the new one, go on as if nothing had happened
//
// What the session has not finished when it is parked waits like other work. Before that it goes on, and the fence
// waits for it (begin_later): whoever waits for one of its locks is what a drain waits for.
#include "proxy/lock_transfer.h"

#include <algorithm>

#include "proxy/canceller.h"
#include "proxy/session.h"
#include "proxy/subscription.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

using Stage = LockTransfer::Stage;

namespace {

constexpr std::size_t locks_max = 1'000;           // of one session; with more it stays where it is
constexpr std::size_t message_bytes_max = 64'000;  // of an answer to our own questions, or a report
constexpr std::uint64_t quiet_ms = 2;              // without work: in the midst of a critical section it is not parked
constexpr std::uint64_t again_ms = 10;
constexpr std::uint64_t patience_ms = 50;  // with a statement that waits for a lock: it may be had any moment
constexpr std::uint64_t answer_ms_max = 2'000;
constexpr std::uint64_t resume_ms_max = 5'000;

bool all_true(const std::vector<std::string>& rows, std::size_t count) {
  return rows.size() >= count && std::all_of(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count),
                                             [](const std::string& row) { return row == "t"; });
}

// A connection that holds them must be the one that writes later on.
bool takes_locks(const router::RoutingTable& table, router::Side side) {
  const router::SideOrders& orders = table.sides[router::index(side)];
  return orders.warm && !orders.keeps_default;
}

}  // namespace

// ---- when ----------------------------------------------------------------------------------------------------------

// At a safe point, or with a new table. A session without such locks never gets here.
void Session::note_locks(bool is_late) {
  if (lock_transfer_ && lock_transfer_->stage == Stage::asked && !lock_transfer_->is_parked()) {
    take_locks();
    return;
  }
  if ((pins_ & pin_advisory_lock) == 0) {
    if (lock_transfer_ && !lock_transfer_->is_parked()) drop_locks();
    return;
  }
  if (shard_.table().hold == router::Hold::nothing) return;
  if (!lock_transfer_) {
    lock_transfer_ = std::make_unique<LockTransfer>();
    lock_transfer_->holds_work = is_late;
    lock_transfer_->since_ms = worker().loop.now_ms();
    shard_.watch_locks(*this);
  }
  if (lock_transfer_->stage == Stage::waiting) lock_transfer_->next_ms = worker().loop.now_ms() + quiet_ms;
  note_begin_later();
}

bool Session::may_move_locks() const {
  if (pins_ != pin_advisory_lock || (recheck_ & pins_) != 0 || server_ == nullptr || state_ != State::active)
    return false;
  if (server_->cancels_in_flight != 0) return false;  // a late one must not hit what we ask
  if (!is_at_safe_point() || is_ready_held() || !pending_effects_.empty()) return false;
  const Pool& pool = server_->pool();
  return pool.access() == router::Access::write && shard_.table().hold != router::Hold::nothing &&
         takes_locks(shard_.table(), other(pool.side()));
}

// The shard's tick. false: nothing is left to do.
bool Session::continue_locks(std::uint64_t now_ms) {
  if (!lock_transfer_ || state_ == State::ended) return false;
  LockTransfer& mine = *lock_transfer_;
  const bool is_late = now_ms >= mine.next_ms;
  if (mine.is_parked()) {
    continue_parked(now_ms);
  } else if (mine.is_cancelling || (mine.holds_work && server_ != nullptr && server_->cancels_in_flight != 0)) {
    return true;  // whatever comes of it: nothing may go out before
  } else if (server_ == nullptr || shard_.table().hold == router::Hold::nothing) {
    drop_locks();
    let_lock_work_go();
  } else if (mine.stage == Stage::waiting && is_late && may_move_locks()) {
    mine.stage = Stage::asking;
    mine.work = work_;
    mine.rows.clear();
    mine.has_failed = false;
    send_own(OwnQuery::ask_locks, pg::ask_advisory_locks());
  } else if (mine.stage == Stage::waiting && is_late && (recheck_ & pins_) != 0 && is_at_safe_point() &&
             server_->cancels_in_flight == 0) {
    ask_pins();
  } else if (mine.stage == Stage::waiting && now_ms >= mine.since_ms + patience_ms && waits_for_lock()) {
    end_lock_wait();
  } else if (mine.stage == Stage::taking && is_late) {
    lose_fresh();
  }
  return state_ != State::ended && lock_transfer_ != nullptr;
}

void Session::continue_parked(std::uint64_t now_ms) {
  LockTransfer& mine = *lock_transfer_;
  const router::RoutingTable& table = shard_.table();
  const bool is_over = table.hold == router::Hold::nothing;
  if (is_over && mine.until_ms == 0) mine.until_ms = now_ms + resume_ms_max;
  if (mine.until_ms != 0 && now_ms > mine.until_ms) {
    end_without_locks("they could not be taken over in time");
    return;
  }
  const bool may_resume =
      mine.stage == Stage::parked ||
      (table.writer == mine.old->pool().side() && (mine.stage == Stage::waiting || mine.stage == Stage::taking));
  if (is_over && may_resume) {
    mine.comes_back = table.writer == mine.old->pool().side();
    if (mine.comes_back) abandon_fresh();
    mine.stage = Stage::proving;
    prove_for_locks();
  } else if (mine.stage == Stage::proving && mine.asked == nullptr && now_ms >= mine.next_ms) {
    prove_for_locks();
  } else if (mine.stage == Stage::waiting && now_ms >= mine.next_ms) {
    take_locks();
  } else if (mine.stage == Stage::taking && now_ms >= mine.next_ms) {
    lose_fresh();
  }
}

// ---- who waits for one ---------------------------------------------------------------------------------------------
//
// A statement that waits for a lock of a session that moves would wait, and the drain with it, until that one has moved
// and lets go. Cancelled it has done nothing, and the client has heard nothing: it waits anew on the new writer.

// Is the unit that begins with this message, which was just taken, to be kept until then?
bool Session::may_wait_for_lock(char first) const {
  const auto waits = [](const pg::Effect& effect) {
    return effect.kind == pg::EffectKind::advisory_lock && !effect.name.starts_with("pg_try");
  };
  if (first == 'Q') return pending_effects_.size() == 1 && waits(pending_effects_[0].effect);
  return first == 'P' && unnamed_watch_ && unnamed_watch_->effects.size() == 1 && waits(unnamed_watch_->effects[0]);
}

bool Session::waits_for_lock() const {
  if (server_ == nullptr || state_ != State::active || client_status_ != 'I' || body_left_ != 0) return false;
  const bool is_unseen = record_ == Record::whole && !told_more_ && told_trivial_ == 0 && !answered_ && !detour_ &&
                         !was_renewed_ && held_reply_.empty();
  const pg::Exchange& exchange = server_->exchange;
  if (!is_unseen || !may_wait_for_lock('Q') || exchange.units_owed() != 1) return false;
  std::string_view sql = unnamed_parse_.c_str();
  if (bound_ != nullptr) sql = bound_->statement->sql();
  if (replay_.starts_with('Q')) sql = replay_.c_str() + pg::header_bytes;
  const Pool& pool = server_->pool();
  return pool.access() == router::Access::write && server_->cancels_in_flight == 0 && pg::waits_for_one_lock(sql) &&
         takes_locks(shard_.table(), other(pool.side()));
}

void Session::end_lock_wait() {
  lock_transfer_->is_cancelling = lock_transfer_->holds_work = true;
  server_->suspect = true;  // what else it has locked
  send_cancel(shard_, *server_);
}

// true: the client hears nothing of this error, the unit will run once more.
bool Session::lock_wait_ended(pg::Bytes error) {
  if (!std::exchange(lock_transfer_->is_cancelling, false)) return false;
  was_renewed_ = pg::parse_error(error).sqlstate == "57014";
  return was_renewed_;
}

// ---- taking them on the other side ---------------------------------------------------------------------------------

void Session::locks_asked(bool failed) {
  if (!lock_transfer_ || lock_transfer_->stage != Stage::asking) return;
  LockTransfer& mine = *lock_transfer_;
  if (failed) {
    wait_with_locks("its server does not say which");
    return;
  }
  mine.locks.clear();
  for (const std::string& row : mine.rows)
    if (const auto lock = pg::parse_advisory_lock(row)) mine.locks.push_back(*lock);
  mine.stage = Stage::asked;  // at the safe point behind this answer they are taken
}

void Session::take_locks() {
  LockTransfer& mine = *lock_transfer_;
  if (!mine.is_parked() && (!may_move_locks() || mine.work != work_)) {
    wait_with_locks({});
    return;
  }
  if (mine.locks.empty()) {
    drop_locks();
    recheck_ |= pin_advisory_lock;  // let go of in a way that was not seen
    return;
  }
  if (mine.locks.size() > locks_max) {
    wait_with_locks("more than " + std::to_string(locks_max));
    return;
  }
  // Who waits for it may be what the drain waits for.
  const auto wanted =
      std::find_if(mine.locks.begin(), mine.locks.end(), [](const auto& lock) { return lock.is_wanted; });
  if (!mine.is_parked() && wanted != mine.locks.end()) {
    wait_with_locks("somebody waits for " + wanted->text());
    if (std::exchange(mine.holds_work, false)) let_lock_work_go();  // it may be what lets go
    return;
  }
  const router::Side side = other((mine.is_parked() ? mine.old : server_)->pool().side());
  Connection* const spare = account_.pool(side, router::Access::write).take_spare(*this);
  mine.fresh = spare != nullptr ? &of_postgres(*spare) : nullptr;
  if (mine.fresh == nullptr) {
    wait_with_locks("there is no connection to " + std::string(router::name(side)) + " yet");
    return;
  }
  mine.stage = Stage::taking;
  mine.next_ms = worker().loop.now_ms() + answer_ms_max;
  std::string message;
  if (mine.fresh->suspect && mine.fresh->last_session != number_) {
    pg::put_query(message, "DISCARD ALL");
    mine.fresh->exchange.sent(pg::Request::query, pg::Owner::ours);
    mine.fresh->forget_state();
    mine.fresh->send(message);
    if (mine.fresh == nullptr) return;  // lost
  }
  mine.fresh->last_session = number_;
  ask_for_locks(*mine.fresh, pg::try_advisory_locks(mine.locks));
}

void Session::locks_taken() {
  LockTransfer& mine = *lock_transfer_;
  if (!mine.has_failed && all_true(mine.rows, mine.locks.size())) {
    if (mine.is_parked()) {
      mine.stage = Stage::parked;
    } else if (may_move_locks() && mine.work == work_) {
      park_with_locks();
    } else {
      wait_with_locks({});
    }
    return;
  }
  std::string key = "they";
  for (std::size_t i = 0; i < std::min(mine.rows.size(), mine.locks.size()); ++i)
    if (mine.rows[i] != "t") key = mine.locks[i].text();
  wait_with_locks(key + " cannot be had on " + router::name(mine.fresh->pool().side()));
}

void Session::wait_with_locks(std::string refusal) {
  LockTransfer& mine = *lock_transfer_;
  abandon_fresh();
  mine.stage = Stage::waiting;
  mine.next_ms = worker().loop.now_ms() + again_ms;
  if (!refusal.empty()) mine.refusal = std::move(refusal);
}

void Session::park_with_locks() {
  LockTransfer& mine = *lock_transfer_;
  if (record_ != Record::off) stop_recording();
  mine.old = server_;
  mine.stage = Stage::parked;
  mine.refusal.clear();
  server_ = nullptr;
  awaiting_types_ = false;
  if (begins_later_) note_begin_later();
  shard_.lease_ended(mine.old->pool());
  mine.old->pool().set_parked(*mine.old, true);
  set_state(State::idle);
  let_lock_work_go();
}

// What waited for it: to where it belongs now.
void Session::let_lock_work_go() {
  pause_client(false);
  run_input();
}

// Its client has more work while it is parked, or goes on only just now.
void Session::wait_for_locks(std::size_t bytes) {
  if (shard_.table().hold != router::Hold::nothing) {
    start_hold(bytes);
    return;
  }
  set_state(State::waiting);
  unit_began_us_ = since_us_;
  if (held_us_ == 0) held_us_ = since_us_;
  worker().loop.tick_soon();
}

// ---- the hold is over ----------------------------------------------------------------------------------------------

void Session::prove_for_locks() {
  LockTransfer& mine = *lock_transfer_;
  ServerConnection& connection = *(mine.comes_back ? mine.old : mine.fresh);
  if (connection.pool().needs_proof(connection))
    ask_for_locks(connection, "SHOW transaction_read_only");
  else
    locks_proven();
}

void Session::locks_proven() {
  LockTransfer& mine = *lock_transfer_;
  if (mine.comes_back) {
    ServerConnection& connection = *std::exchange(mine.old, nullptr);
    connection.pool().set_parked(connection, false);
    go_on_with_locks(connection);
    return;
  }
  mine.stage = Stage::releasing;
  ask_for_locks(*mine.old, pg::release_advisory_locks(mine.locks));
}

void Session::locks_released() {
  LockTransfer& mine = *lock_transfer_;
  if (mine.has_failed || !all_true(mine.rows, mine.locks.size())) {
    end_without_locks("its former server did not let go of them");
    return;
  }
  mine.more.clear();
  for (std::size_t i = mine.locks.size(); i < mine.rows.size(); ++i)
    if (const auto lock = pg::parse_advisory_lock(mine.rows[i])) mine.more.push_back(*lock);
  if (mine.more.empty()) {
    finish_locks();
    return;
  }
  mine.stage = Stage::draining;
  ask_for_locks(*mine.old, pg::drain_advisory_locks(mine.more));
}

void Session::locks_drained() {
  LockTransfer& mine = *lock_transfer_;
  bool is_known = !mine.has_failed && mine.rows.size() == mine.more.size();
  for (std::size_t i = 0; is_known && i < mine.more.size(); ++i) {
    const auto lock =
        std::find_if(mine.locks.begin(), mine.locks.end(), [&](const auto& one) { return one.is_same(mine.more[i]); });
    const auto times = pg::parse_count(mine.rows[i]);
    is_known = lock != mine.locks.end() && times;
    if (is_known) lock->times = 1 + *times;
  }
  if (!is_known) {
    end_without_locks("how often it held them is not known");
    return;
  }
  mine.stage = Stage::repeating;
  ask_for_locks(*mine.fresh, pg::repeat_advisory_locks(mine.locks));
}

void Session::finish_locks() {
  LockTransfer& mine = *lock_transfer_;
  ServerConnection& old = *std::exchange(mine.old, nullptr);
  old.is_parked = false;
  old.pool().remove(old);
  go_on_with_locks(*std::exchange(mine.fresh, nullptr));
}

void Session::go_on_with_locks(ServerConnection& connection) {
  lock_transfer_.reset();
  if (state_ == State::held) shard_.unhold(*this);
  if (state_ == State::idle) unit_began_us_ = worker().loop.now_us();
  attach(connection);
  if (shard_.table().hold != router::Hold::nothing) note_locks(false);  // the next one has begun
  pause_client(false);
  run_input();
  if (state_ == State::active) send_to_server();
}

// ---- answers -------------------------------------------------------------------------------------------------------

// The last thing a step does: the connection may be lost in it.
void Session::ask_for_locks(ServerConnection& connection, const std::string& sql) {
  LockTransfer& mine = *lock_transfer_;
  mine.rows.clear();
  mine.has_failed = false;
  mine.asked = &connection;
  std::string message;
  pg::put_query(message, sql);
  connection.exchange.sent(pg::Request::query, pg::Owner::ours);
  connection.unnamed_owner = 0;
  connection.send(message);
}

std::size_t Session::on_lock_bytes(ServerConnection& connection, pg::Bytes data) {
  LockTransfer& mine = *lock_transfer_;
  std::size_t at = 0;
  pg::Header header;
  while (at < data.size() && mine.broken == nullptr) {
    const pg::Bytes rest = data.subspan(at);
    const pg::Framing framing = pg::read_header(rest, message_bytes_max, header);
    if (framing == pg::Framing::incomplete || (framing == pg::Framing::complete && rest.size() < header.total())) break;
    if (framing == pg::Framing::malformed) {
      mine.broken = &connection;
      break;
    }
    at += header.total();
    const pg::Bytes body = rest.subspan(pg::header_bytes, header.body);
    const bool was_asked = !connection.exchange.is_idle();
    const auto received = connection.exchange.received(header.type, body.empty() ? std::uint8_t{0} : body[0]);
    if (received.action == pg::Exchange::Action::protocol_error || (received.is_error && !was_asked) ||
        mine.rows.size() > 2 * locks_max)
      mine.broken = &connection;
    if (received.is_error) mine.has_failed = true;
    if (header.type == 'D') mine.rows.emplace_back(pg::first_column(body).value_or(""));
    if (header.type != 'S') continue;
    pg::Reader reader(body);
    const auto name = reader.cstring();
    const auto value = reader.cstring();
    if (name && value) connection.parameter_reported(*name, *value);
  }
  return mine.broken == nullptr ? at : data.size();
}

void Session::after_lock_bytes(ServerConnection& connection) {
  if (state_ == State::ended || !lock_transfer_) return;
  LockTransfer& mine = *lock_transfer_;
  if (mine.broken == &connection) {
    mine.broken = nullptr;
    if (&connection == mine.fresh)
      lose_fresh();
    else
      end_without_locks("its former server said what nobody asked for");
    return;
  }
  if (mine.asked != &connection || !connection.exchange.is_idle()) return;
  mine.asked = nullptr;
  switch (mine.stage) {
    case Stage::taking:
      locks_taken();
      return;
    case Stage::proving:
      if (!mine.has_failed && !mine.rows.empty() && mine.rows[0] == "off") {
        connection.pool().proved(connection);
        locks_proven();
      } else {
        mine.next_ms = worker().loop.now_ms() + 1;
      }
      return;
    case Stage::releasing:
      locks_released();
      return;
    case Stage::draining:
      locks_drained();
      return;
    case Stage::repeating:
      if (mine.has_failed)
        end_without_locks("they could not be taken as often as before");
      else
        finish_locks();
      return;
    case Stage::waiting:
    case Stage::asking:
    case Stage::asked:
    case Stage::parked:
      return;
  }
}

// ---- when one of the connections goes ------------------------------------------------------------------------------

// true: it was one of these.
bool Session::lock_connection_lost(ServerConnection& connection, const std::string& why) {
  if (!lock_transfer_) return false;
  LockTransfer& mine = *lock_transfer_;
  if (&connection == mine.fresh) {
    mine.fresh = nullptr;
    fresh_lost();
    return true;
  }
  if (&connection != mine.old) return false;
  mine.old = nullptr;
  end("server connection lost", "08006", "server connection lost: " + why);
  return true;
}

void Session::lose_fresh() {
  ServerConnection& connection = *std::exchange(lock_transfer_->fresh, nullptr);
  connection.pool().remove(connection);
  fresh_lost();
}

void Session::fresh_lost() {
  LockTransfer& mine = *lock_transfer_;
  if (mine.stage == Stage::releasing || mine.stage == Stage::draining || mine.stage == Stage::repeating) {
    end_without_locks("the connection that had taken them over was lost");
    return;
  }
  mine.asked = nullptr;
  wait_with_locks("the connection that had taken them was lost");
}

void Session::abandon_fresh() {
  LockTransfer& mine = *lock_transfer_;
  ServerConnection* const connection = std::exchange(mine.fresh, nullptr);
  if (connection == nullptr) return;
  if (mine.asked == connection) mine.asked = nullptr;
  connection->suspect = true;
  connection->last_session = 0;
  connection->pool().give_back(*connection);
}

// Forgets what was under way, or at the session's end.
void Session::drop_locks() {
  abandon_fresh();
  if (ServerConnection* const old = std::exchange(lock_transfer_->old, nullptr)) {
    old->pool().set_parked(*old, false);
    old->suspect = true;
    old->last_session = 0;
    old->pool().give_back(*old);
  }
  lock_transfer_.reset();
}

// Going on without them would be worse: somebody else may hold them.
void Session::end_without_locks(const char* why) {
  end("its advisory locks are lost", "57P01",
      "terminating connection: the session's advisory locks did not survive the change of servers: " +
          std::string(why));
}

const std::string& Session::lock_refusal() const {
  static const std::string none;
  return lock_transfer_ ? lock_transfer_->refusal : none;
}

}  // namespace turnout::proxy
