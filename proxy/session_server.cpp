// Server → client, the state a session collects on the way, and its end.
#include <algorithm>

#include "proxy/cancel_key.h"
#include "proxy/canceller.h"
#include "proxy/session.h"
#include "proxy/subscription.h"
#include "proxy/worker.h"
#include "router/ramp.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

// Messages up to this size are looked at whole; longer ones are streamed on, judged by their first bytes.
constexpr std::size_t whole_bytes_max = 32 * 1024;

// A question of our own that may fail.
bool is_own_query(const pg::Exchange::Entry& entry) {
  return entry.owner == pg::Owner::ours && entry.request == pg::Request::query && entry.statement != 0;
}

// Part of an answer that says nothing yet about whether it will be one.
bool is_preamble(char type) {
  return type == '1' || type == '2' || type == '3' || type == 't' || type == 'T' || type == 'n';
}

}  // namespace

Session::Session(Shard& shard, Account& account, SessionStart start)
    : shard_(shard),
      account_(account),
      transport_(std::move(start.transport)),
      told_side_(shard.table().writer),
      number_(start.number),
      secret_(start.secret),
      hash_(router::hash16(start.number, shard.deployment.seed)),
      has_long_key_(start.has_long_key),
      parameters_(start.parameters),
      startup_parameters_(std::move(start.parameters)),
      address_(std::move(start.address)) {
  ++account_.sessions;
}

Session::~Session() = default;

void Session::begin() {
  connected_us_ = since_us_ = worker().loop.now_us();
  events_ = EPOLLIN;
  worker().loop.change(transport_.fd(), events_, *this);
}

bool Session::secret_matches(std::string_view key) const {
  return is_cancel_key(key, shard_.deployment.mock_key, number_, secret_, has_long_key_);
}

void Session::on_events(std::uint32_t events) {
  if (state_ == State::ended) return;
  if ((events & EPOLLOUT) != 0) flush_client();
  if (state_ == State::ended) return;
  const bool is_paused = (events_ & EPOLLIN) == 0;
  if (is_paused) {
    // Its statement was never sent, or nobody is there to read the answer.
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end("client closed the connection");
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) on_client_readable();
}

void Session::listen_to(std::uint32_t events) {
  if (events == events_ || state_ == State::ended) return;
  events_ = events;
  worker().loop.change(transport_.fd(), events, *this);
}

// ---- server bytes --------------------------------------------------------------------------------------------------

std::size_t Session::on_server_bytes(ServerConnection& connection, pg::Bytes data) {
  Outgoing& out = worker().to_client;
  out.clear();
  std::size_t at = 0;
  pg::Exchange& exchange = connection.exchange;
  while (at < data.size()) {
    const pg::Bytes rest = data.subspan(at);
    if (connection.body_left != 0) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(connection.body_left, rest.size()));
      if (connection.forward_body) out.keep(rest.first(part));
      connection.body_left -= part;
      at += part;
      continue;
    }
    pg::Header header;
    const pg::Framing framing = pg::read_header(rest, UINT32_MAX, header);
    if (framing == pg::Framing::incomplete) break;
    const std::size_t available = std::min(rest.size(), header.total());
    const bool is_row = header.type == 'D' || header.type == 'd';
    if (framing == pg::Framing::complete && available < header.total() &&
        (available == pg::header_bytes || (!is_row && header.total() <= whole_bytes_max)))
      break;
    if (!exchange.is_simple_only()) {
      pg::Exchange::Entry entry{};
      while (exchange.next_fabricated(entry))
        pg::put_empty_message(out.own(), entry.request == pg::Request::parse ? '1' : '3');
    }
    const pg::Bytes body = rest.subspan(pg::header_bytes, available - pg::header_bytes);
    const auto received = exchange.received(header.type, body.empty() ? std::uint8_t{0} : body[0]);
    if (framing == pg::Framing::malformed || received.action == pg::Exchange::Action::protocol_error) {
      shard_.numbers.protocol_errors.add();
      end("protocol violation by the server", "08P01", "the server sent a message that nobody asked for");
      return data.size();
    }
    bool forwards = received.action == pg::Exchange::Action::forward;
    if (received.completed && received.entry.request == pg::Request::parse && received.entry.statement != 0)
      account_.shared.note_accepted(received.entry.statement);
    if (header.type == 'S') {
      pg::Reader reader(body);
      const auto name = reader.cstring();
      const auto value = reader.cstring();
      if (name && value) connection.parameter_reported(*name, *value);
    } else if (header.type == 'C' && forwards) {
      on_command_tag(body);
    } else if (header.type == 'A') {
      if (!detour_) take_notification(connection, body, out.own());
      forwards = false;
    } else if (received.is_error && is_own_query(received.entry)) {
      own_failed(static_cast<OwnQuery>(received.entry.statement));
    } else if (received.is_error) {
      unit_failed_ = true;
      if (exchange.has_dropped()) void_dropped(connection);
      if (received.entry.owner == pg::Owner::ours && received.entry.request == pg::Request::query && !rolling_back_) {
        const pg::ErrorFields fields = pg::parse_error(body);
        end("the server refused the session's parameters", fields.sqlstate, fields.message);
        return data.size();
      }
      if (mark_ && !received.is_asynchronous) measure_error(pg::parse_error(body).sqlstate);
      if (ramped_ && !answered_ && !received.is_asynchronous && !detour_) {
        detour_ = true;  // the client has seen nothing of it yet
        out.clear();
        held_reply_.clear();
      }
    } else if (header.type == 'D' && is_own_query(received.entry)) {
      own_row(static_cast<OwnQuery>(received.entry.statement), body);
    }
    if (detour_) forwards = false;
    if (received.ready && forwards && subscription_ && must_hold_ready(connection, body)) {
      subscription_->holds_ready = true;
      forwards = false;
    }
    if (forwards) {
      const bool is_begin = header.type == 'C' && read_begins_ && pg::text(body).starts_with("BEGIN");
      if (!is_preamble(header.type) && !is_begin && !received.is_asynchronous) answered_ = true;
      out.keep(rest.first(available));
    }
    connection.forward_body = forwards;
    connection.body_left = header.total() - available;
    at += available;
    if (received.ready) on_ready(connection, received.entry);
  }
  pg::Exchange::Entry entry{};
  while (!exchange.is_simple_only() && exchange.next_fabricated(entry))
    if (!detour_) pg::put_empty_message(out.own(), entry.request == pg::Request::parse ? '1' : '3');
  if (out.empty()) return at;
  if (ramped_ && !answered_) {
    held_reply_.append(out.view());
  } else if (!held_reply_.empty()) {
    held_reply_.append(out.view());
    const std::string reply = std::exchange(held_reply_, {});
    send_to_client(reply);
  } else {
    send_to_client(out.view());
  }
  out.clear();
  return at;
}

void Session::after_server_bytes() {
  if (state_ == State::ended || server_ == nullptr) return;
  pg::Exchange& exchange = server_->exchange;
  if (begins_later_) note_begin_later();
  if (rolling_back_) {
    if (!exchange.is_idle()) return;
    rolling_back_ = false;
    begin_only_ = false;
    must_begin_ = true;
    detach();
    pause_client(false);
    run_input();
    return;
  }
  if (exchange.is_safe_point() && body_left_ == 0 && server_->body_left == 0) {
    unit_done(*server_);
    return;
  }
  if (detour_ && exchange.is_idle() && exchange.status() != 'I') {
    send_rollback();  // the read failed inside a transaction there: it begins anew on the writer
    return;
  }
  if (!output_.empty()) server_->pause_reading(true);
  if (!input_.empty() && exchange.is_idle()) run_input();  // it waited at a boundary
}

void Session::on_ready(ServerConnection& connection, const pg::Exchange::Entry& entry) {
  if (entry.owner == pg::Owner::ours) {
    if (is_own_query(entry)) own_answered(static_cast<OwnQuery>(entry.statement));
    return;
  }
  const char status = connection.exchange.status();
  const bool began = client_status_ == 'I' && status == 'T';
  const bool ended = client_status_ != 'I' && status == 'I';
  if (detour_) return;  // nothing of this happened for the client
  if (mark_) measure_end();
  if (began) at_begin_ = parameters_;
  // The next transaction is open already, with the modes of the one before it.
  if (std::any_of(pending_effects_.begin(), pending_effects_.end(), [](const pg::Effect& effect) {
        return effect.kind == pg::EffectKind::end && effect.name == "chain";
      }))
    begin_only_ = connection.pool().access() == router::Access::read;
  if (!unit_failed_) apply_effects(connection);
  pending_effects_.clear();
  if (ended) {
    if (rolled_back_tag_ && transaction_set_) {
      parameters_ = at_begin_;  // the server has undone every SET of the transaction
      connection.parameters = at_begin_;
    }
    transaction_set_ = false;
  }
  if (status == 'I' && subscription_) settle_unlistened(!unit_failed_ && !rolled_back_tag_);
  if (status != 'T') begin_only_ = false;
  if (status != 'I' && ramped_) {
    ramped_ = answered_ = false;  // the transaction stays where its first read succeeded
    replay_.clear();
  }
  client_status_ = status;
  unit_failed_ = false;
  unit_parses_.clear();
  unit_closed_.clear();
  const Pool& pool = connection.pool();
  WorkerNumbers::Side& numbers = shard_.numbers.side[router::index(pool.side())];
  numbers.queries.add();
  if (status == 'I') numbers.transactions.add();
  if (unit_is_read_) {
    numbers.reads_proven.add();
    ++reads_lately_;
  }
  // Every answer from the writer, reads included, raises the token: what was seen once is not unseen on green.
  if (pool.side() == shard_.table().writer)
    required_sample_ = shard_.deployment.tokens.started.load(std::memory_order_acquire) + 1;
  if (!unit_is_read_) shard_.deployment.tokens.raise_written(required_sample_);
}

// ---- what the session has set up -----------------------------------------------------------------------------------

void Session::on_command_tag(pg::Bytes body) {
  const std::string_view tag = pg::text(body);
  rolled_back_tag_ = tag.starts_with("ROLLBACK");
  if ((pins_ & pins_that_end) != 0) note_ending_tag(tag);
}

void Session::note_effects(const pg::Watch& watch) {
  constexpr std::size_t effects_max = 10'000;  // of one unit; a longer pipeline of SETs pins the session instead
  for (const pg::Effect& effect : watch.effects) {
    // Behind the end of another one, in the same text: its modes are its own, and green must not be written to.
    if (effect.kind == pg::EffectKind::begin && client_status_ != 'I' &&
        server_->pool().access() == router::Access::read) {
      end("a transaction begins behind one that reads only", "0A000",
          "send COMMIT and BEGIN as two queries: the first transaction reads where the second cannot write");
      return;
    }
    if (pending_effects_.size() >= effects_max)
      pins_ |= pin_unwatched;
    else
      pending_effects_.push_back(effect);
    // The server forgets its statements when it gets there; what comes after in the pipeline must be prepared anew.
    if (effect.kind == pg::EffectKind::deallocate_all || effect.kind == pg::EffectKind::discard_all) {
      server_->drop_all_statements();
      prepared_.clear();
    }
  }
}

void Session::apply_effects(ServerConnection& connection) {
  for (const pg::Effect& effect : pending_effects_) apply_effect(effect, connection);
}

void Session::apply_effect(const pg::Effect& effect, ServerConnection& connection) {
  using Kind = pg::EffectKind;
  const auto set = [&](const std::string& name, const std::string& value) {
    connection.parameters.set(name, value);
    if (Parameters::accept(name, value))
      parameters_.set(name, value);
    else
      parameters_.erase(name);
    transaction_set_ = true;
    for (auto& [key, prepared] : prepared_) prepared.verdict_catalog = nullptr;  // search_path may have changed
  };
  const auto reset = [&](const std::string& name) {
    connection.parameters.erase(name);
    const std::string* const startup = startup_parameters_.find(name);
    if (startup != nullptr)
      parameters_.set(name, *startup);
    else
      parameters_.erase(name);
    transaction_set_ = true;
  };
  // Not so certain: what the transaction makes may go with it, ON COMMIT or by ROLLBACK.
  const bool is_certain = connection.exchange.status() == 'I' && !rolled_back_tag_ &&
                          std::none_of(pending_effects_.begin(), pending_effects_.end(),
                                       [](const pg::Effect& other) { return other.kind == Kind::end; });
  switch (effect.kind) {
    case Kind::set:
      set(effect.name, effect.value);
      break;
    case Kind::set_role:
      effect.value.empty() ? reset(effect.name) : set(effect.name, effect.value);
      break;
    case Kind::reset:
      reset(effect.name);
      break;
    case Kind::reset_all:
      // role and session_authorization are not touched by RESET ALL, but losing them here only costs a SET.
      connection.parameters.clear();
      parameters_ = startup_parameters_;
      transaction_set_ = true;
      break;
    case Kind::discard_all:
      connection.parameters.clear();
      parameters_ = startup_parameters_;
      pins_ = 0;
      note_listen_effect(effect);
      break;
    case Kind::set_characteristics:
      if (effect.name == "read only")
        set("default_transaction_read_only", "on");
      else if (effect.name == "read write")
        reset("default_transaction_read_only");
      else
        pins_ |= pin_unwatched;
      break;
    case Kind::savepoint:
      if (transaction_set_) pins_ |= pin_savepoint_set;  // which SETs a ROLLBACK TO undid is not followed
      note_listen_effect(effect);
      break;
    case Kind::set_config:
      pins_ |= pin_set_config;
      break;
    case Kind::prepare:
      pin(pin_sql_prepare, is_certain);
      break;
    case Kind::deallocate_all:
      pins_ &= ~static_cast<std::uint32_t>(pin_sql_prepare);
      break;
    case Kind::listen:
    case Kind::unlisten:
    case Kind::unlisten_all:
      note_listen_effect(effect);
      break;
    case Kind::notify:
      if (subscription_) subscription_->has_notified = true;
      break;
    case Kind::temp_object:
      pin(pin_temp_object, is_certain && effect.name.empty());  // a name is only a mention
      break;
    case Kind::hold_cursor:
      pin(pin_hold_cursor, is_certain);
      break;
    case Kind::advisory_lock:
      pin(pin_advisory_lock, is_certain && !effect.name.starts_with("pg_try"));
      break;
    case Kind::advisory_unlock:
      recheck_ |= pin_advisory_lock;
      break;
    case Kind::load:
      pins_ |= pin_load;
      break;
    case Kind::unknown:
      connection.suspect = true;
      break;  // whoever gets it next starts clean
    case Kind::begin:
    case Kind::end:
    case Kind::prepare_transaction:
    case Kind::finish_prepared:
    case Kind::set_local:
    case Kind::set_transaction:
    case Kind::discard_other:
    case Kind::deallocate:
      break;
  }
}

void Session::void_dropped(ServerConnection& connection) {
  for (const pg::Exchange::Entry& entry : connection.exchange.take_dropped()) {
    if (entry.request == pg::Request::close) {
      if (entry.owner == pg::Owner::ours) {
        connection.add_statement(entry.statement);  // our Close did not happen
        continue;
      }
      for (auto& [name, prepared] : unit_closed_)
        if (prepared.statement && prepared.statement->number == entry.statement)
          prepared_.emplace(name, std::move(prepared));
      continue;
    }
    if (entry.owner != pg::Owner::fabricated && entry.statement != 0) connection.drop_statement(entry.statement);
    if (entry.owner == pg::Owner::ours || entry.statement == 0) continue;
    for (const auto& [number, name] : unit_parses_)
      if (number == entry.statement) prepared_.erase(name);
  }
}

// ---- client bytes --------------------------------------------------------------------------------------------------

void Session::send_to_client(std::string_view bytes) {
  if (state_ == State::ended || bytes.empty()) return;
  shard_.numbers.bytes_to_clients.add(bytes.size());
  if (!output_.empty()) {
    output_.append(bytes);
    return;
  }
  const IoResult put = transport_.write(bytes);
  if (put.status != IoStatus::ok) {
    end("client connection failed");
    return;
  }
  if (put.bytes < bytes.size()) {
    output_.assign(bytes.substr(put.bytes));
    listen_to(events_ | EPOLLOUT);
  }
}

void Session::flush_client() {
  const IoResult put = transport_.write(output_);
  if (put.status != IoStatus::ok) {
    end("client connection failed");
    return;
  }
  output_.erase(0, put.bytes);
  if (!output_.empty()) return;
  output_.shrink_to_fit();
  listen_to(events_ & ~static_cast<std::uint32_t>(EPOLLOUT));
  if (server_ != nullptr) server_->pause_reading(false);
  deliver_notifications();
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Session::server_lost(ServerConnection& connection, const std::string& why) {
  server_ = nullptr;
  if (begins_later_) note_begin_later();
  shard_.lease_ended(connection.pool());
  if (mark_) measure_error("08006");
  if (ramped_ && !answered_) {
    detour_ = false;
    begin_detour();
    return;
  }
  const bool was_committing =
      std::any_of(pending_effects_.begin(), pending_effects_.end(), [](const pg::Effect& effect) {
        return effect.kind == pg::EffectKind::end || effect.kind == pg::EffectKind::finish_prepared;
      });
  if (was_committing && !unit_failed_) {
    shard_.numbers.commit_unknown.add();
    end("server connection lost at COMMIT", "08007", "the outcome of the transaction is unknown: " + why);
  } else {
    end("server connection lost", "08006", "server connection lost: " + why);
  }
}

void Session::end_at_safe_point() {
  ending_at_safe_point_ = true;
  if (state_ == State::idle && client_status_ == 'I')
    end("the proxy stops", "57P01", "terminating connection: Turnout is shutting down");
}

void Session::check_deadlines(std::uint64_t now_ms) {
  const conf::Limits& limits = conf().limits;
  const std::uint64_t quiet_ms = now_ms - std::min(now_ms, since_us_ / 1000);
  const bool in_transaction = client_status_ != 'I';
  const bool is_quiet = state_ == State::idle || (server_ != nullptr && server_->exchange.is_idle());
  if (!is_quiet) return;
  if (in_transaction && limits.idle_in_transaction_ms_max != 0 && quiet_ms > limits.idle_in_transaction_ms_max)
    end("idle in transaction for too long", "25P03",
        "terminating connection due to limits.idle_in_transaction_timeout");
  else if (!in_transaction && limits.client_idle_ms_max != 0 && quiet_ms > limits.client_idle_ms_max)
    end("idle for too long", "57P05", "terminating connection due to limits.client_idle_timeout");
}

void Session::end(const char* reason, std::string_view sqlstate, std::string_view message) {
  if (state_ == State::ended) return;
  if (!sqlstate.empty()) {
    shard_.numbers.client_errors.add();
    std::string fatal;
    pg::put_error(fatal, {"FATAL", std::string(sqlstate), std::string(message), reason, {}});
    if (output_.empty()) [[maybe_unused]]
      const IoResult best_effort = transport_.write(fatal);
  }
  if (state_ == State::held) shard_.unhold(*this);
  if (state_ == State::waiting)
    for (const auto& side : account_.pools())
      for (const auto& pool : side) pool->forget(*this);
  if (server_ != nullptr) {
    ServerConnection& connection = *server_;
    server_ = nullptr;
    if (begins_later_) note_begin_later();
    shard_.lease_ended(connection.pool());
    const bool is_clean = connection.exchange.is_safe_point() && body_left_ == 0 && connection.body_left == 0 &&
                          !connection.is_backed_up();
    if (conf().pool.mode == conf::PoolMode::session || pins_ != 0) connection.suspect = true;
    connection.last_session = 0;
    if (is_clean) {
      connection.pool().give_back(connection);
    } else {
      if (!connection.exchange.is_idle()) send_cancel(shard_, connection);
      connection.pool().remove(connection);
    }
  }
  state_ = State::ended;
  forget_channels();
  if (published_pins_ != 0) publish_pins(0);
  --account_.sessions;
  transport_.close();
  shard_.remove_session(*this);
}

ClientInfo Session::info() const {
  static constexpr std::array<const char*, 5> states = {"idle", "waiting", "held", "active", "closing"};
  ClientInfo info;
  info.id = number_;
  info.address = address_;
  info.user = account_.shared.user;
  info.database = account_.shared.database;
  const std::string* const application = parameters_.find("application_name");
  if (application != nullptr) {
    info.application = *application;
    std::erase(info.application, '\'');
  }
  info.state = states[static_cast<std::size_t>(state_)];
  if (server_ != nullptr) {
    info.side = router::name(server_->pool().side());
    info.server_pid = server_->backend_pid();
  }
  info.in_transaction = client_status_ != 'I';
  const std::uint64_t now_us = worker().loop.now_us();
  info.connected_s = static_cast<double>(now_us - connected_us_) / 1e6;
  info.state_s = static_cast<double>(now_us - since_us_) / 1e6;
  for (std::size_t i = 0; i < pin_count; ++i)
    if ((visible_pins() >> i & 1) != 0)
      info.pinned_by += (info.pinned_by.empty() ? "" : ",") + std::string(pin_names[i]);
  info.prepared_statements = static_cast<std::uint32_t>(prepared_.size());
  return info;
}

}  // namespace turnout::proxy
