"""Eight of the fifteen traps of a MySQL proxy, the state of sessions: tests which fail where the wrong behaviour is put back.

tests/mutants puts it back and demands that. Where other files show more of the same, the docstring says which. Most run on
one connection for everybody: what one session leaves there, the next one finds.
"""
from __future__ import annotations

import contextlib
import json
import struct
import threading
from typing import Any, Iterator

import pymysql
import pytest
from pymysql.constants import CLIENT

from harness.kept_kills import KeptKills
from harness.mariadb import DATABASE, MariaDb
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_prepared import Prepared
from harness.mysql_products import pair_of
from harness.mysql_turnout import change_user, connect, make_turnout, one
from harness.turnout import REFUSED, REVERTED, Turnout
from harness.waiting import eventually
from test_mysql_kill import runs

EVERY_PRODUCT = True
NUMBER, TEXT, AS_BEFORE = b"\x01\x08\x00", b"\x01\xfd\x00", b"\x00"  # the type of one parameter


@pytest.fixture(scope="module")
def alone(mariadb: MariaDb) -> Turnout:
    """One connection; and one worker, so that who waits for it waits for its holder and nothing else."""
    turnout = make_turnout(mariadb, "transaction", 1, "turnout-alone")
    turnout.stop()
    turnout.config["workers"] = 1
    turnout.write_config()
    turnout.start()
    return turnout


@pytest.fixture(scope="module")
def pair() -> Iterator[MariaPair]:
    with pair_of("mariadb") as made:
        yield made


@pytest.fixture(scope="module")
def moving(pair: MariaPair) -> Turnout:
    return make_pair_turnout(pair, changes={"pool": {"mode": "transaction", "size": 6}})


def said(client: Any, sql: str) -> Any:
    """The first value, or the number of the error."""
    try:
        return one(client, sql)
    except pymysql.MySQLError as error:
        return error.args[0]


def table(client: Any, sql: str) -> Any:
    with client.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def state_of(turnout: Turnout, client: Any) -> Any:
    found = [seen for seen in turnout.rest("/v1/clients")[1]["clients"] if int(seen["id"]) == client.thread_id()]
    return found[0]["state"] if found else "gone"


def end_idle(turnout: Turnout, mariadb: MariaDb) -> None:
    """The server ends the connections that nobody uses, and Turnout notices by itself."""
    mariadb.end_sessions_of("app")
    eventually(lambda: not any(pool["servers_idle"] for pool in turnout.ask("pools")["pools"] if pool["user"] == "app"),
               "a connection that the server has ended is still idle here", timeout_s=15)


class Asked:
    """A statement on a thread of its own."""

    def __init__(self, client: Any, sql: str) -> None:
        self._answers: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(said(client, sql)), daemon=True)
        self._thread.start()

    @property
    def waits(self) -> bool:
        return not self._answers

    def answer(self) -> Any:
        self._thread.join(20)
        assert self._answers, "it is not answered"
        return self._answers[0]


class Meanwhile(Asked):
    """What one session asks for while another may have the only connection: answered in between, or kept waiting."""

    def __init__(self, turnout: Turnout, client: Any, sql: str) -> None:
        super().__init__(client, sql)
        eventually(lambda: not self.waits or state_of(turnout, client) == "waiting", f"neither answered nor waiting: {sql}")


def reset_connection(client: Any) -> None:
    client._execute_command(0x1F, b"")
    assert client._read_packet().is_ok_packet()


# ---- transactions --------------------------------------------------------------------------------------------------

def test_trap_05_without_autocommit_the_last_flags_tell(alone: Turnout, mariadb: MariaDb) -> None:
    """SELECT 1 begins nothing, a table's SELECT does, in the last of several results too; autocommit is each session's own.
    More: the last two tests of test_mysql_kill.py."""
    several = CLIENT.MULTI_STATEMENTS  # of both: who speaks otherwise has other connections
    with connect(alone, autocommit=False, client_flag=several) as first, connect(alone, client_flag=several) as second:
        for begins in ("SELECT COUNT(*) FROM item", "SELECT 1; SELECT COUNT(*) FROM item", "CALL twice()"):
            assert one(first, "SELECT 1") == 1
            assert not Meanwhile(alone, second, "SELECT 2").waits, "SELECT 1 has begun no transaction"
            with first.cursor() as cursor:
                cursor.execute(begins)
                while cursor.nextset():
                    pass
            other = Meanwhile(alone, second, "INSERT INTO item VALUES (9501, 'of the second')")
            assert other.waits, f"another session got the connection in the transaction of {begins}"
            one(first, "INSERT INTO item VALUES (9502, 'of the first')")
            first.rollback()
            assert other.answer() is None
            assert table(second, "SELECT id FROM item WHERE id > 9500") == ((9501,),)
            assert mariadb.value(f"SELECT COUNT(*) FROM {DATABASE}.item WHERE id = 9501") == 1, "who has autocommit has committed"
            one(first, "INSERT INTO item VALUES (9503, 'of the first')")
            assert mariadb.value(f"SELECT COUNT(*) FROM {DATABASE}.item WHERE id = 9503") == 0, "who has none has not"
            first.rollback()
            one(second, "DELETE FROM item WHERE id > 9500")


def test_trap_06_the_server_says_what_ends_a_transaction(alone: Turnout, mariadb: MariaDb) -> None:
    """DDL ends one; XA goes on behind its END, and dies with its client. More: test_mysql_cutover.py::test_checks_refuse."""
    count = f"SELECT COUNT(*) FROM {DATABASE}.item WHERE id = "
    with connect(alone) as first, connect(alone) as second:
        first.begin()
        one(first, "INSERT INTO item VALUES (9601, 'committed by the table')")
        other = Meanwhile(alone, second, "SELECT 6")
        assert other.waits
        one(first, "CREATE TABLE made_in_between (n INT)")
        assert other.answer() == 6, "it is over"
        assert mariadb.value(f"{count} 9601") == 1
        for step in ("XA START 'mine'", "INSERT INTO item VALUES (9602, 'xa')", "XA END 'mine'"):
            one(first, step)
        other = Meanwhile(alone, second, "SELECT 7")
        assert other.waits, "another session got the connection of an XA transaction that is not prepared"
        one(first, "XA PREPARE 'mine'")
        assert other.waits or mariadb.PRODUCT == "MySQL", "MariaDB keeps it on its connection"
        one(first, "XA COMMIT 'mine'")
        assert other.answer() == 7
        assert mariadb.value(f"{count} 9602") == 1
        gone = connect(alone)
        one(gone, "XA START 'left'")
        one(gone, "INSERT INTO item VALUES (9603, 'never')")
        gone._force_close()
        one(second, "INSERT INTO item VALUES (9604, 'outside of it')")
        assert mariadb.value(f"{count} 9604") == 1, "what the next session wrote is in the transaction of a client that is gone"
        assert mariadb.value(f"{count} 9603") == 0
        for leave in (pymysql.Connection._force_close, reset_connection, lambda client: change_user(client, "app")):
            with connect(alone) as leaver:
                for step in ("XA START 'kept'", "INSERT INTO item VALUES (9605, 'rolled back')", "XA END 'kept'", "XA PREPARE 'kept'"):
                    one(leaver, step)
                leave(leaver)
                assert said(second, "SELECT COUNT(*) FROM item WHERE id = 9604") == 1, "the next session got what is left of it"
                one(second, "XA ROLLBACK 'kept'")
        one(second, "DROP TABLE made_in_between")
        one(second, "DELETE FROM item WHERE id > 9600")


def test_trap_06_no_prepared_xa_is_left_behind(pair: MariaPair, moving: Turnout) -> None:
    """It outlives its client, and behind the fence nobody could end it: no move, whoever waives the check. MariaDB's pair;
    MySQL's: test_mysql_cutover.py::test_checks_refuse."""
    with connect(moving) as gone:
        for step in ("XA START 'kept'", "INSERT INTO item VALUES (9611, 'prepared')", "XA END 'kept'", "XA PREPARE 'kept'"):
            one(gone, step)
    with connect(moving) as client:
        refused = moving.ask("cutover", "app", expect=REFUSED)
        assert {"prepared_transactions"} == {check["name"] for check in refused["checks"] if check["verdict"] == "FAIL"}
        report = moving.ask("cutover", "app", "--waive", "prepared_transactions", expect=REVERTED)
        assert "XA transaction 'kept' is prepared" in json.dumps(report)
        moving.wait_settled()
        pair.assert_writer("blue")
        one(client, "XA COMMIT 'kept'")
        assert one(client, "SELECT COUNT(*) FROM item WHERE id = 9611") == 1


# ---- state that servers do not tell, or tell wrongly ------------------------------------------------------------------

# (what makes it, what shows it to whom has it)
INVISIBLE = [
    ("SELECT GET_LOCK('trap', 1)", "SELECT IS_USED_LOCK('trap') = CONNECTION_ID()", 1),
    ("SELECT @x := 5", "SELECT @x", 5),
    ("SELECT 6 INTO @v", "SELECT @v", 6),
    ("HANDLER item OPEN", "HANDLER item READ FIRST", 1),
    ("LOCK TABLES item READ", "DELETE FROM item WHERE id = 0", 1099),
    ("CALL hides()", "SELECT COUNT(*) FROM hidden", 0),
    ("PREPARE mine FROM 'SELECT 8'", "EXECUTE mine", 8),
]


def test_trap_07_state_that_nobody_tells_stays_with_its_session(alone: Turnout, mariadb: MariaDb) -> None:
    """No tracker tells of some of it. More: test_mysql.py::test_what_cannot_move_pins_with_its_reason, and the unit tests of
    protocol/mysql/state_words."""
    for make, ask, wanted in INVISIBLE:
        with mariadb.connect() as direct:
            clean = said(direct, ask)
        assert clean != wanted
        with connect(alone) as first, connect(alone) as second:
            one(first, make)
            other = Meanwhile(alone, second, ask)
            mine = said(first, ask)
            first._force_close()
            assert other.answer() == clean, f"another session has what came of {make}"
            assert mine == wanted, make


def test_trap_08_what_is_told_of_a_moment_is_not_kept(alone: Turnout, mariadb: MariaDb) -> None:
    """A variable of one statement, one that is used up, one that nobody can set. More: tests/proxy, of Variables."""
    moment = ("SELECT /*+ SET_VAR(sort_buffer_size = 300032) */ 1" if mariadb.PRODUCT == "MySQL" else
              "SET STATEMENT sort_buffer_size = 300032 FOR SELECT 1")
    ask = "SELECT @@sort_buffer_size"
    usual = mariadb.value(ask)
    with connect(alone) as first, connect(alone) as second:
        assert one(first, moment) == 1
        other = Meanwhile(alone, second, ask)
        assert one(first, ask) == usual, "what was set for one statement lasts"
        first._force_close()
        assert other.answer() == usual
    with connect(alone) as first, connect(alone) as second:
        for client in (first, second, first):  # tells last_gtid, or statement_id
            assert said(client, "INSERT INTO item (name) VALUES ('trap 8')") is None, "what the server told was set again"
    with connect(alone) as first, connect(alone) as second:
        one(first, "SET insert_id = 9801")
        one(first, "INSERT INTO item (name) VALUES ('trap 8')")
        other = Meanwhile(alone, second, "INSERT INTO item (name) VALUES ('trap 8')")
        assert said(first, "INSERT INTO item (name) VALUES ('trap 8')") is None, "a number that was used up is asked for again"
        first._force_close()
        assert other.answer() is None
        assert one(second, "SELECT COUNT(*) FROM item WHERE id = 9801") == 1
        one(second, "DELETE FROM item WHERE name = 'trap 8'")


def test_trap_09_what_the_last_statement_left_is_ones_own(alone: Turnout, mariadb: MariaDb) -> None:
    """Warnings, ROW_COUNT(), FOUND_ROWS(), LAST_INSERT_ID(): one's own, or refused. More, in every order:
    test_mysql.py::test_nobody_sees_what_another_session_left_behind, and tests/proxy, of LeftBehind."""
    with mariadb.connect() as direct:
        one(direct, "DROP TABLE IF EXISTS nowhere")
        warning = table(direct, "SHOW WARNINGS")
    with connect(alone) as first, connect(alone) as second:
        one(first, "DROP TABLE IF EXISTS nowhere")
        assert table(first, "SHOW WARNINGS") == warning
        one(first, "SELECT id FROM item WHERE id <= 2")
        assert one(first, "SELECT FOUND_ROWS()") == 2
        for work, look in (("DROP TABLE IF EXISTS nowhere", "SHOW WARNINGS"), ("DELETE FROM item WHERE id = 0", "SELECT ROW_COUNT()"),
                           ("SELECT id FROM item WHERE id <= 2", "SELECT FOUND_ROWS()")):
            one(first, work)
            one(second, "DROP TABLE IF EXISTS elsewhere")
            assert said(first, look) == 1235, f"{look} tells of another session's statement"
        ids = []
        for client in (first, second):
            one(client, "INSERT INTO item (name) VALUES ('trap 9')")
            ids.append(one(client, "SELECT MAX(id) FROM item"))
        assert [one(client, "SELECT LAST_INSERT_ID()") for client in (first, second)] == ids
        one(second, "DELETE FROM item WHERE name = 'trap 9'")
        one(second, "DROP TABLE IF EXISTS elsewhere")
        with connect(alone) as third:
            assert table(third, "SHOW WARNINGS") == (), "who has run nothing is told of another session's statement"


# ---- prepared statements ---------------------------------------------------------------------------------------------

def send_ahead(client: Any, prepared: Prepared, data: bytes) -> None:
    """COM_STMT_SEND_LONG_DATA of the first parameter, which nobody answers."""
    client._execute_command(0x18, struct.pack("<IH", prepared.number, 0) + data)


def open_cursor(client: Any, prepared: Prepared) -> None:
    client._execute_command(0x17, struct.pack("<IBI", prepared.number, 1, 1))
    for _ in range(3):  # one column: count, definition, EOF
        packet = client._read_packet()
    assert struct.unpack_from("<H", packet._data, 3)[0] & 0x40, "a cursor is open"


def fetch(client: Any, prepared: Prepared) -> int:
    """All its rows; their number."""
    client._execute_command(0x1C, struct.pack("<II", prepared.number, 1000))
    count = 0
    while not client._read_packet().is_eof_packet():
        count += 1
    return count


def test_trap_10_statements_are_the_sessions_own(alone: Turnout, mariadb: MariaDb) -> None:
    """Numbers, types, what was sent ahead, cursors, the settings they were prepared under; on a new connection too. More:
    test_mysql.py::test_executions_keep_their_own_types and those behind it, drivers_mysql, unit tests of Exchange."""
    with connect(alone) as first, connect(alone) as second:
        plain = [Prepared(client, f"SELECT CONCAT(?, '{name}')") for client, name in ((first, "a"), (second, "b"))]
        assert [plain[at].run(5) for at in (1, 0, 1)] == ["5b", "5a", "5b"]
        same = [Prepared(client, "SELECT CONCAT(?, '!')") for client in (first, second)]
        assert same[0].run_with(NUMBER, struct.pack("<q", 65)) == "65!"
        assert same[1].run_with(TEXT, b"\x03abc") == "abc!"
        assert same[0].run_with(AS_BEFORE, struct.pack("<q", 66)) == "66!", "types of another session"
        end_idle(alone, mariadb)
        assert same[1].run_with(AS_BEFORE, b"\x02de") == "de!", "prepared again, with its types"
        assert plain[0].run(6) == "6a"
    with connect(alone) as first, connect(alone) as second:
        for client in (first, second):
            one(client, f"SET sql_mode = '{'ANSI_QUOTES' if client is first else ''}'")
        quoted = [Prepared(client, 'SELECT "name" FROM item WHERE id = 1') for client in (first, second)]
        assert [quoted[at].run() for at in (1, 0, 1)] == ["name", "one", "name"], "one text under two settings"
    with connect(alone) as first, connect(alone) as second:
        longer, again = (Prepared(client, "SELECT CONCAT(?, '?')") for client in (first, second))
        assert again.run_with(TEXT, b"\x03abc") == "abc?"
        send_ahead(first, longer, b"sent ")
        assert one(first, "SELECT 9") == 9
        other = Meanwhile(alone, second, "SELECT 10")
        assert other.waits, "another session got a connection on which data were sent ahead"
        send_ahead(first, longer, b"ahead")
        assert longer.run_with(b"\x00" + TEXT) == "sent ahead?"
        assert other.answer() == 10
        assert again.run_with(TEXT, b"\x03abc") == "abc?"
        rows = Prepared(first, "SELECT id FROM item WHERE id <= 2")
        open_cursor(first, rows)
        other = Meanwhile(alone, second, "SELECT 11")
        assert other.waits, "another session got a connection on which a cursor is open"
        assert fetch(first, rows) == 2
        assert other.answer() == 11
        send_ahead(first, Prepared(first, "SELECT 1"), b"nobody's")  # no such parameter
        rows.number += 1000
        send_ahead(first, rows, b"nobody's")  # no such statement
        first._execute_command(0x19, struct.pack("<I", rows.number))  # COM_STMT_CLOSE of none
        assert one(first, "SELECT 12") == 12, "none of them is answered"


# ---- a move ----------------------------------------------------------------------------------------------------------

# (what makes it, what shows it to whom has it, why it cannot move)
STUCK = [
    ("SET @kept = 5", "SELECT @kept", 5, "user_variable"),
    ("CREATE TEMPORARY TABLE mine (n INT)", "SELECT COUNT(*) FROM mine", 0, "temp_object"),
    ("PREPARE mine FROM 'SELECT 8'", "EXECUTE mine", 8, "sql_prepare"),
    ("LOCK TABLES item READ", "DELETE FROM item WHERE id = 0", 1099, "table_lock"),
]


def test_trap_11_what_can_move_moves_and_the_rest_is_waited_for(pair: MariaPair, moving: Turnout) -> None:
    """Settings, database, prepared statements follow a session to green; what only its server has reverts the move, and
    stays. On MariaDB's pair; on both: test_mysql_cutover.py, test_mysql_driver_moves.py."""
    with connect(moving) as light:
        one(light, "SET time_zone = '+03:00', autocommit = 0")
        one(light, "USE other")
        prepared = Prepared(light, "SELECT CONCAT(?, @@server_id, @@time_zone, @@autocommit + 0, DATABASE())")
        blue, green = pair.blue.server_id, pair.green.server_id
        assert prepared.run(1) == f"1{blue}+03:000other"
        with contextlib.ExitStack() as open_clients:
            heavy = [open_clients.enter_context(connect(moving)) for _ in STUCK]
            for client, (make, _, _, _) in zip(heavy, STUCK):
                one(client, make)
            pinned = {client["id"]: client["pinned_by"] for client in moving.rest("/v1/clients")[1]["clients"]}
            for client, (_, _, _, reason) in zip(heavy, STUCK):
                assert reason in pinned[client.thread_id()]
            moving.ask("cutover", "app", expect=REVERTED)
            moving.wait_settled()
            pair.assert_writer("blue")
            for client, (make, ask, wanted, _) in zip(heavy, STUCK):
                assert said(client, ask) == wanted, f"a move that was given up has cost a session what came of {make}"
        report = moving.ask("cutover", "app")
        assert (report["outcome"], report["client_errors"]) == ("committed", 0)
        assert prepared.run(2) == f"2{green}+03:000other"
        light.rollback()


# ---- KILL ------------------------------------------------------------------------------------------------------------

def test_trap_14_a_kill_hits_whom_it_names(mariadb: MariaDb) -> None:
    """Late, it hits nobody; it names sessions here, of the same user; what a server has ended is nobody's error. More:
    test_mysql_kill.py, test_mysql_attacks.py::test_a_server_connection_that_is_killed."""
    with KeptKills(mariadb.port) as road:
        turnout = make_turnout(mariadb, "transaction", 1, "turnout-kept-kills", {"blue": f"127.0.0.1:{road.port}",
                                                                                 "server_tls": {"sslmode": "disable"}})
        with connect(turnout) as victim, connect(turnout) as next_one, connect(turnout) as killer, mariadb.connect() as holder:
            one(victim, "SELECT 1")
            holder.begin()
            one(holder, "SELECT id FROM item WHERE id = 1 FOR UPDATE")
            one(holder, "SELECT GET_LOCK('late', 1)")
            hit = Asked(victim, "UPDATE item SET name = 'one' WHERE id = 1")
            eventually(lambda: runs(mariadb, "UPDATE item") == 1, "the statement runs")
            kill = Asked(killer, f"KILL QUERY {victim.thread_id()}")
            assert road.has_one.wait(20), "no KILL is on its way"
            holder.commit()
            assert hit.answer() is None, "it was over before"
            waiting = Asked(next_one, "SELECT GET_LOCK('late', 60)")
            eventually(lambda: state_of(turnout, next_one) == "waiting" or runs(mariadb, "SELECT GET_LOCK") == 1, "it came to nothing")
            road.may_pass.set()
            assert kill.answer() is None
            one(holder, "SELECT RELEASE_LOCK('late')")
            assert waiting.answer() == 1, "a KILL of another session's statement has hit it"
            one(next_one, "SELECT RELEASE_ALL_LOCKS()")
            next_one._force_close()
            with connect(turnout, user="reader") as reader:
                assert said(reader, f"KILL {victim.thread_id()}") == 1095
            server = one(victim, "SELECT CONNECTION_ID()")
            assert said(killer, f"KILL {server}") == 1094, "the server's numbers are nobody's here"
            end_idle(turnout, mariadb)
            assert one(victim, "SELECT 1") == one(killer, "SELECT 1") == 1
        turnout.stop()
