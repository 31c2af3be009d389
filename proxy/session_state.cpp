// What a session has set up: which effect of a text has happened, what of it is undone, what the server reports of its
// own.
#include <algorithm>
#include <array>

#include "protocol/pg/sql_lexer.h"
#include "proxy/session.h"
#include "proxy/subscription.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;
using Kind = pg::EffectKind;

namespace {

// Not undone by a rollback, and in part not even kept from happening by an error: counted when sent.
bool happens_at_once(Kind kind) {
  return kind == Kind::advisory_lock || kind == Kind::prepare || kind == Kind::load || kind == Kind::set_config ||
         kind == Kind::unknown;
}

// Reported settings that a session may set; of the others the server's word is not the session's wish.
bool is_believable(std::string_view name) {
  static constexpr std::array<std::string_view, 8> names = {
      "client_encoding", "datestyle",        "intervalstyle",    "timezone",
      "search_path",     "application_name", "scram_iterations", "standard_conforming_strings"};
  return std::find(names.begin(), names.end(), pg::lowered(name)) != names.end();
}

bool is_before(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) < 0;  // numbers of works may wrap
}

}  // namespace

Trail& Session::trail() {
  if (!trail_) trail_ = std::make_unique<Trail>();
  return *trail_;
}

// ---- sent ----------------------------------------------------------------------------------------------------------

void Session::note_effects(const pg::Watch& watch) {
  constexpr std::size_t effects_max = 10'000;  // of what is on its way; a longer pipeline of SETs pins the session
  for (const pg::Effect& effect : watch.effects) {
    // Behind the end of another one, in the same text: its modes are its own, and green must not be written to.
    if (effect.kind == Kind::begin && client_status_ != 'I' && server_->pool().access() == router::Access::read) {
      end("a transaction begins behind one that reads only", "0A000",
          "send COMMIT and BEGIN as two queries: the first transaction reads where the second cannot write");
      return;
    }
    const bool is_now = happens_at_once(effect.kind);
    if (is_now) apply_effect(effect, *server_, false);
    if (pending_effects_.size() >= effects_max)
      pins_ |= pin_unwatched;
    else
      pending_effects_.push_back({work_, is_now, effect});
    // The server forgets its statements when it gets there; what comes after in the pipeline must be prepared anew.
    if (effect.kind == Kind::deallocate_all || effect.kind == Kind::discard_all) {
      server_->drop_all_statements();
      bound_ = nullptr;
      if (!forgotten_) forgotten_ = std::make_unique<decltype(prepared_)>();
      forgotten_->merge(prepared_);
      prepared_.clear();
    }
  }
}

void Session::note_portal(std::string_view portal, std::shared_ptr<const pg::Watch> watch) {
  if (!watch && !trail_) return;
  constexpr std::size_t portals_max = 1'000;
  auto& portals = trail().portals;
  std::erase_if(portals, [portal](const auto& one) { return one.first == portal; });
  if (!watch) return;
  if (portals.size() >= portals_max) {
    pins_ |= pin_unwatched;
    return;
  }
  portals.emplace_back(portal, std::move(watch));
}

bool Session::is_reset_pending() const {
  return std::any_of(pending_effects_.begin(), pending_effects_.end(), [](const PendingEffect& pending) {
    return pending.effect.kind == Kind::reset || pending.effect.kind == Kind::reset_all ||
           pending.effect.kind == Kind::discard_all;
  });
}

// ---- answered ------------------------------------------------------------------------------------------------------

void Session::on_command_complete(ServerConnection& connection, const pg::Exchange::Entry& entry, pg::Bytes tag) {
  const std::uint32_t statement = entry.request == pg::Request::query ? statements_done_++ : 0;
  const bool is_rollback = pg::text(tag).starts_with("ROLLBACK");
  rolled_back_tag_ = is_rollback;
  if ((pins_ & pins_that_end) != 0) note_ending_tag(pg::text(tag));
  if (pending_effects_.empty()) return;
  for (PendingEffect& pending : pending_effects_) {
    if (pending.id != entry.statement || pending.effect.statement != statement || pending.happened) continue;
    pending.happened = true;
    apply_effect(pending.effect, connection, is_rollback);
  }
}

void Session::settle(ServerConnection& connection, std::uint32_t id) {
  const bool is_over = connection.exchange.status() == 'I';
  statements_done_ = 0;
  if (trail_) {
    // An error ended the transaction with it, unless that was undone or committed by a command before.
    if (is_over && unit_failed_) undo(connection, trail_->journal.rollback());
    believe_reports(connection);
    if (is_over) {
      trail_->journal.commit();
      trail_->portals.clear();
      if (trail_->is_empty()) trail_.reset();
    }
  }
  if (pending_effects_.empty()) return;
  const auto is_answered = [id](const PendingEffect& pending) { return !is_before(id, pending.id); };
  if (forgotten_) {
    const auto forgets = [&](const PendingEffect& one) {
      return is_answered(one) && (one.effect.kind == Kind::deallocate_all || one.effect.kind == Kind::discard_all);
    };
    const auto found = std::find_if(pending_effects_.begin(), pending_effects_.end(), forgets);
    if (found != pending_effects_.end()) {
      if (!found->happened) prepared_.merge(*forgotten_);
      forgotten_.reset();
    }
  }
  std::erase_if(pending_effects_, is_answered);
}

void Session::undo(ServerConnection& connection, const KeptSettings* before) {
  if (before == nullptr) return;
  parameters_ = before->session;
  connection.parameters = before->connection;
  trail().all_touched = true;
}

// ---- what an effect does -------------------------------------------------------------------------------------------

void Session::set_parameter(ServerConnection& connection, const std::string& name, const std::string& sql_value) {
  trail().journal.note_change(parameters_, connection.parameters);
  trail().touched.push_back(name);
  if (!connection.parameters.set(name, sql_value)) {  // no name that can be said without quotes, or too many
    pins_ |= pin_unwatched;
    connection.suspect = true;
    return;
  }
  if (Parameters::accept(name, sql_value))
    parameters_.set(name, sql_value);
  else
    parameters_.erase(name);
  // The server forgets the role with it.
  if (name == "session_authorization") {
    connection.parameters.erase("role");
    parameters_.erase("role");
  }
  for (auto& [key, prepared] : prepared_) prepared.verdict_catalog = nullptr;  // search_path may have changed
}

void Session::reset_parameter(ServerConnection& connection, const std::string& name) {
  trail().journal.note_change(parameters_, connection.parameters);
  trail().touched.push_back(name);
  connection.parameters.erase(name);
  if (const std::string* const start = startup_parameters_.find(name)) {
    parameters_.set(name, *start);
    trail().restarted.push_back(name);
  } else {
    parameters_.erase(name);
  }
  if (name == "session_authorization") {
    connection.parameters.erase("role");
    parameters_.erase("role");
  }
  for (auto& [key, prepared] : prepared_) prepared.verdict_catalog = nullptr;
}

void Session::reset_parameters(ServerConnection& connection, bool with_roles) {
  trail().journal.note_change(parameters_, connection.parameters);
  trail().all_touched = true;
  if (with_roles) {
    connection.parameters.clear();
    parameters_ = startup_parameters_;
  } else {
    connection.parameters.reset_all({});
    parameters_.reset_all(startup_parameters_);
  }
  for (const auto& [name, value] : startup_parameters_.entries()) trail().restarted.push_back(name);
  for (auto& [key, prepared] : prepared_) prepared.verdict_catalog = nullptr;
}

bool Session::apply_setting(const pg::Effect& effect, ServerConnection& connection) {
  switch (effect.kind) {
    case Kind::set: {
      // Its backslashes mean what they meant to the client, wherever the text is said again.
      const std::string* const standard = parameters_.find("standard_conforming_strings");
      const bool is_escaped = standard != nullptr && pg::lowered(*standard).find("off") != std::string::npos &&
                              effect.value.starts_with('\'') && effect.value.find('\\') != std::string::npos;
      set_parameter(connection, effect.name, (is_escaped ? " E" : "") + effect.value);
      return true;
    }
    case Kind::set_string:
      if (const auto sql = Parameters::from_string(effect.name, effect.value))
        set_parameter(connection, effect.name, *sql);
      else
        pins_ |= pin_set_config;
      return true;
    case Kind::set_role:
      effect.value.empty() ? reset_parameter(connection, effect.name)
                           : set_parameter(connection, effect.name, effect.value);
      return true;
    case Kind::reset:
      reset_parameter(connection, effect.name);
      return true;
    case Kind::reset_all:
      reset_parameters(connection, false);
      return true;
    case Kind::discard_all:
      reset_parameters(connection, true);
      pins_ = 0;
      note_listen_effect(effect);
      return true;
    case Kind::set_local:
      trail().journal.note_local(effect.name);
      trail().touched.push_back(effect.name);
      return true;
    case Kind::set_characteristics:
      if (effect.name == "read only")
        set_parameter(connection, "default_transaction_read_only", "on");
      else if (effect.name == "read write")
        reset_parameter(connection, "default_transaction_read_only");
      else
        pins_ |= pin_unwatched;
      return true;
    case Kind::begin:
    case Kind::end:
    case Kind::savepoint:
    case Kind::prepare_transaction:
    case Kind::finish_prepared:
    case Kind::set_transaction:
    case Kind::set_config:
    case Kind::discard_other:
    case Kind::prepare:
    case Kind::deallocate:
    case Kind::deallocate_all:
    case Kind::listen:
    case Kind::unlisten:
    case Kind::unlisten_all:
    case Kind::temp_object:
    case Kind::notify:
    case Kind::hold_cursor:
    case Kind::advisory_lock:
    case Kind::advisory_unlock:
    case Kind::load:
    case Kind::unknown:
      return false;
  }
  return false;
}

void Session::apply_transaction(const pg::Effect& effect, ServerConnection& connection, bool is_rollback) {
  if (effect.kind == Kind::savepoint) {
    SettingJournal& journal = trail().journal;
    if (effect.value == "release")
      journal.release(effect.name);
    else if (effect.value == "rollback to")
      undo(connection, journal.rollback_to(effect.name));
    else if (!journal.savepoint(effect.name))
      pins_ |= pin_savepoint_set;
    return;
  }
  if (!trail_) return;
  if (is_rollback) {
    undo(connection, trail_->journal.rollback());
    trail_->all_touched = true;
  }
  for (const auto& [name, value] : trail_->reports)
    if (trail_->journal.was_local(pg::lowered(name))) trail_->touched.push_back(pg::lowered(name));
  trail_->all_touched = trail_->all_touched || trail_->journal.was_local("");
  trail_->journal.commit();
}

void Session::apply_effect(const pg::Effect& effect, ServerConnection& connection, bool is_rollback) {
  if (apply_setting(effect, connection)) return;
  // Not so certain: what the transaction makes may go with it, ON COMMIT or by ROLLBACK.
  const bool is_certain = std::none_of(
      pending_effects_.begin(), pending_effects_.end(),
      [](const PendingEffect& other) { return other.effect.kind == Kind::begin || other.effect.kind == Kind::end; });
  switch (effect.kind) {
    case Kind::savepoint:
      note_listen_effect(effect);
      apply_transaction(effect, connection, is_rollback);
      break;
    case Kind::end:
    case Kind::prepare_transaction:
      apply_transaction(effect, connection, is_rollback);
      break;
    case Kind::set_config:
      connection.suspect = true;
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
    case Kind::deallocate:
      if (const auto found = prepared_.find(effect.name); found != prepared_.end()) {
        bound_ = nullptr;
        prepared_.erase(found);
      }
      break;
    case Kind::begin:
    case Kind::finish_prepared:
    case Kind::set_transaction:
    case Kind::discard_other:
    case Kind::set:
    case Kind::set_string:
    case Kind::set_local:
    case Kind::set_role:
    case Kind::set_characteristics:
    case Kind::reset:
    case Kind::reset_all:
    case Kind::discard_all:
      break;  // apply_setting's, of the transaction only, or of others
  }
}

// ---- what the server reports ---------------------------------------------------------------------------------------

// false: the client is not told now.
bool Session::note_report(ServerConnection& connection, std::string_view name, std::string_view value, bool is_ours) {
  const bool is_restarted =
      trail_ && (trail_->is_restarting || std::find(trail_->restarted.begin(), trail_->restarted.end(),
                                                    pg::lowered(name)) != trail_->restarted.end());
  if (is_restarted) {
    for (const auto& [known, old] : connection.reported())
      if (known == name) trail_->told.emplace_back(name, old);
    return false;
  }
  if (!is_ours && !connection.exchange.is_idle() && !detour_ && is_believable(name))
    trail().reports.emplace_back(name, value);
  return true;
}

// A function, a trigger or a block has set something that we have not seen: it is the session's now, as it would be
// without us.
void Session::believe_reports(ServerConnection& connection) {
  if (trail_->reports.empty() && trail_->touched.empty() && !trail_->all_touched) return;
  const auto reports = std::exchange(trail_->reports, {});
  const auto touched = std::exchange(trail_->touched, {});
  const bool all_touched = std::exchange(trail_->all_touched, false);
  if (all_touched) return;
  for (const auto& [reported, value] : reports) {
    const std::string name = pg::lowered(reported);
    if (std::find(touched.begin(), touched.end(), name) != touched.end()) continue;
    if (const auto sql = Parameters::from_string(name, value)) set_parameter(connection, name, *sql);
  }
  trail_->touched.clear();
}

// ---- RESET to the client's own start -------------------------------------------------------------------------------

// true: the client's ReadyForQuery is kept until what was reset is as the client began.
bool Session::begin_restart(ServerConnection& connection) {
  if (!trail_ || !connection.exchange.is_idle() || connection.exchange.status() == 'E') return false;
  const auto names = std::exchange(trail_->restarted, {});
  Parameters wanted = connection.parameters;
  for (const std::string& name : names)
    if (const std::string* const value = parameters_.find(name); value != nullptr) wanted.set(name, *value);
  const Parameters had = std::exchange(connection.parameters, wanted);
  for (const std::string& sql : {Parameters::encoding_difference(had, wanted), Parameters::difference(had, wanted)}) {
    if (sql.empty()) continue;
    std::string message;
    pg::put_query(message, sql);
    connection.exchange.sent(pg::Request::query, pg::Owner::ours);
    connection.send(message);
    trail_->is_restarting = true;
  }
  connection.unnamed_owner = trail_->is_restarting ? 0 : connection.unnamed_owner;
  return trail_->is_restarting;
}

void Session::put_reports(ServerConnection& connection, std::string& out) {
  if (!trail_) return;
  const Welcome told = std::exchange(trail_->told, {});
  trail_->is_restarting = false;
  std::vector<std::string_view> done;
  for (const auto& [name, old] : told) {
    if (std::find(done.begin(), done.end(), name) != done.end()) continue;
    done.push_back(name);
    for (const auto& [known, value] : connection.reported())
      if (known == name && value != old) pg::put_parameter_status(out, name, value);
  }
}

}  // namespace turnout::proxy
