"""MariaDB and MySQL through Turnout: logins, both pool modes, state that follows a session, holds."""
from __future__ import annotations

import threading
import time
from typing import Any

import pymysql
import pytest

from harness.mariadb import DATABASE, PASSWORD, MariaDb, run_client
from harness.mysql_prepared import Prepared
from harness.mysql_turnout import connect, make_turnout, one
from harness.mysql_wire import Wire
from harness.turnout import INVALID, Turnout

EVERY_PRODUCT = True


@pytest.fixture(scope="module")
def pooled(mariadb: MariaDb) -> Turnout:
    return make_turnout(mariadb, "transaction", 2)


@pytest.fixture(scope="module")
def session_pooled(mariadb: MariaDb) -> Turnout:
    return make_turnout(mariadb, "session", 4)


def test_a_client_logs_in_and_asks(pooled: Turnout, mariadb: MariaDb) -> None:
    with connect(pooled) as connection:
        assert one(connection, "SELECT COUNT(*) FROM item") >= 5
        assert connection.get_server_info() in (mariadb.value("SELECT VERSION()"), "5.5.5-" + mariadb.value("SELECT VERSION()"))


@pytest.mark.parametrize("user,password", [("app", "wrong"), ("nobody", PASSWORD), ("app", "")])
def test_wrong_logins_are_told_alike(pooled: Turnout, user: str, password: str) -> None:
    with pytest.raises(pymysql.err.OperationalError) as refused:
        connect(pooled, user=user, password=password)
    assert refused.value.args[0] == 1045
    assert f"Access denied for user '{user}'" in refused.value.args[1]


def test_the_servers_own_refusal_reaches_the_client(pooled: Turnout, mariadb: MariaDb) -> None:
    with pytest.raises(pymysql.err.OperationalError) as direct:
        mariadb.connect(database="missing")
    with pytest.raises(pymysql.err.OperationalError) as through:
        connect(pooled, database="missing")
    assert through.value.args[0] == direct.value.args[0]


def test_errors_are_the_servers(pooled: Turnout, mariadb: MariaDb) -> None:
    def tell(connection: Any) -> tuple[Any, ...]:
        with pytest.raises(pymysql.err.MySQLError) as error:
            one(connection, "SELECT nonsense")
        return error.value.args

    with mariadb.connect() as direct, connect(pooled) as through:
        assert tell(through) == tell(direct)
        assert one(through, "SELECT 1") == 1, "and the session goes on"


def test_many_clients_share_few_connections(pooled: Turnout, mariadb: MariaDb) -> None:
    clients = [connect(pooled) for _ in range(20)]
    for round_ in range(3):
        for client in clients:
            assert one(client, f"SELECT {round_}") == round_
    assert mariadb.sessions_of("app") <= 2
    for client in clients:
        client.close()


def test_a_transaction_keeps_its_connection(pooled: Turnout) -> None:
    with connect(pooled) as first, connect(pooled) as second:
        first.begin()
        mine = one(first, "SELECT CONNECTION_ID()")
        one(first, "INSERT INTO item (name) VALUES ('in transaction')")
        for _ in range(5):
            assert one(second, "SELECT CONNECTION_ID()") != mine
            assert one(first, "SELECT CONNECTION_ID()") == mine
        assert one(second, "SELECT COUNT(*) FROM item WHERE name = 'in transaction'") == 0
        first.rollback()


def test_an_error_in_a_transaction_leaves_it_open(pooled: Turnout) -> None:
    with connect(pooled) as connection:
        connection.begin()
        one(connection, "INSERT INTO item VALUES (7001, 'kept')")
        with pytest.raises(pymysql.err.IntegrityError):
            one(connection, "INSERT INTO item VALUES (7001, 'twice')")
        connection.commit()
        assert one(connection, "SELECT name FROM item WHERE id = 7001") == "kept"
        one(connection, "DELETE FROM item WHERE id = 7001")


def cross(pooled: Turnout, first: Any, second: Any, check: Any) -> None:
    """`check` holds for `first`, whatever connections the two get by turns."""
    for _ in range(6):
        blocker = connect(pooled)
        blocker.begin()
        one(blocker, "SELECT COUNT(*) FROM item")
        check()
        one(second, "SELECT 1")
        blocker.rollback()
        check()
        blocker.close()
    assert one(first, "SELECT 1") == 1


def test_executions_keep_their_own_types(mariadb: MariaDb) -> None:
    """Two sessions execute one text with other types, over one connection; who does not say them again means its own."""
    turnout = make_turnout(mariadb, "transaction", 1, "turnout-types")
    number, text, as_before = b"\x01\x08\x00", b"\x01\xfd\x00", b"\x00"
    with connect(turnout) as first, connect(turnout) as second:
        mine, other = (Prepared(one_, "SELECT CONCAT(?, '!')") for one_ in (first, second))
        assert mine.run_with(number, (65).to_bytes(8, "little")) == "65!"
        assert other.run_with(text, b"\x03abc") == "abc!"
        assert mine.run_with(as_before, (66).to_bytes(8, "little")) == "66!"
        assert other.run_with(as_before, b"\x02de") == "de!"
    turnout.stop()


def test_the_last_statement_is_none_when_preparing_failed(mariadb: MariaDb) -> None:
    """MariaDB's clients execute "the last one" (all ones) right behind COM_STMT_PREPARE, before they know whether that went well."""
    turnout = make_turnout(mariadb, "transaction", 1, "turnout-last")
    with connect(turnout) as client:
        kept = Prepared(client, "DELETE FROM item WHERE id >= ?")
        with pytest.raises(pymysql.err.ProgrammingError):
            Prepared(client, "SELECT ? FROM nowhere")
        kept.number = 0xFFFFFFFF
        with pytest.raises(pymysql.MySQLError) as refused:
            kept.run(1)
        assert refused.value.args[0] == 1243
        assert one(client, "SELECT COUNT(*) FROM item") == 5, "the statement before the one that could not be prepared has run"
        again = Prepared(client, "SELECT CONCAT(?, '!')")
        again.number = 0xFFFFFFFF
        assert again.run(7) == "7!"
    turnout.stop()


def test_a_text_that_is_prepared_again_and_again_stands_once_on_the_server(mariadb: MariaDb) -> None:
    turnout = make_turnout(mariadb, "transaction", 1, "turnout-again")
    count = "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'"
    with connect(turnout) as client, mariadb.connect("turnout") as admin, admin.cursor() as cursor:
        cursor.execute(count)
        before = int(cursor.fetchone()[1])
        for round_ in range(50):
            assert Prepared(client, "SELECT CONCAT(?, '?')").run(round_) == f"{round_}?"
        cursor.execute(count)
        assert int(cursor.fetchone()[1]) <= before + 1
    turnout.stop()


def test_settings_follow_their_session_and_nobody_else(pooled: Turnout, mariadb: MariaDb) -> None:
    limit, value = mariadb.TIME_LIMIT
    with connect(pooled) as first, connect(pooled) as second:
        one(first, f"SET time_zone = '+03:00', sql_mode = 'ANSI_QUOTES', {limit} = {value}")

        def check() -> None:
            assert one(first, f"SELECT CONCAT(@@time_zone, @@sql_mode, @@{limit})").startswith(f"+03:00ANSI_QUOTES{value}")
            assert one(second, "SELECT @@time_zone") == "SYSTEM"

        cross(pooled, first, second, check)


def test_the_database_follows(pooled: Turnout) -> None:
    with connect(pooled) as first, connect(pooled) as second:
        first.select_db("other")
        cross(pooled, first, second, lambda: (_same(one(first, "SELECT DATABASE()"), "other"),
                                              _same(one(second, "SELECT DATABASE()"), DATABASE)))
        one(first, f"USE {DATABASE}")
        cross(pooled, first, second, lambda: _same(one(first, "SELECT DATABASE()"), DATABASE))


def _same(got: Any, wanted: Any) -> None:
    assert got == wanted


def test_character_sets_follow(pooled: Turnout) -> None:
    with connect(pooled, charset="latin1") as first, connect(pooled, charset="utf8mb4") as second:
        def check() -> None:
            assert one(first, "SELECT @@character_set_client") == "latin1"
            assert one(second, "SELECT @@character_set_client") == "utf8mb4"
            assert one(first, "SELECT 'ä'") == one(second, "SELECT 'ä'") == "ä"

        cross(pooled, first, second, check)


@pytest.mark.parametrize("text", ["SET NAMES latin1", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", "set names 'utf8mb4' /* */ collate 'utf8mb4_unicode_ci'",
                                  "SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET NAMES utf8mb4", "SET collation_connection = latin1_bin",
                                  "SET NAMES latin1 COLLATE latin1_bin; SET character_set_connection = utf8mb4", "SET CHARACTER SET latin1"])
def test_collations_follow(pooled: Turnout, mariadb: MariaDb, text: str) -> None:
    """The trackers tell the character set and not the collation."""
    ask = "SELECT CONCAT_WS(' ', @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection)"
    with mariadb.connect("app") as plain, connect(pooled) as first, connect(pooled) as second:
        assert one(plain, ask) == one(second, ask)
        before = one(second, ask)
        for piece in text.split(";"):
            one(plain, piece)
            one(first, piece)
        wanted = one(plain, ask)
        cross(pooled, first, second, lambda: (_same(one(first, ask), wanted), _same(one(second, ask), before)))
        assert not [client for client in pooled.rest("/v1/clients")[1]["clients"] if client["pinned_by"]]


@pytest.mark.parametrize("charset", ["latin1", "utf8mb4"])
def test_a_reset_session_has_the_character_sets_that_the_server_gives_it(pooled: Turnout, mariadb: MariaDb, charset: str) -> None:
    """MariaDB those of the login, MySQL the server's own; on every server connection."""
    ask = "SELECT CONCAT_WS(' ', @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection, @@sql_mode)"
    with mariadb.connect("app", charset=charset) as plain, connect(pooled, charset=charset) as first, connect(pooled, charset=charset) as second:
        before = one(plain, ask)
        for client in (plain, first):
            one(client, "SET NAMES latin1 COLLATE latin1_bin")
            assert Wire(client).ask(b"\x1f").ends() == ["ok"]
        wanted = one(plain, ask)
        assert (wanted == before) == (mariadb.PRODUCT == "MariaDB")
        cross(pooled, first, second, lambda: (_same(one(first, ask), wanted), _same(one(second, ask), before)))
        assert not [client for client in pooled.rest("/v1/clients")[1]["clients"] if client["pinned_by"]]


@pytest.mark.parametrize("make,ask,wanted,reason", [
    ("SET @a = 5", "SELECT @a", 5, "user_variable"),
    ("SELECT 6 INTO @a", "SELECT @a", 6, "user_variable"),
    ("CREATE TEMPORARY TABLE mine (n INT)", "SELECT COUNT(*) FROM mine", 0, "temp_object"),
    ("CALL hides()", "SELECT COUNT(*) FROM hidden", 0, "unwatched"),
    ("SELECT GET_LOCK('of mine', 1)", "SELECT IS_USED_LOCK('of mine') = CONNECTION_ID()", 1, "advisory_lock"),
    ("PREPARE mine FROM 'SELECT 8'", "EXECUTE mine", 8, "sql_prepare"),
])
def test_what_cannot_move_pins_with_its_reason(pooled: Turnout, make: str, ask: str, wanted: Any, reason: str) -> None:
    with connect(pooled) as first, connect(pooled) as second:
        one(first, make)
        for _ in range(4):
            one(second, "SELECT 1")
            assert one(first, ask) == wanted
        clients = pooled.cli("clients", "-o", "json").json["clients"]
        assert any(reason in client["pinned_by"] for client in clients), clients
    with connect(pooled) as third:
        assert one(third, "SELECT @a") is None, "nothing is left for the next one"


@pytest.mark.parametrize("wait", ["NOWAIT", "WAIT 3"])
def test_waiting_for_locks_pins_nobody(pooled: Turnout, mariadb: MariaDb, wait: str) -> None:
    """MariaDB tells its time limits as if the session had set them."""
    if mariadb.PRODUCT == "MySQL" and wait != "NOWAIT":
        pytest.skip("MySQL has no WAIT")
    ask = "SELECT CONCAT(@@lock_wait_timeout, ' ', @@innodb_lock_wait_timeout)"
    with connect(pooled) as first, connect(pooled) as second:
        before = one(second, ask)
        one(first, "SET lock_wait_timeout = 77")
        prepared = Prepared(first, f"SELECT CONCAT(COUNT(*)) FROM item WHERE id IN (-1, ?) FOR UPDATE {wait}")
        wanted = one(first, ask)
        one(first, f"SELECT MAX(id) FROM item FOR UPDATE {wait}")
        first.begin()
        one(first, f"SELECT 1 FROM item WHERE id = 1 FOR UPDATE {wait}")
        assert prepared.run(-2) == "0"
        first.commit()
        one(first, f"SELECT MAX(id) FROM item FOR UPDATE {wait}")
        second.begin()  # on the same connection: its OK would tell what the statement before it has set back
        second.commit()
        clients = pooled.rest("/v1/clients")[1]["clients"]
        assert not [client for client in clients if client["pinned_by"]], clients
        cross(pooled, first, second, lambda: (_same(one(first, ask), wanted), _same(one(second, ask), before)))


def test_last_insert_id_is_ones_own(pooled: Turnout) -> None:
    with connect(pooled) as first, connect(pooled) as second:
        one(first, "INSERT INTO item (name) VALUES ('a')")
        mine = one(first, "SELECT MAX(id) FROM item")
        one(second, "INSERT INTO item (name) VALUES ('b')")
        for _ in range(3):
            one(second, "SELECT 1")
            assert one(first, "SELECT LAST_INSERT_ID()") == mine


def test_nobody_sees_what_another_session_left_behind(mariadb: MariaDb) -> None:
    """On one connection for everybody, in each of the orders that a first look can come in."""
    alone = make_turnout(mariadb, "transaction", 1, "turnout-alone")
    dirt = ("INSERT INTO item (name) VALUES ('x'), ('y')", f"SELECT seq FROM {mariadb.numbers(9)}", "DELETE FROM item WHERE name IN ('x', 'y')", "DROP TABLE IF EXISTS nowhere")
    looks = ("SHOW WARNINGS", "SELECT ROW_COUNT()", "SELECT FOUND_ROWS()", "SELECT LAST_INSERT_ID(), @@identity", "SELECT @@warning_count, @@error_count, ROW_COUNT(), FOUND_ROWS()",
             "GET DIAGNOSTICS @n = NUMBER, @r = ROW_COUNT")
    with connect(alone) as other:
        for first in ("", "DO 1", "SELECT 1"):  # none of them touches the warnings; DO leaves FOUND_ROWS() as well
            for look in looks:
                if mariadb.PRODUCT == "MySQL" and not first and "FOUND_ROWS" in look:
                    continue  # MySQL says 0 until a statement was run; Turnout has 1 as MariaDB
                answers = []
                for source in (mariadb, alone):
                    for text in dirt:
                        one(other, text)
                    with source.connect() if source is mariadb else connect(alone) as client:
                        for text in filter(None, (first, look)):
                            with client.cursor() as cursor:
                                cursor.execute(text)
                                rows = cursor.fetchall()
                        answers.append((rows, one(client, "SELECT @n"), one(client, "SELECT @r")) if "@n" in look else rows)
                assert answers[0] == answers[1], (first, look)


class Tracking(pymysql.connections.Connection):  # type: ignore[type-arg]
    """Keeps its OKs as they came."""

    def _read_packet(self, *words: Any) -> Any:
        packet = super()._read_packet(*words)
        if packet.is_ok_packet():
            self.__dict__.setdefault("oks", []).append(bytes(packet._data))
        return packet


def changes(ok: bytes) -> tuple[bytes, list[bytes]]:
    """An OK without counts: its flags, and what it tells of the session in an order of its own (a server has none)."""
    block, entries = ok[9:], []
    while block:
        entries.append(block[:2 + block[1]])
        block = block[2 + block[1]:]
    return ok[3:7], sorted(entries)


def test_a_client_hears_of_its_session_what_the_server_would_tell(pooled: Turnout, session_pooled: Turnout, mariadb: MariaDb) -> None:
    """Not compared: the OK of a SET session_track_… itself, which a server makes by the new setting already."""
    texts = ("SET sort_buffer_size = 300032", "SET time_zone = '+01:00'", "USE other", "BEGIN", "COMMIT", "SET NAMES latin1", "SET @a = 5", "SET autocommit = 0", "SET autocommit = 1",
             "INSERT INTO shop.item (name) VALUES ('tracked')", "DELETE FROM shop.item WHERE name = 'tracked'", "CREATE TEMPORARY TABLE t1 (n INT)", "DROP TABLE t1")
    told = []
    for port in (mariadb.port, pooled.port, session_pooled.port):
        heard: list[Any] = []
        for wish in ("", "session_track_system_variables = 'sort_buffer_size'", "session_track_schema = OFF, session_track_state_change = ON",
                     "session_track_transaction_info = 'STATE'", "session_track_transaction_info = 'CHARACTERISTICS'"):
            client = Tracking(host="127.0.0.1", port=port, user="app", password=PASSWORD, database=DATABASE, client_flag=1 << 23)
            heard.append(client.__dict__.pop("oks")[0])  # of the login
            if wish:
                one(client, f"SET {wish}")
            client.__dict__["oks"] = []
            for text in texts:
                one(client, text)
            heard += [changes(ok) for ok in client.__dict__["oks"] if ok[1] == 0]
            client.close()
        told.append(heard)
    assert told[1] == told[0], "transaction pooling"
    assert told[2] == told[0], "session pooling"


def test_several_results_and_procedures(pooled: Turnout) -> None:
    with connect(pooled, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1; SELECT 2; DO 1")
            rows = [cursor.fetchall()]
            while cursor.nextset():
                rows.append(cursor.fetchall())
            assert rows[:2] == [((1,),), ((2,),)]
            cursor.callproc("twice")
            assert cursor.fetchall() == ((1,),)


def test_long_rows_and_many_of_them(pooled: Turnout, mariadb: MariaDb) -> None:
    with connect(pooled) as connection:
        assert len(one(connection, "SELECT REPEAT('x', 12000000)")) == 12_000_000
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT seq FROM {mariadb.numbers(200_000)}")
            assert sum(row[0] for row in cursor.fetchall()) == 200_000 * 200_001 // 2


def test_the_command_line_client(pooled: Turnout) -> None:
    answer = run_client(pooled.port, "SELECT 1 AS one; SELECT name FROM item WHERE id = 1")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "one\n1\nname\none\n"


def test_session_pooling_keeps_everything(session_pooled: Turnout, mariadb: MariaDb) -> None:
    with connect(session_pooled) as first:
        one(first, "SET @a = 1")
        one(first, "CREATE TEMPORARY TABLE mine (n INT)")
        mine = one(first, "SELECT CONNECTION_ID()")
        with connect(session_pooled) as second:
            assert one(second, "SELECT CONNECTION_ID()") != mine
        assert one(first, "SELECT CONNECTION_ID()") == mine
        assert one(first, "SELECT @a + COUNT(*) FROM mine") == 1
        with first.cursor() as cursor:
            cursor.execute("SELECT 1/0")
            cursor.execute("SHOW WARNINGS")
            assert cursor.fetchall()[0][1] == 1365
    with connect(session_pooled) as third:
        assert one(third, "SELECT @a") is None
        with pytest.raises(pymysql.err.ProgrammingError):
            one(third, "SELECT * FROM mine")


@pytest.mark.parametrize("mode", ["pooled", "session_pooled"])
@pytest.mark.usefixtures("mariadb")
def test_a_hold_is_waited_for_and_never_told(mode: str, request: pytest.FixtureRequest) -> None:
    turnout: Turnout = request.getfixturevalue(mode)
    with connect(turnout) as running, connect(turnout) as waiting:
        one(waiting, "SELECT 1")
        running.begin()
        one(running, "SELECT COUNT(*) FROM item")
        assert turnout.cli("pause", "app").code == 0
        try:
            answers: list[Any] = []
            thread = threading.Thread(target=lambda: answers.append(one(waiting, "SELECT 42")))
            thread.start()
            # What is running goes on to its end.
            assert one(running, "SELECT 43") == 43
            running.commit()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                clients = turnout.cli("clients", "-o", "json").json["clients"]
                if any(client["state"] == "held" for client in clients):
                    break
                time.sleep(0.05)
            else:
                raise AssertionError(f"nobody is held: {clients}")
            assert not answers
            running.ping()  # a health check is answered
        finally:
            assert turnout.cli("resume", "app").code == 0
        thread.join(20)
        assert answers == [42]


@pytest.mark.parametrize("mode", ["pooled", "session_pooled"])
def test_an_empty_transaction_does_not_keep_a_hold_waiting(mode: str, request: pytest.FixtureRequest, mariadb: MariaDb) -> None:
    turnout: Turnout = request.getfixturevalue(mode)
    with connect(turnout) as empty, connect(turnout) as snapshot:
        empty.begin()
        one(snapshot, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        assert turnout.cli("pause", "app").code == 0
        try:
            deadline = time.monotonic() + 20
            while True:
                leased = [client for client in turnout.cli("clients", "-o", "json").json["clients"] if client["side"]]
                if len(leased) == 1:
                    break
                assert time.monotonic() < deadline, leased
                time.sleep(0.02)
            assert leased[0]["in_transaction"]
            assert one(snapshot, "SELECT 44") == 44, "this one cannot be begun anew: it goes on"
            snapshot.commit()
            answers: list[Any] = []
            thread = threading.Thread(
                target=lambda: answers.append(one(empty, "INSERT INTO item VALUES (7100, 'in a transaction')")))
            thread.start()
            time.sleep(0.1)
            assert not answers
        finally:
            assert turnout.cli("resume", "app").code == 0
        thread.join(20)
        assert answers == [None]
        assert one(empty, "SELECT name FROM item WHERE id = 7100") == "in a transaction"
        assert mariadb.value(f"SELECT COUNT(*) FROM {DATABASE}.item WHERE id = 7100") == 0, "it is not committed"
        empty.rollback()
        assert one(empty, "SELECT COUNT(*) FROM item WHERE id = 7100") == 0


def test_malformed_packets_end_one_session(pooled: Turnout) -> None:
    with connect(pooled) as other:
        broken = connect(pooled)
        broken._sock.sendall(b"\x01\x00\x00\x05\x03")  # the number of a command is 0
        with pytest.raises(pymysql.err.MySQLError):
            one(broken, "SELECT 1")
        assert one(other, "SELECT 1") == 1


def test_a_reload_does_not_change_the_protocol(pooled: Turnout) -> None:
    deployment = pooled.config["deployments"]["app"]
    with connect(pooled) as client:
        deployment["protocol"] = "postgres"
        pooled.write_config()
        try:
            refused = pooled.cli("reload", "--yes")
        finally:
            deployment["protocol"] = "mysql"
            pooled.write_config()
        assert refused.code == INVALID, refused
        assert "deployments.app.protocol: cannot be changed from mysql to postgres by a reload" in " ".join(str(refused).split()), refused
        assert pooled.cli("reload", "--yes").code == 0
        assert one(client, "SELECT 1") == 1
