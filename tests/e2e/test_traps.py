"""The fifteen traps of a Postgres proxy: one test each, which fails where the wrong behaviour is put back.

tests/mutants puts it back and demands that. Where other files show more of the same, the docstring says which.
"""
from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterator

import psycopg
import pytest

import differ
from differ import Message, Wire, cstring, message
from harness.pair import DATABASE, Pair
from harness.raw import GSS_REQUEST, SSL_REQUEST, Raw, request, startup
from harness.slow import SlowRoad
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


def close(name: str) -> bytes:
    return message(b"C", b"S" + cstring(name))


SYNC, FLUSH = message(b"S"), message(b"H")


def types(answer: list[Message]) -> str:
    return "".join(one.type for one in answer)


def rows(answer: list[Message]) -> list[bytes]:
    """Of one column."""
    return [one.body[0][6:] for one in answer if one.type == "D"]  # type: ignore[index]


def sqlstates(answer: list[Message]) -> list[str]:
    return [dict(one.body)["C"] for one in answer if one.type == "E"]  # type: ignore[call-overload]


@contextlib.contextmanager
def occupied(turnout: Turnout, count: int) -> Iterator[None]:
    """So many connections are others'. With one left, everybody's work runs on the same."""
    holders = [wire(turnout) for _ in range(count)]
    for holder in holders:
        ask(holder, query("BEGIN"))
    yield
    for holder in holders:
        ask(holder, query("COMMIT"))
        holder.close()


def all_are_free(turnout: Turnout) -> None:
    """Nobody keeps a connection who should have given it back."""
    with occupied(turnout, POOL):
        pass


@contextlib.contextmanager
def blocked(turnout: Turnout, pair: Pair) -> Iterator[Callable[[], None]]:
    """`SELECT pg_advisory_xact_lock(1)` does not end before the function that is given is called."""
    with contextlib.closing(wire(turnout)) as holder:
        ask(holder, query("BEGIN; SELECT pg_advisory_xact_lock(1)"))
        yield lambda: types(ask(holder, query("ROLLBACK"))) == "CZ"


WAITS_FOR_LOCK = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"
LOCK = "SELECT pg_advisory_xact_lock(1)"


def cancel_until(session: Raw, is_done: Callable[[], bool]) -> None:
    """More than once: the first may be there before what it is meant for."""
    deadline = time.monotonic() + 10
    while not is_done():
        assert time.monotonic() < deadline, "a cancel of work that waits is not answered"
        session.cancel(session.pid, session.key)
        time.sleep(0.05)


def test_trap_01_late_cancel_never_hits_the_next_session(turnout: Turnout, pair: Pair,
                                                         other_turnout: Callable[..., Turnout]) -> None:
    """It comes to the server when the statement it was meant for is over. And only the key cancels. More: test_cancel.py."""
    with SlowRoad(pair.blue.port) as road, ThreadPoolExecutor(1) as threads:
        one = other_turnout({"pool": {"size": 1}, "blue": f"127.0.0.1:{road.port}"})
        with Raw(one.port) as first, blocked(turnout, pair) as let_go, contextlib.closing(wire(one)) as second:
            assert first.login() == {}
            road.may_cancel.clear()
            first.send(query(LOCK))
            pair.blue.wait_for(WAITS_FOR_LOCK)
            asked = threads.submit(first.cancel, first.pid, first.key)
            deadline = time.monotonic() + 20
            while road.cancels == 0:
                assert time.monotonic() < deadline, "the cancel is not on its way"
                time.sleep(0.01)
            let_go()
            assert [kind for kind, _ in first.until("Z")] == ["T", "D", "C", "Z"]
            second.send(query("SELECT pg_sleep(1.5)"))
            with contextlib.suppress(TimeoutError):  # it must not begin before the cancel has come and gone
                pair.blue.wait_for("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'", timeout_s=0.5)
            road.may_cancel.set()
            asked.result(timeout=20)
            assert types(second.read("Z", 1, [])) == "TDCZ"
    with Raw(turnout.port) as asker, blocked(turnout, pair) as let_go:
        assert asker.login() == {}
        asker.send(query(LOCK))
        pair.blue.wait_for(WAITS_FOR_LOCK)
        asker.cancel(asker.pid, bytes(byte ^ 1 for byte in asker.key))
        let_go()
        assert [kind for kind, _ in asker.until("Z")] == ["T", "D", "C", "Z"]
    with Raw(turnout.port, timeout_s=15) as waiter, occupied(turnout, POOL), ThreadPoolExecutor(1) as threads:
        assert waiter.login() == {}
        waiter.send(query("SELECT 1"))
        answer = threads.submit(waiter.until, "Z")
        cancel_until(waiter, answer.done)
        assert [kind for kind, _ in answer.result()] == ["E", "Z"]


def test_trap_02_no_release_while_a_reply_is_owed(turnout: Turnout) -> None:
    """Several Syncs on their way, or none yet: the connection is another session's only after the last is answered."""
    sessions = [wire(turnout) for _ in range(POOL * 3)]
    for _round in range(10):
        for number, session in enumerate(sessions):
            session.send(b"".join(query(f"SELECT {number * 100 + i}, pg_sleep(0.001)") for i in range(4)))
        for number, session in enumerate(sessions):
            answer = session.read("Z", 4, [])
            assert [one.body[0][6:].split(b"\0")[0] for one in answer if one.type == "D"] == \
                [str(number * 100 + i).encode() for i in range(4)]  # type: ignore[index]
    seen = set()
    for _ in range(3):  # a Flush answers what came before it, and leaves the transaction open
        sessions[0].send(parse("", "SELECT pg_current_xact_id()") + message(b"B", bytes(8)) + message(b"E", bytes(5)) + FLUSH)
        seen.update(rows(sessions[0].read("C", 1, [])))
        for other in sessions[1:]:
            ask(other, query("SELECT 1"))
    assert types(ask(sessions[0], SYNC)) == "Z" and len(seen) == 1, seen
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
    with occupied(turnout, POOL - 1):  # what was skipped is not on this connection, and what is there is known to be
        late = parse("late", "SELECT 'late'")
        assert types(ask(without_it, parse("bad", "SELECT 1/0") + run("bad") + late + SYNC)) == "1EZ"
        ask(without_it, query("BEGIN"))
        assert rows(ask(without_it, late + run("late") + SYNC)) == [b"late"]
        ask(without_it, query("COMMIT") + close("bad") + SYNC, 2)
        ask(with_it, parse("shown", "SHOW work_mem") + run("shown") + SYNC)
        again = parse("again", "SHOW work_mem")  # is closed and prepared anew: the server checks such a thing at its Parse
        assert types(ask(without_it, parse("bad", "SELECT 1/0") + run("bad") + again + SYNC)) == "1EZ"
        assert rows(ask(with_it, run("shown") + SYNC)) == [b"4MB"]
        assert rows(ask(without_it, again + run("again") + SYNC)) == [b"4MB"]
        # A name that was closed and made anew behind the error is what it was; one that was made before it stays.
        ask(without_it, parse("n", "SELECT 'before'") + SYNC)
        answer = ask(without_it, parse("kept", "SELECT 'twice'") + parse("worse", "SELECT 1/0") + run("worse") + close("n") +
                     parse("n", "SELECT 'behind'") + parse("lost", "SELECT 'twice'") + SYNC)
        assert types(answer) == "11EZ", types(answer)
        assert rows(ask(without_it, run("n") + run("kept") + SYNC)) == [b"before", b"twice"]
        assert sqlstates(ask(without_it, run("lost") + SYNC)) == ["26000"]
        # What is sent when the error is known already, before the Sync, did not happen either.
        without_it.send(parse("", "SELECT 1/0") + run("") + FLUSH)
        assert types(without_it.read("E", 1, [])) == "1E"
        assert types(ask(without_it, parse("x", "SELECT 'x'") + close("kept") + SYNC)) == "Z"
        ask(without_it, query("BEGIN"))
        assert rows(ask(without_it, run("kept") + SYNC)) == [b"twice"]
        assert rows(ask(without_it, parse("x", "SELECT 'x'") + run("x") + SYNC)) == [b"x"]
        ask(without_it, query("COMMIT"))
        # Nor what fails in a unit that was sent before the one in front of it was answered.
        answer = ask(without_it, parse("fine", "SELECT 'fine'") + SYNC + parse("wrong", "SELEC") + SYNC, 2)
        assert types(answer) == "1ZEZ"
        assert rows(ask(without_it, parse("wrong", "SELECT 'right'") + run("wrong") + SYNC)) == [b"right"]
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
    with occupied(turnout, POOL - 1):
        for session, oid in zip(sessions, (25, 23)):  # text, int4
            typed = message(b"P", cstring("typed") + cstring("SELECT $1") + struct.pack("!hi", 1, oid))
            answer = ask(session, typed + message(b"D", b"Styped\0") + SYNC)
            assert [one.body for one in answer if one.type == "t"] == [(oid,)]
        # Closed by one of those who have it; in a transaction nothing is prepared anew unseen.
        assert rows(ask(sessions[1], run("t") + SYNC)) == [b"same"]
        assert types(ask(sessions[0], close("t") + run("s") + SYNC)) == "32TDCZ"
        ask(sessions[1], query("BEGIN"))
        assert rows(ask(sessions[1], run("t") + SYNC)) == [b"same"]
        ask(sessions[1], query("COMMIT"))
        # What Turnout answers itself waits for its turn.
        answer = ask(sessions[0], query("SELECT pg_sleep(0.1)") + parse("t", "SELECT 'same'") + run("t") + SYNC, 2)
        assert types(answer) == "TDCZ12TDCZ"
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
        with occupied(turnout, POOL - 1):  # in a transaction nothing is prepared anew unseen
            assert rows(ask(other, run("theirs") + SYNC)) == [b"theirs"]
            ask(session, query(clean))
            ask(other, query("BEGIN"))
            assert rows(ask(other, run("theirs") + SYNC)) == [b"theirs"]
            ask(other, query("COMMIT"))
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
        # What stands behind it in its segment happens once, in the second run.
        with contextlib.closing(wire(turnout)) as other:
            ask(other, parse("six", "SELECT * FROM trap6") + run("six") + parse("gone", "SELECT 'six'") + SYNC)
            pair.blue.sql("ALTER TABLE trap6 DROP COLUMN c1, DROP COLUMN c2, DROP COLUMN last")
            assert types(ask(other, run("six") + close("gone") + parse("gone", "SELECT 'new'") + SYNC)) == "2TDC31Z"
            assert rows(ask(other, run("gone") + SYNC)) == [b"new"]
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
    answer = ask(session, query("SELECT trap7()"))
    assert [one.body for one in answer if one.type == "S"] == [("IntervalStyle", "sql_standard")]
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
    "BEGIN; SET work_mem = '9MB'; SET ROLE app_owner; ROLLBACK",
    "BEGIN; SET work_mem = '9MB'; SELECT 1/0",
    "BEGIN; SAVEPOINT a; SET work_mem = '9MB'; ROLLBACK TO a; SET lock_timeout = 9; COMMIT",
    "DO $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$",
    "SELECT set_config('work_mem', x, false) FROM (VALUES ('9MB')) v(x)",
    "SET ROLE app_owner",
    "SET ROLE app_owner; RESET ALL",
    "SET SESSION AUTHORIZATION app",
    "SET my.own = 'mine'",
    "SELECT set_config('role', 'app_owner', false)",
]
# Of these the setting is not seen: its session may lose it with the connection, and nobody gets it.
UNSEEN = ["CALL trap8()", "DO $$ BEGIN EXECUTE 'S' || 'ET work_mem = 1234'; END $$"]
WATCHED = ("work_mem", "statement_timeout", "search_path", "lock_timeout", "role", "session_authorization", "TimeZone")
STATE = "SELECT current_user || '|' || coalesce(current_setting('my.own', true), '') || '|' || " + \
    " || '|' || ".join(f"current_setting('{name}')" for name in WATCHED)


def test_trap_08_no_setting_leaks(turnout: Turnout, pair: Pair) -> None:
    """However it was set, also behind an error in a pipeline; who has set it has it as without Turnout, on each connection.

    More: differ/settings*.sql, roles*.sql, set_config.sql."""
    clean = pair.blue.sql(STATE)[0][0]
    pair.blue.sql("CREATE OR REPLACE PROCEDURE trap8() LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$")
    for sql in SETTERS + UNSEEN:
        for pipelined in (False, True):
            talk, count = (query("SELECT 1/0") if pipelined else b"") + query(sql), 2 if pipelined else 1
            with contextlib.closing(Wire(("127.0.0.1", pair.blue.port), {"user": "postgres", "database": DATABASE})) as direct:
                direct.read("Z", 1, [])
                ask(direct, talk, count)
                ask(direct, query("ROLLBACK"))
                own = rows(ask(direct, query(STATE)))
            setter = wire(turnout, user="postgres")
            ask(setter, talk, count)
            ask(setter, query("ROLLBACK"))
            others = [wire(turnout, user="postgres") for _ in range(POOL + 1)]
            for other in others:
                assert rows(ask(other, query(STATE))) == [clean.encode()], sql
            for other in others if sql not in UNSEEN else []:
                assert rows(ask(setter, query(STATE))) == own, f"{sql}, of its own session"
                ask(other, query("BEGIN"))  # on the connection that was just given back: the next one is another
                assert rows(ask(setter, query(STATE))) == own, f"{sql}, of its own session, on another connection"
                ask(other, query("COMMIT"))
            setter.close()
            for other in others:
                assert rows(ask(other, query(STATE))) == [clean.encode()], f"{sql}, after its session's end"
                other.close()


def test_trap_09_copy_ends_where_it_ends(turnout: Turnout, pair: Pair) -> None:
    """Data, its end and Syncs that come late or early; then the connection is free. More: differ/copy*.wire."""
    pair.blue.sql("CREATE TABLE trap9 (n int); GRANT ALL ON trap9 TO app")
    session = wire(turnout)
    copy, data, end = query("COPY trap9 FROM STDIN"), message(b"d", b"1\n"), message(b"c")
    extended = parse("", "COPY trap9 FROM STDIN") + message(b"B", bytes(8)) + message(b"E", bytes(5))
    for talk, answer in ((copy + data + end, "GCZ"),
                         (copy + message(b"d", b"x\n") + data + end, "GEZ"),
                         (copy + message(b"f", b"no\0"), "GEZ"),
                         (extended + SYNC + data + end + SYNC, "12GCZ"),
                         (extended + message(b"d", b"x\n") + end + SYNC, "12GEZ"),
                         (data + end + query("SELECT count(*) FROM trap9"), "TDCZ")):
        assert types(ask(session, talk)) == answer
        all_are_free(turnout)
    session.send(extended + FLUSH)
    assert types(session.read("G", 1, [])) == "12G"
    session.send(data + SYNC)  # which the server does not answer
    assert types(ask(session, end + SYNC)) == "CZ"
    all_are_free(turnout)
    session.send(data + end)  # of a COPY that was refused long ago
    for _ in range(3):
        all_are_free(turnout)
    assert rows(ask(session, query("SELECT count(*) FROM trap9"))) == [b"3"]
    session.close()
    pair.blue.sql("DROP TABLE trap9")


def test_trap_10_framing(turnout: Turnout, pair: Pair) -> None:
    """A byte at a time; lengths that lie; a slow reader. More: test_pool.py, test_malformed_…, test_big_answers_…."""
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
    with socket.create_connection(("127.0.0.1", turnout.port), timeout=20) as endless:
        endless.sendall(struct.pack("!ii", 1_000_000, 3 << 16))
        assert b"invalid startup packet" in endless.recv(65536)
    # A client that does not read stops the reading of its own server, and nothing grows.
    before, slow = resident_bytes(turnout), wire(turnout)
    slow.send(query("SELECT repeat('y', 1000) FROM generate_series(1, 200000)"))
    stuck = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE '%repeat%'"
    since, deadline = time.monotonic(), time.monotonic() + 30
    while time.monotonic() - since < 2:  # long enough for all of it to be read
        assert resident_bytes(turnout) < before + 50_000_000 and time.monotonic() < deadline
        if not pair.blue.sql(stuck)[0][0]:
            since = time.monotonic()
    slow.close()


def resident_bytes(turnout: Turnout) -> int:
    return int(Path(f"/proc/{turnout.pid}/statm").read_text().split()[1]) * 4096


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
    for code in (SSL_REQUEST, GSS_REQUEST):
        for first, second in ((b"", request(code)), (b"", startup({"user": "app", "database": DATABASE})), (b"N", request(code))):
            with socket.create_connection(("127.0.0.1", turnout.port), timeout=20) as connection:
                connection.sendall(request(code) + (b"" if first else second))
                if first:
                    assert connection.recv(1) == first
                    connection.sendall(second)  # a second time
                assert connection.recv(1) == b"E"  # what stands behind it in the same packet may be anybody's


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


def test_trap_13_failed_transactions_and_lost_clients(turnout: Turnout, other_turnout: Callable[..., Turnout]) -> None:
    """A failed transaction keeps its connection; a client that goes away in one, or in a packet, leaves nothing behind."""
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
    one = other_turnout({"pool": {"size": 4}}, start=False)
    one.config["workers"] = 1  # what one session has left, the next one finds
    one.write_config()
    one.start()
    with occupied(one, 4):
        pass
    with contextlib.closing(wire(one)) as next_one:
        for ending in 5 * (message(b"X"), b"Q" + struct.pack("!i", 1)):  # one packet may come in two
            with contextlib.closing(wire(one)) as lost, contextlib.suppress(differ.Refused):
                lost.send(query("SELECT 1") + ending)
                lost.read("(never)", 1, [])
            for number in range(3):
                answer = ask(next_one, query(f"SELECT {number}"))
                assert types(answer) == "TDCZ" and rows(answer) == [str(number).encode()]


def test_trap_14_errors_at_login_are_the_servers_own(turnout: Turnout, pair: Pair) -> None:
    """With their SQLSTATE, and one user's failure is nobody else's. More: test_auth.py."""
    for parameters, sqlstate in (({"user": "nobody"}, "28000"), ({"database": "no_such"}, "3D000"), ({"user": "hammer"}, "28000")):
        if parameters == {"user": "hammer"}:
            pair.blue.sql("ALTER ROLE hammer NOLOGIN")
        refused = Wire(("127.0.0.1", turnout.port), {"user": "app", "database": DATABASE, **parameters})
        answer: list[Message] = []
        with pytest.raises(differ.Refused):
            refused.read("Z", 1, answer)
        refused.close()
        assert sqlstates(answer) == [sqlstate], answer
        good = wire(turnout)
        assert types(ask(good, query("SELECT 1"))) == "TDCZ"
        good.close()
    pair.blue.sql("ALTER ROLE hammer LOGIN")
    began = time.monotonic()
    wire(turnout, user="hammer").close()  # the server is asked again
    assert time.monotonic() - began < 10, "one refusal is told for a long time"


def test_trap_15_a_pause_ends_nobody(pair: Pair, other_turnout: Callable[..., Turnout]) -> None:
    """Work waits, for longer than a connection is waited for; cancels are answered; then all runs, on connections that are
    opened at the same time. More: test_config.py, test_abort.py, test_cutover.py."""
    size, wait_s = 8, 3.0
    with SlowRoad(pair.blue.port, connect_s=0.3) as road, ThreadPoolExecutor(1) as threads:
        turnout = other_turnout({"blue": f"127.0.0.1:{road.port}",
                                 "pool": {"mode": "transaction", "size": size, "wait_timeout": f"{wait_s:.0f}s"}})
        sessions, road.most_opening = [wire(turnout) for _ in range(size + 4)], 0
        with Raw(turnout.port, timeout_s=15) as changes_its_mind:
            assert changes_its_mind.login() == {}
            turnout.ask("pause", "app")
            for number, session in enumerate(sessions):
                session.send(query(f"SELECT {number} FROM pg_sleep(0.3)"))
            changes_its_mind.send(query("SELECT 1"))
            answer = threads.submit(changes_its_mind.until, "Z")
            cancel_until(changes_its_mind, answer.done)
            assert [kind for kind, _ in answer.result()] == ["E", "Z"]
            time.sleep(wait_s + 0.5)
            turnout.ask("resume", "app")
        for number, session in enumerate(sessions):
            assert rows(session.read("Z", 1, [])) == [str(number).encode()]
        assert road.most_opening >= size // 2
        # Those who wait for a connection when the pause begins wait for its end now, not for a connection.
        for session in sessions[:size]:
            ask(session, query("BEGIN; SELECT 1"))
        for session in sessions[size:]:
            session.send(query("SELECT 'waited'"))
        turnout.ask("pause", "app")
        time.sleep(wait_s + 0.5)
        for session in sessions[:size]:
            ask(session, query("COMMIT"))
        turnout.ask("resume", "app")
        for session in sessions[size:]:
            assert rows(session.read("Z", 1, [])) == [b"waited"]
        for session in sessions:
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
