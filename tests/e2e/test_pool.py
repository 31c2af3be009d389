"""Transaction pooling: more clients than server connections, every protocol mode, and clients that behave badly."""
from __future__ import annotations

import asyncio
import io
import signal
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import psycopg
import pytest

from harness.load import Pgbench
from harness.pair import Pair
from harness.postgres import DEBIAN_BIN
from harness.turnout import Turnout

POOL = 4
CHANGES = {"pool": {"mode": "transaction", "size": POOL, "wait_timeout": "15s"}}


@pytest.mark.smoke
@pytest.mark.parametrize("script", ["tpcb-like", "select-only"])
@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(turnout: Turnout, mode: str, script: str) -> None:
    result = Pgbench(turnout.port, turnout.home, mode=mode, script=script, clients=POOL * 4, seconds=2).wait()
    assert result.clean(), result.output
    assert result.transactions > POOL * 4


def test_pool_stays_within_its_size(turnout: Turnout, pair: Pair) -> None:
    load = Pgbench(turnout.port, turnout.home, mode="prepared", clients=POOL * 4, seconds=2)
    most = 0
    while load.running():
        most = max(most, pair.blue.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"))
        time.sleep(0.05)
    assert load.wait().clean()
    assert 1 <= most <= POOL


def test_pgbench_reconnecting(turnout: Turnout) -> None:
    result = Pgbench(turnout.port, turnout.home, mode="simple", script="select-only", clients=8, seconds=2, extra=("-C",)).wait()
    assert result.clean(), result.output


@pytest.mark.smoke
def test_psql(turnout: Turnout) -> None:
    script = ("SELECT 1 AS one;\nBEGIN; SAVEPOINT s; SELECT 1/0; ROLLBACK TO s; SELECT 2 AS two; COMMIT;\n"
              "\\d notes\nSELECT 3 \\; SELECT 4;\n\\copy (SELECT id FROM notes ORDER BY id LIMIT 2) TO STDOUT\n"
              "SELECT $1::int + 1 AS bound \\bind 41 \\g\n")
    psql = subprocess.run([str(DEBIAN_BIN / "psql"), "-X", "-A", "-t", turnout.conninfo()], input=script, capture_output=True,
                          text=True, timeout=30, check=False)
    # \bind needs psql 16; with 15 it is one complaint on stderr, and everything else must be untouched by it.
    assert psql.returncode == 0, psql.stderr
    assert "division by zero" in psql.stderr
    lines = psql.stdout.splitlines()
    for expected in ("1", "2", "3", "4"):
        assert expected in lines, psql.stdout
    assert "Table" in psql.stdout or "body|text" in psql.stdout


@pytest.mark.smoke
def test_psycopg_transactions(turnout: Turnout) -> None:
    with turnout.connect(autocommit=False) as connection:
        before = connection.execute("SELECT count(*) FROM notes").fetchone()
        with pytest.raises(psycopg.errors.UniqueViolation):
            with connection.transaction():
                connection.execute("INSERT INTO notes (id, body) VALUES (1, 'again')")
        with connection.transaction():
            connection.execute("INSERT INTO notes (body) VALUES ('kept not')")
            with connection.transaction(force_rollback=True):
                connection.execute("DELETE FROM notes")
            raise psycopg.Rollback()
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == before


@pytest.mark.smoke
def test_psycopg_pipeline(turnout: Turnout) -> None:
    with turnout.connect() as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(300)]
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(300))  # type: ignore[index]
        with pytest.raises(psycopg.errors.DivisionByZero):
            with connection.pipeline():
                connection.execute("SELECT 1/%s::int", (0,))
                connection.execute("SELECT 1")
        assert connection.execute("SELECT 5").fetchone() == (5,)


def test_binary_and_null_parameters(turnout: Turnout) -> None:
    payload = bytes(range(256)) * 200
    with turnout.connect() as connection:
        row = connection.execute("SELECT %b::bytea, %s::text, %b::int8", (payload, None, 2**40), binary=True).fetchone()
        assert row == (payload, None, 2**40)


@pytest.mark.smoke
def test_asyncpg(turnout: Turnout) -> None:
    async def body() -> None:
        connection = await asyncpg.connect(host="127.0.0.1", port=turnout.port, user="app", database="app", ssl=False)
        statement = await connection.prepare("SELECT m, p FROM feelings WHERE m = $1 ORDER BY id LIMIT $2")
        for mood in ("sad", "ok", "happy") * 10:
            rows = await statement.fetch(mood, 3)
            assert [row["m"] for row in rows] == [mood] * 3
        async with connection.transaction():
            seen = [row["n"] async for row in connection.cursor("SELECT generate_series(1, 500) AS n", prefetch=50)]
            assert seen == list(range(1, 501))
        await connection.executemany("INSERT INTO notes (body, mood) VALUES ($1, $2)", [(f"many {n}", "ok") for n in range(100)])
        assert await connection.fetchval("DELETE FROM notes WHERE body LIKE 'many %' RETURNING 1") == 1
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch("SELECT * FROM no_such_table")
        assert await connection.fetchval("SELECT 7") == 7
        await connection.close(timeout=5)

    asyncio.run(body())


@pytest.mark.smoke
def test_prepared_statements_of_one_name(turnout: Turnout) -> None:
    """Drivers count their names from zero in every connection: the same name means something else in each session."""
    connections = [turnout.connect() for _ in range(POOL * 3)]
    try:
        for connection in connections:
            connection.prepare_threshold = 0
        for _round in range(20):
            for number, connection in enumerate(connections):
                row = connection.execute(f"SELECT {number} + %s::int, %s::text", (1000, f"s{number}")).fetchone()
                assert row == (1000 + number, f"s{number}")
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.smoke
def test_many_prepared_statements(turnout: Turnout) -> None:
    """More than a server connection keeps: the oldest are dropped there and made again when asked for."""
    with turnout.connect() as connection:
        connection.prepare_threshold, connection.prepared_max = 0, 2000
        for number in [*range(700), *range(0, 700, 7)]:
            assert connection.execute(f"SELECT {number} + %s::int", (1,)).fetchone() == (number + 1,)


def test_prepared_statement_survives_ddl(turnout: Turnout, pair: Pair) -> None:
    with turnout.connect() as connection:
        connection.prepare_threshold = 0
        for _ in range(3):
            connection.execute("SELECT body FROM notes WHERE id = %s", (1,))
        pair.blue.sql("ANALYZE notes")  # invalidates the plan
        assert connection.execute("SELECT body FROM notes WHERE id = %s", (1,)).fetchone() == ("note 1",)


def test_sql_level_prepare(turnout: Turnout) -> None:
    first, second = turnout.connect(), turnout.connect()
    with first, second:
        first.execute("PREPARE mine AS SELECT 'first'")
        second.execute("PREPARE mine AS SELECT 'second'")
        for _ in range(10):
            assert first.execute("EXECUTE mine").fetchone() == ("first",)
            assert second.execute("EXECUTE mine").fetchone() == ("second",)


@pytest.mark.smoke
def test_parameters_stay_with_their_session(turnout: Turnout) -> None:
    zones = ["Asia/Tokyo", "Europe/Paris", "America/Lima", "UTC", "Africa/Cairo", "Asia/Kolkata"] * 2
    connections = [turnout.connect(application_name=f"client-{number}", options="-c statement_timeout=12345")
                   for number in range(len(zones))]
    try:
        for connection, zone in zip(connections, zones):
            connection.execute(f"SET TimeZone TO '{zone}'")
            connection.execute(f"SET search_path TO \"{zone}\", public")
        for _round in range(5):
            for number, (connection, zone) in enumerate(zip(connections, zones)):
                row = connection.execute("SELECT current_setting('TimeZone'), current_setting('search_path'), "
                                         "current_setting('application_name'), current_setting('statement_timeout')").fetchone()
                assert row == (zone, f'"{zone}", public', f"client-{number}", "12345ms")
    finally:
        for connection in connections:
            connection.close()


def test_set_local_and_reset(turnout: Turnout) -> None:
    with turnout.connect() as connection:
        default = connection.execute("SHOW work_mem").fetchone()
        connection.execute("BEGIN; SET LOCAL work_mem = '7MB'")
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
        connection.execute("COMMIT")
        assert connection.execute("SHOW work_mem").fetchone() == default
        connection.execute("SET work_mem = '9MB'")
        with turnout.connect() as other:
            assert other.execute("SHOW work_mem").fetchone() == default
        connection.execute("RESET work_mem")
        assert connection.execute("SHOW work_mem").fetchone() == default


def test_set_rolled_back(turnout: Turnout) -> None:
    with turnout.connect() as connection:
        default = connection.execute("SHOW work_mem").fetchone()
        connection.execute("BEGIN; SET work_mem = '7MB'; ROLLBACK")
        for _ in range(5):
            assert connection.execute("SHOW work_mem").fetchone() == default


@pytest.mark.smoke
def test_temp_table_pins_its_session(turnout: Turnout) -> None:
    owner, others = turnout.connect(), [turnout.connect() for _ in range(POOL * 2)]
    try:
        owner.execute("CREATE TEMP TABLE mine (n int)")
        for number in range(10):
            owner.execute("INSERT INTO mine VALUES (%s)", (number,))
            for other in others:
                with pytest.raises(psycopg.errors.UndefinedTable):
                    other.execute("SELECT * FROM mine")
        assert owner.execute("SELECT count(*) FROM mine").fetchone() == (10,)
    finally:
        for connection in [owner, *others]:
            connection.close()
    with turnout.connect() as later:  # the connection was cleaned or closed, never handed on dirty
        with pytest.raises(psycopg.errors.UndefinedTable):
            later.execute("SELECT * FROM mine")


def test_advisory_lock_belongs_to_its_session(turnout: Turnout, pair: Pair) -> None:
    with turnout.connect() as owner, turnout.connect() as other:
        owner.execute("SELECT pg_advisory_lock(77)")
        assert other.execute("SELECT pg_try_advisory_lock(77)").fetchone() == (False,)
        assert owner.execute("SELECT pg_advisory_unlock(77)").fetchone() == (True,)
    pair.blue.wait_for("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'", timeout_s=5)


@pytest.mark.smoke
def test_cancel(turnout: Turnout) -> None:
    with turnout.connect() as victim, turnout.connect() as bystander, ThreadPoolExecutor(2) as threads:
        slow = threads.submit(lambda: victim.execute("SELECT pg_sleep(20)").fetchone())
        other = threads.submit(lambda: bystander.execute("SELECT pg_sleep(1.5), 'done'").fetchone())
        time.sleep(0.4)
        start = time.monotonic()
        victim.cancel()
        with pytest.raises(psycopg.errors.QueryCanceled):
            slow.result(10)
        assert time.monotonic() - start < 5
        assert other.result(10)[1] == "done"
        assert victim.execute("SELECT 1").fetchone() == (1,)


def test_late_cancel_hits_nobody(turnout: Turnout) -> None:
    """A cancel that comes when its session is idle must not reach whoever uses that server connection now."""
    with turnout.connect() as idle, turnout.connect() as busy, ThreadPoolExecutor(1) as threads:
        idle.execute("SELECT 1")
        running = threads.submit(lambda: [busy.execute("SELECT pg_sleep(0.05), 1").fetchone()[1] for _ in range(20)])  # type: ignore[index]
        for _ in range(10):
            idle.cancel()
            time.sleep(0.05)
        assert running.result(20) == [1] * 20


@pytest.mark.smoke
def test_copy_both_ways(turnout: Turnout) -> None:
    rows = 20_000
    with turnout.connect() as connection:
        with connection.cursor() as cursor:
            with cursor.copy("COPY notes (body) FROM STDIN") as copy:
                for number in range(rows):
                    copy.write_row((f"copied {number}",))
            received = io.BytesIO()
            with cursor.copy("COPY (SELECT body FROM notes WHERE body LIKE 'copied %') TO STDOUT") as copy:
                for data in copy:
                    received.write(data)
            assert received.getvalue().count(b"\n") == rows
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                with cursor.copy("COPY notes (id, body) FROM STDIN") as copy:
                    copy.write(b"not a number\tx\n")
            with pytest.raises((ZeroDivisionError, psycopg.errors.QueryCanceled)):  # by version of psycopg
                with cursor.copy("COPY notes (body) FROM STDIN") as copy:
                    copy.write(b"half a row")
                    raise ZeroDivisionError
            cursor.execute("DELETE FROM notes WHERE body LIKE 'copied %'")
            assert cursor.rowcount == rows


def test_big_answers_and_a_slow_reader(turnout: Turnout) -> None:
    size = 24 * 1024 * 1024
    with turnout.connect() as connection:
        assert len(connection.execute("SELECT repeat('x', %s)", (size,)).fetchone()[0]) == size  # type: ignore[index]
        slow = raw_session(turnout)
        slow.sendall(message(b"Q", b"SELECT repeat('y', 1000) FROM generate_series(1, 40000)\0"))
        time.sleep(0.5)  # it does not read; the others go on
        for _ in range(20):
            connection.execute("SELECT 1")
        assert len(read_until(slow, b"Z\0\0\0\5")) > 40_000_000
        slow.close()


def test_big_parameter(turnout: Turnout) -> None:
    value = "z" * (8 * 1024 * 1024)
    with turnout.connect() as connection:
        assert connection.execute("SELECT length(%s)", (value,)).fetchone() == (len(value),)


def test_many_idle_clients(turnout: Turnout) -> None:
    connections = [turnout.connect() for _ in range(150)]
    try:
        for connection in connections:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        for connection in connections:
            connection.close()


def test_errors_are_the_servers_own(turnout: Turnout) -> None:
    with turnout.connect() as connection:
        for text, kind in (("SELECT * FROM nowhere", psycopg.errors.UndefinedTable), ("SELEC 1", psycopg.errors.SyntaxError),
                           ("SELECT 'x'::mood", psycopg.errors.InvalidTextRepresentation),
                           ("INSERT INTO feelings (m, p) VALUES ('ok', -1)", psycopg.errors.CheckViolation)):
            with pytest.raises(kind):
                connection.execute(text)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_notices_arrive(turnout: Turnout) -> None:
    notices: list[str] = []
    with turnout.connect() as connection:
        connection.add_notice_handler(lambda diagnostic: notices.append(str(diagnostic.message_primary)))
        connection.execute("DO $$ BEGIN RAISE NOTICE 'hello from the server'; END $$")
    assert notices == ["hello from the server"]


# ---- clients that behave badly


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def startup(user: str = "app", database: str = "app") -> bytes:
    body = struct.pack("!i", 196608) + f"user\0{user}\0database\0{database}\0\0".encode()
    return struct.pack("!i", len(body) + 4) + body


def raw_session(turnout: Turnout, log_in: bool = True) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", turnout.port), timeout=10)
    if log_in:
        connection.sendall(startup())
        read_until(connection, b"Z\0\0\0\5I")
    return connection


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    data = bytearray()
    while mark not in data[-(len(mark) + 70_000):]:
        chunk = connection.recv(65536)
        if not chunk:
            raise AssertionError(f"closed after {bytes(data[-200:])!r}")
        data += chunk
    return bytes(data)


def read_to_end(connection: socket.socket, timeout_s: float = 10) -> bytes:
    """What came until the other side closed; fails when it does not."""
    connection.settimeout(timeout_s)
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


BAD_AFTER_LOGIN = {
    "length below 4": b"Q\0\0\0\3",
    "negative length": b"Q\xff\xff\xff\xff",
    "unknown type": b"!\0\0\0\4",
    "query without its end": message(b"Q", b"SELECT 1"),
    "bind that lies about its parameters": message(b"B", b"\0\0\0\0\xff\xff") + message(b"S", b""),
    "over-long query": b"Q" + struct.pack("!i", 1_900_000_000),
    "a password nobody asked for": message(b"p", b"secret\0"),
}

BAD_AT_LOGIN = {
    "not Postgres": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "length 0": b"\0\0\0\0\0\3\0\0",
    "over-long": struct.pack("!ii", 50_000_000, 196608),
    "no user": struct.pack("!ii", 9, 196608) + b"\0",
    "unterminated": struct.pack("!ii", 16, 196608) + b"userxapp",
    "protocol 9": struct.pack("!ii", 9, 9 << 16) + b"\0",
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", BAD_AFTER_LOGIN)
def test_malformed_message_ends_only_its_session(turnout: Turnout, name: str) -> None:
    with turnout.connect() as bystander:
        bystander.execute("BEGIN")
        bad = raw_session(turnout)
        bad.sendall(BAD_AFTER_LOGIN[name])
        if name in ("query without its end", "bind that lies about its parameters"):
            # Framed correctly, wrong inside: Postgres answers 08P01 and goes on. We may do that, or end the session.
            bad.sendall(message(b"X", b""))
        answer = read_to_end(bad)
        assert answer == b"" or answer.startswith((b"E", b"N")), answer
        bad.close()
        assert bystander.execute("SELECT 1").fetchone() == (1,)
        bystander.execute("COMMIT")
    assert turnout.alive()


@pytest.mark.smoke
@pytest.mark.parametrize("name", BAD_AT_LOGIN)
def test_malformed_login_ends_only_its_session(turnout: Turnout, name: str) -> None:
    bad = raw_session(turnout, log_in=False)
    bad.sendall(BAD_AT_LOGIN[name])
    answer = read_to_end(bad)
    assert answer == b"" or answer.startswith(b"E") or b"v" in answer[:1], answer
    with turnout.connect() as bystander:
        assert bystander.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.smoke
def test_every_prefix_of_a_conversation(turnout: Turnout) -> None:
    """A client that goes away after any byte leaves the pool as it was."""
    talk = startup() + message(b"Q", b"BEGIN\0") + message(b"P", b"\0SELECT 1\0\0\0") + message(b"B", b"\0\0\0\0\0\0\0\0")
    for length in range(0, len(talk), 3):
        with socket.create_connection(("127.0.0.1", turnout.port), timeout=10) as connection:
            connection.sendall(talk[:length])
    result = Pgbench(turnout.port, turnout.home, mode="prepared", clients=POOL * 2, seconds=1).wait()
    assert result.clean(), result.output


@pytest.mark.smoke
def test_client_vanishes_in_a_transaction(turnout: Turnout, pair: Pair) -> None:
    for how in ("reset", "close", "in the middle of an answer"):
        bad = raw_session(turnout)
        bad.sendall(message(b"Q", b"BEGIN; UPDATE notes SET body = 'vanished' WHERE id = 2; SET search_path TO nowhere\0"))
        read_until(bad, b"Z\0\0\0\5T")
        if how == "in the middle of an answer":
            bad.sendall(message(b"Q", b"SELECT repeat('x', 1000) FROM generate_series(1, 100000)\0"))
            bad.recv(1000)
        if how == "reset":
            bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        bad.close()
        deadline = time.monotonic() + 10
        while True:  # the row lock goes as soon as the server has rolled back
            try:
                row = pair.blue.sql("SELECT body FROM notes WHERE id = 2 FOR UPDATE NOWAIT")
                break
            except psycopg.errors.LockNotAvailable:
                assert time.monotonic() < deadline, f"{how}: the transaction of a vanished client is still open"
                time.sleep(0.05)
        assert row == [("note 2",)]
    connections = [turnout.connect() for _ in range(POOL * 2)]
    for connection in connections:
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
        connection.close()


@pytest.mark.smoke
def test_terminated_backend(turnout: Turnout, pair: Pair) -> None:
    """An administrator ends a backend: its client learns that in the server's words, new work is not affected."""
    with turnout.connect() as victim, ThreadPoolExecutor(1) as threads:
        victim.execute("BEGIN")
        pid = victim.execute("SELECT pg_backend_pid()").fetchone()[0]  # type: ignore[index]
        running = threads.submit(lambda: victim.execute("SELECT pg_sleep(10)"))
        time.sleep(0.3)
        pair.blue.sql("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(psycopg.OperationalError) as caught:
            running.result(10)
        assert caught.value.sqlstate in ("57P01", None), caught.value
        assert "administrator command" in str(caught.value), caught.value
    with turnout.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_idle_backends_ended(turnout: Turnout, pair: Pair) -> None:
    """Pooled connections die while nobody uses them: clients do not notice."""
    with turnout.connect() as connection:
        connection.execute("SELECT 1")
        for _ in range(5):
            pair.blue.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
            time.sleep(0.1)
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_database_and_user_that_do_not_exist(turnout: Turnout) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        turnout.connect(database="nowhere").execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match='role "nobody" does not exist'):
        turnout.connect(user="nobody").execute("SELECT 1")


def test_clients_wait_for_a_free_connection(turnout: Turnout) -> None:
    holders = [turnout.connect() for _ in range(POOL)]
    try:
        for holder in holders:
            holder.execute("BEGIN")
            holder.execute("SELECT 1")
        with turnout.connect() as waiting, ThreadPoolExecutor(1) as threads:
            answer = threads.submit(lambda: waiting.execute("SELECT 1").fetchone())
            time.sleep(0.5)
            assert not answer.done()
            holders[0].execute("COMMIT")
            assert answer.result(5) == (1,)
    finally:
        for holder in holders:
            holder.close()


def test_client_limit(other_turnout: Any) -> None:
    limited = other_turnout({"pool": {"size": 2}, "limits": {"clients": 3}})
    connections = [limited.connect() for _ in range(3)]
    with pytest.raises(psycopg.OperationalError) as caught:
        limited.connect()
    assert "too many" in str(caught.value).lower() or "limit" in str(caught.value).lower()
    connections.pop().close()
    deadline = time.monotonic() + 5
    while True:
        try:
            limited.connect().close()
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for connection in connections:
        connection.close()


def test_silence_during_login(other_turnout: Any) -> None:
    impatient = other_turnout({"limits": {"login_timeout": "1s"}})
    silent = [socket.create_connection(("127.0.0.1", impatient.port), timeout=10) for _ in range(5)]
    silent[0].sendall(startup()[:9])
    start = time.monotonic()
    for connection in silent:
        read_to_end(connection)
    assert time.monotonic() - start < 6
    with impatient.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.smoke
def test_sigterm_lets_running_work_end(other_turnout: Any) -> None:
    stopping = other_turnout({})
    with stopping.connect() as connection, ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: connection.execute("SELECT pg_sleep(1), 'whole'").fetchone())
        time.sleep(0.3)
        code: list[int | None] = []
        ending = threading.Thread(target=lambda: code.append(stopping.stop()))
        ending.start()
        assert running.result(10)[1] == "whole"
        ending.join(15)
    assert code == [0]


def test_sighup_changes_the_pool(other_turnout: Any, pair: Pair) -> None:
    small = other_turnout({"pool": {"size": 1}})
    with small.connect() as first, small.connect() as second, ThreadPoolExecutor(1) as threads:
        first.execute("BEGIN; SELECT 1")
        answer = threads.submit(lambda: second.execute("SELECT 1").fetchone())
        time.sleep(0.3)
        assert not answer.done()
        small.config["deployments"]["app"]["pool"]["size"] = 3
        small.write_config()
        small.signal(signal.SIGHUP)
        assert answer.result(5) == (1,)
        first.execute("COMMIT")


@pytest.mark.smoke
def test_server_away_and_back(turnout: Turnout, pair: Pair) -> None:
    """Last in this file: it stops blue."""
    with turnout.connect() as idle:
        idle.execute("SELECT 1")
        pair.blue.stop()
        try:
            with pytest.raises(psycopg.OperationalError) as caught:
                turnout.connect(connect_timeout=15).execute("SELECT 1")
            assert str(caught.value).strip(), "an error without words helps nobody"
            assert turnout.alive()
        finally:
            pair.blue.start()
    deadline = time.monotonic() + 10
    while True:
        try:
            with turnout.connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "Turnout does not find the server again"
            time.sleep(0.1)
