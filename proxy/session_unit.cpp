// Units of work and leases: where a unit goes, what a session brings to a server connection, how it leaves it.
#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "drain/session_gate.h"
#include "proxy/canceller.h"
#include "proxy/lock_transfer.h"
#include "proxy/session.h"
#include "proxy/shadow_runner.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

// A unit longer than this is not looked at: it goes to the writer.
constexpr std::size_t looked_at_bytes_max = 256 * 1024;

router::Verdict worse(router::Verdict a, router::Verdict b) {
  return std::max(a, b);
}

// Ends or frees work of others, and changes nothing that could be lost: passes the hold until the fence.
bool frees_others(const pg::Watch& watch) {
  if (watch.effects.empty() || watch.effects.size() != watch.statements) return false;
  return std::all_of(watch.effects.begin(), watch.effects.end(), [](const pg::Effect& effect) {
    return effect.kind == pg::EffectKind::finish_prepared || effect.kind == pg::EffectKind::advisory_unlock ||
           effect.kind == pg::EffectKind::unlisten || effect.kind == pg::EffectKind::unlisten_all;
  });
}

bool contains_word(std::string_view text, std::string_view lower_case) {
  const auto found = std::search(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                                 [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
  return found != text.end();
}

// The beginning of a transaction that can only read, of an isolation level that means the same elsewhere?
bool begins_read_only(const pg::Watch& watch, bool by_default) {
  if (watch.statements != 1 || watch.effects.size() != 1) return false;
  const pg::Effect& effect = watch.effects[0];
  if (effect.kind != pg::EffectKind::begin) return false;
  if (effect.name != "read only" && !(effect.name.empty() && by_default)) return false;
  return !contains_word(effect.value, "serializable");
}

bool turns_off(std::string_view value) {
  return value.find("off") != std::string_view::npos || value.find("OFF") != std::string_view::npos ||
         value.find("false") != std::string_view::npos || value.find('0') != std::string_view::npos;
}

// Is each byte of a text below 0x80 the letter that it looks like? Not in those that clients alone may have (SJIS,
// BIG5, GBK, …: PostgreSQL's manual, "Supported Character Sets"), where half a letter may look like a backslash. Names
// as pg_encname_tbl has them: without what is no letter or digit.
bool is_ascii_safe(std::string_view encoding) {
  std::string name;
  for (const char c : encoding)
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      name.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  constexpr auto safe = std::to_array<std::string_view>(
      {"utf8", "unicode", "sqlascii", "euc", "iso8859", "latin", "koi8", "win1", "windows1"});
  return std::ranges::any_of(safe, [&name](std::string_view beginning) { return name.starts_with(beginning); });
}
bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

// ---- deciding ------------------------------------------------------------------------------------------------------

Session::Begin Session::begin_unit(pg::Bytes rest) {
  if (lock_transfer_) {  // parked: there is no lease
    wait_for_locks(rest.size());
    return Begin::stop;
  }
  bool incomplete = false;
  unit_is_read_ = read_begins_ = only_prepares_ = touches_nothing_ = false;
  replay_.clear();
  unit_left_ = 0;
  if (!no_ramp_) mark_ = {};
  if (shadow_) shadow_.reset();
  const router::Unit unit = describe_unit(rest, incomplete);
  if (incomplete) return Begin::incomplete;
  const std::uint64_t proven = shard_.deployment.tokens.proven.load(std::memory_order_acquire);
  const router::Route route = router::route(shard_.table(), unit, proven);
  if (route.held) {
    start_hold(rest.size());
    return Begin::stop;
  }
  ramped_ = route.access == router::Access::read;
  answered_ = false;
  if (is_looked_at_) begin_shadow(unit, route, rest.first(static_cast<std::size_t>(unit_left_)));
  if (ramped_)
    replay_.assign(pg::text(rest.first(static_cast<std::size_t>(unit_left_))));
  else
    unit_left_ = 0;
  if (!read_begins_) measure_begin(route);
  Connection* const connection = take_connection(route);
  if (connection == nullptr) return Begin::stop;
  attach(of_postgres(*connection));
  return state_ == State::active ? Begin::ready : Begin::stop;
}

router::Unit Session::describe_unit(pg::Bytes rest, bool& incomplete) {
  router::Unit unit;
  if (!wants_verdict(unit)) return unit;
  unit.session_known_state = pins_ == 0 && !must_begin_;
  unit.session_may_ramp = !read_settings().is_serializable;
  std::size_t length = 0;
  bool unblocks = false;
  unit.verdict = segment_verdict(rest, incomplete, length, unblocks);
  unit.unblocks = unblocks && !must_begin_;
  unit_left_ = length;
  unit_is_read_ = unit.verdict == router::Verdict::read;
  // The second run of a read that failed on the other connection, and work behind a BEGIN, belong to the writer.
  if (no_ramp_ || must_begin_) unit.verdict = router::Verdict::write;
  return unit;
}

router::Verdict Session::segment_verdict(pg::Bytes rest, bool& incomplete, std::size_t& length, bool& unblocks) {
  std::unordered_map<std::string_view, std::string_view> parsed;  // name → text, of this segment
  router::Verdict verdict = router::Verdict::read_writer;
  std::size_t binds = 0;
  bool began = false;
  only_prepares_ = false;
  while (true) {
    const pg::Bytes left = rest.subspan(length);
    pg::Header header;
    const pg::Framing framing = pg::read_header(left, conf().limits.message_bytes_max, header);
    const bool is_whole = framing == pg::Framing::complete && left.size() >= header.total();
    if (length + (framing == pg::Framing::complete ? header.total() : 0) > looked_at_bytes_max)
      return router::Verdict::write;
    if (!is_whole) {
      incomplete = framing != pg::Framing::malformed;
      return router::Verdict::write;
    }
    length += header.total();
    pg::Reader body(left.subspan(pg::header_bytes, header.body));
    if (header.type == 'S') {
      only_prepares_ = binds == 0;
      // A BEGIN by itself came as a simple query if it is to be moved: what follows could make it READ WRITE.
      return read_begins_ && binds < 2 ? router::Verdict::write : verdict;  // nothing bound: it only prepares
    }
    if (header.type == 'Q') {
      const auto sql = body.cstring();
      if (!sql || length != header.total()) return router::Verdict::write;
      if (pg::may_touch_state(*sql)) {
        const pg::Watch watch = pg::watch_state(*sql);
        unblocks = frees_others(watch);
        return begin_verdict(*sql, watch);
      }
      touches_nothing_ = true;
      return text_verdict(*sql);
    }
    if (header.type == 'P') {
      const auto name = body.cstring();
      const auto sql = body.cstring();
      if (!name || !sql) return router::Verdict::write;
      parsed[*name] = *sql;
    } else if (header.type == 'B') {
      const auto portal = body.cstring();
      const auto name = body.cstring();
      if (!portal || !name) return router::Verdict::write;
      const auto here = parsed.empty() ? parsed.end() : parsed.find(*name);
      const auto known = prepared_.find(*name);
      router::Verdict one = router::Verdict::write;
      if (here != parsed.end())
        one = parsed_verdict(here->second);
      else if (name->empty() && !unnamed_parse_.empty())
        one = parsed_verdict(unnamed_parse_.c_str());
      else if (!name->empty() && known != prepared_.end())
        one = statement_verdict(known->second);
      if (one == router::Verdict::write || (read_begins_ && !began && binds != 0)) return router::Verdict::write;
      began = read_begins_;
      verdict = binds != 0 ? worse(verdict, one) : one;
      ++binds;
    } else if (header.type != 'D' && header.type != 'E' && header.type != 'C') {
      return router::Verdict::write;  // Flush, FunctionCall, COPY: not complete up to a Sync, or not a read
    }
  }
}

const Session::ReadSettings& Session::read_settings() {
  if (read_settings_.version == parameters_.version()) return read_settings_;
  const std::string* const isolation = parameters_.find("default_transaction_isolation");
  const std::string* const path = parameters_.find("search_path");
  const std::string* const by_default = parameters_.find("default_transaction_read_only");
  read_settings_.version = parameters_.version();
  read_settings_.is_serializable = isolation != nullptr && contains_word(*isolation, "serializable");
  const auto effective = [this](const char* name) -> std::string {
    if (const std::string* const set = parameters_.find(name)) return *set;
    const WelcomePtr welcome = account_.shared.known_welcome(shard_.table().writer);
    if (!welcome) return {};
    const auto found = std::ranges::find(*welcome, name, [](const auto& one) { return one.first; });
    return found == welcome->end() ? std::string() : found->second;
  };
  const std::string encoding = effective("client_encoding");
  read_settings_.has_standard_strings = !turns_off(effective("standard_conforming_strings"));
  read_settings_.is_ascii_safe = encoding.empty() || is_ascii_safe(encoding);
  read_settings_.is_read_only = by_default != nullptr && !turns_off(*by_default);
  read_settings_.search_path = path != nullptr ? std::optional(Parameters::list_of(*path)) : std::nullopt;
  return read_settings_;
}

router::Verdict Session::text_verdict(std::string_view sql) {
  const ReadSettings& settings = read_settings();
  const router::Verdict verdict = shard_.verdicts.verdict(
      sql, shard_.catalog, account_.shared.database,
      settings.search_path ? std::string_view(*settings.search_path) : account_.default_search_path,
      settings.has_standard_strings && (settings.is_ascii_safe || is_ascii(sql)));
  shard_.reads.saw(shard_.verdicts.last_shape(), sql);
  return verdict;
}

router::Verdict Session::begin_verdict(std::string_view sql, const pg::Watch& watch) {
  const bool is_read_only = read_settings().is_read_only;
  if (client_status_ != 'I' || read_begins_ || !begins_read_only(watch, is_read_only)) return router::Verdict::write;
  read_begins_ = true;
  begin_sql_ = sql;
  return router::read_only_transaction_verdict(*shard_.catalog, account_.shared.database);
}

router::Verdict Session::parsed_verdict(std::string_view sql) {
  return pg::may_touch_state(sql) ? begin_verdict(sql, pg::watch_state(sql)) : text_verdict(sql);
}

router::Verdict Session::statement_verdict(Prepared& prepared) {
  if (prepared.verdict_catalog == shard_.catalog.get()) {
    shard_.reads.saw(prepared.shape, prepared.statement->sql());
    return prepared.verdict;
  }
  if (!prepared.statement->watch.effects.empty())
    return begin_verdict(prepared.statement->sql(), prepared.statement->watch);
  prepared.verdict = text_verdict(prepared.statement->sql());
  prepared.verdict_catalog = shard_.catalog.get();
  prepared.shape = shard_.verdicts.last_shape();
  return prepared.verdict;
}

// ---- leasing -------------------------------------------------------------------------------------------------------

void Session::attach(ServerConnection& connection) {
  lease_began(connection);
  server_ = &connection;
  record_ = Record::ready;
  if (connection.lens || account_.types) look_through(connection);
  if (told_side_ != lease_side_ && lease_side_ == shard_.table().writer) tell_side();
  restore_state(connection);
  if (shadow_) attach_shadow(connection);
}

// What the server reports of itself and no session can set: the new writer's may be another.
void Session::tell_side() {
  const WelcomePtr before = account_.shared.welcome(told_side_);
  const WelcomePtr now = account_.shared.welcome(lease_side_);
  if (!before || !now) return;
  told_side_ = lease_side_;
  std::string reports;
  for (const std::string_view name : {"server_version", "server_encoding", "integer_datetimes"}) {
    const auto value_in = [name](const Welcome& welcome) {
      const auto found =
          std::find_if(welcome.begin(), welcome.end(), [name](const auto& one) { return one.first == name; });
      return found == welcome.end() ? std::string_view() : std::string_view(found->second);
    };
    const std::string_view value = value_in(*now);
    if (!value.empty() && value != value_in(*before)) pg::put_parameter_status(reports, name, value);
  }
  send_to_client(reports);
}

void Session::restore_state(ServerConnection& connection) {
  pg::Exchange& exchange = connection.exchange;
  if (connection.suspect && connection.last_session != number_) {
    pg::put_query(worker().to_server.own(), "DISCARD ALL");
    exchange.sent(pg::Request::query, pg::Owner::ours);
    connection.forget_state();
  }
  announce_owner(connection);
  if (connection.parameters != parameters_) {
    for (const std::string& sql : {Parameters::encoding_difference(connection.parameters, parameters_),
                                   Parameters::difference(connection.parameters, parameters_)}) {
      if (sql.empty()) continue;
      pg::put_query(worker().to_server.own(), sql);
      exchange.sent(pg::Request::query, pg::Owner::ours);
    }
    connection.parameters = parameters_;
    connection.unnamed_owner = 0;
  }
  if (must_begin_) {
    pg::put_query(worker().to_server.own(), begin_sql_);
    exchange.sent(pg::Request::query, pg::Owner::ours);
    trail_.reset();
    connection.unnamed_owner = 0;
    must_begin_ = false;
  }
  connection.last_session = number_;
}

void Session::served(Connection& connection) {
  attach(of_postgres(connection));
  pause_client(false);
  run_input();
  if (state_ == State::active) send_to_server();
}

bool Session::keeps_lease() const {
  return pins_ != 0 || keeps_by_mode(*server_);
}

void Session::detach() {
  if (record_ != Record::off && !detour_) stop_recording();
  if (lock_transfer_) drop_locks();
  ServerConnection& connection = *server_;
  server_ = nullptr;
  awaiting_types_ = false;
  if (begins_later_) note_begin_later();
  lease_ended(connection);
  connection.pool().give_back(connection);
}

void Session::unit_done(ServerConnection& connection) {
  shard_.numbers.query.record(worker().loop.now_us() - unit_began_us_);
  if (detour_) {
    begin_detour();
    return;
  }
  if (shadow_) end_shadow();
  ramped_ = no_ramp_ = answered_ = was_renewed_ = false;
  skip_trivial_ = 0;
  replay_.clear();
  if (subscription_ && listen_at_safe_point()) return;
  if (const std::uint32_t pins = visible_pins(); pins != published_pins_) publish_pins(pins);
  if ((pins_ & pin_advisory_lock) != 0 || lock_transfer_) note_locks(true);
  if ((recheck_ & pins_) != 0) {
    ask_pins();
    if (state_ == State::ended) return;
  }
  if (ending_at_safe_point_ && pins_ == 0) {
    end("the proxy stops", "57P01", "terminating connection: Turnout is shutting down");
    return;
  }
  if (&connection == server_ && !keeps_lease()) detach();
  pause_client(false);  // what waited at a boundary goes on
  run_input();
}

// Until the first read the server would accept SET TRANSACTION READ WRITE, and green would be written to. So only a
// proven read, or the end, goes on here; everything else takes the transaction, empty as it is, to the writer.
bool Session::decide_first_read(pg::Bytes rest) {
  if (ramped_) return true;  // being sent already
  read_begins_ = false;
  bool incomplete = false, unblocks = false;
  std::size_t length = 0;
  pg::Header header;
  if (pg::read_header(rest, UINT32_MAX, header) == pg::Framing::complete && header.type == 'Q' &&
      rest.size() >= header.total()) {
    pg::Reader body(rest.subspan(pg::header_bytes, header.body));
    const auto sql = body.cstring();
    const pg::Watch watch = sql && pg::may_touch_state(*sql) ? pg::watch_state(*sql) : pg::Watch{};
    if (watch.statements == 1 && watch.effects.size() == 1 && watch.effects[0].kind == pg::EffectKind::end &&
        watch.effects[0].name.empty())
      return true;
  }
  const router::Verdict verdict = segment_verdict(rest, incomplete, length, unblocks);
  if (incomplete) return false;
  if (only_prepares_) return true;
  if (verdict != router::Verdict::read) {
    rollback_empty_transaction();
    return !rolling_back_;
  }
  if (server_->pool().side() == shard_.table().writer) return true;
  ramped_ = true;
  answered_ = false;
  replay_.assign(pg::text(rest.first(length)));
  unit_left_ = length;
  return true;
}

// The read did not succeed where it was sent, and the client has seen nothing of it: the writer's answer counts.
void Session::begin_detour() {
  if (!was_renewed_) shard_.numbers.detours.add();
  shadow_.reset();
  if (server_ != nullptr && !(was_renewed_ && keeps_lease())) detach();
  bound_ = nullptr;
  for (const auto& [number, name] : unit_parses_) prepared_.erase(name);
  for (auto& [name, prepared] : unit_closed_) prepared_.insert_or_assign(name, std::move(prepared));
  unit_parses_.clear();
  unit_closed_.clear();
  pending_effects_.clear();
  held_reply_.clear();
  detour_ = ramped_ = answered_ = unit_failed_ = begin_only_ = awaiting_types_ = false;
  no_ramp_ = true;
  must_begin_ = client_status_ == 'T';
  recheck_ |= pins_ & pin_advisory_lock;  // it was not had
  // What had not been sent of it, for Turnout had to ask for types first, still stands there.
  input_.replace(0, std::min<std::size_t>(std::exchange(unit_left_, 0), input_.size()), replay_);
  stop_recording();
  run_input();
}

// ---- holding -------------------------------------------------------------------------------------------------------

// What is on its way to the server already cannot be held. A transaction that the server begins only later, because it
// has not read the statement yet, behind another one in a pipeline, or inside a procedure that commits, would meet the
// fence and could not write: the fence waits until the server has answered it.
void Session::note_begin_later() {
  bool later = false;
  if (server_ != nullptr && shard_.table().hold != router::Hold::nothing) {
    const auto has_effect = [this](pg::EffectKind kind) {
      return std::any_of(pending_effects_.begin(), pending_effects_.end(),
                         [kind](const auto& pending) { return pending.effect.kind == kind; });
    };
    const bool may_begin = server_->exchange.status() == 'I' || has_effect(pg::EffectKind::unknown);
    // Somebody may wait for what it does before it lets go.
    const bool locks = (pins_ & pin_advisory_lock) != 0 || has_effect(pg::EffectKind::advisory_lock);
    later = server_->pool().access() == router::Access::write &&
            (locks || server_->exchange.units_owed() > 1 || (may_begin && !server_->exchange.is_idle()));
  }
  if (later == begins_later_) return;
  begins_later_ = later;
  Number& level = shard_.numbers.side[router::index(lease_side_)].begin_later;
  later ? level.add() : level.subtract();
}

void Session::table_changed() {
  if (server_ == nullptr || state_ != State::active) return;
  note_begin_later();
  if ((pins_ & pin_advisory_lock) != 0) note_locks(false);
  if (may_rewind()) {
    rollback_empty_transaction();
    return;
  }
  if (subscription_ && is_at_safe_point() && listen_at_safe_point()) return;
  if (server_->exchange.is_safe_point() && body_left_ == 0 && !keeps_lease()) detach();
}

// In a transaction that holds nothing but its BEGIN, on its way or answered, on a writer that is being left.
bool Session::may_rewind() const {
  drain::SessionView view;
  view.begin_only = begin_only_;
  view.has_lease = true;
  view.lease_access = server_->pool().access();
  view.is_pinned = pins_ != 0;
  return drain::may_rewind(view, shard_.table());
}

// Nothing has happened in it yet: end it here, begin it anew on whoever is the writer then; the client notices nothing.
// One whose BEGIN has not been answered yet is asked again when it is.
void Session::rollback_empty_transaction() {
  if (rolling_back_ || !server_->exchange.is_idle() || client_status_ != 'T') return;
  rolling_back_ = true;
  send_rollback();
}

void Session::send_rollback() {
  std::string message;
  pg::put_query(message, "ROLLBACK");
  server_->exchange.sent(pg::Request::query, pg::Owner::ours);
  server_->send(message);
}

// ---- failing a unit that was never sent ----------------------------------------------------------------------------

void Session::wait_failed(const LoginFailure& failure) {
  set_state(State::idle);
  refuse_unit(failure.sqlstate, failure.message, failure.raw_error);
}

void Session::read_elsewhere() {
  shard_.numbers.detours.add();
  mark_ = {};  // green has not failed at it: there was no connection to it
  ramped_ = false;
  no_ramp_ = true;
  reconsider();
}

void Session::refuse_unit(std::string_view sqlstate, std::string_view message, std::string_view raw_error) {
  shard_.numbers.client_errors.add();
  answer_unit(sqlstate, message, raw_error);
}

void Session::answer_unit(std::string_view sqlstate, std::string_view message, std::string_view raw_error) {
  held_us_ = 0;
  ramped_ = no_ramp_ = false;
  pg::Header header;
  std::string reply;
  if (!raw_error.empty())
    pg::put_raw_error(reply, raw_error);
  else
    pg::put_error(reply, {"ERROR", std::string(sqlstate), std::string(message), {}, {}});
  const bool is_query =
      pg::read_header(pg::bytes_of(input_), UINT32_MAX, header) == pg::Framing::complete && header.type == 'Q';
  if (is_query) {
    const std::size_t whole = std::min(input_.size(), header.total());
    input_.erase(0, whole);
    discard_body_ = true;
    body_left_ = header.total() - whole;
    pg::put_ready_for_query(reply, client_status_);
  } else {
    skip_until_sync_ = true;
  }
  send_to_client(reply);
  if (state_ == State::ended) return;
  run_input();
  if (state_ == State::idle) pause_client(false);
}

void Session::cancel(CancelTicket ticket) {
  if (state_ == State::waiting || state_ == State::held) {
    shard_.numbers.cancels_answered.add();
    shard_.unhold(*this);
    if (state_ == State::waiting)
      for (const router::Side side : {router::Side::blue, router::Side::green})
        for (const router::Access access : {router::Access::write, router::Access::read})
          account_.pool(side, access).forget(*this);
    set_state(State::idle);
    answer_unit("57014", "canceling statement due to user request", {});  // its own wish: no error of ours
  } else if (server_ != nullptr && !server_->exchange.is_idle()) {
    if (lock_transfer_) lock_transfer_->is_cancelling = false;  // the client hears of it
    cancel_statement(std::move(ticket));
  } else {
    shard_.numbers.cancels_idle.add();
  }
}

// What we have sent before the client's statement has to come to its end first: it is not what the client means.
void Session::cancel_statement(CancelTicket ticket) {
  if (server_->exchange.is_ours_now()) {
    server_->cancel_waiting = std::move(ticket);
    return;
  }
  mark_ = {};
  answered_ = true;  // what comes now is what the client asked for: no second run on the writer
  Number& outcome =
      send_cancel(shard_, *server_, std::move(ticket)) ? shard_.numbers.cancels_sent : shard_.numbers.cancels_limited;
  outcome.add();
}

}  // namespace turnout::proxy
