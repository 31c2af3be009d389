// LISTEN in a session: the server executes it like any other statement, so errors, rollback and names are its own. At
// the next safe point the channels are taken over by the hub (proxy/channel_hub.h), and the connection is free for
// others:
//
//   ask the backend for its channels → the hub listens to them → mark the queue, UNLISTEN * → give the connection back
//
// Until the mark the backend's notifications go to the client; what it says behind the mark is the hub's to say and is
// swallowed. If the hub cannot, the session keeps its connection: nothing fails, it is only pinned.
#include <algorithm>

#include "proxy/lock_transfer.h"
#include "proxy/session.h"
#include "proxy/subscription.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::string_view ask_sql = "SELECT pg_catalog.pg_listening_channels()";

const std::string* reported(const ServerConnection& connection, std::string_view name) {
  for (const auto& [known, value] : connection.reported())
    if (known == name) return &value;
  return nullptr;
}

// The hub's lines have the encoding that the servers have by default.
bool has_default_encoding(const ServerConnection& connection) {
  const std::string* const ours = reported(connection, "client_encoding");
  const std::string* const theirs = reported(connection, "server_encoding");
  return ours != nullptr && theirs != nullptr && *ours == *theirs;
}

}  // namespace

bool Subscription::is_asked(std::string_view channel) const {
  return take_over == TakeOver::marking && std::find(asked.begin(), asked.end(), channel) != asked.end();
}

Subscription& Session::subscription() {
  if (!subscription_) subscription_ = std::make_unique<Subscription>();
  return *subscription_;
}

void Session::send_own(OwnQuery query, std::string_view sql) {
  std::string message;
  pg::put_query(message, sql);
  server_->exchange.sent(pg::Request::query, pg::Owner::ours, static_cast<std::uint32_t>(query));
  server_->unnamed_owner = 0;  // a simple query destroys the unnamed statement
  server_->send(message);
}

// At a safe point, with LISTEN among what pins the session.
void Session::continue_take_over() {
  const router::RoutingTable& table = shard_.table();
  // Where a session keeps its connection anyway there is nothing to gain, until it shall change sides.
  const bool is_moving = table.hold != router::Hold::nothing || table.sides[router::index(other(table.writer))].warm;
  if (conf().pool.mode == conf::PoolMode::session && !is_moving) return;
  Subscription& mine = subscription();
  switch (mine.take_over) {
    case Subscription::TakeOver::none:
      ask_channels();
      return;
    case Subscription::TakeOver::ready:
      mine.is_stale ? ask_channels() : send_mark();
      return;
    case Subscription::TakeOver::marked:
      send_unlisten();
      return;
    case Subscription::TakeOver::asking:
    case Subscription::TakeOver::ordering:
    case Subscription::TakeOver::marking:
    case Subscription::TakeOver::unlistening:
    case Subscription::TakeOver::refused:
      return;
  }
}

void Session::ask_channels() {
  subscription_->asked.clear();
  subscription_->is_stale = false;
  subscription_->take_over = Subscription::TakeOver::asking;
  send_own(OwnQuery::ask_channels, ask_sql);
}

void Session::send_mark() {
  const std::string channel = pg::quote_identifier(mark_channel(shard_.deployment));
  const std::string notify = "NOTIFY " + channel + ", '";
  subscription_->take_over = Subscription::TakeOver::marking;
  subscription_->mark_seen = subscription_->mark_answered = false;
  subscription_->marked_ticket = subscription_->ticket;
  // Behind the mark the hub tells the session its own notifications as well.
  server_->announced = number_;
  send_own(OwnQuery::mark, "LISTEN " + channel + "; " + notify + owner_mark(number_) + "'; " + notify +
                               hear_mark(number_, subscription_->ticket) + "'");
}

// By name, not all: LISTEN may have been run again behind the mark.
void Session::send_unlisten() {
  std::string sql = "UNLISTEN " + pg::quote_identifier(mark_channel(shard_.deployment));
  for (const std::string& channel : subscription_->asked) sql += "; UNLISTEN " + pg::quote_identifier(channel);
  subscription_->take_over = Subscription::TakeOver::unlistening;
  send_own(OwnQuery::unlisten, sql);
}

void Session::own_row(OwnQuery query, pg::Bytes body) {
  if (query == OwnQuery::ask_pins)
    if (const auto row = pg::first_column(body)) pins_answered(*row);
  if (query == OwnQuery::ask_locks && lock_transfer_)
    lock_transfer_->rows.emplace_back(pg::first_column(body).value_or(""));
  if (query != OwnQuery::ask_channels || !subscription_) return;
  if (const auto channel = pg::first_column(body)) subscription_->asked.emplace_back(*channel);
}

void Session::own_failed(OwnQuery query) {
  if (query == OwnQuery::echo) release_ready();
  if (query == OwnQuery::ask_locks) {
    locks_asked(true);
    return;
  }
  if (query == OwnQuery::echo || query == OwnQuery::announce_owner || query == OwnQuery::ask_pins || !subscription_)
    return;
  if (query == OwnQuery::mark) subscription_->marked_ticket = 0;  // it never comes by
  subscription_->take_over = Subscription::TakeOver::refused;
}

void Session::own_answered(OwnQuery query) {
  if (query == OwnQuery::ask_locks) locks_asked(false);
  if (!subscription_) return;
  Subscription& mine = *subscription_;
  if (query == OwnQuery::ask_channels && mine.take_over == Subscription::TakeOver::asking) order_channels();
  if (query == OwnQuery::mark) {
    mine.mark_answered = true;
    settle_mark();
  }
  if (query == OwnQuery::unlisten && mine.take_over == Subscription::TakeOver::unlistening) unpin_listen();
}

void Session::settle_mark() {
  Subscription& mine = *subscription_;
  if (mine.take_over != Subscription::TakeOver::marking || !mine.mark_seen) return;
  mine.channels.insert(mine.asked.begin(), mine.asked.end());
  if (mine.mark_answered) mine.take_over = Subscription::TakeOver::marked;
}

void Session::unpin_listen() {
  subscription_->take_over = Subscription::TakeOver::none;
  if (!subscription_->is_stale) pins_ &= ~static_cast<std::uint32_t>(pin_listen);
}

void Session::order_channels() {
  Subscription& mine = *subscription_;
  std::erase(mine.asked, mark_channel(shard_.deployment));
  if (mine.asked.empty()) {  // rolled back, or unlistened again
    unpin_listen();
    return;
  }
  std::vector<std::string> fresh;
  for (const std::string& channel : mine.asked)
    if (!mine.channels.contains(channel)) fresh.push_back(channel);
  if (fresh.empty()) {  // heard already
    mine.take_over = Subscription::TakeOver::marked;
    return;
  }
  if (mine.channels.size() + fresh.size() > conf().limits.session_channels_max || !has_default_encoding(*server_)) {
    mine.take_over = Subscription::TakeOver::refused;
    return;
  }
  mine.take_over = Subscription::TakeOver::ordering;
  ++mine.ticket;
  tell_hub(shard_, account_.shared,
           [number = number_, ticket = mine.ticket, marked = mine.marked_ticket, fresh](ChannelHub& hub) {
             hub.subscribe(number, ticket, marked, fresh);
           });
}

void Session::channels_ready(std::uint32_t ticket) {
  if (!subscription_ || subscription_->ticket != ticket || server_ == nullptr ||
      subscription_->take_over != Subscription::TakeOver::ordering)
    return;
  subscription_->take_over = Subscription::TakeOver::ready;
  if (is_at_safe_point()) continue_take_over();
}

void Session::channels_refused(std::uint32_t ticket) {
  if (subscription_ && subscription_->ticket == ticket) subscription_->take_over = Subscription::TakeOver::refused;
}

// true: the session has ended.
bool Session::listen_at_safe_point() {
  if (subscription_->is_lost) {
    end_deaf();
    return true;
  }
  deliver_notifications();
  if (subscription_->holds_ready && wait_for_echo()) return true;
  if (state_ != State::ended && server_ != nullptr && (pins_ & pin_listen) != 0) continue_take_over();
  return state_ == State::ended;
}

bool Session::is_at_safe_point() const {
  if (client_status_ != 'I' || body_left_ != 0 || rolling_back_ || detour_) return false;
  return server_ == nullptr || (server_->exchange.is_safe_point() && server_->body_left == 0);
}

// ---- UNLISTEN ------------------------------------------------------------------------------------------------------

void Session::note_listen_effect(const pg::Effect& effect) {
  using Kind = pg::EffectKind;
  if (effect.kind == Kind::listen) {
    pins_ |= pin_listen;
    Subscription& mine = subscription();
    mine.is_stale = true;
    if (mine.take_over == Subscription::TakeOver::refused) mine.take_over = Subscription::TakeOver::none;
    return;
  }
  if (!subscription_) return;
  if (effect.kind == Kind::unlisten) subscription_->unlistened.unlisten(effect.name);
  if (effect.kind == Kind::unlisten_all || effect.kind == Kind::discard_all) subscription_->unlistened.unlisten_all();
  if (effect.kind == Kind::savepoint) subscription_->unlistened.savepoint(effect.name, effect.value);
  if (effect.kind != Kind::savepoint && subscription_->take_over == Subscription::TakeOver::refused)
    subscription_->take_over = Subscription::TakeOver::none;  // fewer now
}

template <typename IsOver>
void Session::drop_queued(IsOver is_over) {
  Subscription& mine = *subscription_;
  std::erase_if(mine.queue, [&](const NotificationPtr& message) {
    const auto told = pg::parse_notification(pg::bytes_of(*message).subspan(pg::header_bytes));
    if (!told || !is_over(told->channel)) return false;
    mine.queued_bytes -= message->size();
    return true;
  });
}

// The transaction is over.
void Session::settle_unlistened(bool committed) {
  Subscription& mine = *subscription_;
  mine.has_notified = false;
  if (!committed) {
    mine.unlistened.clear();
    return;
  }
  if (mine.unlistened.is_empty()) return;
  pg::UnlistenLog::Changes changes = mine.unlistened.take();
  if (changes.all) {
    mine.channels.clear();
    drop_queued([](std::string_view) { return true; });
    tell_hub(shard_, account_.shared, [number = number_](ChannelHub& hub) { hub.unsubscribe_all(number); });
    ++mine.ticket;  // an order that is under way is void
    if (mine.take_over != Subscription::TakeOver::refused) mine.take_over = Subscription::TakeOver::none;
    return;
  }
  for (const std::string& channel : changes.channels) {
    mine.channels.erase(channel);
    std::erase(mine.asked, channel);  // not to be taken over any more, however far that is: the hub forgets it too
  }
  drop_queued([&](std::string_view channel) {
    return std::find(changes.channels.begin(), changes.channels.end(), channel) != changes.channels.end();
  });
  tell_hub(shard_, account_.shared, [number = number_, channels = std::move(changes.channels)](ChannelHub& hub) {
    hub.unsubscribe(number, channels);
  });
}

// ---- hearing -------------------------------------------------------------------------------------------------------

// From the session's own backend. What it says of a channel of the hub's, the hub says too.
void Session::take_notification(ServerConnection& connection, pg::Bytes body, std::string& out) {
  const auto told = pg::parse_notification(body);
  if (!told) return;
  if (told->channel == mark_channel(shard_.deployment)) {
    // Others' marks come by as well: only where its own lies, the backend's part ends.
    if (subscription_ && told->payload == hear_mark(number_, subscription_->marked_ticket)) {
      subscription_->mark_seen = true;
      settle_mark();
    }
    return;
  }
  if (subscription_ && subscription_->channels.contains(told->channel)) return;
  // Nobody else's LISTEN, left on a connection that is shared, shall be heard here.
  const bool listens =
      (pins_ & pin_listen) != 0 || !pending_effects_.empty() || conf().pool.mode == conf::PoolMode::session;
  if (!listens) return;
  const std::uint32_t pid = told->pid == connection.backend_pid() ? number_ : foreign_pid(told->pid);
  pg::put_notification(out, {pid, told->channel, told->payload});
}

void Session::notified(const NotificationPtr& message) {
  if (state_ == State::ended || !subscription_ || subscription_->is_lost) return;
  Subscription& mine = *subscription_;
  const auto told = pg::parse_notification(pg::bytes_of(*message).subspan(pg::header_bytes));
  const bool is_expected = told && (mine.channels.contains(told->channel) || mine.is_asked(told->channel));
  if (!is_expected) return;  // unlistened meanwhile
  mine.queue.push_back(message);
  mine.queued_bytes += message->size();
  if (mine.queued_bytes > conf().limits.notification_queue_bytes_max)
    end("too many notifications for a client that does not take them", "53400",
        "more notifications wait for this client than limits.notification_queue allows");
}

// Where the server would send them: outside a transaction, between two answers.
void Session::deliver_notifications() {
  constexpr std::size_t at_once_bytes = 64 * 1024;
  if (!subscription_) return;
  Subscription& mine = *subscription_;
  while (!mine.queue.empty() && state_ != State::ended && is_at_safe_point() && output_.empty()) {
    std::string bytes;
    for (; !mine.queue.empty() && bytes.size() < at_once_bytes; mine.queue.pop_front()) bytes += *mine.queue.front();
    mine.queued_bytes -= bytes.size();
    send_to_client(bytes);
  }
}

// ---- one's own notifications ---------------------------------------------------------------------------------------
//
// A server sends a session its own notifications before it says that it is ready. Here they come by way of the hub: so
// the session sends an echo, a NOTIFY behind them, and the client is told that the server is ready when the hub has it.

bool Session::must_hold_ready(const ServerConnection& connection, pg::Bytes body) const {
  const Subscription& mine = *subscription_;
  const bool is_committed = !body.empty() && body[0] == 'I' && !unit_failed_ && !rolled_back_tag_;
  if (!is_committed || mine.channels.empty() || mine.is_lost || ramped_) return false;
  if (connection.pool().access() != router::Access::write || !connection.exchange.is_idle()) return false;
  if (trail_ && !trail_->restarted.empty()) return false;  // it comes behind what is set again
  // Who unlistens hears no echo: the hub may know nothing of it any more.
  return mine.unlistened.is_empty() && mine.has_notified;
}

bool Session::is_ready_held() const {
  return subscription_ && subscription_->holds_ready;
}

// true: not yet.
bool Session::wait_for_echo() {
  Subscription& mine = *subscription_;
  if (mine.echo_sent) return true;
  mine.echo_sent = true;
  ++mine.echo;
  send_own(OwnQuery::echo, "NOTIFY " + pg::quote_identifier(mark_channel(shard_.deployment)) + ", '" +
                               echo_mark(number_, mine.echo) + "'");
  return true;
}

void Session::echoed(std::uint32_t echo) {
  if (!is_ready_held() || subscription_->echo != echo) return;
  release_ready();
  if (state_ != State::ended && server_ != nullptr && is_at_safe_point()) unit_done(*server_);
}

void Session::release_ready() {
  Subscription& mine = *subscription_;
  mine.holds_ready = mine.echo_sent = false;
  std::string bytes;
  for (const NotificationPtr& message : mine.queue) bytes += *message;
  mine.queue.clear();
  mine.queued_bytes = 0;
  pg::put_ready_for_query(bytes, 'I');
  send_to_client(bytes);
}

// ---- the end -------------------------------------------------------------------------------------------------------

// What was missed cannot be known: as when a listening session loses its own server.
void Session::listener_lost() {
  if (!subscription_) return;
  subscription_->is_lost = true;
  if (is_at_safe_point()) end_deaf();
}

void Session::end_deaf() {
  end("the listening connection was lost", "57P01",
      "terminating connection: the server connection that listened for this session was lost");
}

void Session::forget_channels() {
  if (!subscription_) return;
  tell_hub(shard_, account_.shared, [number = number_](ChannelHub& hub) { hub.unsubscribe_all(number); });
}

// Notifications carry the notifying backend's pid, and clients compare it with their own to know their own ones. So the
// hubs are told, in the queue itself, for whom a backend works from here on; only sessions that listen need it.
void Session::announce_owner(ServerConnection& connection) {
  const bool listens = subscription_ && !subscription_->channels.empty();
  const std::uint32_t wanted = listens ? number_ : 0;
  if (connection.announced == wanted || connection.pool().access() != router::Access::write) return;
  connection.announced = wanted;
  pg::put_query(worker().to_server.own(),
                "NOTIFY " + pg::quote_identifier(mark_channel(shard_.deployment)) + ", '" + owner_mark(wanted) + "'");
  connection.exchange.sent(pg::Request::query, pg::Owner::ours, static_cast<std::uint32_t>(OwnQuery::announce_owner));
  connection.unnamed_owner = 0;
}

}  // namespace turnout::proxy
