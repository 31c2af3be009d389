// Client → server: what each command of a client means for the server connection it goes to.
#include <algorithm>

#include "protocol/mysql/reply.h"
#include "proxy/mysql/refusal.h"
#include "proxy/mysql/session.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

constexpr std::size_t waiting_bytes_max = 1024 * 1024;      // read ahead of a command that waits for the one before it
constexpr std::size_t prepared_max = 10'000;                // statements of one session
constexpr std::size_t statement_at = my::header_bytes + 1;  // where the number of a statement is in a packet

std::string error_payload(std::uint16_t number, std::string_view sqlstate, std::string_view message) {
  std::string payload;
  my::put_error(payload, {number, sqlstate, message});
  return payload;
}

std::string unknown_command() {
  return error_payload(my::unknown_command_number, my::unknown_command_sqlstate, "Unknown command");
}

}  // namespace

// ---- reading -------------------------------------------------------------------------------------------------------

void Session::on_client_readable(bool is_ending) {
  if (state_ == State::waiting || state_ == State::held || (server_ != nullptr && server_->is_backed_up()) ||
      (input_.size() >= waiting_bytes_max && must_wait())) {
    pause_client(true);  // only now do we know that there is more
    return;
  }
  read_all(is_ending, [this](Bytes data) { return process(data); });
}

void Session::run_input() {
  process_input([this](Bytes data) { return process(data); });
}

bool Session::must_wait() const {
  return awaits_kill_ || (server_ != nullptr && (!server_->exchange.is_idle() || awaits_number_));
}

std::size_t Session::process(Bytes data) {
  std::size_t at = 0;
  while (at < data.size() && state_ != State::ended) {
    const Bytes rest = data.subspan(at);
    if (body_left_ != 0) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, rest.size()));
      if (!discard_body_) worker().to_server.keep(rest.first(part));
      body_left_ -= part;
      at += part;
      continue;
    }
    Header header;
    if (!my::read_header(rest, header)) break;
    const std::size_t available = std::min(rest.size(), header.total());
    if (track_.is_inside()) {  // a further packet of a long message
      if (!track_.take(header)) {
        protocol_violation("packets out of order");
        break;
      }
      if (!discard_body_) {
        server_->exchange.sent_more();
        worker().to_server.keep(rest.first(available));
      }
      body_left_ = header.total() - available;
      at += available;
      continue;
    }
    if (must_wait() && !is_served_) break;
    if (header.number != 0 || header.payload == 0) {
      protocol_violation(header.number != 0 ? "packets out of order" : "an empty command");
      break;
    }
    if (available == my::header_bytes) break;
    const auto command = my::command_of(rest[my::header_bytes]);
    if (!command) {
      at += refuse(header, rest, {}, {}, unknown_command());
      continue;
    }
    // Until it is answered, and for good if that is an error, there is none: nobody executes the one before it.
    if (*command == Command::statement_prepare) last_statement_ = 0;
    if (*command == Command::change_user) {
      begin_change_of_user(header, rest);
      break;  // it is not all here, or its connection is being cleaned, or there is no session any more
    }
    if (const std::size_t used = take_without_server(header, rest, *command); used != 0) {
      at += used;
      continue;
    }
    if (state_ == State::ended) break;
    // A client may take as long as it likes to send what it wants: no connection waits with it.
    const bool is_streamed = header.goes_on() || header.total() > conf().limits.buffered_message_bytes_max;
    if (server_ == nullptr && available < header.total() && !is_streamed) break;
    if (server_ == nullptr && begin_unit(rest) != Begin::ready) break;
    is_served_ = false;
    if (take_command(header, rest.first(available), *command) != Take::done) break;
    at += available;
  }
  if (state_ == State::ended) {
    worker().to_server.clear();  // what was not sent yet must not go out with another session's work
    return data.size();
  }
  send_to_server();
  return at;
}

void Session::send_to_server() {
  Outgoing& out = worker().to_server;
  if (out.empty()) return;
  if (server_ != nullptr) {
    server_->send(out.view());
    if (server_->is_backed_up()) pause_client(true);
  }
  out.clear();
}

void Session::server_took_everything() {
  if (state_ != State::active) return;
  pause_client(false);
  run_input();
}

void Session::protocol_violation(const std::string& what) {
  shard_.numbers.protocol_errors.add();
  end("protocol violation by the client", "08P01", what);
}

// ---- commands ------------------------------------------------------------------------------------------------------

std::size_t Session::take_without_server(const Header& header, Bytes rest, Command command) {
  const bool is_whole = rest.size() >= header.total();
  switch (command) {
    case Command::quit:
      end("client said goodbye");
      return 0;
    case Command::ping: {
      // A pool of clients that asks whether its connections are alive must not take a hold for their end.
      if (server_ != nullptr || shard_.table().hold == router::Hold::nothing || !is_whole) return 0;
      my::Ok ok;
      ok.status = status_ & my::status::of_session;
      std::string payload, reply;
      my::put_ok(payload, ok, capabilities_);
      my::put_message(reply, 1, payload);
      begin_message(header, header.total(), false);
      send_to_client(reply);
      return header.total();
    }
    case Command::statement_close: {
      if (!is_whole) return 0;
      begin_message(header, header.total(), false);
      take_close(client_statement(rest.subspan(my::header_bytes, header.payload)));
      return header.total();
    }
    case Command::process_kill: {
      if (!is_whole) return 0;
      if (!shard_.deployment.of_mysql->has_process_kill(shard_.table().writer))
        return refuse(header, rest, {}, {}, unknown_command());
      const auto number = my::parse_process_kill(rest.subspan(my::header_bytes, header.payload));
      if (!number) return refuse(header, rest, "08P01", "malformed COM_PROCESS_KILL");
      return take_kill(header, {.connection = *number});
    }
    case Command::query: {
      if (!is_whole || header.payload > my::kill_bytes_max) return 0;
      const auto query = my::parse_query(rest.subspan(my::header_bytes, header.payload), capabilities_);
      const auto kill = query ? my::parse_kill(query->sql) : std::nullopt;
      return kill && !kill->is_parameter ? take_kill(header, *kill) : 0;
    }
    case Command::statement_execute: {
      if (!is_whole) return 0;
      const auto kill = prepared_kill(rest.subspan(my::header_bytes, header.payload));
      return kill ? take_kill(header, *kill) : 0;
    }
    case Command::shutdown:
      return refuse(header, rest, "0A000", "a server is not shut down through Turnout");
    case Command::change_user:
    case Command::init_db:
    case Command::field_list:
    case Command::refresh:
    case Command::statistics:
    case Command::process_info:
    case Command::debug:
    case Command::statement_prepare:
    case Command::statement_send_long_data:
    case Command::statement_reset:
    case Command::set_option:
    case Command::statement_fetch:
    case Command::reset_connection:
    case Command::statement_bulk_execute:
      break;
  }
  return 0;
}

// Others use it: it stays prepared on the server, only this session forgets it. A cursor of it, and parameters sent
// ahead, are this session's alone.
void Session::take_close(std::uint32_t number) {
  const auto found = prepared_.find(number);
  if (found == prepared_.end()) return;
  if (server_ != nullptr && server_->exchange.has_statement_state()) {
    if (const auto* const known = server_->find_statement(found->second.key)) {
      std::string payload;
      my::put_statement_command(payload, Command::statement_reset, known->number);
      my::put_message(worker().to_server.own(), 0, payload);
      my::Exchange::Entry entry;
      entry.command = Command::statement_reset;
      entry.owner = my::Owner::ours;
      entry.statement = known->number;
      server_->exchange.sent(entry);
    }
  }
  prepared_.erase(found);
}

Session::Take Session::take_command(const Header& header, Bytes packet, Command command) {
  is_plain_set_ = is_resetting_ = waits_ = false;
  tracking_ = 0;
  switch (command) {
    case Command::query:
      return take_query(header, packet);
    case Command::statement_prepare:
      return take_prepare(header, packet);
    case Command::statement_execute:
    case Command::statement_bulk_execute:
    case Command::statement_send_long_data:
    case Command::statement_reset:
    case Command::statement_fetch:
      return take_about_statement(header, packet, command);
    case Command::init_db:
      if (packet.size() < header.total()) return Take::incomplete;
      wanted_database_ = my::argument_of(packet.subspan(my::header_bytes));
      is_plain_set_ = true;
      break;
    case Command::reset_connection:
      is_resetting_ = true;
      break;
    case Command::set_option:
      pin(pin_unwatched);  // whether several statements may be in one text; nothing tells what it was
      server_->is_retired = true;
      break;
    case Command::quit:
    case Command::field_list:
    case Command::refresh:
    case Command::shutdown:
    case Command::statistics:
    case Command::process_info:
    case Command::process_kill:
    case Command::debug:
    case Command::ping:
    case Command::change_user:
    case Command::statement_close:
      break;
  }
  forward(header, packet, command);
  return Take::done;
}

Session::Take Session::take_query(const Header& header, Bytes packet) {
  const bool is_huge = header.goes_on() || header.total() > conf().limits.buffered_message_bytes_max;
  if (packet.size() < header.total() && !is_huge) return Take::incomplete;
  // A proven read has none of them.
  const my::StateWords words = unit_is_read_ ? my::StateWords{} : words_ ? *words_ : words_of(header, packet);
  words_.reset();
  if (const std::string_view why = heed(words); !why.empty()) {
    static_cast<void>(refuse(header, packet, "0A000", why));
    settle_refused();
    return state_ == State::ended ? Take::stop : Take::done;
  }
  if (ramped_) replay_.assign(my::text(packet));
  forward(header, packet, Command::query, words.calls && !words.unsure);
  track_again();
  return Take::done;
}

my::StateWords Session::words_of(const Header& header, Bytes packet) const {
  const bool is_whole = packet.size() >= header.total() && !header.goes_on() &&
                        header.total() <= conf().limits.buffered_message_bytes_max;
  const auto query = is_whole ? my::parse_query(packet.subspan(my::header_bytes), capabilities_) : std::nullopt;
  // A connection that was just leased tells how strings were written in another session.
  const std::uint16_t status = server_ != nullptr ? server_->exchange.status() : status_;
  if (query) return my::state_words(query->sql, (status & my::status::no_backslash_escapes) == 0);
  my::StateWords words;
  words.unsure = true;  // too long to be looked at, or not to be read: it may have set up anything
  return words;
}

// What a text is going to do to its session, as far as the server will not tell.
std::string_view Session::heed(const my::StateWords& words) {
  is_plain_set_ = words.plain_set && !words.unsure;
  tracking_ = words.tracking;
  collates_ = words.collates;
  asks_back_ |= words.diagnostics;
  if (words.kills)
    return "KILL takes the number of a connection to Turnout, written out or as the one parameter of a prepared "
           "statement, and nothing else stands in its text";
  heed_waits(words);
  const LeftBehind::Before before = left_behind_.before(words);
  if (words.is_quiet()) return {};
  if (before.is_refused)
    return "what the statement before left behind (warnings, ROW_COUNT(), FOUND_ROWS()) is on another server "
           "connection: ask in the same transaction, or use pool.mode: session";
  if (words.user_variable) pin(pin_user_variable);
  if (words.lock) pin(pin_advisory_lock);
  if (words.table_lock) pin(pin_table_lock);
  if (words.temporary) pin(pin_temp_object);
  if (words.prepares) pin(pin_sql_prepare);
  if (words.handler || words.untold || words.unsure) pin(pin_unwatched);
  put_before(before);
  return {};
}

// MariaDB tells what it has set back with the next OK that tells anything, perhaps another session's: one of ours goes
// first.
void Session::heed_waits(const my::StateWords& words) {
  waits_ = words.waits && shard_.deployment.of_mysql->is_mariadb();
  if (server_->owes_lock_waits && !words.diagnostics) {
    server_->put_own(worker().to_server.own(), Command::query, "SET lock_wait_timeout = @@lock_wait_timeout",
                     static_cast<std::uint32_t>(Own::restore));
    server_->owes_lock_waits = false;
  }
  server_->owes_lock_waits = server_->owes_lock_waits || waits_;
}

void Session::put_before(const LeftBehind::Before& before) {
  std::string& out = worker().to_server.own();
  const auto own = static_cast<std::uint32_t>(Own::restore);
  if (before.is_blank) {
    server_->put_own(out, Command::query, LeftBehind::blank_sql, own);
    server_->has_warnings = false;
  }
  if (before.has_insert_id)
    server_->put_own(out, Command::query, "SET last_insert_id = " + std::to_string(before.insert_id), own);
  if (before.signal.empty()) return;
  server_->put_own(out, Command::query, before.signal, static_cast<std::uint32_t>(Own::signal));
  server_->has_warnings = true;
}

// What the client has set is what it is told; the server goes on telling us everything, and tells the collation when it
// is set by its own name.
void Session::track_again() {
  if ((tracking_ == 0 && !collates_) || body_left_ != 0 || track_.is_inside()) return;
  left_behind_.lost_rows();
  std::string& out = worker().to_server.own();
  if (tracking_ != 0) server_->put_tracking_again(out, static_cast<std::uint32_t>(Own::track));
  if (collates_)
    server_->put_own(out, Command::query, "SET collation_connection = @@collation_connection",
                     static_cast<std::uint32_t>(Own::charsets));
}

Session::Take Session::take_prepare(const Header& header, Bytes packet) {
  if (header.goes_on() || header.total() > conf().limits.buffered_message_bytes_max) {
    end("message too long", "54000", "a statement to prepare may have at most limits.buffered_message_size bytes");
    return Take::stop;
  }
  if (packet.size() < header.total()) return Take::incomplete;
  if (prepared_.size() >= prepared_max) {
    static_cast<void>(refuse(header, packet, {}, {},
                             error_payload(1461, "42000", "a session may have at most 10000 prepared statements")));
    settle_refused();
    return state_ == State::ended ? Take::stop : Take::done;
  }
  const std::string_view sql = my::argument_of(packet.subspan(my::header_bytes));
  preparing_ = std::make_unique<Prepared>();
  preparing_->key = key_of(sql);
  preparing_->sql_at = preparing_->key.size() - sql.size();
  preparing_->words = my::state_words(sql, (server_->exchange.status() & my::status::no_backslash_escapes) == 0);
  server_->replace_statement(worker().to_server.own(), preparing_->key);
  server_->make_room(worker().to_server.own(), conf().pool.prepared_statements_max);
  forward(header, packet, Command::statement_prepare);
  return Take::done;
}

std::uint32_t Session::client_statement(Bytes payload) const {
  const std::uint32_t number = my::statement_of(payload).value_or(0);
  return number == my::last_prepared ? last_statement_ : number;
}

Session::Take Session::take_about_statement(const Header& header, Bytes packet, Command command) {
  if (packet.size() < statement_at + 4) {
    if (header.total() >= statement_at + 4) return Take::incomplete;
    protocol_violation("a statement without a number");
    return Take::stop;
  }
  const std::uint32_t number = client_statement(packet.subspan(my::header_bytes));
  const auto found = prepared_.find(number);
  const bool is_execute = command == Command::statement_execute || command == Command::statement_bulk_execute;
  if (found == prepared_.end() || !own_error_.empty()) {
    const std::string error =
        !own_error_.empty()
            ? std::exchange(own_error_, {})
            : error_payload(1243, "HY000",
                            "Unknown prepared statement handler (" + std::to_string(number) + ") given to EXECUTE");
    prepared_key_.clear();
    static_cast<void>(refuse(header, packet, {}, {}, error));
    settle_refused();
    return state_ == State::ended ? Take::stop : Take::done;
  }
  Prepared& prepared = found->second;
  auto* const known = server_->find_statement(prepared.key);
  if (known == nullptr) {
    prepare_here(prepared);
    return Take::stop;
  }
  prepared_key_.clear();
  if (is_execute) return take_execute(header, packet, prepared, *known);
  my::Exchange::Entry entry;
  entry.command = command;
  entry.statement = known->number;
  std::string begin(my::text(packet.first(statement_at + 4)));
  my::set_statement(reinterpret_cast<std::uint8_t*>(begin.data()) + my::header_bytes, known->number);
  worker().to_server.own() += begin;
  worker().to_server.keep(packet.subspan(statement_at + 4));
  announce(header, packet.size(), entry);
  return Take::done;
}

Session::Take Session::take_execute(const Header& header, Bytes packet, Prepared& prepared,
                                    ServerConnection::Known& known) {
  const bool is_huge = header.goes_on() || header.total() > conf().limits.buffered_message_bytes_max;
  if (packet.size() < header.total() && !is_huge) return Take::incomplete;
  const Bytes payload = packet.subspan(my::header_bytes);
  const auto execute = my::parse_execute(payload, prepared.parameters, server_->exchange.capabilities());
  const bool is_bulk = my::command_of(payload[0]) == Command::statement_bulk_execute;
  if (const std::string_view why = heed(prepared.words); !why.empty()) {
    static_cast<void>(refuse(header, packet, "0A000", why));
    settle_refused();
    return state_ == State::ended ? Take::stop : Take::done;
  }
  if (prepared.words.collates) pin(pin_unwatched);
  my::Exchange::Entry entry;
  entry.command = is_bulk ? Command::statement_bulk_execute : Command::statement_execute;
  entry.statement = known.number;
  entry.opens_cursor = !is_bulk && execute && execute->opens_cursor();
  entry.calls = prepared.words.calls && !prepared.words.unsure;
  const bool brings_types = !is_bulk && execute && execute->has_types;
  if (brings_types) prepared.types = execute->types;
  // This connection has not heard the types yet, or heard those of somebody else who executes the same text.
  const bool lacks_types = !is_bulk && execute && execute->parameters != 0 && !execute->has_types &&
                           !prepared.types.empty() && known.types != prepared.types;
  std::string& out = worker().to_server.own();
  if (lacks_types && !is_huge) {
    std::string whole = my::with_types(my::text(payload), *execute, prepared.types);
    my::set_statement(reinterpret_cast<std::uint8_t*>(whole.data()), known.number);
    my::put_message(out, 0, whole);
  } else {
    std::string begin(my::text(packet.first(statement_at + 4)));
    my::set_statement(reinterpret_cast<std::uint8_t*>(begin.data()) + my::header_bytes, known.number);
    out += begin;
    worker().to_server.keep(packet.subspan(statement_at + 4));
  }
  if (is_bulk || !execute)
    known.types.clear();
  else if (brings_types || (lacks_types && !is_huge))
    known.types = prepared.types;
  if (ramped_) replay_.assign(my::text(packet));
  announce(header, packet.size(), entry);
  track_again();
  return Take::done;
}

// ---- what is sent --------------------------------------------------------------------------------------------------

void Session::begin_message(const Header& header, std::size_t available, bool discards) {
  track_.expect(0);
  static_cast<void>(track_.take(header));
  discard_body_ = discards;
  body_left_ = header.total() - available;
}

void Session::announce(const Header& header, std::size_t available, const my::Exchange::Entry& entry) {
  begin_message(header, available, false);
  server_->exchange.sent(entry);
  answer_begun_ = false;
}

void Session::forward(const Header& header, Bytes packet, Command command, bool calls) {
  worker().to_server.keep(packet);
  my::Exchange::Entry entry;
  entry.command = command;
  entry.calls = calls;
  announce(header, packet.size(), entry);
}

std::size_t Session::refuse(const Header& header, Bytes rest, std::string_view sqlstate, std::string_view message,
                            std::string_view raw_error) {
  const std::size_t available = std::min(rest.size(), header.total());
  const auto command = rest.size() > my::header_bytes ? my::command_of(rest[my::header_bytes]) : std::nullopt;
  begin_message(header, available, true);
  if (header.goes_on()) {  // its packets would have to be counted to the end before anything can be said
    end("a refused command of several packets", sqlstate.empty() ? "54000" : sqlstate,
        message.empty() ? "this command may not have more than one packet" : message);
    return available;
  }
  if (command && my::answer_form(*command) == my::AnswerForm::none) return available;
  std::string reply;
  put_refusal(reply, 1, sqlstate, message, raw_error);
  left_behind_.told(my::parse_error(my::bytes_of(reply).subspan(my::header_bytes)));
  send_to_client(reply);
  return available;
}

void Session::settle_refused() {
  shadow_.reset();
  ramped_ = no_ramp_ = unit_is_read_ = false;
  mark_ = {};
  if (state_ == State::active && server_ != nullptr && is_at_safe_point() && !keeps_lease()) detach();
}

}  // namespace turnout::proxy::mysql
