#include "proxy/channel_hub.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "protocol/pg/notification.h"
#include "proxy/pool.h"
#include "proxy/session.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;
using router::Channels;
using router::SessionNumber;
using router::Side;

namespace {

constexpr std::uint64_t retry_ms = 200;
constexpr std::uint64_t unused_ms = 10'000;                      // a line without channels is closed after this
constexpr std::uint64_t flip_ms_max = 5'000;                     // for the former writer's line to bring our mark
constexpr std::size_t behind_flip_bytes_max = 16 * 1024 * 1024;  // of the new writer's notifications meanwhile
constexpr std::size_t owners_max = 100'000;

// "word number number"
struct Mark {
  std::string_view word;
  std::uint64_t first = 0, second = 0;
};

std::uint64_t take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  static_cast<void>(failure);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.empty()) text.remove_prefix(1);
  return number;
}

Mark parse_mark(std::string_view payload) {
  Mark mark;
  const std::size_t end = std::min(payload.find(' '), payload.size());
  mark.word = payload.substr(0, end);
  payload.remove_prefix(std::min(end + 1, payload.size()));
  mark.first = take_number(payload);
  mark.second = take_number(payload);
  return mark;
}

std::string flip_mark(std::uint64_t number) {
  return "flip " + std::to_string(number);
}

void put_listen(std::string& sql, const std::string& channel) {
  sql += "LISTEN " + pg::quote_identifier(channel) + ";";
}

}  // namespace

std::string mark_channel(const Deployment& deployment) {
  return "turnout_" + std::to_string(deployment.seed);
}

std::string hear_mark(SessionNumber session, std::uint32_t ticket) {
  return "hear " + std::to_string(session) + " " + std::to_string(ticket);
}

std::string owner_mark(SessionNumber session) {
  return "owner " + std::to_string(session);
}

std::string echo_mark(SessionNumber session, std::uint32_t echo) {
  return "echo " + std::to_string(session) + " " + std::to_string(echo);
}

// Session numbers carry their worker in the top six bits; this one stands for the servers.
std::uint32_t foreign_pid(std::uint32_t backend_pid) {
  return std::uint32_t{31} << 26 | (backend_pid & 0x3ffffff);
}

void tell_hub(const Shard& shard, SharedAccount& account, std::function<void(ChannelHub&)> order) {
  const std::size_t home = std::hash<std::string>{}(account.database + '\0' + account.user) % shard.worker.peers();
  Worker& worker = shard.worker.peer(home);
  worker.loop.post([&worker, &account, deployment = shard.deployment.index, order = std::move(order)] {
    order(worker.shard(deployment).account(account).hub());
  });
}

ChannelHub::ChannelHub(Account& account)
    : account_(account),
      mark_channel_(mark_channel(account.shard.deployment)),
      writer_(account.shard.table().writer),
      outboxes_(account.shard.worker.peers()) {}

ChannelHub::~ChannelHub() = default;

Shard& ChannelHub::shard() const {
  return account_.shard;
}

Side ChannelHub::side_of(const ServerConnection& connection) const {
  return connection.pool().side();
}

void ChannelHub::hand_out(Shard& shard, const Messages& messages) {
  std::vector<SessionNumber> heard;
  for (const auto& [message, sessions] : messages) {
    for (const SessionNumber number : sessions) {
      if (Session* const session = shard.find_session(number)) session->notified(message);
      heard.push_back(number);
    }
  }
  std::sort(heard.begin(), heard.end());
  heard.erase(std::unique(heard.begin(), heard.end()), heard.end());
  for (const SessionNumber number : heard)
    if (Session* const session = shard.find_session(number)) session->deliver_notifications();
}

// ---- sessions ------------------------------------------------------------------------------------------------------

// On its own worker; nothing if it has ended meanwhile.
template <typename Do>
void ChannelHub::tell_session(SessionNumber number, Do what) const {
  Worker& peer = shard().worker.peer(Worker::worker_of(number));
  peer.loop.post([&peer, deployment = shard().deployment.index, number, what] {
    if (Session* const found = peer.shard(deployment).find_session(number)) what(*found);
  });
}

void ChannelHub::subscribe(SessionNumber session, std::uint32_t ticket, std::uint32_t marked,
                           const Channels& channels) {
  if (subscriptions_.size() + channels.size() > shard().settings->conf.limits.channels_max) {
    tell_session(session, [ticket](Session& found) { found.channels_refused(ticket); });
    return;
  }
  const router::Subscriptions::Wanted wanted = subscriptions_.want(session, ticket, channels, marked);
  for (const Side side : {Side::blue, Side::green}) listen(side, wanted.listen);
  unlisten(wanted.unlisten);
  settle_lines();
  tell_ready();
}

void ChannelHub::unsubscribe(SessionNumber session, const Channels& channels) {
  unlisten(subscriptions_.drop(session, channels));
}

void ChannelHub::unsubscribe_all(SessionNumber session) {
  unlisten(subscriptions_.drop_all(session));
}

// Orders all of whose channels are listened to wherever they must be.
void ChannelHub::tell_ready() {
  for (auto& [key, order] : subscriptions_.orders()) {
    if (order.is_told) continue;
    bool is_ready = true;
    for (const Side side : {Side::blue, Side::green}) {
      const Line& its_line = line(side);
      const bool counts = side == writer_ || shard().table().sides[router::index(side)].warm;
      if (counts && !std::all_of(order.channels.begin(), order.channels.end(),
                                 [&](const std::string& channel) { return is_standing(its_line, channel); }))
        is_ready = false;
    }
    if (!is_ready) continue;
    order.is_told = true;
    tell_session(key.first, [ticket = key.second](Session& found) { found.channels_ready(ticket); });
  }
}

// They have missed something, or may have.
void ChannelHub::end_sessions() {
  flush();
  for (const SessionNumber session : subscriptions_.lose_heard())
    tell_session(session, [](Session& found) { found.listener_lost(); });
}

// ---- lines ---------------------------------------------------------------------------------------------------------

bool ChannelHub::is_wanted(Side side) const {
  if (subscriptions_.is_empty()) return false;
  const router::SideOrders& orders = shard().table().sides[router::index(side)];
  return side == writer_ ? orders.may_write || orders.warm : orders.warm;
}

bool ChannelHub::is_standing(const Line& its_line, const std::string& channel) const {
  const auto found = its_line.listen.find(channel);
  return its_line.is_open && found != its_line.listen.end() && found->second <= its_line.answered;
}

void ChannelHub::open(Side side) {
  Line& opened = line(side);
  opened.connection = std::make_unique<ServerConnection>(account_.pool(side, router::Access::write),
                                                         shard().worker.next_connection_id(), this);
  ServerConnection& connection = *opened.connection;  // opening may fail at once, and close it
  connection.open();
  shard().worker.loop.tick_soon();
}

void ChannelHub::close(Side side) {
  Line& closed = line(side);
  if (!closed.connection) return;
  closed.connection->take_leave().close();  // it is outside the pools and their limits
  shard().worker.loop.bury(std::move(closed.connection));
  const bool counts_as_warming = closed.counts_as_warming;
  closed = Line{};
  closed.counts_as_warming = counts_as_warming;
}

void ChannelHub::lost(Side side) {
  const bool was_heard = side == writer_ || is_flipping_;
  close(side);
  line(side).retry_at_ms = shard().worker.loop.now_ms() + retry_ms;
  if (!was_heard) return;
  is_flipping_ = false;
  behind_flip_.clear();
  behind_flip_bytes_ = 0;
  end_sessions();
}

void ChannelHub::send(Side side, const std::string& sql) {
  Line& to = line(side);
  if (!to.is_open || sql.empty()) return;
  ++to.sent;
  std::string message;
  pg::put_query(message, sql);
  to.connection->exchange.sent(pg::Request::query, pg::Owner::ours);
  to.connection->send(message);
}

void ChannelHub::listen(Side side, const Channels& channels) {
  if (!line(side).is_open || channels.empty()) return;
  std::string sql;
  for (const std::string& channel : channels) {
    put_listen(sql, channel);
    line(side).listen[channel] = line(side).sent + 1;
  }
  send(side, sql);
}

void ChannelHub::unlisten(const Channels& channels) {
  if (channels.empty()) return;
  std::string sql;
  for (const std::string& channel : channels) sql += "UNLISTEN " + pg::quote_identifier(channel) + ";";
  for (const Side side : {Side::blue, Side::green}) {
    for (const std::string& channel : channels) line(side).listen.erase(channel);
    send(side, sql);
  }
  if (subscriptions_.is_empty()) unused_since_ms_ = shard().worker.loop.now_ms();
}

void ChannelHub::line_opened(ServerConnection& connection) {
  const Side side = side_of(connection);
  line(side).is_open = true;
  std::string sql;
  put_listen(sql, mark_channel_);
  for (const std::string& channel : subscriptions_.all()) {
    put_listen(sql, channel);
    line(side).listen[channel] = line(side).sent + 1;
  }
  send(side, sql);
}

void ChannelHub::line_failed(ServerConnection& connection, const LoginFailure&) {
  lost(side_of(connection));
  publish_warming();
}

void ChannelHub::line_answered(ServerConnection& connection) {
  ++line(side_of(connection)).answered;
  tell_ready();
  publish_warming();
}

// Opens what is missing, closes what nobody needs.
void ChannelHub::settle_lines() {
  const std::uint64_t now_ms = shard().worker.loop.now_ms();
  const bool may_close = shard().table().hold == router::Hold::nothing;
  for (const Side side : {Side::blue, Side::green}) {
    const Line& its_line = line(side);
    const bool is_flip_source = is_flipping_ && side != writer_;
    if (is_wanted(side)) {
      if (!its_line.connection && now_ms >= its_line.retry_at_ms) open(side);
    } else if (its_line.connection && may_close && !is_flip_source) {
      const bool rests = subscriptions_.is_empty() && side == writer_ && now_ms - unused_since_ms_ < unused_ms;
      if (!rests) close(side);
    }
  }
  publish_warming();
}

void ChannelHub::publish_warming() {
  for (const Side side : {Side::blue, Side::green}) {
    Line& its_line = line(side);
    const bool is_wanted_warm = side != writer_ && is_wanted(side);
    const bool is_warming = is_wanted_warm && !(its_line.is_open && its_line.answered == its_line.sent);
    if (is_warming == its_line.counts_as_warming) continue;
    its_line.counts_as_warming = is_warming;
    Number& level = shard().numbers.side[router::index(side)].warming;
    is_warming ? level.add() : level.subtract();
  }
}

void ChannelHub::apply_orders() {
  const Side former = writer_;
  writer_ = shard().table().writer;
  if (former != writer_) begin_flip(former);
  settle_lines();
  tell_ready();
}

bool ChannelHub::sweep() {
  const std::uint64_t now_ms = shard().worker.loop.now_ms();
  const std::uint32_t connect_ms_max = shard().settings->conf.pool.connect_ms_max;
  bool soon = is_flipping_;
  for (const Side side : {Side::blue, Side::green}) {
    const Line& its_line = line(side);
    if (its_line.connection && !its_line.is_open && now_ms - its_line.connection->opened_ms() > connect_ms_max)
      lost(side);
    soon = soon || (is_wanted(side) && !its_line.is_open);
  }
  if (is_flipping_ && now_ms - flip_began_ms_ > flip_ms_max) lost(router::other(writer_));
  settle_lines();
  return soon;
}

std::vector<std::uint32_t> ChannelHub::pids(Side side) const {
  const Line& its_line = lines_[router::index(side)];
  if (!its_line.is_open) return {};
  return {its_line.connection->backend_pid()};
}

// ---- the flip ------------------------------------------------------------------------------------------------------

// The old side is fenced and nothing of ours runs there: whatever was notified is in its queue, before this mark.
void ChannelHub::begin_flip(Side former) {
  if (is_flipping_ || !line(former).is_open || !line(writer_).is_open) {
    lost(former);
    end_sessions();
    return;
  }
  is_flipping_ = true;
  flip_began_ms_ = shard().worker.loop.now_ms();
  ++flip_number_;
  send(former, "NOTIFY " + pg::quote_identifier(mark_channel_) + ", '" + flip_mark(flip_number_) + "'");
}

void ChannelHub::finish_flip() {
  is_flipping_ = false;
  const std::vector<Waiting> waiting = std::exchange(behind_flip_, {});
  behind_flip_bytes_ = 0;
  for (const Waiting& one : waiting) {
    if (one.channel == mark_channel_)
      take_mark(writer_, one.pid, one.payload);
    else
      deliver(one.pid, one.channel, one.payload);
  }
}

// ---- notifications -------------------------------------------------------------------------------------------------

void ChannelHub::line_notified(ServerConnection& connection, pg::Bytes body) {
  const auto told = pg::parse_notification(body);
  if (!told) return;
  const Side side = side_of(connection);
  if (side == writer_ && is_flipping_) {
    behind_flip_bytes_ += body.size();
    behind_flip_.push_back({told->pid, std::string(told->channel), std::string(told->payload)});
    if (behind_flip_bytes_ > behind_flip_bytes_max) lost(router::other(writer_));
    return;
  }
  if (side != writer_ && !is_flipping_) return;  // not the writer's: nobody may hear it
  if (told->channel == mark_channel_)
    take_mark(side, told->pid, std::string(told->payload));
  else
    deliver(told->pid, told->channel, told->payload);
}

void ChannelHub::take_mark(Side side, std::uint32_t pid, const std::string& payload) {
  const Mark mark = parse_mark(payload);
  const auto session = static_cast<SessionNumber>(mark.first);
  if (mark.word == "hear") {
    subscriptions_.hear(session, static_cast<std::uint32_t>(mark.second));
  } else if (mark.word == "owner") {
    auto& owners = line(side).owners;
    if (owners.size() >= owners_max) owners.clear();
    if (session != 0)
      owners[pid] = session;
    else
      owners.erase(pid);
  } else if (mark.word == "echo" && subscriptions_.hears(session)) {  // other accounts' hubs hear it as well
    flush();                                                          // what came before it must be there before it
    const auto echo = static_cast<std::uint32_t>(mark.second);
    tell_session(session, [echo](Session& found) { found.echoed(echo); });
  } else if (mark.word == "flip" && is_flipping_ && side != writer_ && mark.first == flip_number_) {
    finish_flip();
  }
}

void ChannelHub::deliver(std::uint32_t pid, std::string_view channel, std::string_view payload) {
  const std::vector<SessionNumber>& listeners = subscriptions_.listeners(channel);
  if (listeners.empty()) return;
  const Side side = is_flipping_ ? router::other(writer_) : writer_;
  const auto owner = line(side).owners.find(pid);
  const std::uint32_t told_pid = owner == line(side).owners.end() ? foreign_pid(pid) : owner->second;
  auto message = std::make_shared<std::string>();
  pg::put_notification(*message, {told_pid, channel, payload});
  const NotificationPtr shared = std::move(message);
  for (const SessionNumber session : listeners) {
    auto& messages = outboxes_[Worker::worker_of(session)];
    if (messages.empty() || messages.back().first != shared)
      messages.emplace_back(shared, std::vector<SessionNumber>{});
    messages.back().second.push_back(session);
  }
}

void ChannelHub::line_read() {
  flush();
}

void ChannelHub::flush() {
  for (std::size_t worker = 0; worker < outboxes_.size(); ++worker) {
    if (outboxes_[worker].empty()) continue;
    Worker& peer = shard().worker.peer(worker);
    peer.loop.post([&peer, deployment = shard().deployment.index, messages = std::move(outboxes_[worker])] {
      hand_out(peer.shard(deployment), messages);
    });
    outboxes_[worker].clear();
  }
}

}  // namespace turnout::proxy
