// Client → server: what each message of a client means for the server connection it goes to.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "proxy/lock_transfer.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t names_bytes_max = 64 * 1024;  // portal and statement name of a Bind
constexpr std::size_t prepared_max = 10'000;        // named statements of one session

constexpr std::size_t waiting_bytes_max = 1024 * 1024;  // read ahead of a unit that waits for the one before it

// Must the whole message be here before anything of it can go on?
bool is_taken_whole(char type) {
  switch (type) {
    case 'Q':
    case 'P':
    case 'D':
    case 'C':
    case 'E':
    case 'S':
    case 'H':
    case 'X':
    case 'c':
      return true;
    default:
      return false;
  }
}

// Data of a COPY, its end, the Sync behind it, and Flush: the server may wait for them with what it has to say.
bool begins_unit(char type) {
  return type != 'd' && type != 'c' && type != 'f' && type != 'H' && type != 'S';
}

bool is_known(char type) {
  constexpr auto is_in = [] {
    std::array<bool, 256> table{};
    for (const char one : std::string_view("QPBDCEFSHXdcf")) table[static_cast<std::uint8_t>(one)] = true;
    return table;
  }();
  return is_in[static_cast<std::uint8_t>(type)];
}

}  // namespace

void Session::on_client_readable(bool is_ending) {
  if (state_ == State::waiting || state_ == State::held || rolling_back_ || awaiting_types_ ||
      (server_ != nullptr && server_->is_backed_up()) ||
      (input_.size() >= waiting_bytes_max && must_wait_at_boundary())) {
    pause_client(true);  // only now do we know that there is more
    return;
  }
  read_all(is_ending, [this](pg::Bytes data) { return process(data); });
}

void Session::run_input() {
  process_input([this](pg::Bytes data) { return process(data); });
}

// While a hold is on, a client that pipelines without end must not keep its lease for ever: a new unit of work waits
// until the one before it is answered.
bool Session::must_wait_at_boundary() const {
  if (server_ == nullptr) return false;
  if ((ramped_ && unit_left_ == 0) || is_ready_held()) return true;
  const pg::Exchange& exchange = server_->exchange;
  if (exchange.is_unsynced() || exchange.in_copy()) return false;
  if (lock_transfer_ && lock_transfer_->holds_work && exchange.is_safe_point() && client_status_ == 'I') return true;
  // What we prepare, close or answer ourselves did not happen if the server meets an error before it; all statements
  // may be there again if it does not get as far as DISCARD ALL. What was reset to the client's start-up values is that
  // only when it was answered. And what follows a COMMIT on a read connection may be a write.
  const bool resets = !pending_effects_.empty() && !startup_parameters_.empty() && is_reset_pending();
  const bool one_at_a_time = forgotten_ || resets || exchange.owes_preparation() ||
                             shard_.table().hold != router::Hold::nothing ||
                             server_->pool().access() == router::Access::read;
  return one_at_a_time && !exchange.is_idle();
}

std::size_t Session::process(pg::Bytes data) {
  std::size_t at = 0;
  std::size_t recorded_from = 0;
  while (at < data.size() && state_ != State::ended) {
    const pg::Bytes rest = data.subspan(at);
    if (body_left_ != 0) {
      const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, rest.size()));
      if (!discard_body_ && server_ != nullptr && server_->lens && server_->lens->is_binding())
        server_->lens->bind_body(worker().to_server.own(), rest.first(part), part == body_left_);
      else if (!discard_body_)
        worker().to_server.keep(rest.first(part));
      body_left_ -= part;
      at += part;
      continue;
    }
    pg::Header header;
    const pg::Framing framing = pg::read_header(rest, conf().limits.message_bytes_max, header);
    if (framing == pg::Framing::incomplete) break;
    if (framing == pg::Framing::malformed || !is_known(header.type)) {
      protocol_violation(framing == pg::Framing::malformed ? "invalid message length"
                                                           : "invalid frontend message type");
      break;
    }
    if (server_ == nullptr) {
      if (const auto used = take_without_server(header, rest)) {
        if (*used == 0) break;
        at += *used;
        continue;
      }
      if (const std::size_t prepared = take_prepare_segment(rest); prepared != 0) {
        at += prepared;
        continue;
      }
      if (begin_unit(rest) != Begin::ready) break;
    } else if (((begins_unit(header.type) || ramped_) && must_wait_at_boundary()) || rolling_back_) {
      break;
    } else if (begin_only_ && server_->pool().access() == router::Access::read && !decide_first_read(rest)) {
      break;
    }
    if (state_ == State::ended) break;
    const std::size_t available = std::min(rest.size(), header.total());
    const bool is_huge = header.total() > conf().limits.buffered_message_bytes_max;
    if (available < header.total() && is_taken_whole(header.type) && !is_huge) break;
    const Take taken = take_message(header, rest.first(available));
    if (taken != Take::done) break;
    if (record_ != Record::off) record(header, rest.first(available), at, recorded_from);
    at += available;
    unit_left_ -= std::min<std::uint64_t>(unit_left_, available);
  }
  if (state_ == State::ended) {
    worker().to_server.clear();  // what was not sent yet must not go out with another session's work
    return data.size();
  }
  if (record_ != Record::off) keep_recorded(data.first(at).subspan(recorded_from));
  send_to_server();
  answer_fabricated();
  return at;
}

std::optional<std::size_t> Session::take_without_server(const pg::Header& header, pg::Bytes rest) {
  const bool is_whole = rest.size() >= header.total();
  if (header.type == 'X') {
    end("client said goodbye");
    return rest.size();
  }
  if (header.type == 'S') {
    if (!is_whole) return 0;
    skip_until_sync_ = false;
    std::string reply;
    pg::put_ready_for_query(reply, client_status_);
    send_to_client(reply);
    return header.total();
  }
  // Flush has nothing to push; CopyData and its end may come late, after the server refused the COPY.
  const bool is_stray = header.type == 'H' || header.type == 'd' || header.type == 'c' || header.type == 'f';
  if (!is_stray && !skip_until_sync_) return std::nullopt;
  const std::size_t available = std::min(rest.size(), header.total());
  discard_body_ = true;
  body_left_ = header.total() - available;
  return available;
}

std::size_t Session::take_prepare_segment(pg::Bytes rest) {
  if (rest[0] != 'P' && rest[0] != 'C') return 0;
  if (has_own_names() || prepared_.size() >= prepared_max) return 0;
  std::string reply;
  std::vector<std::pair<std::string_view, StatementPtr>> made;
  std::vector<std::string_view> closed;
  std::size_t at = 0;
  pg::Header header;
  while (true) {
    const pg::Bytes left = rest.subspan(at);
    if (pg::read_header(left, conf().limits.buffered_message_bytes_max, header) != pg::Framing::complete) return 0;
    if (left.size() < header.total()) return 0;
    at += header.total();
    if (header.type == 'S') break;
    pg::Reader reader(left.subspan(pg::header_bytes, header.body));
    if (header.type == 'C') {
      const auto what = reader.u8();
      const auto name = reader.cstring();
      if (!what || *what != 'S' || !name || name->empty() || !made.empty()) return 0;
      closed.push_back(*name);
      pg::put_empty_message(reply, '3');
    } else if (header.type == 'P') {
      const auto name = reader.cstring();
      const std::string_view content = pg::text(reader.rest());
      if (!name || name->empty() || content.find('\0') == std::string_view::npos || prepared_.contains(*name)) return 0;
      const bool is_twice = std::any_of(made.begin(), made.end(), [&](const auto& one) { return one.first == *name; });
      const StatementPtr statement = worker().statements.intern(content);
      if (is_twice || statement->is_found_at_parse || !account_.shared.is_accepted(statement->number)) return 0;
      made.emplace_back(*name, statement);
      pg::put_empty_message(reply, '1');
    } else {
      return 0;
    }
  }
  for (const std::string_view name : closed)
    if (const auto found = prepared_.find(name); found != prepared_.end()) prepared_.erase(found);
  for (const auto& [name, statement] : made) prepared_.emplace(name, Prepared{statement});
  pg::put_ready_for_query(reply, client_status_);
  send_to_client(reply);
  return at;
}

Session::Take Session::take_message(const pg::Header& header, pg::Bytes message) {
  if (!only_prepares_) begin_only_ = false;  // whatever comes now, the transaction is more than its BEGIN
  discard_body_ = false;
  const bool touches_nothing = std::exchange(touches_nothing_, false);
  if (message.size() < header.total() && is_taken_whole(header.type)) {
    if (header.type != 'Q') {
      end("message too long", "54000", "a message of this type may have at most limits.buffered_message_size bytes");
      return Take::stop;
    }
    pins_ |= pin_unwatched;  // too long to be looked at: it may have set up anything
    server_->exchange.sent(pg::Request::query, pg::Owner::client, ++work_,
                           lens() != nullptr ? lens()->query(pg::CatalogUse::none) : TypeLens::Ticket{0});
    take_streamed(header, message);
    return Take::done;
  }
  switch (header.type) {
    case 'Q':
      return take_query(message, touches_nothing);
    case 'P':
      return take_parse(message);
    case 'B':
      return take_bind(header, message);
    case 'D':
    case 'C':
      return take_describe_or_close(header, message);
    case 'E':
      take_execute(message);
      return state_ == State::ended ? Take::stop : Take::done;
    case 'S':
      forward(message, pg::Request::sync);
      return Take::done;
    case 'F':
      note_function_call(message);
      server_->exchange.sent(pg::Request::function_call, pg::Owner::client, ++work_);
      take_streamed(header, message);
      return Take::done;
    case 'c':
    case 'f':
      server_->exchange.sent_copy_end();
      take_streamed(header, message);
      return Take::done;
    case 'X':
      end("client said goodbye");
      return Take::stop;
    default:
      take_streamed(header, message);
      return Take::done;  // CopyData, Flush
  }
}

void Session::take_streamed(const pg::Header& header, pg::Bytes available) {
  worker().to_server.keep(available);
  body_left_ = header.total() - available.size();
}

void Session::forward(pg::Bytes message, pg::Request request, TypeLens::Ticket ticket) {
  worker().to_server.keep(message);
  const bool is_work = request == pg::Request::query || request == pg::Request::execute || request == pg::Request::sync;
  server_->exchange.sent(request, pg::Owner::client, is_work ? work_ : 0, ticket);
}

void Session::take_execute(pg::Bytes message) {
  ++work_;
  if (trail_ && !trail_->portals.empty()) {
    const auto portal = pg::Reader(message.subspan(pg::header_bytes)).cstring();
    for (const auto& [name, watch] : trail_->portals)
      if (portal && name == *portal) {
        const auto kept = watch;
        if (!take_deallocate(*kept)) note_effects(*kept);
        break;
      }
    if (state_ == State::ended) return;
  }
  forward_execute(message);
}

// Any function may have been called. Those of large objects are what the protocol's function call is still used for.
void Session::note_function_call(pg::Bytes available) {
  const auto oid = pg::Reader(available.subspan(std::min(available.size(), pg::header_bytes))).u32();
  const bool is_large_object = oid && ((*oid >= 952 && *oid <= 958) || *oid == 964 || *oid == 715 || *oid == 1004 ||
                                       (*oid >= 3170 && *oid <= 3172));
  if (is_large_object) return;
  server_->suspect = true;
  pins_ |= pin_unwatched;
}

Session::Take Session::take_query(pg::Bytes message, bool touches_nothing) {
  const pg::Bytes body = message.subspan(pg::header_bytes);
  const std::string_view sql = pg::text(body).substr(0, body.empty() ? 0 : body.size() - 1);
  forget_unnamed();  // a simple query destroys the unnamed statement
  ++work_;
  if (!touches_nothing && pg::may_touch_state(sql)) {
    const pg::Watch watch = pg::watch_state(sql);
    note_effects(watch);
    if (state_ == State::ended) return Take::stop;
    if (take_deallocates(watch, sql)) return Take::done;
    const bool is_begin =
        watch.statements == 1 && watch.effects.size() == 1 && watch.effects[0].kind == pg::EffectKind::begin;
    if (is_begin && server_->exchange.is_safe_point() && client_status_ == 'I') {
      begin_only_ = true;
      begin_sql_ = sql;
    }
  }
  forward_query(message, sql);
  return Take::done;
}

Session::Take Session::take_parse(pg::Bytes message) {
  pg::Reader reader(message.subspan(pg::header_bytes));
  const auto name = reader.cstring();
  const std::string_view content = pg::text(reader.rest());
  if (!name || content.find('\0') == std::string_view::npos) {
    forward(message, pg::Request::parse);  // the server says what is wrong with it
    return Take::done;
  }
  pg::Exchange& exchange = server_->exchange;
  if (name->empty()) {
    unnamed_parse_.assign(content);
    ++unnamed_version_;
    server_->unnamed_owner = unnamed_mark();
    const std::string_view sql = content.substr(0, content.find('\0'));
    unnamed_watch_.reset();
    if (pg::may_touch_state(sql)) unnamed_watch_ = std::make_shared<const pg::Watch>(pg::watch_state(sql));
    if (unnamed_watch_ && is_deallocate_of_ours(*unnamed_watch_)) {
      unnamed_parse_ = std::string(deallocate_gone) + std::string(content.substr(sql.size()));
      put_parse("", unnamed_parse_);
      exchange.sent(pg::Request::parse);
    } else if (lens() == nullptr) {
      forward(message, pg::Request::parse);
    } else {
      put_parse("", content);
      exchange.sent(pg::Request::parse);
    }
    return Take::done;
  }
  if (const auto known = prepared_.find(*name); known != prepared_.end()) {
    // The server must refuse it (42P05), at this place of the pipeline: prepare what it already has once more.
    const StatementPtr statement = known->second.statement;
    ensure_prepared(statement);
    put_parse(server_side_name(statement->number, server_->statement_generation()), content);
    exchange.sent(pg::Request::parse);
    return Take::done;
  }
  if (prepared_.size() >= prepared_max) {
    end("too many prepared statements", "54000", "a session may have at most 10000 prepared statements");
    return Take::stop;
  }
  const StatementPtr statement = worker().statements.intern(content);
  prepared_.emplace(*name, Prepared{statement});
  unit_parses_.emplace_back(statement->number, *name);
  if (server_->has_statement(statement->number)) {
    const bool is_refused =
        client_status_ == 'E';  // by the server, whatever it has: and the client then has no such name
    if (!statement->is_found_at_parse && !is_refused) {
      exchange.fabricate(pg::Request::parse, statement->number);
      return Take::done;
    }
    const std::string old_name = server_side_name(statement->number, server_->statement_generation());
    pg::put_close_statement(worker().to_server.own(), old_name);
    exchange.sent(pg::Request::close, pg::Owner::ours, statement->number);
    server_->drop_statement(statement->number);
  }
  if (const std::uint32_t old = server_->statement_to_close(conf().pool.prepared_statements_max); old != 0) {
    pg::put_close_statement(worker().to_server.own(), server_side_name(old, server_->statement_generation()));
    exchange.sent(pg::Request::close, pg::Owner::ours, old);
    server_->drop_statement(old);
  }
  put_parse(server_side_name(statement->number, server_->statement_generation()), content);
  exchange.sent(pg::Request::parse, pg::Owner::client, statement->number);
  server_->add_statement(statement->number);
  return Take::done;
}

void Session::ensure_prepared(const StatementPtr& statement) {
  if (server_->has_statement(statement->number)) return;
  std::string& out = worker().to_server.own();
  const std::uint32_t generation = server_->statement_generation();
  if (const std::uint32_t old = server_->statement_to_close(conf().pool.prepared_statements_max); old != 0) {
    pg::put_close_statement(out, server_side_name(old, generation));
    server_->exchange.sent(pg::Request::close, pg::Owner::ours, old);
    server_->drop_statement(old);
  }
  put_parse(server_side_name(statement->number, generation), statement->content);
  server_->exchange.sent(pg::Request::parse, pg::Owner::ours, statement->number);
  server_->add_statement(statement->number);
}

// A driver may prepare the unnamed statement in one segment and bind it in the next, which may run elsewhere.
void Session::ensure_unnamed() {
  if (server_->unnamed_owner == unnamed_mark()) return;
  server_->unnamed_owner = unnamed_mark();
  if (unnamed_parse_.empty()) {  // what is there is somebody else's, or older: the server shall say that there is none
    pg::put_close_statement(worker().to_server.own(), "");
    server_->exchange.sent(pg::Request::close, pg::Owner::ours);
    return;
  }
  put_parse("", unnamed_parse_);
  server_->exchange.sent(pg::Request::parse, pg::Owner::ours);
}

void Session::forget_unnamed() {
  unnamed_parse_.clear();
  unnamed_watch_.reset();
  ++unnamed_version_;
  server_->unnamed_owner = unnamed_mark();
}

Session::Take Session::take_bind(const pg::Header& header, pg::Bytes available) {
  pg::Reader reader(available.subspan(std::min(available.size(), pg::header_bytes)));
  const auto portal = reader.cstring();
  const auto name = reader.cstring();
  if (!portal || !name) {
    if (available.size() < header.total() && available.size() < names_bytes_max) return Take::incomplete;
    protocol_violation("malformed Bind message");
    return Take::stop;
  }
  const auto found = name->empty() ? prepared_.end() : prepared_.find(*name);
  Prepared* const prepared = found != prepared_.end() ? &found->second : nullptr;
  if (name->empty()) ensure_unnamed();
  if (prepared != nullptr) ensure_prepared(prepared->statement);
  const bool is_whole = available.size() == header.total();
  const bool has_types = lens() != nullptr && (prepared != nullptr || name->empty());
  if (has_types && !types_allow_bind(header, prepared, reader.rest(), is_whole)) return Take::incomplete;
  bound_ = prepared;
  if (name->empty()) {
    note_portal(*portal, unnamed_watch_);
  } else if (prepared != nullptr && !prepared->statement->watch.effects.empty()) {
    const StatementPtr& statement = prepared->statement;
    note_portal(*portal, std::shared_ptr<const pg::Watch>(statement, &statement->watch));
  } else if (trail_) {
    note_portal(*portal, nullptr);
  }
  if (prepared == nullptr && !has_types && !name->starts_with(server_side_prefix)) {
    server_->exchange.sent(pg::Request::bind);
    take_streamed(header, available);  // unnamed, or a name that the server will not know either
    return Take::done;
  }
  const DescribedPtr known = has_types ? described(prepared) : nullptr;
  // Nobody gets at a shared statement by guessing its name.
  const std::string server_name = prepared != nullptr
                                      ? server_side_name(prepared->statement->number, server_->statement_generation())
                                      : (name->empty() ? std::string() : "?" + std::string(*name));
  std::string& out = worker().to_server.own();
  const std::size_t length = header.body + 4 - name->size() + server_name.size();
  const std::size_t message_at = out.size();
  pg::Writer(out).u8('B').u32(static_cast<std::uint32_t>(length)).cstring(*portal).cstring(server_name);
  if (has_types)
    lens()->bind(out, message_at, *portal, known, reader.rest(), is_whole);
  else
    out.append(pg::text(reader.rest()));
  body_left_ = header.total() - available.size();
  server_->exchange.sent(pg::Request::bind, pg::Owner::client, bound_ != nullptr ? bound_->statement->number : 0);
  return Take::done;
}

Session::Take Session::take_describe_or_close(const pg::Header& header, pg::Bytes message) {
  pg::Reader reader(message.subspan(pg::header_bytes));
  const auto what = reader.u8();
  const auto name = reader.cstring();
  if (!what || !name) {
    forward(message, header.type == 'C' ? pg::Request::close : pg::Request::describe);
    return Take::done;
  }
  const bool is_close = header.type == 'C';
  const pg::Request request = is_close ? pg::Request::close : pg::Request::describe;
  if (*what == 'P' && !is_close && bound_ != nullptr) bound_->is_described = true;
  if (*what != 'S' || name->empty()) {
    if (*what == 'S') is_close ? forget_unnamed() : ensure_unnamed();
    TypeLens::Ticket ticket = 0;
    if (lens() != nullptr && !is_close)
      ticket = *what == 'S' ? lens()->describe_statement(described(nullptr)) : lens()->describe_portal(*name);
    forward(message, request, ticket);
    return Take::done;
  }
  const auto found = prepared_.find(*name);
  if (is_close) {
    // Other sessions use it: it stays prepared on the server, only this session forgets it.
    std::uint32_t number = 0;
    if (found != prepared_.end()) {
      number = found->second.statement->number;
      bound_ = nullptr;
      unit_closed_.emplace_back(found->first, std::move(found->second));
      prepared_.erase(found);
    }
    server_->exchange.fabricate(request, number);
    return Take::done;
  }
  if (found == prepared_.end() && !name->starts_with(server_side_prefix)) {
    forward(message, request);
    return Take::done;
  }
  std::string server_name = "?" + std::string(*name);
  std::uint32_t number = 0;
  if (found != prepared_.end()) {
    ensure_prepared(found->second.statement);
    number = found->second.statement->number;
    found->second.is_described = true;
    server_name = server_side_name(found->second.statement->number, server_->statement_generation());
  }
  pg::Writer(worker().to_server.own()).begin(header.type).u8(*what).cstring(server_name).end();
  const bool has_types = lens() != nullptr && found != prepared_.end() && !is_close;
  server_->exchange.sent(request, pg::Owner::client, number,
                         has_types ? lens()->describe_statement(described(&found->second)) : TypeLens::Ticket{0});
  return Take::done;
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

// A reply of ours whose turn has come although the server is not asked for anything before it.
void Session::answer_fabricated() {
  if (server_ == nullptr || server_->exchange.is_simple_only()) return;
  pg::Exchange::Entry entry{};
  std::string reply;
  while (server_->exchange.next_fabricated(entry)) put_fabricated(reply, entry);
  if (reply.empty()) return;
  if (ramped_ && !answered_)
    held_reply_ += reply;
  else
    send_to_client(reply);
}

void Session::protocol_violation(const std::string& what) {
  shard_.numbers.protocol_errors.add();
  end("protocol violation by the client", "08P01", what);
}

}  // namespace turnout::proxy
