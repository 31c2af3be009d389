// Server → client, the state a session collects on the way, and its end.
#include <algorithm>

#include "proxy/cancel_key.h"
#include "proxy/canceller.h"
#include "proxy/lock_transfer.h"
#include "proxy/session.h"
#include "proxy/shadow_runner.h"
#include "proxy/subscription.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

// Messages up to this size are looked at whole; longer ones are streamed on, judged by their first bytes.
constexpr std::size_t whole_bytes_max = 32 * 1024;
// Of an answer that is kept back while its statement is being cancelled: proxy/session_locks.cpp.
constexpr std::size_t kept_back_bytes_max = 1024 * 1024;

// A question of our own that may fail.
bool is_own_query(const pg::Exchange::Entry& entry) {
  return entry.owner == pg::Owner::ours && entry.request == pg::Request::query && entry.statement != 0;
}

// Part of an answer that says nothing yet about whether it will be one.
bool is_preamble(char type) {
  switch (type) {
    case '1':
    case '2':
    case '3':
    case 't':
    case 'T':
    case 'n':
      return true;
    default:
      return false;
  }
}

// Part of an answer that only has to be passed on.
bool is_plain(char type) {
  switch (type) {
    case 'D':
    case 'T':
    case '2':
    case 'n':
    case 't':
    case 'I':
    case 's':
      return true;
    default:
      return false;
  }
}

// Of a request whose answer holds types; 0: of none.
TypeLens::Ticket ticket_of(const pg::Exchange::Received& received) {
  const pg::Request request = received.entry.request;
  const bool has_types =
      request == pg::Request::query || request == pg::Request::describe || request == pg::Request::execute;
  return has_types && !received.is_asynchronous ? received.entry.ticket : 0;
}

}  // namespace

Session::Session(Shard& shard, Account& account, SessionStart start)
    : Client(shard, account, std::move(start.transport), std::move(start.address), start.number),
      told_side_(shard.table().writer),
      secret_(start.secret),
      has_long_key_(start.has_long_key),
      parameters_(start.parameters),
      startup_parameters_(std::move(start.parameters)) {}

Session::~Session() = default;

bool Session::secret_matches(std::string_view key) const {
  return is_cancel_key(key, shard_.deployment.mock_key, number_, secret_, has_long_key_);
}

void Session::on_events(std::uint32_t events) {
  take_events(events, [this](bool is_ending) { on_client_readable(is_ending); });
}

// ---- server bytes --------------------------------------------------------------------------------------------------

std::size_t Session::on_server_bytes(ServerConnection& connection, pg::Bytes data) {
  if (&connection != server_ && lock_transfer_) return on_lock_bytes(connection, data);
  Outgoing& out = worker().to_client;
  out.clear();
  std::size_t at = 0;
  pg::Exchange& exchange = connection.exchange;
  while (at < data.size()) {
    const pg::Bytes rest = data.subspan(at);
    if (connection.body_left != 0) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(connection.body_left, rest.size()));
      if (connection.lens && connection.lens->is_in_message())
        pass_body(connection, rest.first(part), part == connection.body_left, connection.forward_body);
      else if (connection.forward_body)
        out.keep(rest.first(part));
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
      while (exchange.next_fabricated(entry)) put_fabricated(out.own(), entry);
    }
    const pg::Bytes body = rest.subspan(pg::header_bytes, available - pg::header_bytes);
    // What nobody but the client has to know, unless something special goes on.
    const bool is_passed_on = framing == pg::Framing::complete && !connection.lens && !detour_ && skip_trivial_ == 0;
    const bool was_done = header.type == 'E' && exchange.is_safe_point();
    const auto received = exchange.received(header.type, body.empty() ? std::uint8_t{0} : body[0]);
    if (framing == pg::Framing::malformed || received.action == pg::Exchange::Action::protocol_error) {
      shard_.numbers.protocol_errors.add();
      end("protocol violation by the server", "08P01", "the server sent a message that nobody asked for");
      return data.size();
    }
    if (is_passed_on && received.action == pg::Exchange::Action::forward && is_plain(header.type)) {
      if (record_ != Record::off) note_told(header.type);
      answered_ = answered_ || !is_preamble(header.type);
      out.keep(rest.first(available));
      connection.forward_body = true;
      connection.body_left = header.total() - available;
      at += available;
      continue;
    }
    const bool has_types = connection.lens && connection.lens->begin_message(header.type, ticket_of(received), body,
                                                                             available == header.total());
    if (has_types && connection.lens->wants_whole() && available < header.total() && header.total() <= whole_bytes_max)
      break;
    bool forwards = received.action == pg::Exchange::Action::forward;
    if (received.completed && received.entry.request == pg::Request::parse && received.entry.statement != 0)
      account_.shared.note_accepted(received.entry.statement);
    if (header.type == 'S') {
      pg::Reader reader(body);
      const auto name = reader.cstring();
      const auto value = reader.cstring();
      if (name && value) {
        forwards = note_report(connection, *name, *value, received.action == pg::Exchange::Action::swallow) && forwards;
        connection.parameter_reported(*name, *value);
      }
    } else if (header.type == 'C' && forwards) {
      if (!detour_) on_command_complete(connection, received.entry, body);
    } else if (header.type == 'A') {
      if (!detour_) take_notification(connection, body, out.own());
      forwards = false;
    } else if (received.is_error && was_done && !keeps_lease()) {
      connection.is_retired = true;  // its last words, behind the answer: the session keeps nothing of it and goes on
      forwards = false;
    } else if (received.is_error && is_own_query(received.entry)) {
      own_failed(static_cast<OwnQuery>(received.entry.statement));
    } else if (received.is_error) {
      unit_failed_ = true;
      if (connection.lens) connection.lens->failed();
      if (exchange.has_dropped()) void_dropped(connection);
      const bool is_unseen = ramped_ && !answered_ && !received.is_asynchronous;
      const bool is_preparation =
          received.entry.owner == pg::Owner::ours && received.entry.request == pg::Request::query && !rolling_back_;
      if (is_preparation) connection.is_retired = true;  // it is not as the session would have it
      if (is_preparation && !is_unseen) {
        const pg::ErrorFields fields = pg::parse_error(body);
        end("the server refused the session's parameters", fields.sqlstate, fields.message);
        return data.size();
      }
      if (mark_ && !received.is_asynchronous) measure_error(pg::parse_error(body).sqlstate, answered_);
      if (is_unseen && !detour_) {
        detour_ = true;  // the client has seen nothing of it yet
        out.clear();
        held_reply_.clear();
      }
      if (!detour_ && forwards && renew_plan(connection, received.entry, body)) detour_ = true;
      if (!detour_ && forwards && lock_transfer_ && lock_wait_ended(body)) {
        detour_ = true;
        out.clear();
        held_reply_.clear();
      }
    } else if (header.type == 'D' && is_own_query(received.entry)) {
      own_row(static_cast<OwnQuery>(received.entry.statement), body);
    }
    if (detour_ || (skip_trivial_ != 0 && forwards && was_told(header.type))) forwards = false;
    if (forwards && record_ != Record::off && !received.is_asynchronous) note_told(header.type);
    if (received.ready && connection.lens && exchange.is_idle()) connection.lens->ready(exchange.in_transaction());
    if (received.ready && forwards && subscription_ && must_hold_ready(connection, body)) {
      subscription_->holds_ready = true;
      forwards = false;
    }
    if (received.ready && exchange.has_dropped()) void_dropped(connection);  // sent behind the error, before the Sync
    const bool is_ours = received.entry.owner == pg::Owner::ours;
    if (received.ready && !is_ours && lock_transfer_) lock_transfer_->is_cancelling = false;
    if (received.ready && !is_ours && trail_ && !trail_->restarted.empty() && !detour_) {
      on_ready(connection, received.entry);
      forwards = forwards && !begin_restart(connection);
      if (forwards) put_reports(connection, out.own());
    } else if (received.ready && trail_ && trail_->is_restarting && exchange.is_idle()) {
      forwards = true;
      put_reports(connection, out.own());
    } else if (received.ready) {
      on_ready(connection, received.entry);
    }
    if (received.is_error && forwards && available == header.total() && header.total() <= whole_bytes_max) {
      answered_ = answered_ || !received.is_asynchronous;
      out.own() += with_client_names(rest.first(available));
    } else if (forwards) {
      const bool is_begin = header.type == 'C' && read_begins_ && pg::text(body).starts_with("BEGIN");
      if (!is_preamble(header.type) && !is_begin && !received.is_asynchronous) answered_ = true;
      out.keep(rest.first(has_types ? pg::header_bytes : available));
    }
    if (has_types) pass_body(connection, body, available == header.total(), forwards);
    connection.forward_body = forwards;
    connection.body_left = header.total() - available;
    at += available;
  }
  pg::Exchange::Entry entry{};
  while (!exchange.is_simple_only() && exchange.next_fabricated(entry)) put_fabricated(out.own(), entry);
  if (shadow_) feed_shadow(pg::bytes_of(out.view()));
  if (out.empty()) return at;
  if ((ramped_ && !answered_) || (lock_transfer_ && lock_transfer_->is_cancelling)) {
    held_reply_.append(out.view());
    if (lock_transfer_ && held_reply_.size() > kept_back_bytes_max) lock_transfer_->is_cancelling = false;
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

void Session::put_fabricated(std::string& out, const pg::Exchange::Entry& entry) {
  const char type = entry.request == pg::Request::parse ? '1' : '3';
  if (detour_ || was_told(type)) return;
  if (record_ != Record::off) note_told(type);
  pg::put_empty_message(out, type);
}

void Session::after_server_bytes(ServerConnection& connection) {
  if (&connection != server_ && lock_transfer_) {
    after_lock_bytes(connection);
    return;
  }
  if (state_ == State::ended || server_ == nullptr) return;
  pg::Exchange& exchange = server_->exchange;
  if (server_->cancel_waiting && !exchange.is_ours_now()) {
    CancelTicket ticket = std::move(server_->cancel_waiting);
    if (!exchange.is_idle()) cancel_statement(std::move(ticket));
  }
  if (begins_later_) note_begin_later();
  if (!rolling_back_ && may_rewind()) {
    rollback_empty_transaction();
    if (rolling_back_) return;
  }
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
  if (awaiting_types_) {
    awaiting_types_ = false;
    pause_client(false);
    run_input();
    if (state_ == State::ended || server_ == nullptr) return;
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
  if (!input_.empty() && exchange.is_idle()) {  // it waited at a boundary
    pause_client(false);
    run_input();
  }
}

void Session::on_ready(ServerConnection& connection, const pg::Exchange::Entry& entry) {
  if (entry.owner == pg::Owner::ours) {
    if (is_own_query(entry)) own_answered(static_cast<OwnQuery>(entry.statement));
    return;
  }
  if (detour_) return;  // nothing of this happened for the client
  if (mark_) measure_end();
  if (shadow_) time_shadow();
  const char status = connection.exchange.status();
  // The next transaction is open already, with the modes of the one before it.
  if (std::any_of(pending_effects_.begin(), pending_effects_.end(), [](const PendingEffect& pending) {
        return pending.effect.kind == pg::EffectKind::end && pending.effect.name == "chain";
      }))
    begin_only_ = connection.pool().access() == router::Access::read;
  settle(connection, entry.statement);
  if (status == 'I' && subscription_) settle_unlistened(!unit_failed_ && !rolled_back_tag_);
  // What a command of this unit made may have gone with its transaction.
  if (unit_failed_) recheck_ |= pins_ & pins_that_end;
  bound_ = nullptr;
  if (record_ != Record::off) stop_recording();
  if (status == 'I' && connection.exchange.is_idle()) record_ = Record::ready;
  if (status != 'T') begin_only_ = false;
  if (status != 'I' && ramped_) {
    ramped_ = answered_ = false;  // the transaction stays where its first read succeeded
    replay_.clear();
  }
  client_status_ = status;
  unit_failed_ = false;
  // Units that were pipelined behind this one may fail yet.
  constexpr std::size_t kept_max = 10'000;
  if (connection.exchange.is_idle() || unit_parses_.size() + unit_closed_.size() > kept_max) {
    unit_parses_.clear();
    unit_closed_.clear();
  }
  const Pool& pool = connection.pool();
  WorkerNumbers::Side& numbers = shard_.numbers.side[router::index(pool.side())];
  numbers.queries.add();
  if (status == 'I') numbers.transactions.add();
  note_answer(pool);
}

void Session::void_dropped(ServerConnection& connection) {
  bound_ = nullptr;
  connection.unnamed_owner = 0;  // a Parse of it may be among them
  // The latest first: what was closed and then made anew, a name or a statement of the server, is what it was before.
  const std::vector<pg::Exchange::Entry> dropped = connection.exchange.take_dropped();
  for (auto entry = dropped.rbegin(); entry != dropped.rend(); ++entry) {
    const std::uint32_t number = entry->statement;
    const bool is_ours = entry->owner == pg::Owner::ours;
    if (number == 0) continue;
    if (entry->request == pg::Request::close && is_ours) {
      connection.add_statement(number);  // our Close did not happen
    } else if (entry->request == pg::Request::close) {
      const auto closed = std::find_if(unit_closed_.rbegin(), unit_closed_.rend(), [number](const auto& one) {
        return one.second.statement && one.second.statement->number == number;
      });
      if (closed == unit_closed_.rend()) continue;
      prepared_.insert_or_assign(closed->first, std::move(closed->second));
      unit_closed_.erase(std::next(closed).base());
    } else {
      if (entry->owner != pg::Owner::fabricated) connection.drop_statement(number);
      const auto parsed = std::find_if(unit_parses_.rbegin(), unit_parses_.rend(),
                                       [number](const auto& one) { return one.first == number; });
      if (is_ours || parsed == unit_parses_.rend()) continue;
      prepared_.erase(parsed->second);
      unit_parses_.erase(std::next(parsed).base());
    }
  }
}

// What the server calls turnout_17 the client knows by a name of its own.
std::string Session::with_client_names(pg::Bytes error) const {
  constexpr std::string_view before = "prepared statement \"";
  const std::string_view body = pg::text(error.subspan(pg::header_bytes));
  const std::size_t at = body.find(before);
  if (at == std::string_view::npos) return std::string(pg::text(error));
  const std::size_t begin = at + before.size();
  const std::size_t end = body.find('"', begin);
  if (end == std::string_view::npos) return std::string(pg::text(error));
  std::string_view name = body.substr(begin, end - begin);
  const std::uint32_t number = statement_number(name);
  if (name.starts_with('?')) {
    name.remove_prefix(1);
  } else if (number != 0) {
    const auto is_it = [number](const auto& one) { return one.second.statement->number == number; };
    const auto parsed = std::find_if(unit_parses_.begin(), unit_parses_.end(),
                                     [number](const auto& one) { return one.first == number; });
    const auto known = std::find_if(prepared_.begin(), prepared_.end(), is_it);
    if (parsed != unit_parses_.end())
      name = parsed->second;
    else if (known != prepared_.end())
      name = known->first;
  }
  std::string out;
  pg::Writer(out).begin('E').raw(body.substr(0, begin)).raw(name).raw(body.substr(end)).end();
  return out;
}

// ---- client bytes --------------------------------------------------------------------------------------------------

void Session::client_took_everything() {
  if (server_ != nullptr) server_->pause_reading(false);
  deliver_notifications();
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Session::server_lost(Connection& lost, const std::string& why) {
  ServerConnection& connection = of_postgres(lost);
  if (lock_connection_lost(connection, why)) return;
  server_ = nullptr;
  if (begins_later_) note_begin_later();
  shard_.lease_ended(connection.pool());
  if (mark_) measure_error("08006", answered_);
  if (ramped_ && !answered_) {
    detour_ = false;
    begin_detour();
    return;
  }
  const bool was_committing =
      std::any_of(pending_effects_.begin(), pending_effects_.end(), [](const PendingEffect& pending) {
        return pending.effect.kind == pg::EffectKind::end || pending.effect.kind == pg::EffectKind::finish_prepared;
      });
  if (was_committing && !unit_failed_) {
    shard_.numbers.commit_unknown.add();
    end("server connection lost at COMMIT", "08007", "the outcome of the transaction is unknown: " + why);
  } else {
    end("server connection lost", "08006", "server connection lost: " + why);
  }
}

bool Session::is_quiet() const {
  return state_ == State::idle || (server_ != nullptr && server_->exchange.is_idle());
}

void Session::put_fatal(std::string& out, const char* reason, std::string_view sqlstate,
                        std::string_view message) const {
  pg::put_error(out, {"FATAL", std::string(sqlstate), std::string(message), reason, {}});
}

void Session::leave_server() {
  if (lock_transfer_) drop_locks();
  if (server_ == nullptr) return;
  ServerConnection& connection = *server_;
  server_ = nullptr;
  if (begins_later_) note_begin_later();
  shard_.lease_ended(connection.pool());
  const bool is_clean =
      connection.exchange.is_safe_point() && body_left_ == 0 && connection.body_left == 0 && !connection.is_backed_up();
  if (conf().pool.mode == conf::PoolMode::session || pins_ != 0) connection.suspect = true;
  connection.last_session = 0;
  if (is_clean) {
    connection.pool().give_back(connection);
  } else {
    if (!connection.exchange.is_idle()) send_cancel(shard_, connection);
    connection.pool().remove(connection);
  }
}

void Session::left() {
  forget_channels();
}

ClientInfo Session::info() const {
  ClientInfo info = basic_info(server_);
  const std::string* const application = parameters_.find("application_name");
  if (application != nullptr) {
    info.application = *application;
    std::erase(info.application, '\'');
  }
  for (std::size_t i = 0; i < pin_count; ++i)
    if ((visible_pins() >> i & 1) != 0)
      info.pinned_by += (info.pinned_by.empty() ? "" : ",") + std::string(pin_names[i]);
  info.stays_because = lock_refusal();
  info.prepared_statements = static_cast<std::uint32_t>(prepared_.size());
  return info;
}

}  // namespace turnout::proxy
