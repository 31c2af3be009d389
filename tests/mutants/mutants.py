"""The mutants: each puts a wrong behaviour of one of the fifteen traps back, as a small mistake somebody could make.

`old` must be in the file exactly once (tests/style/test_mutants.py looks); the file is a .cpp of the binary; the result
compiles without a warning. A test with cases is named with its case.
"""
from __future__ import annotations

import dataclasses

TRAPS = "tests/e2e/test_traps.py"
RESTART = "tests/e2e/test_mysql_restart.py"
TESTS = {
    1: "test_trap_01_late_cancel_never_hits_the_next_session",
    2: "test_trap_02_no_release_while_a_reply_is_owed",
    3: "test_trap_03_error_in_a_pipeline_drops_what_was_queued",
    4: "test_trap_04_names_of_statements_are_the_sessions_own",
    5: "test_trap_05_deallocate_all_at_its_place_in_the_pipeline",
    6: "test_trap_06_cached_plan_is_renewed",
    7: "test_trap_07_reported_parameters_are_the_sessions_own",
    8: "test_trap_08_no_setting_leaks",
    9: "test_trap_09_copy_ends_where_it_ends",
    10: "test_trap_10_framing",
    11: "test_trap_11_startup_negotiation",
    12: "test_trap_12_what_an_idle_connection_says_is_nobody_elses",
    13: "test_trap_13_failed_transactions_and_lost_clients",
    14: "test_trap_14_errors_at_login_are_the_servers_own",
    15: "test_trap_15_a_pause_ends_nobody",
}


@dataclasses.dataclass(frozen=True)
class Edit:
    file: str
    old: str
    new: str


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    trap: int
    wrong: str  # what it does, in one sentence
    edits: tuple[Edit, ...]
    elsewhere: str = ""  # the test that must fail, where it is not the trap's own

    @property
    def test(self) -> str:
        return self.elsewhere or f"{TRAPS}::{TESTS[self.trap]}"


def mutant(trap: int, name: str, wrong: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, trap, wrong, (Edit(file, old, new),))


MUTANTS = [
    # ---- 1: cancel races
    mutant(1, "late_cancel_hits_next_session", "a connection goes to the next session while a cancel for it is on its way",
           "proxy/pool.cpp",
           "  if (connection.cancels_in_flight != 0) return;  // a late cancel must not hit the next session: see cancel_finished\n",
           ""),
    mutant(1, "any_key_cancels", "a cancel request needs only the session's number, not its key",
           "proxy/canceller.cpp",
           "if (session != nullptr && session->secret_matches(key))",
           "if (session != nullptr)"),
    mutant(1, "waiting_work_is_not_cancelled", "a cancel of work that waits for a connection does nothing",
           "proxy/session_unit.cpp",
           "  if (state_ == State::waiting || state_ == State::held) {\n",
           "  if (state_ == State::held) {\n"),

    # ---- 2: release too early
    mutant(2, "released_with_replies_owed", "the connection is released as soon as a ReadyForQuery says I, whatever is still owed",
           "proxy/session_server.cpp",
           "  if (exchange.is_safe_point() && body_left_ == 0 && server_->body_left == 0) {\n    unit_done",
           "  if (!exchange.in_transaction() && !exchange.is_unsynced() && body_left_ == 0 && server_->body_left == 0) {\n    unit_done"),
    mutant(2, "one_ready_answers_all", "the first ReadyForQuery is taken for the answer to everything that was sent",
           "protocol/pg/exchange.cpp",
           "  if (entry.owner == Owner::ours) result.action = Action::swallow;\n  complete(result);\n}",
           "  if (entry.owner == Owner::ours) result.action = Action::swallow;\n  complete(result);\n  queue_.clear();\n"
           "  head_ = special_ = 0;\n}"),
    mutant(2, "released_before_its_sync", "what was answered after a Flush counts as done, although the Sync has not come",
           "protocol/pg/exchange.cpp",
           "  unsynced_ = request != Request::sync && request != Request::query && request != Request::function_call;\n",
           "  unsynced_ = false;\n"),

    # ---- 3: ErrorResponse inside a pipeline
    mutant(3, "skipped_parse_is_on_the_server", "a Parse that failed or was skipped stays in the server's set",
           "proxy/session_server.cpp",
           "      if (entry->owner != pg::Owner::fabricated) connection.drop_statement(number);\n",
           ""),
    mutant(3, "skipped_parse_is_the_clients", "a Parse that was skipped stays among the client's names",
           "proxy/session_server.cpp",
           "      prepared_.erase(parsed->second);\n",
           ""),
    mutant(3, "skipped_close_happened", "a Close that was skipped takes the statement from the client all the same",
           "proxy/session_server.cpp",
           "      prepared_.insert_or_assign(closed->first, std::move(closed->second));\n",
           ""),
    mutant(3, "skipped_is_undone_in_its_own_order", "of a Close and a Parse that were skipped, the Close is undone first",
           "proxy/session_server.cpp",
           "  for (auto entry = dropped.rbegin(); entry != dropped.rend(); ++entry) {\n",
           "  for (auto entry = dropped.begin(); entry != dropped.end(); ++entry) {\n"),
    mutant(3, "fabricated_reply_behind_an_error", "a ParseComplete of Turnout's own is told although the server skips to the Sync",
           "protocol/pg/exchange.cpp",
           "  while (!is_empty() && head().request != Request::sync) drop(pop());\n",
           "  while (!is_empty() && head().request != Request::sync && head().owner != Owner::fabricated) drop(pop());\n"),

    mutant(3, "sent_behind_an_error_happened", "what is sent behind an error that is known already, before the Sync, counts as done",
           "proxy/session_server.cpp",
           "    if (received.ready && exchange.has_dropped()) void_dropped(connection);  // sent behind the error, before the Sync\n",
           ""),
    mutant(3, "units_behind_are_forgotten", "what a pipelined unit prepares cannot be undone when the one in front of it is answered",
           "proxy/session_server.cpp",
           "  if (connection.exchange.is_idle() || unit_parses_.size() + unit_closed_.size() > kept_max) {\n",
           "  if (unit_parses_.size() + unit_closed_.size() <= kept_max) {\n"),

    # ---- 4: statement-name mapping
    mutant(4, "types_of_parameters_ignored", "two statements of the same text are one, whatever the types of their parameters",
           "proxy/session_client.cpp",
           "  const StatementPtr statement = worker().statements.intern(content);\n  prepared_.emplace(*name",
           "  const StatementPtr statement = worker().statements.intern(content.substr(0, content.find('\\0') + 1));\n"
           "  prepared_.emplace(*name"),
    mutant(4, "shared_statement_is_closed", "a client's Close takes the statement from the server, where others count on it",
           "proxy/session_client.cpp",
           "    server_->exchange.fabricate(request, number);\n",
           "    pg::put_close_statement(worker().to_server.own(), server_side_name(number, server_->statement_generation()));\n"
           "    server_->exchange.sent(request, pg::Owner::client, number);\n"),
    mutant(4, "unnamed_statement_stays_behind", "a Bind of the unnamed statement takes whatever the server has under that name",
           "proxy/session_client.cpp",
           "  if (name->empty()) ensure_unnamed();\n  if (prepared != nullptr)",
           "  if (prepared != nullptr)"),
    mutant(4, "fabricated_reply_out_of_order", "a ParseComplete of Turnout's own is told at once, before the replies that are owed",
           "proxy/session_client.cpp",
           "      exchange.fabricate(pg::Request::parse, statement->number);\n",
           "      std::string reply;\n      pg::put_empty_message(reply, '1');\n      send_to_client(reply);\n"),

    # ---- 5: DEALLOCATE ALL, DISCARD ALL
    mutant(5, "wiped_server_set_is_kept", "the server's set keeps what DISCARD ALL has wiped, other sessions' statements too",
           "proxy/session_state.cpp",
           "      server_->drop_all_statements();\n",
           ""),
    mutant(5, "names_survive_discard", "the client's names survive DISCARD ALL",
           "proxy/session_state.cpp",
           "      forgotten_->merge(prepared_);\n      prepared_.clear();\n",
           ""),
    mutant(5, "failed_discard_forgets", "a DISCARD ALL that fails takes the client's names all the same",
           "proxy/session_state.cpp",
           "      if (!found->happened) prepared_.merge(*forgotten_);\n",
           ""),
    mutant(5, "cleared_on_sight", "what comes behind DISCARD ALL in a pipeline goes on before it is known whether it happened",
           "proxy/session_client.cpp",
           "one_at_a_time = forgotten_ || resets ||",
           "one_at_a_time = resets ||"),

    # ---- 6: cached plan must not change result type
    mutant(6, "changed_plan_is_the_clients_problem", "0A000 of a prepared statement is passed on, outside of transactions too",
           "proxy/session_plan.cpp",
           "  if (!is_gone && !has_changed) return false;\n",
           "  if (!is_gone) return false;\n"),
    mutant(6, "stale_statement_is_kept", "the statement whose plan has changed stays in the set of the server and is run again",
           "proxy/session_plan.cpp",
           "  if (has_changed) old->is_stale.store(true, std::memory_order_relaxed);\n",
           ""),

    mutant(6, "what_was_skipped_is_undone_twice", "a Close behind a statement that is renewed is undone twice, the second time with nothing",
           "proxy/session_server.cpp",
           "      unit_closed_.erase(std::next(closed).base());\n",
           ""),

    # ---- 7: ParameterStatus
    mutant(7, "wishes_are_echoed", "the client is told its start-up parameters as it wrote them, not as the server would",
           "proxy/greeting.cpp",
           "wish != nullptr ? pg::canonical_value(name, *wish, value) : value);",
           "wish != nullptr ? *wish : value);"),
    mutant(7, "wishes_are_not_told", "the client is told the values of whoever logged in first",
           "proxy/greeting.cpp",
           "wish != nullptr ? pg::canonical_value(name, *wish, value) : value);",
           "value);"),
    mutant(7, "report_is_not_forwarded", "a ParameterStatus that comes while the session works is not told to its client",
           "proxy/session_state.cpp",
           "    trail().reports.emplace_back(name, value);\n  return true;\n",
           "    trail().reports.emplace_back(name, value);\n  return is_ours;\n"),
    mutant(7, "report_is_not_believed", "a parameter that changed unseen, and was reported, stays with the server connection",
           "proxy/session_state.cpp",
           "    if (const auto sql = Parameters::from_string(name, value)) set_parameter(connection, name, *sql);\n",
           "    connection.parameter_reported(name, value);\n"),

    # ---- 8: SET in all its forms
    mutant(8, "role_leaks", "a role that was set stays with the server connection",
           "proxy/parameters.cpp",
           '  if (from.find(role) != nullptr) sql += "RESET ROLE;";\n',
           ""),
    mutant(8, "settings_leak", "a setting that the next session has not set stays with the server connection",
           "proxy/parameters.cpp",
           '      if (is_ordinary(have->first)) sql += "RESET " + have->first + ";";\n',
           ""),
    mutant(8, "rolled_back_set_is_kept", "a SET in a transaction that was rolled back counts as set",
           "proxy/session_state.cpp",
           "    undo(connection, trail_->journal.rollback());\n    trail_->all_touched = true;\n",
           "    trail_->all_touched = true;\n"),
    mutant(8, "set_local_lasts", "SET LOCAL is taken for SET",
           "proxy/session_state.cpp",
           "    case Kind::set_local:\n      trail().journal.note_local(effect.name);\n      trail().touched.push_back(effect.name);\n",
           "    case Kind::set_local:\n      set_parameter(connection, effect.name, effect.value);\n"),
    mutant(8, "set_config_is_not_watched", "what set_config() may have set is neither kept with its session nor cleaned up",
           "proxy/session_state.cpp",
           "      connection.suspect = true;\n      pins_ |= pin_set_config;\n",
           ""),
    mutant(8, "a_block_is_not_suspect", "a connection on which a procedure or a DO block ran goes to the next session as it is",
           "proxy/session_state.cpp",
           "      connection.suspect = true;\n      break;  // whoever gets it next starts clean\n",
           "      break;\n"),

    # ---- 9: COPY
    mutant(9, "sync_in_copy_is_counted", "a Sync during COPY FROM STDIN is taken for one that the server answers",
           "protocol/pg/exchange.cpp",
           "  if (copy_in_ && request == Request::sync) return;\n",
           ""),
    mutant(9, "sync_before_copy_is_counted", "a Sync that was on its way when the COPY began is taken for one that the server answers",
           "protocol/pg/exchange.cpp",
           "    } else if (!copy_in_ || queue_[i].request != Request::sync) {\n",
           "    } else if (!copy_in_ || queue_[i].owner == Owner::client) {\n"),
    mutant(9, "late_copy_data_takes_a_connection", "data of a COPY that the server has refused begins a unit of work",
           "proxy/session_client.cpp",
           "  const bool is_stray = header.type == 'H' || header.type == 'd' || header.type == 'c' || header.type == 'f';\n",
           "  const bool is_stray = header.type == 'H';\n"),

    # ---- 10: framing
    mutant(10, "start_up_packet_is_not_capped", "a start-up packet may be as long as it says it is",
           "protocol/pg/wire.cpp",
           "  if (length < 8 || length > bytes_max) {\n",
           "  if (length < 8 || (length > bytes_max && length > 1U << 30U)) {\n"),
    mutant(10, "no_back_pressure", "a server is read on while its client does not read",
           "proxy/session_server.cpp",
           "  if (!output_.empty()) server_->pause_reading(true);\n",
           ""),
    mutant(10, "malformed_length_is_waited_for", "a length that cannot be is taken for a message that is not here yet",
           "proxy/session_client.cpp",
           "    if (framing == pg::Framing::incomplete) break;\n    if (framing == pg::Framing::malformed || !is_known",
           "    if (framing != pg::Framing::complete) break;\n    if (framing == pg::Framing::malformed || !is_known"),

    # ---- 11: start-up negotiation
    mutant(11, "only_one_option_is_named", "of the options that nobody knows only the first is named",
           "proxy/greeting.cpp",
           "    if (name.starts_with(\"_pq_.\")) unknown.push_back(name);\n",
           "    if (name.starts_with(\"_pq_.\") && unknown.empty()) unknown.push_back(name);\n"),
    mutant(11, "bytes_behind_ssl_request_count", "what was sent behind a request for encryption is read on as if nothing were",
           "proxy/greeting.cpp",
           "  if (!input_.empty()) {\n    end(\"bytes behind a request for encryption\"",
           "  if (!input_.empty() && transport_.is_tls()) {\n    end(\"bytes behind a request for encryption\""),
    mutant(11, "encryption_may_be_asked_for_again", "a request for encryption may come any number of times",
           "proxy/greeting.cpp",
           "  if (asked || transport_.is_tls()) {\n",
           "  if (transport_.is_tls()) {\n"),

    # ---- 12: messages on idle servers
    mutant(12, "idle_connections_are_not_read", "what an idle connection says is read by the session that gets it next",
           "proxy/connection.cpp",
           "  session_ = &session;\n  state_ = State::leased;\n}\n\nvoid Connection::end_lease() {\n  session_ = nullptr;\n"
           "  cancel_waiting.reset();\n  state_ = State::idle;\n  idle_since_ms_ = worker().loop.now_ms();\n  pause_reading(false);\n",
           "  session_ = &session;\n  state_ = State::leased;\n  pause_reading(false);\n}\n\nvoid Connection::end_lease() {\n"
           "  session_ = nullptr;\n  cancel_waiting.reset();\n  state_ = State::idle;\n"
           "  idle_since_ms_ = worker().loop.now_ms();\n  pause_reading(true);\n"),
    mutant(12, "ended_idle_connections_stay", "an idle connection that the server has ended stays in the pool until its next use",
           "proxy/connection.cpp",
           "  if (state_ != State::closed) pool_->remove(*this);\n}",
           "  if (session != nullptr && state_ != State::closed) pool_->remove(*this);\n}"),

    # ---- 13: failed transactions and lost clients
    mutant(13, "failed_transaction_is_released", "a failed transaction is taken for one that is over",
           "proxy/session_server.cpp",
           "  if (exchange.is_safe_point() && body_left_ == 0 && server_->body_left == 0) {\n    unit_done",
           "  const bool is_over = exchange.is_safe_point() || (exchange.is_idle() && exchange.status() == 'E');\n"
           "  if (is_over && body_left_ == 0 && server_->body_left == 0) {\n    unit_done"),
    mutant(13, "reused_blind", "the connection of a client that went away in a transaction is reused as it is",
           "proxy/session_server.cpp",
           "  const bool is_clean =\n      connection.exchange.is_safe_point() &&",
           "  const bool is_clean =\n      connection.exchange.is_idle() &&"),
    Mutant("lost_clients_statement_runs_on", 13, "the statement of a client that went away runs on", (
        Edit("proxy/session_server.cpp",
             "    if (!connection.exchange.is_idle()) send_cancel(shard_, connection);\n",
             ""),
        Edit("proxy/pool.cpp",
             "  std::optional<Abandoned> abandoned = owned->abandoned();\n",
             "  std::optional<Abandoned> abandoned;\n"))),

    mutant(13, "lost_clients_bytes_are_the_next_ones", "what a client sent in one packet with its end goes out with the next session's work",
           "proxy/session_client.cpp",
           "    worker().to_server.clear();  // what was not sent yet must not go out with another session's work\n",
           ""),

    # ---- 14: errors at login
    mutant(14, "login_errors_are_reworded", "the server's refusal of a login is told as an error of Turnout's own",
           "proxy/server_connection.cpp",
           "      fail(step.sqlstate, step.message, step.raw_error);\n",
           "      fail(\"08006\", \"the server refused the login: \" + step.message);\n"),
    mutant(14, "refusal_is_remembered", "a login that was refused once is not tried again for 15 seconds",
           "proxy/pool_opening.cpp",
           "constexpr std::uint64_t retry_ms = 200;\n",
           "constexpr std::uint64_t retry_ms = 15'000;\n"),

    # ---- 15: pause
    mutant(15, "held_work_is_not_cancelled", "a cancel of held work does nothing",
           "proxy/session_unit.cpp",
           "  if (state_ == State::waiting || state_ == State::held) {\n",
           "  if (state_ == State::waiting) {\n"),
    mutant(15, "wait_timeout_counts_the_pause", "the time in a pause counts as time waited for a connection",
           "proxy/session_unit.cpp",
           "  if (connection == nullptr) return Begin::stop;\n  attach(of_postgres(",
           "  if (connection == nullptr && held_us_ != 0) since_us_ = held_us_;\n"
           "  if (connection == nullptr) return Begin::stop;\n  attach(of_postgres("),
    mutant(15, "waiters_are_left_in_the_queue", "work that waited for a connection when the pause began goes on waiting for one",
           "proxy/shard.cpp",
           "  reconsider_waiters();\n  release_held();\n",
           "  release_held();\n"),
    mutant(15, "one_connection_at_a_time", "after a pause connections are opened one after the other",
           "proxy/pool_opening.cpp",
           "  return opening() < opening_share(shard().settings->conf.pool, shard().worker.peers());\n",
           "  return opening() == 0;\n"),
    Mutant("idle_connections_stay_with_their_worker", 15,
           "a connection that nobody needs where it was opened idles there while somebody waits on another worker",
           (Edit("proxy/pool.cpp", "    prove_idle();\n    lend_if_wanted();\n", "    prove_idle();\n"),),
           "tests/e2e/test_pool_limits.py::test_a_connection_that_nobody_needs_here_serves_who_waits_on_another_worker"),

    # ---- 0: none of those, but what a MariaDB pair is promised
    Mutant("the_fence_is_only_said", 0, "the old writer of a MariaDB pair is not made read-only, and nobody looks", (
        Edit("control/mysql_fence.cpp",
             "  const auto set = set_global(**loan, (*loan)->dialect().fence, true);\n"
             "  return set ? StepAnswer::done() : failed(set.error());\n",
             "  return StepAnswer::done();\n"),
        Edit("control/mysql_fence.cpp",
             "  if (!*fenced) return StepAnswer::failed(std::string(router::name(from)) + \" is not read-only\");\n",
             ""),
        Edit("control/mysql_fence.cpp",
             "  return *fenced ? StepAnswer::done() : StepAnswer::failed(who + \" takes writes again: somebody has lowered the fence\");\n",
             "  return StepAnswer::done();\n")),
        "tests/e2e/test_mysql_cutover.py::test_a_role_past_turnout_never_writes_on_both[mariadb]"),
    Mutant("a_restarted_follower_stays_open", 0, "a follower that comes up writable is left so",
           (Edit("control/mysql_watch.cpp",
                 "  return !server.read_only && is_ours ?",
                 "  return server.read_only && is_ours ?"),),
           f"{RESTART}::test_a_follower_that_comes_up_writable_is_closed_again[mariadb]"),
    Mutant("a_writer_is_opened_whoever_closed_it", 0, "a writer that somebody has made read-only is opened again",
           (Edit("control/mysql_watch.cpp",
                 "  const bool is_itself = server.by_options && server.id",
                 "  const bool is_itself = server.id"),),
           f"{RESTART}::test_what_somebody_has_set_on_the_writer_stays[mariadb]"),
    Mutant("the_proof_believes_an_open_follower", 0, "a new writer that took writes before the decision is believed",
           (Edit("control/mysql_proof.cpp",
                 "  if (says_read_only(closed->text(0))) return StepAnswer::done();\n",
                 "  if (!closed->empty()) return StepAnswer::done();\n"),),
           f"{RESTART}::test_a_proof_does_not_believe_a_follower_that_takes_writes[mariadb]"),
    Mutant("the_way_back_is_tried_in_another_way", 0, "the login of the way back is tried with TLS that it will not have",
           (Edit("control/mysql_preflight_data.cpp",
                 "  tls.mode = !link.encrypts                          ? conf::TlsMode::disable\n",
                 "  tls.mode = !link.encrypts                          ? tls.mode\n"),),
           "tests/e2e/test_mysql_preflight.py::test_the_login_of_the_way_back"),
]
