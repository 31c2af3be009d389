"""The fifteen traps of a Postgres proxy: one test each, which fails where the wrong behaviour is put back.

Where other files show more of the same, the docstring says which.
"""
from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

import differ
from differ import Message, Wire, cstring, message
from harness.pair import DATABASE, Pair
from harness.turnout import Turnout

POOL = 2
CHANGES = {"pool": {"mode": "transaction", "size": POOL}}


def wire(turnout: Turnout, **parameters: str) -> Wire:
    connection = Wire(("127.0.0.1", turnout.port), {"user": "app", "database": DATABASE, **parameters})
    connection.read("Z", 1, [])
    return connection


def ask(connection: Wire, data: bytes, syncs: int = 1) -> list[Message]:
    connection.send(data)
    return connection.read("Z", syncs, [])


def query(sql: str) -> bytes:
    return message(b"Q", cstring(sql))


def parse(name: str, sql: str) -> bytes:
    return message(b"P", cstring(name) + cstring(sql) + b"\0\0")


def run(name: str) -> bytes:
    """Bind, Describe, Execute."""
    return (message(b"B", b"\0" + cstring(name) + bytes(6)) + message(b"D", b"P\0") + message(b"E", b"\0" + bytes(4)))


SYNC = message(b"S")


def types(answer: list[Message]) -> str:
    return "".join(one.type for one in answer)


def rows(answer: list[Message]) -> list[bytes]:
    """Of one column."""
    return [one.body[0][6:] for one in answer if one.type == "D"]  # type: ignore[index]


def sqlstates(answer: list[Message]) -> list[str]:
    return [dict(one.body)["C"] for one in answer if one.type == "E"]  # type: ignore[call-overload]


def test_trap_01_late_cancel_never_hits_the_next_session(turnout: Turnout) -> None:
    """Cancels that come when the statement has just ended, while another session takes the connection."""
    with turnout.connect() as first, turnout.connect() as second, ThreadPoolExecutor(1) as threads:
        for number in range(40):
            running = threads.submit(lambda: [second.execute("SELECT pg_sleep(0.002)") for _ in range(5)])
            first.execute("SELECT pg_sleep(0.001)")
            first.cancel()  # of nothing, or of what is over
            running.result(timeout=30)  # raises QueryCanceled where a cancel hits it
            assert first.execute("SELECT %s::int", (number,)).fetchone() == (number,)


def test_trap_02_no_release_while_a_reply_is_owed(turnout: Turnout) -> None:
    """Several Syncs on their way: the connection is another session's only after the last of them is answered."""
    sessions = [wire(turnout) for _ in range(POOL * 3)]
    for _round in range(10):
        for number, session in enumerate(sessions):
            session.send(b"".join(query(f"SELECT {number * 100 + i}, pg_sleep(0.001)") for i in range(4)))
        for number, session in enumerate(sessions):
            answer = session.read("Z", 4, [])
            assert [one.body[0][6:].split(b"\0")[0] for one in answer if one.type == "D"] == \
                [str(number * 100 + i).encode() for i in range(4)]  # type: ignore[index]
    for session in sessions:
        session.close()


def test_trap_03_error_in_a_pipeline_drops_what_was_queued(turnout: Turnout) -> None:
    """Also what Turnout put there itself, and what it answers itself. More: differ/pipeline_errors.wire."""
    with_it, without_it = wire(turnout), wire(turnout)
    ask(with_it, parse("known", "SELECT 'trap 3'") + run("known") + SYNC)
    # Everywhere known, so its ParseComplete is Turnout's own; here it comes behind an error.
    for _ in range(POOL):
        answer = ask(without_it, parse("bad", "SELECT 1/0") + run("bad") + parse("mine", "SELECT 'trap 3'") + SYNC)
        assert types(answer) == "1EZ", types(answer)
        answer = ask(without_it, run("mine") + SYNC)
        assert sqlstates(answer) == ["26000"], types(answer)  # it never was
        answer = ask(without_it, message(b"C", b"Sbad\0") + parse("mine", "SELECT 'trap 3'") + run("mine") + SYNC)
        assert rows(answer) == [b"trap 3"]
        answer = ask(without_it, message(b"E", b"none\0" + bytes(4)) + message(b"C", b"Smine\0") + SYNC)
        assert types(answer) == "EZ"
        answer = ask(without_it, run("mine") + SYNC)  # the Close did not happen either
        assert rows(answer) == [b"trap 3"]
        ask(without_it, message(b"C", b"Smine\0") + SYNC)
    with_it.close()
    without_it.close()


def test_trap_04_names_of_statements_are_the_sessions_own(turnout: Turnout) -> None:
    """Same name, other text; same text, other name; the unnamed one goes with its session, as it was last parsed."""
    sessions = [wire(turnout) for _ in range(POOL * 2)]
    for number, session in enumerate(sessions):
        answer = ask(session, parse("s", f"SELECT 'text {number}'") + parse("t", "SELECT 'same'") + SYNC)
        assert types(answer) == "11Z"
    for number, session in enumerate(sessions):
        assert rows(ask(session, run("s") + run("t") + SYNC)) == [f"text {number}".encode(), b"same"]
    for text in ("old", "new " + "x" * 40_000):
        for session in sessions:
            assert types(ask(session, parse("", f"SELECT '{text}'") + SYNC)) == "1Z"
        crowd = differ.Crowd(("127.0.0.1", turnout.port), {"user": "app", "database": DATABASE}, POOL)
        for session in sessions:
            crowd.shuffle()
            assert rows(ask(session, run("") + SYNC)) == [text.encode()]
        crowd.close()
    for session in sessions:
        ask(session, query("SELECT 1"))  # destroys the unnamed one
        assert sqlstates(ask(session, run("") + SYNC)) == ["26000"]
        session.close()


def test_trap_05_deallocate_all_at_its_place_in_the_pipeline(turnout: Turnout) -> None:
    """And what it wipes of other sessions is prepared again. More: differ/deallocate_all.wire."""
    other, session = wire(turnout), wire(turnout)
    ask(other, parse("theirs", "SELECT 'theirs'") + SYNC)
    for clean in ("DEALLOCATE ALL", "DISCARD ALL"):
        ask(session, parse("s", "SELECT 'old'") + SYNC)
        answer = ask(session, run("s") + SYNC + query(clean) + parse("s", "SELECT 'new'") + run("s") + SYNC, 3)
        assert rows(answer) == [b"old", b"new"], answer
        for _ in range(POOL + 1):
            assert rows(ask(other, run("theirs") + SYNC)) == [b"theirs"]
        answer = ask(session, query("BEGIN") + query("DISCARD ALL") + query("ROLLBACK") + run("s") + SYNC, 4)
        assert sqlstates(answer) == ["25001"] and rows(answer) == [b"new"]  # it failed: the statement is still there
        assert types(ask(session, query(clean))) in ("CZ", "CSZ")
    other.close()
    session.close()


def test_trap_06_cached_plan_is_renewed(turnout: Turnout, pair: Pair) -> None:
    """ALTER TABLE under SELECT * that many sessions have prepared: nobody outside a transaction sees 0A000."""
    pair.blue.sql("CREATE TABLE trap6 (a int); INSERT INTO trap6 VALUES (1); GRANT ALL ON trap6 TO app")
    sessions = [turnout.connect() for _ in range(POOL * 3)]
    try:
        for session in sessions:
            session.prepare_threshold = 0
            for _ in range(3):
                assert session.execute("SELECT * FROM trap6").fetchall() == [(1,)]
        for column in range(3):
            pair.blue.sql(f"ALTER TABLE trap6 ADD COLUMN c{column} int DEFAULT {column}")
            expected = [(1, *range(column + 1))]
            for _ in range(2):
                for session in sessions:
                    assert session.execute("SELECT * FROM trap6").fetchall() == expected
        # In a transaction the client hears of it, once; what comes next works.
        session = sessions[0]
        session.execute("BEGIN")
        session.execute("SELECT 1")
        pair.blue.sql("ALTER TABLE trap6 ADD COLUMN last int DEFAULT 9")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            session.execute("SELECT * FROM trap6")
        session.execute("ROLLBACK")
        for each in sessions:
            assert each.execute("SELECT * FROM trap6").fetchall() == [(1, 0, 1, 2, 9)]
    finally:
        for each in sessions:
            each.close()
        pair.blue.sql("DROP TABLE trap6")


def test_trap_07_reported_parameters_are_the_sessions_own(turnout: Turnout, pair: Pair) -> None:
    """As it wished at login, in the server's words; what a function sets unseen stays the session's."""
    direct_like = {"client_encoding": "utf-8", "DateStyle": "german", "TimeZone": "Europe/Paris"}
    session = Wire(("127.0.0.1", turnout.port), {"user": "app", "database": DATABASE, **direct_like})
    told = dict(one.body for one in session.read("Z", 1, []) if one.type == "S")  # type: ignore[misc]
    assert (told["client_encoding"], told["DateStyle"], told["TimeZone"]) == ("UTF8", "German, DMY", "Europe/Paris")
    other = wire(turnout)
    pair.blue.sql("CREATE OR REPLACE FUNCTION trap7() RETURNS void LANGUAGE plpgsql AS "
                  "$$ BEGIN PERFORM set_config('IntervalStyle', 'sql_standard', false); END $$")
    ask(session, query("SELECT trap7()"))
    for _ in range(POOL + 1):
        assert rows(ask(other, query("SHOW IntervalStyle"))) == [b"postgres"]
        assert rows(ask(other, query("SHOW TimeZone"))) != [b"Europe/Paris"]
        assert rows(ask(session, query("SHOW IntervalStyle"))) == [b"sql_standard"]
        assert rows(ask(session, query("SHOW TimeZone"))) == [b"Europe/Paris"]
    session.close()
    other.close()


SETTERS = [
    "SET work_mem = '9MB'",
    "SELECT set_config('work_mem', '9MB', false)",
    "BEGIN; SET work_mem = '9MB'; COMMIT",
    "BEGIN; SET work_mem = '9MB'; COMMIT; SELECT 1/0",
    "SET statement_timeout = '9s'",
    "SET search_path TO nowhere",
    "SET LOCAL work_mem = '9MB'",
    "BEGIN; SET LOCAL work_mem = '9MB'; SELECT 1; COMMIT",
    "BEGIN; SET LOCAL ROLE app_owner; SELECT 1; COMMIT",
    "BEGIN; SAVEPOINT a; SET work_mem = '9MB'; ROLLBACK TO a; SET lock_timeout = 9; COMMIT",
    "DO $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$",
    "SELECT set_config('work_mem', x, false) FROM (VALUES ('9MB')) v(x)",
    "SET ROLE app_owner",
    "SET ROLE app_owner; RESET ALL",
    "SET SESSION AUTHORIZATION app",
    "SET my.own = 'mine'",
    "SELECT set_config('role', 'app_owner', false)",
]
WATCHED = ("work_mem", "statement_timeout", "search_path", "lock_timeout", "role", "session_authorization", "TimeZone")
STATE = "SELECT current_user || '|' || coalesce(current_setting('my.own', true), '') || '|' || " + \
    " || '|' || ".join(f"current_setting('{name}')" for name in WATCHED)


def test_trap_08_no_setting_leaks(turnout: Turnout, pair: Pair) -> None:
    """However it was set, also behind an error in a pipeline. More: differ/settings*.sql, roles*.sql, set_config.sql."""
    clean = pair.blue.sql(STATE)[0][0]
    for sql in SETTERS:
        for pipelined in (False, True):
            setter = wire(turnout, user="postgres")
            ask(setter, (query("SELECT 1/0") if pipelined else b"") + query(sql), 2 if pipelined else 1)
            others = [wire(turnout, user="postgres") for _ in range(POOL + 1)]
            for other in others:
                assert rows(ask(other, query(STATE))) == [clean.encode()], sql
            setter.close()
            for other in others:
                assert rows(ask(other, query(STATE))) == [clean.encode()], f"{sql}, after its session's end"
                other.close()


def test_trap_09_copy_ends_where_it_ends(turnout: Turnout) -> None:
    """Data, its end and Syncs that come late or early. More: differ/copy*.wire."""
    session = wire(turnout)
    ask(session, query("CREATE TEMP TABLE trap9 (n int)"))
    copy, data, end = query("COPY trap9 FROM STDIN"), message(b"d", b"1\n"), message(b"c")
    assert types(ask(session, copy + data + end)) == "GCZ"
    assert types(ask(session, copy + message(b"d", b"x\n") + data + end)) == "GEZ"
    assert types(ask(session, copy + message(b"f", b"no\0"))) == "GEZ"
    extended = parse("", "COPY trap9 FROM STDIN") + message(b"B", bytes(8)) + message(b"E", bytes(5))
    assert types(ask(session, extended + SYNC + data + end + SYNC)) == "12GCZ"
    assert types(ask(session, extended + message(b"d", b"x\n") + end + SYNC)) == "12GEZ"
    assert types(ask(session, data + end + query("SELECT count(*) FROM trap9"))) == "TDCZ"
    session.close()


def test_trap_10_framing(turnout: Turnout) -> None:
    """A byte at a time; lengths that lie. More: test_pool.py, test_malformed_…, test_big_answers_and_a_slow_reader."""
    session = wire(turnout)
    for byte in parse("s", "SELECT 'slow'") + run("s") + SYNC:
        session.send(bytes([byte]))
    assert rows(session.read("Z", 1, [])) == [b"slow"]
    for length in (3, 0, -1, -2_147_483_648, 1_900_000_000):
        bad = wire(turnout)
        bad.send(b"Q" + struct.pack("!i", length))
        answer: list[Message] = []
        with pytest.raises(differ.Refused):
            bad.read("Z", 1, answer)
        assert "(end)" in [one.type for one in answer]
        bad.close()
        assert rows(ask(session, query("SELECT 'unharmed'"))) == [b"unharmed"]
    session.close()


def test_trap_11_startup_negotiation(turnout: Turnout) -> None:
    """A version that is not there yet, and options that nobody knows, all of them named. More: test_edge.py."""
    body = struct.pack("!i", 3 << 16 | 9999) + b"user\0app\0database\0app\0_pq_.one\0a\0_pq_.two\0b\0\0"
    with socket.create_connection(("127.0.0.1", turnout.port), timeout=20) as connection:
        connection.sendall(struct.pack("!i", len(body) + 4) + body)
        data = b""
        while not data.endswith(b"Z\0\0\0\5I"):
            chunk = connection.recv(65536)
            assert chunk, data
            data += chunk
    assert data[:1] == b"v" and b"_pq_.one\0" in data and b"_pq_.two\0" in data
    assert struct.unpack_from("!i", data, 9)[0] == 2  # of options


def test_trap_12_what_an_idle_connection_says_is_nobody_elses(turnout: Turnout, pair: Pair) -> None:
    """Its end is noticed at once, and its last words reach no client."""
    sessions = [wire(turnout) for _ in range(POOL)]
    for session in sessions:
        session.send(query("SELECT pg_sleep(0.2)"))
    for session in sessions:
        session.read("Z", 1, [])
    pair.blue.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    pair.blue.wait_for("SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%pg_sleep(0.2)%'")
    for session in itertools.islice(itertools.cycle(sessions), POOL * 3):
        assert types(ask(session, query("SELECT 1"))) == "TDCZ"
    for session in sessions:
        session.close()


def test_trap_13_failed_transactions_and_lost_clients(turnout: Turnout) -> None:
    """A failed transaction keeps its connection; a client that goes away in one leaves nothing behind."""
    failed, other = wire(turnout), wire(turnout)
    ask(failed, query("BEGIN; SET LOCAL work_mem = '9MB'; SELECT 1/0"))
    for _ in range(POOL * 2):
        assert types(ask(other, query("SELECT 1"))) == "TDCZ"
        assert sqlstates(ask(failed, query("SELECT 1"))) == ["25P02"]
    for ending in (b"", query("SELECT pg_sleep(30)")):
        lost = wire(turnout)
        ask(lost, query("BEGIN; SELECT pg_advisory_xact_lock(1313)"))
        lost.send(ending)
        lost.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lost.close()
        ask(failed, query("ROLLBACK"))
        deadline = time.monotonic() + 20
        while rows(ask(other, query("SELECT pg_try_advisory_xact_lock(1313)"))) != [b"t"]:
            assert time.monotonic() < deadline, "the lock of a client that is gone is still held"
            time.sleep(0.05)
    failed.close()
    other.close()


def test_trap_14_errors_at_login_are_the_servers_own(turnout: Turnout) -> None:
    """With their SQLSTATE, and one user's failure is nobody else's. More: test_auth.py."""
    for parameters, sqlstate in (({"user": "nobody"}, "28000"), ({"database": "no_such"}, "3D000")):
        refused = Wire(("127.0.0.1", turnout.port), {"user": "app", "database": DATABASE, **parameters})
        answer: list[Message] = []
        with pytest.raises(differ.Refused):
            refused.read("Z", 1, answer)
        refused.close()
        assert sqlstates(answer)[0] in (sqlstate, "3D000"), answer
        good = wire(turnout)
        assert types(ask(good, query("SELECT 1"))) == "TDCZ"
        good.close()


def test_trap_15_a_pause_ends_nobody(turnout: Turnout) -> None:
    """Work waits, cancels are answered, all of it runs after resume. More: test_config.py, test_abort.py, test_cutover.py."""
    sessions = [wire(turnout) for _ in range(POOL * 5)]
    turnout.ask("pause", "app")
    try:
        for number, session in enumerate(sessions):
            session.send(query(f"SELECT {number}"))
        time.sleep(0.5)
    finally:
        turnout.ask("resume", "app")
    for number, session in enumerate(sessions):
        assert rows(session.read("Z", 1, [])) == [str(number).encode()]
        session.close()


def test_a_long_pipeline_that_waits_at_a_boundary_goes_on(turnout: Turnout) -> None:
    """More than the session reads ahead arrives while what comes next must wait for an answer."""
    count = 300
    with contextlib.closing(wire(turnout)) as connection, ThreadPoolExecutor(1) as threads:
        first = query("DEALLOCATE ALL; SELECT pg_sleep(1)")
        sent = threads.submit(connection.send, first + query("SELECT 1 -- " + "x" * 10_000) * count)
        answer = connection.read("Z", 1 + count, [])
        sent.result()
        assert rows(answer)[1:] == [b"1"] * count
