"""The mutants of the traps 5 to 11 and 14 of a MySQL proxy: the state of sessions."""
from __future__ import annotations

from mutant import Edit, Mutant, of_traps

TRAPS = "tests/e2e/test_mysql_state_traps.py"
MARIADB = "[mariadb]"  # who has the product as well runs the rest of the cases: not here
TESTS = {
    5: f"test_trap_05_without_autocommit_the_last_flags_tell{MARIADB}",
    6: f"test_trap_06_the_server_says_what_ends_a_transaction{MARIADB}",
    7: f"test_trap_07_state_that_nobody_tells_stays_with_its_session{MARIADB}",
    8: f"test_trap_08_what_is_told_of_a_moment_is_not_kept{MARIADB}",
    9: f"test_trap_09_what_the_last_statement_left_is_ones_own{MARIADB}",
    10: f"test_trap_10_statements_are_the_sessions_own{MARIADB}",
    11: "test_trap_11_what_can_move_moves_and_the_rest_is_waited_for",
    14: f"test_trap_14_a_kill_hits_whom_it_names{MARIADB}",
}
PREPARED_XA = f"{TRAPS}::test_trap_06_no_prepared_xa_is_left_behind"

mutant = of_traps("mysql-", TRAPS, TESTS)

MUTANTS = [
    # ---- 5: autocommit = 0
    mutant(5, "only_words_begin_transactions", "a transaction that a table's SELECT has begun without autocommit keeps no connection",
           "proxy/mysql/session_server.cpp",
           "  return server_->exchange.is_safe_point() && body_left_ == 0",
           "  const my::Exchange& its = server_->exchange;\n"
           "  return its.is_idle() && its.is_status_known() && !its.has_statement_state() && body_left_ == 0"),
    mutant(5, "first_of_several_flags_counts", "of two results in one answer the flags of the first are believed",
           "protocol/mysql/exchange.cpp",
           "void Exchange::note_status(std::uint16_t status) {\n  status_ = status;\n",
           "void Exchange::note_status(std::uint16_t status) {\n"
           "  const bool is_behind = (status_ & status::more_results) != 0;\n"
           "  status_ = is_behind ? static_cast<std::uint16_t>(status_ & ~status::more_results) : status;\n"),
    mutant(5, "autocommit_stays_with_the_server", "autocommit is not set again when a connection goes from one session to another",
           "proxy/mysql/variables.cpp",
           "std::array<std::string_view, 4> told = {\"last_gtid\",",
           "std::array<std::string_view, 5> told = {\"autocommit\", \"last_gtid\","),

    # ---- 6: implicit commit, XA
    mutant(6, "implicit_commit_is_not_believed", "a transaction that the server says is over goes on",
           "proxy/mysql/session_server.cpp",
           "        has_characteristics_ = !change->value.empty();\n",
           "        has_characteristics_ |= !change->value.empty();\n"),
    mutant(6, "xa_of_a_lost_client_goes_on", "a connection that was left in the midst of an XA transaction goes to the next session as it is",
           "proxy/mysql/session_server.cpp",
           "  if (!is_clean || is_session_mode || pins_ != 0 || is_table_locked_ || has_characteristics_) connection.suspect = true;\n",
           "  if (is_session_mode || pins_ != 0) connection.suspect = true;\n"),
    mutant(6, "prepared_xa_is_reset", "a connection that was left with a prepared XA transaction is reset and used again",
           "proxy/mysql/server_connection.cpp",
           "  if (std::exchange(has_xa, false)) is_retired = true;\n",
           ""),
    mutant(6, "prepared_xa_is_no_failure", "the checks before a move pass where an XA transaction is prepared",
           "control/mysql_preflight_sessions.cpp",
           "look.verdict(\"prepared_transactions\", Verdict::fail,",
           "look.verdict(\"prepared_transactions\", Verdict::warn,", PREPARED_XA),
    mutant(6, "prepared_xa_is_left_behind", "behind the fence nobody looks whether an XA transaction is prepared",
           "control/mysql_fence.cpp",
           "  if (!prepared->empty()) {\n",
           "  if (prepared->size() == SIZE_MAX) {\n", PREPARED_XA),

    # ---- 7: state that no tracker tells of
    mutant(7, "locks_by_name_are_not_seen", "GET_LOCK() keeps no connection",
           "proxy/mysql/session_client.cpp",
           "  if (words.lock) pin(pin_advisory_lock);\n",
           ""),
    mutant(7, "user_variables_are_not_seen", "a user variable that a SELECT sets keeps no connection",
           "proxy/mysql/session_client.cpp",
           "  if (words.user_variable) pin(pin_user_variable);\n",
           ""),
    mutant(7, "handlers_are_not_seen", "HANDLER … OPEN keeps no connection",
           "proxy/mysql/session_client.cpp",
           "  if (words.handler || words.untold || words.unsure) pin(pin_unwatched);\n",
           "  if (words.untold || words.unsure) pin(pin_unwatched);\n"),
    mutant(7, "what_routines_do_is_not_heard", "state that the server says has changed, without a name, keeps no connection",
           "proxy/mysql/session_server.cpp",
           "  if (changes.is_malformed() || (has_state && !is_known)) pin(pin_unwatched);\n",
           "  if (changes.is_malformed() && !is_known) pin(pin_unwatched);\n"),

    # ---- 8: misleading trackers
    mutant(8, "set_statement_lasts", "what SET STATEMENT sets for one statement is taken for the session's",
           "protocol/mysql/state_words.cpp",
           "is_one_of({\"statement\", \"role\", \"resource\"})",
           "is_one_of({\"role\", \"resource\"})"),
    mutant(8, "last_gtid_is_set_again", "a variable that a server only tells is set on the next connection",
           "proxy/mysql/variables.cpp",
           "std::array<std::string_view, 4> told = {\"last_gtid\", ",
           "std::array<std::string_view, 3> told = {"),
    mutant(8, "insert_id_is_set_again", "a number for one INSERT is set on every connection that the session gets",
           "proxy/mysql/variables.cpp",
           "  constexpr std::array<std::string_view, 16> fleeting = {\"timestamp\",        \"insert_id\",         \"last_insert_id\",\n",
           "  constexpr std::array<std::string_view, 15> fleeting = {\"timestamp\",        \"last_insert_id\",\n"),

    # ---- 9: what the last statement has left
    mutant(9, "somebodys_warnings_are_shown", "SHOW WARNINGS and its like are answered by whatever connection there is",
           "proxy/mysql/left_behind.cpp",
           "    before.is_refused = is_elsewhere || (lacks_rows && has_had_rows_) || would_lose_count;\n",
           "    before.is_refused = would_lose_count && is_elsewhere;\n"),
    mutant(9, "somebodys_insert_id_is_told", "LAST_INSERT_ID() is that of whoever had the connection before",
           "proxy/mysql/left_behind.cpp",
           "  const bool lacks_insert_id = (words.last_insert_id || words.unsure) && !has_insert_id_here_;\n",
           "  const bool lacks_insert_id = words.unsure && !has_insert_id_here_;\n"),
    Mutant("warnings_stay_on_the_connection", "mysql-9", "who has run nothing yet is shown what another session has left", (
        Edit("proxy/mysql/left_behind.cpp",
             "    before.is_blank = (!is_here_ && signal_.empty()) || lacks_rows;\n",
             "    before.is_blank = lacks_rows;\n"),
        Edit("proxy/mysql/session_unit.cpp",
             "  if (std::exchange(connection.has_warnings, false))\n"
             "    connection.put_own(out, Command::query, LeftBehind::blank_sql, own);\n",
             "")),
        f"{TRAPS}::{TESTS[9]}"),

    # ---- 10: prepared statements
    mutant(10, "numbers_are_the_servers", "a client is told the server's number of its statement",
           "proxy/mysql/session_server.cpp",
           "  my::set_statement(reinterpret_cast<std::uint8_t*>(out.data()), next_statement_);\n",
           ""),
    mutant(10, "types_are_the_last_ones", "an execution without types means those of whoever executed the text last",
           "proxy/mysql/session_client.cpp",
           "                           !prepared.types.empty() && known.types != prepared.types;\n",
           "                           !prepared.types.empty() && known.types.empty();\n"),
    mutant(10, "types_are_not_said_again", "on a new connection a statement is prepared again without its types",
           "proxy/mysql/session_client.cpp",
           "  if (lacks_types && !is_huge) {\n",
           "  if (lacks_types && !known.types.empty() && !is_huge) {\n"),
    mutant(10, "one_text_is_one_statement", "sessions share a statement of the same text, whatever settings it was prepared under",
           "proxy/mysql/session_unit.cpp",
           "  for (const auto& [name, value] : variables_.entries()) key.append(name).append(1, '=').append(value).append(1, '\\0');\n",
           ""),
    mutant(10, "data_sent_ahead_keep_nothing", "a connection on which data were sent ahead goes to another session",
           "protocol/mysql/exchange.cpp",
           "      remember(long_data_, entry.statement);\n",
           ""),
    mutant(10, "cursors_keep_nothing", "a connection on which a cursor is open goes to another session",
           "protocol/mysql/exchange.cpp",
           "  if ((status & status::cursor_exists) != 0 && entry.opens_cursor) remember(cursors_, entry.statement);\n",
           "  if ((status & status::cursor_exists) != 0 && entry.opens_cursor) forget(cursors_, entry.statement);\n"),

    # ---- 11: what cannot move
    mutant(11, "a_hold_takes_every_connection", "a hold takes the connection of a session that cannot go on without it",
           "proxy/mysql/session_unit.cpp",
           "input_waits_for_nothing() && !keeps_lease()) detach();\n",
           "input_waits_for_nothing()) detach();\n"),
    Mutant("locked_tables_keep_nothing", "mysql-11", "LOCK TABLES keeps no connection, whether its words or the server tell of it", (
        Edit("proxy/mysql/session_client.cpp",
             "  if (words.table_lock) pin(pin_table_lock);\n",
             ""),
        Edit("proxy/mysql/session_server.cpp",
             "        is_table_locked_ = state && state->has_locked_tables;\n",
             "        is_table_locked_ = state && state->has_locked_tables && state->is_explicit;\n")),
        f"{TRAPS}::{TESTS[11]}"),
    mutant(11, "the_database_stays_behind", "on the other side a session is in the database that it logged in to",
           "proxy/mysql/session_unit.cpp",
           "    connection.put_own(out, Command::init_db, database_, own);\n",
           ""),

    # ---- 14: KILL
    mutant(14, "late_kill_hits_next_session", "a connection goes to the next session while a KILL for it is on its way",
           "proxy/pool.cpp",
           "  if (connection.cancels_in_flight != 0) return;  // a late cancel must not hit the next session: see cancel_finished\n",
           ""),
    mutant(14, "anybody_is_killed", "a session of another user is killed",
           "proxy/mysql/session_kill.cpp",
           "  if (user != account_.shared.user) {\n",
           "  if (user.empty()) {\n"),
    mutant(14, "ended_mysql_connections_stay", "an idle connection that the server has ended stays in the pool until its next use",
           "proxy/connection.cpp",
           "  if (state_ != State::closed) pool_->remove(*this);\n}",
           "  if (session != nullptr && state_ != State::closed) pool_->remove(*this);\n}"),
]
