// Server → client, the state a session collects on the way, and its end.
#include <algorithm>

#include "protocol/mysql/reply.h"
#include "protocol/mysql/result.h"
#include "protocol/mysql/session_changes.h"
#include "proxy/mysql/killer.h"
#include "proxy/mysql/refusal.h"
#include "proxy/mysql/session.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

using Kind = my::Exchange::Kind;

namespace {

// Packets that have to be looked at whole are small; one that is longer is not of an honest server. It has to fit into
// the worker's buffer.
constexpr std::size_t whole_bytes_max = 32 * 1024;

}  // namespace

Session::Session(Shard& shard, Account& account, SessionStart start)
    : Client(shard, account, std::move(start.transport), std::move(start.address), start.number),
      capabilities_(start.capabilities),
      status_(start.status),
      refused_changes_(start.refused_changes),
      nonce_(std::move(start.nonce)),
      database_(account.shared.database) {}

Session::~Session() = default;

void Session::on_events(std::uint32_t events) {
  take_events(events, [this](bool is_ending) { on_client_readable(is_ending); });
}

// ---- server bytes --------------------------------------------------------------------------------------------------

std::size_t Session::on_server_bytes(ServerConnection& connection, Bytes data) {
  Outgoing& out = worker().to_client;
  out.clear();
  my::Exchange& exchange = connection.exchange;
  std::size_t at = 0;
  std::string behind;  // what the translation puts behind a packet, rarely anything
  while (at < data.size() && state_ != State::ended) {
    const Bytes rest = data.subspan(at);
    if (connection.body_left != 0) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(connection.body_left, rest.size()));
      if (connection.forward_body) out.keep(rest.first(part));
      if (shadow_) feed_shadow_more(rest.first(part));
      connection.body_left -= part;
      at += part;
      if (connection.body_left == 0 && connection.ends_packet) {
        translation_.passed(behind);
        if (!behind.empty()) out.own() += std::exchange(behind, {});
      }
      continue;
    }
    Header header;
    if (!my::read_header(rest, header)) break;
    // In the midst of rows that only have to be passed on.
    if (answer_begun_ && translation_.passes_rows(header.number)) {
      if (const std::size_t rows = exchange.take_rows(rest); rows != 0) {
        out.keep(rest.first(rows));
        if (shadow_) feed_shadow_rows(rest.first(rows));
        translation_.rows_passed(exchange.next_number());
        at += rows;
        continue;
      }
    }
    const std::size_t available = std::min(rest.size(), header.total());
    if (available == my::header_bytes && header.payload != 0) break;
    const std::uint8_t first = header.payload != 0 ? rest[my::header_bytes] : std::uint8_t{0};
    const bool is_whole = available == header.total();
    const bool is_ours = exchange.is_ours_now();
    if (!is_whole && (is_ours || exchange.wants_whole(header, first)) && header.total() <= whole_bytes_max) break;
    const Bytes payload = rest.subspan(my::header_bytes, available - my::header_bytes);
    const bool is_cut = !is_whole && exchange.wants_whole(header, first);
    const Received received = exchange.received(header, payload);
    if (received.action == my::Exchange::Action::protocol_error || is_cut) {
      shard_.numbers.protocol_errors.add();
      connection.is_retired = connection.is_broken = true;
      end("protocol violation by the server", "08P01", "the server broke the protocol");
      return data.size();
    }
    connection.body_left = header.total() - available;
    connection.forward_body = connection.ends_packet = false;
    at += available;
    if (received.unasked) {
      connection.is_retired = connection.is_broken =
          true;  // its last words; the loss that follows ends the lease, if it still stands
      continue;
    }
    if (received.action == my::Exchange::Action::swallow) {
      on_own(connection, received, payload);
      continue;
    }
    if (received.kind == Kind::error && (ramped_ || mark_) && !detour_ && hides_error(my::parse_error(payload)))
      connection.has_warnings = true;
    if (detour_) continue;
    if (shadow_) feed_shadow(received, header, payload);
    if (!answer_begun_) {
      answer_begun_ = true;
      translation_.begin(track_.next(), status_);  // behind all packets of the command
    }
    on_answer(connection, received);
    if (received.kind == Kind::infile) {  // never agreed on: it gets nothing, and says what it thinks of that
      std::string nothing;
      const auto number = static_cast<std::uint8_t>(header.number + 1);
      my::put_message(nothing, number, {});
      exchange.infile_sent(number);
      connection.send(nothing);
      continue;
    }
    if (received.kind == Kind::prepared) {
      std::string renumbered;
      take_prepared(connection, received, payload, renumbered);
      my::put_message(out.own(), translation_.number(), renumbered);
      static_cast<void>(translation_.pass(received, payload, out.own()));
      translation_.passed(out.own());
    } else if (std::string replaced; translation_.pass(received, payload, replaced) == my::Translation::Pass::as_is) {
      if (!replaced.empty()) out.own() += replaced;
      if (header.number == translation_.number()) {
        out.keep(rest.first(available));
      } else {
        std::string renumbered(my::text(rest.first(my::header_bytes)));
        renumbered[3] = static_cast<char>(translation_.number());
        out.own() += renumbered;
        out.keep(payload);
      }
      connection.forward_body = connection.ends_packet = true;
      if (is_whole) {
        translation_.passed(behind);
        if (!behind.empty()) out.own() += std::exchange(behind, {});
      }
    } else {
      out.own() += replaced;
    }
    if (received.completed) command_done(connection, received);
  }
  if (state_ == State::ended) {
    out.clear();
    return at;
  }
  if (!out.empty()) send_to_client(out.view());
  out.clear();
  return at;
}

// ---- answers to what Turnout itself has asked ----------------------------------------------------------------------

void Session::on_own(ServerConnection& connection, const Received& received, Bytes payload) {
  const auto own = static_cast<Own>(received.entry.ticket);
  if (own == Own::prepare && received.kind == Kind::prepared) {
    connection.add_statement(prepared_key_, received.statement);
  } else if (own == Own::prepare && received.kind == Kind::error) {
    own_error_ = my::text(payload);
    connection.has_warnings = true;
    if (ramped_ || mark_) static_cast<void>(hides_error(my::parse_error(payload)));
  } else if (own == Own::prepare && received.kind == Kind::ok) {
    my::put_error(own_error_, {1295, "HY000", "The server has prepared no statement"});
  } else if (received.kind == Kind::error && own != Own::signal && received.entry.command != Command::ping) {
    const my::Error error = my::parse_error(payload);
    connection.is_retired = true;  // it is not as the session would have it
    if (ramped_ && !answer_begun_ && (detour_ || hides_error(error))) return;
    end("the server refused the session's state", "53400",
        "the session's state cannot be set again: " + std::to_string(error.number) + " " + std::string(error.message));
    return;
  }
  if (own == Own::track && received.kind == Kind::row) {
    connection.take_wanted(payload, tracking_, *wanted_);
    translation_.go_on(connection.exchange.capabilities(), capabilities_, *wanted_);
  }
  if (own == Own::charsets && received.kind == Kind::ok) note_changes(connection, received.changes);
  if (own == Own::prepare && received.completed) awaits_number_ = false;
  if (own == Own::rewind) has_characteristics_ = false;
  if (own == Own::ask_status) note_end_of_transaction(received.status);
}

// An error that ends a transaction (a deadlock) has no place for what the server would tell of that, and no later
// answer makes up for it: what was known of the transaction's kind would keep the connection from everybody else.
void Session::note_end_of_transaction(std::uint16_t status) {
  if (in_transaction() && (status & my::status::in_transaction) == 0) has_characteristics_ = false;
}

// ---- answers to the client -----------------------------------------------------------------------------------------

void Session::on_answer(ServerConnection& connection, const Received& received) {
  begin_only_ = false;
  if (received.warnings != 0 || received.kind == Kind::error) connection.has_warnings = true;
  if (received.kind == Kind::columns) left_behind_.got_rows();
  if (received.kind != Kind::ok && received.kind != Kind::end) return;
  status_ = received.status;
  if (received.kind == Kind::ok) left_behind_.got_count(received.affected_rows);
  if (received.last_insert_id != 0) left_behind_.got_insert_id(received.last_insert_id);
  if (!received.changes.empty()) note_changes(connection, received.changes);
}

void Session::note_changes(ServerConnection& connection, std::string_view told) {
  const std::uint32_t pins_before = pins_;
  bool has_state = false, moves_statements = false, begins = false, is_empty = false;
  bool has_charset = false, has_collation = false;
  my::SessionChanges changes(my::bytes_of(told));
  while (const auto change = changes.next()) {
    switch (change->kind) {
      case my::SessionChange::Kind::system_variable: {
        const Variables::Kind kind = Variables::kind_of(change->name);
        if (change->name.starts_with("session_track") && tracking_ != 0) break;
        if (waits_ && change->name.ends_with("lock_wait_timeout")) break;  // of that statement alone
        if (kind == Variables::Kind::fleeting) pin(pin_unwatched);
        if (kind != Variables::Kind::kept) break;
        if (!variables_.set(change->name, change->value)) pin(pin_unwatched);
        static_cast<void>(connection.variables.set(change->name, change->value));
        has_charset |= change->name == "character_set_connection";
        has_collation |= change->name == Variables::collation;
        moves_statements = true;
        break;
      }
      case my::SessionChange::Kind::schema:
        database_ = connection.database = std::string(change->value);
        moves_statements = true;
        break;
      case my::SessionChange::Kind::state:
        has_state = true;
        break;
      case my::SessionChange::Kind::transaction_characteristics:
        has_characteristics_ = !change->value.empty();
        connection.has_xa = change->value.starts_with("XA START");
        begins = change->value == "START TRANSACTION;";  // and no words about its kind, or a snapshot
        break;
      case my::SessionChange::Kind::transaction_state: {
        const auto state = my::parse_transaction_state(change->value);
        is_table_locked_ = state && state->has_locked_tables;
        is_empty = change->value == "T_______";
        break;
      }
      case my::SessionChange::Kind::gtids:
        break;
    }
  }
  if (has_charset && !has_collation) {  // it has that character set's own now
    variables_.erase(Variables::collation);
    connection.variables.erase(Variables::collation);
  }
  if (connection.pool().access() == router::Access::read) {
    // A proven read leaves nothing behind. If it did, whoever comes next shall not meet it, and the session goes on.
    if (has_state || changes.is_malformed()) connection.suspect = true;
    pins_ = pins_before;
    has_characteristics_ = is_table_locked_ = false;
    return;
  }
  begin_only_ = begins && is_empty;
  // Something has changed, and not only what has a name: a user variable, a temporary table, a prepared statement, by
  // whatever a text or a routine did.
  const bool is_known = is_plain_set_ || is_resetting_ || (waits_ && !moves_statements);
  if (changes.is_malformed() || (has_state && !is_known)) pin(pin_unwatched);
  // They were prepared under other names or settings, and cannot be prepared again as they were.
  if (moves_statements && !prepared_.empty()) pin(pin_sql_prepare);
}

void Session::take_prepared(ServerConnection& connection, const Received& received, Bytes payload, std::string& out) {
  out = my::text(payload);
  if (!preparing_) return;
  const auto prepared = my::parse_prepared(payload, connection.exchange.capabilities());
  preparing_->parameters = prepared ? prepared->parameters : std::uint16_t{0};
  connection.add_statement(preparing_->key, received.statement);
  ++next_statement_;
  if (next_statement_ == my::last_prepared) next_statement_ = 1;
  my::set_statement(reinterpret_cast<std::uint8_t*>(out.data()), next_statement_);
  prepared_.insert_or_assign(next_statement_, std::move(*preparing_));
  preparing_.reset();
  last_statement_ = next_statement_;
}

void Session::command_done(ServerConnection& connection, const Received& received) {
  WorkerNumbers::Side& numbers = shard_.numbers.side[router::index(connection.pool().side())];
  numbers.queries.add();
  const bool is_error = received.kind == Kind::error;
  if (!is_error && !connection.exchange.in_transaction()) numbers.transactions.add();
  if (mark_) measure_end();
  if (shadow_) time_shadow();
  note_answer(connection.pool());
  unit_is_read_ = false;
  if (is_error || received.entry.command == Command::statement_prepare) preparing_.reset();
  last_connection_ = connection.id();
  const Command command = received.entry.command;
  const bool is_statement =
      command == Command::query || command == Command::statement_execute || command == Command::statement_bulk_execute;
  if (is_statement || is_error) left_behind_.ran();
  if (command == Command::init_db && !is_error) database_ = connection.database = wanted_database_;
  if (is_resetting_ && !is_error) forget_everything();
  is_resetting_ = false;
}

// ---- safe points ---------------------------------------------------------------------------------------------------

void Session::after_server_bytes(ServerConnection& connection) {
  if (state_ == State::ended || server_ == nullptr) return;
  my::Exchange& exchange = server_->exchange;
  if (server_->cancel_waiting && !exchange.is_ours_now()) {
    const CancelTicket ticket = std::move(server_->cancel_waiting);
    if (!exchange.is_idle()) kill_statement(ticket);
  }
  if (!exchange.is_idle()) {
    if (!output_.empty()) server_->pause_reading(true);
    return;
  }
  if (!exchange.is_status_known()) {
    // An error does not say what became of the transaction.
    std::string message;
    server_->put_own(message, Command::ping, {}, static_cast<std::uint32_t>(Own::ask_status));
    server_->send(message);
    return;
  }
  if (is_changing_user_) {
    cleaned_for_change();
    return;
  }
  if (can_rewind()) {
    rewind();
    return;
  }
  if (detour_ && is_at_safe_point()) {
    begin_detour();
    return;
  }
  if (is_at_safe_point() && !awaits_number_ && input_waits_for_nothing()) {
    unit_done(connection);
    return;
  }
  if (!output_.empty()) server_->pause_reading(true);
  if (!input_.empty()) {
    pause_client(false);
    run_input();
  }
}

bool Session::is_at_safe_point() const {
  return server_->exchange.is_safe_point() && body_left_ == 0 && !track_.is_inside() && server_->body_left == 0;
}

// A statement has just been prepared again: the command that it was for comes first, on this very connection.
bool Session::input_waits_for_nothing() const {
  return prepared_key_.empty() || input_.empty();
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Session::client_took_everything() {
  if (server_ != nullptr) server_->pause_reading(false);
}

bool Session::in_transaction() const {
  return (status_ & my::status::in_transaction) != 0;
}

bool Session::is_quiet() const {
  return state_ == State::idle || (server_ != nullptr && server_->exchange.is_idle());
}

void Session::put_fatal(std::string& out, const char*, std::string_view sqlstate, std::string_view message) const {
  // In the midst of an answer the number is the next one; what is said unasked has number 0.
  const bool is_owed = server_ != nullptr && !server_->exchange.is_idle();
  const std::uint8_t number = is_owed ? (answer_begun_ ? translation_.number() : track_.next()) : std::uint8_t{0};
  const bool was_waiting = state_ == State::waiting || state_ == State::held;
  put_refusal(out, was_waiting ? std::uint8_t{1} : number, sqlstate, message);
}

void Session::server_lost(Connection& lost, const std::string& why) {
  server_ = nullptr;
  shadow_.reset();
  shard_.lease_ended(lost.pool());
  if (mark_) measure_error("08006", answer_begun_);
  if (ramped_ && !answer_begun_) {
    begin_detour();
    return;
  }
  end("server connection lost", "08006", "server connection lost: " + why);
}

void Session::leave_server() {
  if (server_ == nullptr) return;
  ServerConnection& connection = *server_;
  const bool is_clean = is_at_safe_point() && !connection.is_backed_up();
  // There is no way back from a database to none but a new connection.
  if (account_.shared.database.empty() && !connection.database.empty()) connection.is_retired = true;
  // The server waits for the rest of a command, or there is no relying on what it says: nobody can use it again. One
  // that is only retired has its statement ended before it is closed.
  const bool is_command_cut = !discard_body_ && (body_left_ != 0 || track_.is_inside());
  const bool is_lost =
      is_command_cut || connection.is_backed_up() || !worker().to_server.empty() || connection.is_broken;
  server_ = nullptr;
  shard_.lease_ended(connection.pool());
  const bool is_session_mode = conf().pool.mode == conf::PoolMode::session;
  if (!is_clean || is_session_mode || pins_ != 0 || is_table_locked_ || has_characteristics_) connection.suspect = true;
  connection.last_session = 0;
  if (is_clean || (!is_lost && connection.exchange.is_idle()))
    connection.pool().give_back(connection);
  else if (!is_lost && abandon(shard_, connection))
    connection.pool().give_back(connection);
  else
    connection.pool().remove(connection);
}

ClientInfo Session::info() const {
  ClientInfo info = basic_info(server_);
  info.id = shown_number(number_);
  for (std::size_t i = 0; i < pin_count; ++i)
    if ((pins_ >> i & 1) != 0) info.pinned_by += (info.pinned_by.empty() ? "" : ",") + std::string(pin_names[i]);
  if (is_table_locked_ && (pins_ & pin_table_lock) == 0)
    info.pinned_by += (info.pinned_by.empty() ? "" : ",") + std::string("table_lock");
  info.prepared_statements = static_cast<std::uint32_t>(prepared_.size());
  return info;
}

}  // namespace turnout::proxy::mysql
