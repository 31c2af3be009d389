"""KILL through Turnout: by the numbers that clients know, one's own only, never somebody else's statement; and what a
client that went away has left running."""
from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Any

import pymysql
import pytest

from harness.mariadb import MariaDb
from harness.mysql_turnout import change_user, connect, make_turnout, one
from harness.mysql_wire import Wire, execute
from harness.turnout import Turnout
from harness.waiting import eventually

EVERY_PRODUCT = True


@pytest.fixture(scope="module")
def turnout(mariadb: MariaDb) -> Turnout:
    return make_turnout(mariadb, "transaction", 3)


class Running:
    """A statement on a thread of its own."""

    def __init__(self, connection: Any, sql: str) -> None:
        self.outcome: Any = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._run, args=(connection, sql))
        self._thread.start()

    def _run(self, connection: Any, sql: str) -> None:
        began = time.monotonic()
        try:
            self.outcome = one(connection, sql)
        except pymysql.err.MySQLError as error:
            self.outcome = error.args[0]
        self.seconds = time.monotonic() - began

    def join(self) -> Any:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.outcome


def runs(mariadb: MariaDb, text: str) -> int:
    return int(mariadb.value(f"SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '{text}%'"))


INNODB_PAUSE_S = 0.15  # who asks InnoDB for its transactions more often than ten times a second is told the same again


def open_transactions(mariadb: MariaDb) -> int:
    return int(mariadb.value("SELECT COUNT(*) FROM information_schema.innodb_trx"))


def error_of(connection: Any, sql: str) -> tuple[int, str]:
    with pytest.raises(pymysql.err.MySQLError) as error:
        one(connection, sql)
    return error.value.args


def test_a_statement_is_killed_by_the_number_that_its_client_knows(turnout: Turnout, mariadb: MariaDb) -> None:
    with connect(turnout) as victim, connect(turnout) as killer:
        for _ in range(3):
            running = Running(victim, "SELECT SLEEP(20)")
            eventually(lambda: runs(mariadb, "SELECT SLEEP") == 1, "it runs")
            assert one(killer, f"KILL QUERY {victim.thread_id()}") is None
            assert running.join() == mariadb.KILLED_SLEEP and running.seconds < 10
            assert one(victim, "SELECT 5") == 5, "the session goes on"


def test_in_a_transaction_only_the_statement_ends(turnout: Turnout, mariadb: MariaDb) -> None:
    with connect(turnout) as victim, connect(turnout) as killer:
        victim.begin()
        one(victim, "INSERT INTO item VALUES (8300, 'kept')")
        running = Running(victim, "SELECT SLEEP(20)")
        eventually(lambda: runs(mariadb, "SELECT SLEEP") == 1, "it runs")
        killer.begin()
        one(killer, f"KILL QUERY {victim.thread_id()}")
        assert running.join() == mariadb.KILLED_SLEEP
        assert one(victim, "SELECT name FROM item WHERE id = 8300") == "kept"
        victim.rollback()
        killer.rollback()


@pytest.mark.parametrize("way", ["text", "command", "prepared", "parameter"])
def test_a_connection_is_killed(turnout: Turnout, mariadb: MariaDb, way: str) -> None:
    if mariadb.PRODUCT == "MySQL" and way in ("command", "parameter"):
        pytest.skip("its servers take neither")

    def kill(killer: Any, number: int) -> None:
        wire = Wire(killer)
        if way == "command":
            assert wire.ask(b"\x0c" + struct.pack("<I", number)).ends() == ["ok"]
        elif way == "prepared":
            assert wire.ask(execute(wire.prepare(f"KILL {number}"))).ends() == ["ok"]
        elif way == "parameter":
            assert wire.ask(execute(wire.prepare("KILL ?"), 0, number)).ends() == ["ok"]
        else:
            one(killer, f"KILL {number}")

    with connect(turnout) as killer:
        idle = connect(turnout)
        kill(killer, idle.thread_id())
        assert error_of(idle, "SELECT 1")[0] in (2006, 2013)
        busy = connect(turnout)
        busy.begin()
        one(busy, "INSERT INTO item VALUES (8301, 'never')")
        running = Running(busy, "SELECT SLEEP(20)")
        eventually(lambda: runs(mariadb, "SELECT SLEEP") == 1, "it runs")
        kill(killer, busy.thread_id())
        assert running.join() == 2013 and running.seconds < 10
        eventually(lambda: runs(mariadb, "SELECT SLEEP") == 0, "its statement has ended")
        eventually(lambda: open_transactions(mariadb) == 0, "its transaction has ended", pause_s=INNODB_PAUSE_S)
        assert one(killer, "SELECT COUNT(*) FROM item WHERE id = 8301") == 0


def test_killing_oneself(turnout: Turnout, mariadb: MariaDb) -> None:
    with mariadb.connect() as direct, connect(turnout) as through:
        for client in (direct, through):
            assert error_of(client, f"KILL QUERY {client.thread_id()}")[0] == 1317
            assert one(client, "SELECT 1") == 1
            assert error_of(client, f"KILL {client.thread_id()}")[0] == mariadb.KILLED_ITSELF
            assert error_of(client, "SELECT 1")[0] in (2006, 2013)


def test_an_idle_one_has_no_query(turnout: Turnout) -> None:
    with connect(turnout) as idle, connect(turnout) as killer:
        one(killer, f"KILL QUERY {idle.thread_id()}")
        assert one(idle, "SELECT 1") == 1
        idle.begin()
        one(idle, "SELECT COUNT(*) FROM item")
        one(killer, f"KILL QUERY {idle.thread_id()}")
        assert one(idle, "SELECT 2") == 2
        idle.rollback()


def test_what_is_refused(turnout: Turnout, mariadb: MariaDb) -> None:
    with connect(turnout) as app, connect(turnout, user="reader") as reader:
        for verb in ("KILL", "KILL QUERY", "KILL CONNECTION"):
            number = reader.thread_id()
            assert error_of(app, f"{verb} {number}") == (1095, f"You are not owner of thread {number}")
            assert error_of(app, f"{verb} 4294967295") == (1094, "Unknown thread id: 4294967295")
            assert error_of(app, f"{verb} 99999999999999999999")[0] == 1094
        own = one(app, "SELECT CONNECTION_ID()")
        assert error_of(app, f"KILL {own}")[0] == 1094, "the server's numbers are nobody's here"
        for sql in ("KILL USER app", "KILL QUERY ID 5", "KILL CONNECTION_ID()", "KILL @a"):
            assert error_of(app, sql)[0] == 1235
        assert one(app, "SELECT 1") == one(reader, "SELECT 1") == 1
        change_user(reader, "app")
        one(app, f"KILL {reader.thread_id()}")
        assert error_of(reader, "SELECT 1")[0] in (2006, 2013), "it is one's own now, under the same number"


def test_work_that_waits_here_is_answered_at_once(turnout: Turnout) -> None:
    with connect(turnout) as victim, connect(turnout) as killer:
        assert turnout.cli("pause", "app").code == 0
        try:
            running = Running(victim, "SELECT 1")
            eventually(lambda: any(client["state"] == "held" for client in turnout.cli("clients", "-o", "json").json["clients"]),
                     "it is not held")
            one(killer, f"KILL QUERY {victim.thread_id()}")
            assert running.join() == 1317
        finally:
            assert turnout.cli("resume", "app").code == 0
        assert one(victim, "SELECT 2") == 2


def test_a_late_kill_hits_nobody_else(turnout: Turnout) -> None:
    """Statements that end just when they are killed, on few connections: whoever comes next is never hit."""
    over = threading.Event()
    wrong: list[Any] = []
    counts = {"others": 0, "kills": 0}
    victims = [connect(turnout) for _ in range(3)]

    def be_other() -> None:
        with connect(turnout) as client:
            while not over.is_set():
                try:
                    one(client, "SELECT SLEEP(0.002)")
                    counts["others"] += 1
                except pymysql.err.MySQLError as error:
                    wrong.append(error.args)

    def be_victim(client: Any) -> None:
        while not over.is_set():
            try:
                one(client, "SELECT SLEEP(0.004)")
            except pymysql.err.OperationalError as error:
                if error.args[0] != 1317:
                    wrong.append(error.args)

    def be_killer() -> None:
        with connect(turnout) as client:
            at = 0
            while not over.is_set():
                at += 1
                try:
                    one(client, f"KILL QUERY {victims[at % 3].thread_id()}")
                    counts["kills"] += 1
                except pymysql.err.MySQLError as error:
                    if error.args[0] != 1226:  # so many a second are not allowed
                        wrong.append(error.args)

    threads = [threading.Thread(target=be_other) for _ in range(3)]
    threads += [threading.Thread(target=be_victim, args=(victim,)) for victim in victims]
    threads += [threading.Thread(target=be_killer)]
    for thread in threads:
        thread.start()
    time.sleep(4)
    over.set()
    for thread in threads:
        thread.join(30)
    assert not wrong, wrong[:3]
    assert counts["others"] > 50 and counts["kills"] > 50, counts
    for victim in victims:
        victim.close()


# ---- clients that went away ----------------------------------------------------------------------------------------

def vanish(client: Any, reset: bool) -> None:
    if reset:
        client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client._force_close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("prepare", [[], ["BEGIN", "INSERT INTO item VALUES (8302, 'never')"], ["SELECT GET_LOCK('left', 1)"]])
def test_what_a_client_left_running_is_ended_and_its_connection_used_again(
        turnout: Turnout, mariadb: MariaDb, prepare: list[str], reset: bool) -> None:
    for _ in range(3):
        client = connect(turnout)
        for sql in prepare:
            one(client, sql)
        sql = b"\x03SELECT SLEEP(30), CONNECTION_ID()"
        client._sock.sendall(struct.pack("<I", len(sql))[:3] + b"\x00" + sql)
        eventually(lambda: runs(mariadb, "SELECT SLEEP(30)") == 1, "it runs")
        used = mariadb.value("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(30)%'")
        vanish(client, reset)
        eventually(lambda: runs(mariadb, "SELECT SLEEP(30)") == 0, "it has ended")
        with connect(turnout) as other:
            assert one(other, "SELECT GET_LOCK('left', 2)") == 1
            assert one(other, "SELECT COUNT(*) FROM item WHERE id = 8302") == 0
            one(other, "DO RELEASE_ALL_LOCKS()")
        known = mariadb.value(f"SELECT COUNT(*) FROM information_schema.processlist WHERE id = {used}")
        assert known == 1, "the connection is there still"
    eventually(lambda: open_transactions(mariadb) == 0, "no transaction is open", pause_s=INNODB_PAUSE_S)


def test_rows_that_nobody_reads_any_more(turnout: Turnout, mariadb: MariaDb) -> None:
    for bytes_read in (10, 100_000, 3_000_000):
        client = connect(turnout)
        sql = b"\x03" + f"SELECT seq, REPEAT('x', 1000) FROM {mariadb.numbers(3_000_000)}".encode()
        client._sock.sendall(struct.pack("<I", len(sql))[:3] + b"\x00" + sql)
        left = bytes_read
        while left > 0:
            left -= len(client._sock.recv(min(left, 65536)))
        vanish(client, True)
    eventually(lambda: runs(mariadb, "SELECT seq") == 0, "they have ended")
    clients = [connect(turnout) for _ in range(4)]
    for client in clients:
        assert one(client, "SELECT 6 * 7") == 42
        client.close()


def test_a_whole_pool_of_them(turnout: Turnout, mariadb: MariaDb) -> None:
    """More clients than connections go away: those who wait get their turn, none of them sees another one's answer."""
    gone = [connect(turnout) for _ in range(8)]
    sql = b"\x03SELECT SLEEP(30)"
    for client in gone:
        client._sock.sendall(struct.pack("<I", len(sql))[:3] + b"\x00" + sql)
    eventually(lambda: runs(mariadb, "SELECT SLEEP(30)") == 3, "they run")
    waiting = [connect(turnout) for _ in range(6)]
    running = [Running(client, f"SELECT {100 + i}") for i, client in enumerate(waiting)]
    for client in gone:
        vanish(client, False)
    assert [one_.join() for one_ in running] == [100, 101, 102, 103, 104, 105]
    eventually(lambda: runs(mariadb, "SELECT SLEEP(30)") == 0, "they have ended")
    for client in waiting:
        client.close()


def test_what_cannot_be_killed_is_given_up(mariadb: MariaDb) -> None:
    """The user may have one connection, so no KILL can be brought: the connection is closed in time, and a new one made."""
    turnout = make_turnout(mariadb, "transaction", 1, "one-connection",
                           {"pool": {"mode": "transaction", "size": 1, "connect_timeout": "1s"}})
    with connect(turnout, user="reader") as client:
        assert one(client, "SELECT 1") == 1
    mariadb.end_sessions_of("reader")  # those of other tests
    mariadb.value("ALTER USER reader@'%' WITH MAX_USER_CONNECTIONS 1")
    try:
        gone = connect(turnout, user="reader")
        sql = b"\x03SELECT SLEEP(8)"
        gone._sock.sendall(struct.pack("<I", len(sql))[:3] + b"\x00" + sql)
        eventually(lambda: runs(mariadb, "SELECT SLEEP(8)") == 1, "it runs")
        vanish(gone, False)
        eventually(lambda: not any(pool["user"] == "reader" and pool["servers_active"] + pool["servers_idle"] + pool["servers_opening"]
                                 for pool in turnout.cli("pools", "-o", "json").json["pools"]), "it is not given up", 7)
        assert runs(mariadb, "SELECT SLEEP(8)") == 1, "nothing could end it"
        with connect(turnout, user="reader") as next_one:
            assert one(next_one, "SELECT 2") == 2
    finally:
        mariadb.value("ALTER USER reader@'%' WITH MAX_USER_CONNECTIONS 0")


# ---- autocommit = 0 ------------------------------------------------------------------------------------------------

def test_without_autocommit_a_hold_is_waited_for(turnout: Turnout, mariadb: MariaDb) -> None:
    clients = [connect(turnout, autocommit=False) for _ in range(3)]
    one(clients[1], "SELECT 1")
    one(clients[2], "SELECT COUNT(*) FROM item")
    clients[2].commit()
    one(clients[2], "SET @@session.wait_timeout = 1000")
    assert turnout.cli("pause", "app").code == 0
    try:
        eventually(lambda: not any(client["side"] for client in turnout.cli("clients", "-o", "json").json["clients"]),
                 "one of them keeps its connection without a transaction")
        running = [Running(client, f"INSERT INTO item VALUES ({8310 + i}, 'later')") for i, client in enumerate(clients)]
        eventually(lambda: sum(client["state"] == "held" for client in turnout.cli("clients", "-o", "json").json["clients"]) == 3,
                 "they are not held")
    finally:
        assert turnout.cli("resume", "app").code == 0
    assert [one_.join() for one_ in running] == [None] * 3
    assert mariadb.value("SELECT COUNT(*) FROM shop.item WHERE id BETWEEN 8310 AND 8312") == 0, "none is committed"
    for client in clients:
        assert one(client, "SELECT @@autocommit") == 0
        client.rollback()
    with connect(turnout) as other:
        assert one(other, "SELECT COUNT(*) FROM item WHERE id BETWEEN 8310 AND 8312") == 0
    for client in clients:
        client.close()


def test_without_autocommit_an_empty_transaction_is_begun_anew(turnout: Turnout, mariadb: MariaDb) -> None:
    clients = [connect(turnout, autocommit=False) for _ in range(2)]
    clients[0].begin()
    one(clients[1], "INSERT INTO item VALUES (8320, 'chained')")
    one(clients[1], "ROLLBACK AND CHAIN")
    assert turnout.cli("pause", "app").code == 0
    try:
        eventually(lambda: not any(client["side"] for client in turnout.cli("clients", "-o", "json").json["clients"]),
                 "an empty transaction keeps its connection")
        running = [Running(client, f"INSERT INTO item VALUES ({8321 + i}, 'later')") for i, client in enumerate(clients)]
        time.sleep(0.2)
        assert [one_.outcome for one_ in running] == [None] * 2 and mariadb.value(
            "SELECT COUNT(*) FROM information_schema.innodb_trx") == 0
    finally:
        assert turnout.cli("resume", "app").code == 0
    assert [one_.join() for one_ in running] == [None] * 2
    for client in clients:
        client.rollback()
        assert one(client, "SELECT COUNT(*) FROM item WHERE id BETWEEN 8320 AND 8322") == 0
        client.close()
