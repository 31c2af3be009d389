"""Session pooling: everything that belongs to a session works as it does without a proxy."""
from __future__ import annotations

import time

import psycopg
import pytest

from harness.load import Pgbench
from harness.turnout import Turnout

CHANGES = {"pool": {"mode": "session", "size": 20}}


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(turnout: Turnout, mode: str) -> None:
    result = Pgbench(turnout.port, turnout.home, mode=mode, clients=8, seconds=1).wait()
    assert result.clean(), result.output


def test_listen_and_notify(turnout: Turnout) -> None:
    with turnout.connect() as listener, turnout.connect() as speaker:
        received: list[str] = []
        listener.add_notify_handler(lambda notification: received.append(notification.payload))
        listener.execute("LISTEN news")
        for number in range(5):
            speaker.execute("SELECT pg_notify('news', %s)", (f"item {number}",))
        deadline = time.monotonic() + 5
        while len(received) < 5 and time.monotonic() < deadline:
            listener.execute("SELECT 1")
    assert received == [f"item {number}" for number in range(5)]


def test_session_state_stays(turnout: Turnout) -> None:
    with turnout.connect() as connection:
        connection.execute("CREATE TEMP TABLE mine (n int)")
        connection.execute("SET work_mem = '6MB'")
        connection.execute("PREPARE q AS SELECT count(*) FROM mine")
        connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 10)")
        pid = connection.execute("SELECT pg_backend_pid()").fetchone()
        for number in range(10):
            connection.execute("INSERT INTO mine VALUES (%s)", (number,))
            assert connection.execute("SELECT pg_backend_pid()").fetchone() == pid
        assert connection.execute("EXECUTE q").fetchone() == (10,)
        assert connection.execute("FETCH 2 FROM c").fetchall() == [(1,), (2,)]
        assert connection.execute("SHOW work_mem").fetchone() == ("6MB",)


def test_connection_is_clean_for_the_next_session(turnout: Turnout) -> None:
    for _ in range(5):
        with turnout.connect() as connection:
            connection.execute("CREATE TEMP TABLE mine (n int)")
            connection.execute("SET work_mem = '6MB'; SELECT pg_advisory_lock(5); LISTEN news; PREPARE q AS SELECT 1")
    with turnout.connect() as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM mine")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            connection.execute("EXECUTE q")
        assert connection.execute("SHOW work_mem").fetchone() != ("6MB",)
        assert connection.execute("SELECT pg_try_advisory_lock(5)").fetchone() == (True,)
        assert connection.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)
