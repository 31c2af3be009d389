// Units of work and leases: where a command goes, what a session brings to a server connection, how it leaves it.
#include <algorithm>

#include "protocol/mysql/reply.h"
#include "proxy/mysql/refusal.h"
#include "proxy/mysql/session.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

// ---- leasing -------------------------------------------------------------------------------------------------------

Session::Begin Session::begin_unit(Bytes rest) {
  const router::Unit unit = describe_unit(rest);
  const std::uint64_t proven = shard_.deployment.tokens.proven.load(std::memory_order_acquire);
  const router::Route route = router::route(shard_.table(), unit, proven);
  if (route.held) {
    start_hold(rest.size());
    return Begin::stop;
  }
  ramped_ = route.access == router::Access::read;
  if (ramped_) answer_begun_ = false;
  if (shadow_) shadow_.reset();
  if (is_looked_at_) begin_shadow(unit, route, rest);
  measure_begin(route);
  words_.reset();
  // A proven read asks for nothing that another statement has left.
  Connection* const connection = take_connection(route, !unit_is_read_ && looks_back(rest) ? last_connection_ : 0);
  if (connection == nullptr) return Begin::stop;
  attach(of_mysql(*connection));
  return state_ == State::active ? Begin::ready : Begin::stop;
}

bool Session::looks_back(Bytes rest) {
  Header header;
  if (!my::read_header(rest, header)) return false;
  const Bytes packet = rest.first(std::min(rest.size(), header.total()));
  const Bytes payload = packet.subspan(my::header_bytes);
  const auto command = payload.empty() ? std::nullopt : my::command_of(payload[0]);
  const my::StateWords* words = nullptr;
  if (command == Command::query) {
    words = &words_.emplace(words_of(header, packet));
  } else if (command == Command::statement_execute) {
    const auto found = prepared_.find(my::statement_of(payload).value_or(0));
    if (found != prepared_.end()) words = &found->second.words;
  }
  return words != nullptr && (words->diagnostics || words->last_insert_id);
}

void Session::attach(ServerConnection& connection) {
  lease_began(connection);
  server_ = &connection;
  // Clients hear what they have asked for, or what servers tell by themselves, not what we have asked them to.
  const bool is_known = wanted_ && translation_.is_from(connection.exchange.capabilities());
  if (!wanted_) wanted_ = connection.told();
  if (!is_known) translation_.go_on(connection.exchange.capabilities(), capabilities_, *wanted_);
  restore_state(connection);
  if (shadow_) attach_shadow(connection);
}

void Session::restore_state(ServerConnection& connection) {
  std::string& out = worker().to_server.own();
  const auto own = static_cast<std::uint32_t>(Own::restore);
  if (connection.suspect && connection.last_session != number_) connection.put_reset(out);
  if (connection.database != database_) {
    connection.put_own(out, Command::init_db, database_, own);
    connection.database = database_;
  }
  if (connection.variables != variables_) {
    const std::string sql = Variables::difference(connection.variables, variables_, connection.start());
    if (!sql.empty()) connection.put_own(out, Command::query, sql, own);
    connection.variables = variables_;
  }
  if (std::exchange(must_begin_, false)) connection.put_own(out, Command::query, "START TRANSACTION", own);
  const bool is_same = connection.id() == last_connection_ && connection.last_session == number_;
  connection.last_session = number_;
  if (is_same) return;
  left_behind_.moved();
  if (std::exchange(connection.has_warnings, false))
    connection.put_own(out, Command::query, LeftBehind::blank_sql, own);
}

// The connection is for the command that has waited. If only what the session needs set went to it, the answer would be
// a safe point, and the connection would pass from one waiting session to the next, and none would get to its command.
void Session::served(Connection& connection) {
  attach(of_mysql(connection));
  is_served_ = true;
  pause_client(false);
  run_input();
  is_served_ = false;
  if (state_ == State::active) send_to_server();
}

bool Session::keeps_lease() const {
  return pins_ != 0 || is_table_locked_ || has_characteristics_ || keeps_by_mode(*server_);
}

void Session::detach() {
  ServerConnection& connection = *server_;
  server_ = nullptr;
  // There is no way back from a database to none but a new connection.
  if (account_.shared.database.empty() && !connection.database.empty()) connection.is_retired = true;
  lease_ended(connection);
  connection.pool().give_back(connection);
}

void Session::unit_done(ServerConnection& connection) {
  shard_.numbers.query.record(worker().loop.now_us() - unit_began_us_);
  if (shadow_) end_shadow();
  ramped_ = no_ramp_ = false;
  replay_.clear();
  status_ = connection.exchange.status();  // also what an error had left open
  if (must_begin_) status_ |= my::status::in_transaction;
  if (pins_ != published_pins_) publish_pins(pins_);
  if (ending_at_safe_point_ && pins_ == 0) {
    end("the proxy stops", "57P01", "Turnout is shutting down");
    return;
  }
  if (&connection == server_ && !keeps_lease()) detach();
  pause_client(false);
  run_input();
}

void Session::table_changed() {
  if (server_ == nullptr || state_ != State::active) return;
  if (can_rewind()) {
    rewind();
    return;
  }
  if (is_at_safe_point() && !awaits_number_ && input_waits_for_nothing() && !keeps_lease()) detach();
}

bool Session::can_rewind() const {
  return begin_only_ && server_ != nullptr && shard_.table().hold != router::Hold::nothing && pins_ == 0 &&
         !is_table_locked_ && server_->exchange.is_idle() && server_->exchange.is_status_known() &&
         !server_->exchange.has_statement_state() && server_->cancels_in_flight == 0 && server_->body_left == 0 &&
         body_left_ == 0 && !track_.is_inside() && !awaits_number_ && prepared_key_.empty();
}

void Session::rewind() {
  begin_only_ = false;
  must_begin_ = true;
  std::string message;
  server_->put_own(message, Command::query, "ROLLBACK", static_cast<std::uint32_t>(Own::rewind));
  server_->send(message);
}

// ---- statements ----------------------------------------------------------------------------------------------------

// Two sessions share a statement if it was prepared under the same names and settings. A session that changes them
// while it has statements keeps its connection (note_changes): they go on meaning what they meant.
std::string Session::key_of(std::string_view sql) const {
  std::string key = database_;
  key += '\0';
  for (const auto& [name, value] : variables_.entries()) key.append(name).append(1, '=').append(value).append(1, '\0');
  key += '\0';
  return key.append(sql);
}

void Session::prepare_here(const Prepared& prepared) {
  std::string& out = worker().to_server.own();
  server_->make_room(out, conf().pool.prepared_statements_max);
  prepared_key_ = prepared.key;
  awaits_number_ = true;
  server_->put_own(out, Command::statement_prepare, std::string_view(prepared.key).substr(prepared.sql_at),
                   static_cast<std::uint32_t>(Own::prepare));
  if (shadow_) attach_shadow(*server_);
}

void Session::forget_everything() {
  variables_.clear();
  prepared_.clear();
  pins_ = 0;
  left_behind_.reset();
  wanted_ = server_->told();
  translation_ = my::Translation(server_->exchange.capabilities(), capabilities_, *wanted_);
  is_table_locked_ = has_characteristics_ = false;
  server_->forget_state();
  std::string message;
  server_->put_after_reset(message, static_cast<std::uint32_t>(Own::charsets));
  is_plain_set_ = true;  // what it tells now is only that
  server_->send(message);
}

// ---- failing a unit that was never sent ----------------------------------------------------------------------------

void Session::wait_failed(const LoginFailure& failure) {
  shard_.numbers.client_errors.add();
  refuse_unit(failure);
}

void Session::refuse_unit(const LoginFailure& failure) {
  set_state(State::idle);
  held_us_ = 0;
  ramped_ = no_ramp_ = false;
  my::Header header;
  if (my::read_header(my::bytes_of(input_), header)) {
    std::string data;
    data.swap(input_);
    const std::size_t used = refuse(header, my::bytes_of(data), failure.sqlstate, failure.message, failure.raw_error);
    if (state_ == State::ended) return;
    input_ = data.substr(used);
  }
  run_input();
  if (state_ == State::idle) pause_client(false);
}

}  // namespace turnout::proxy::mysql
