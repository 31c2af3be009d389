// Reads that move: what a command is taken for, what becomes of a read that fails on the other side, and what the
// ramp's analysis hears of it. Where it goes is router/route.h's to say, as for PostgreSQL.
//
// A unit is one command outside of any transaction: a text, or an execution of a prepared one that is here whole. Until
// a byte of its answer has gone to the client, a read on a connection to read on can be run again by the writer:
// `replay_` has it, once it was sent.
#include <algorithm>
#include <array>
#include <string>

#include "protocol/mysql/reply.h"
#include "proxy/mysql/session.h"
#include "proxy/worker.h"
#include "router/mysql_answer.h"
#include "router/mysql_classify.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

// A command longer than this is not looked at: it goes to the writer.
constexpr std::size_t looked_at_bytes_max = 256 * 1024;

// Set by a session, they would follow it to a connection that is only to be read on, or make of a read something else
// (of `id IS NULL` the row that was inserted last).
constexpr std::array<std::string_view, 5> bound_to_the_writer = {
    "tx_read_only", "transaction_read_only", "tx_isolation", "transaction_isolation", "sql_auto_is_null"};

}  // namespace

// ---- deciding ------------------------------------------------------------------------------------------------------

router::Unit Session::describe_unit(Bytes rest) {
  router::Unit unit;
  unit_is_read_ = false;
  if (!no_ramp_) mark_ = {};
  if (!wants_verdict(unit)) return unit;
  unit.session_known_state = has_movable_state();
  unit.verdict = command_verdict(rest);
  unit_is_read_ = unit.verdict == router::Verdict::read;
  // The second run of a read that failed elsewhere, and work behind a BEGIN, belong to the writer.
  if (no_ramp_ || must_begin_) unit.verdict = router::Verdict::write;
  return unit;
}

bool Session::has_movable_state() const {
  const bool is_autocommit = (status_ & my::status::autocommit) != 0 && (status_ & my::status::in_transaction) == 0;
  if (!is_autocommit || pins_ != 0 || is_table_locked_ || has_characteristics_ || must_begin_ || asks_back_)
    return false;
  return std::ranges::none_of(bound_to_the_writer,
                              [this](std::string_view name) { return variables_.find(name) != nullptr; });
}

router::Verdict Session::command_verdict(Bytes rest) {
  Header header;
  if (!my::read_header(rest, header) || header.goes_on() || header.total() > looked_at_bytes_max ||
      rest.size() < header.total() || header.payload == 0)
    return router::Verdict::write;
  const Bytes payload = rest.subspan(my::header_bytes, header.payload);
  const auto command = my::command_of(payload[0]);
  if (command == Command::query) {
    const auto query = my::parse_query(payload, capabilities_);
    return query ? text_verdict(query->sql) : router::Verdict::write;
  }
  if (command != Command::statement_execute) return router::Verdict::write;
  const auto found = prepared_.find(client_statement(payload));
  if (found == prepared_.end()) return router::Verdict::write;
  const auto execute = my::parse_execute(payload, found->second.parameters, capabilities_);
  return execute && !execute->opens_cursor() ? statement_verdict(found->second) : router::Verdict::write;
}

router::Verdict Session::text_verdict(std::string_view sql) {
  const bool has_backslash = (status_ & my::status::no_backslash_escapes) == 0;
  const std::string* const mode = variables_.find("sql_mode");
  const bool is_another_grammar =
      mode != nullptr && (mode->find("ORACLE") != std::string::npos || mode->find("MSSQL") != std::string::npos);
  const bool is_trusted = !is_another_grammar && (has_backslash || sql.find('\\') == std::string_view::npos);
  router::Verdict verdict =
      shard_.verdicts.verdict(sql, shard_.catalog, router::mysql_catalog_database, database_, is_trusted);
  // SHOW WARNINGS, @@warning_count: of the statement before it, on the connection that ran that.
  if (verdict == router::Verdict::read_writer && !my::state_words(sql, has_backslash).is_quiet())
    verdict = router::Verdict::write;
  shard_.reads.saw(shard_.verdicts.last_shape(), sql);
  return verdict;
}

router::Verdict Session::statement_verdict(Prepared& prepared) {
  const std::string_view sql = std::string_view(prepared.key).substr(prepared.sql_at);
  if (prepared.verdict_catalog != nullptr && prepared.verdict_catalog == shard_.catalog.get()) {
    shard_.reads.saw(prepared.shape, sql);
    return prepared.verdict;
  }
  prepared.verdict = text_verdict(sql);
  prepared.verdict_catalog = shard_.catalog.get();
  prepared.shape = shard_.verdicts.last_shape();
  return prepared.verdict;
}

// ---- the second run ------------------------------------------------------------------------------------------------

// The client hears nothing of it: the writer's answer counts.
void Session::begin_detour() {
  shard_.numbers.detours.add();
  if (server_ != nullptr) detach();
  detour_ = ramped_ = awaits_number_ = false;
  prepared_key_.clear();
  own_error_.clear();
  no_ramp_ = true;
  input_.insert(0, replay_);
  replay_.clear();
  pause_client(false);
  run_input();
}

void Session::read_elsewhere() {
  shard_.numbers.detours.add();
  mark_ = {};  // the other side has not failed at it: there was no connection to it
  ramped_ = false;
  no_ramp_ = true;
  reconsider();
}

// Of an answer that is under way, or of what was to precede it. True: it is not the client's to see.
bool Session::hides_error(const my::Error& error) {
  if (mark_) measure_error(router::mysql_error_class(error), answer_begun_);
  if (!ramped_ || answer_begun_) return false;
  detour_ = true;
  return true;
}

}  // namespace turnout::proxy::mysql
