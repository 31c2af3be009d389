"""Clients of a MySQL deployment that know what they were promised, and a role that goes past Turnout.

A session of kind `transaction` inserts its next number, adds one to its counter and commits; one of kind `autocommit`
only inserts. There is no unique key on (session, number), so work that was done twice shows. What was on its way when
the connection was lost is `unknown` (its number is never used again); anything else that goes wrong is an error.
"""
from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable

import pymysql

from .mariadb import MariaDb

KINDS = ("transaction", "autocommit")
LOST = (2006, 2013)


@dataclass
class Session:
    number: int
    kind: str
    acknowledged: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    generation: int = 0
    next_number: int = 1


class MysqlLedger:
    def __init__(self, connect: Callable[[], Any], sessions_per_kind: int = 3, first: int = 0, pace_s: float = 0.005) -> None:
        self._connect, self.pace_s = connect, pace_s
        self.sessions = [Session(first + index, kind) for index, kind in
                         enumerate(kind for kind in KINDS for _ in range(sessions_per_kind))]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "MysqlLedger":
        for session in self.sessions:
            thread = threading.Thread(target=self._run, args=(session,), daemon=True)
            thread.start()
            self._threads.append(thread)
        self.wait_commits(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, timeout_s: float = 30) -> None:
        self._stop.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), "a session still waits for an answer"

    def wait_commits(self, more: int = 20, timeout_s: float = 30) -> None:
        goals = [len(session.acknowledged) + more for session in self.sessions]
        deadline = time.monotonic() + timeout_s
        while any(len(session.acknowledged) < goal for session, goal in zip(self.sessions, goals)):
            assert time.monotonic() < deadline, f"no progress in {timeout_s} s; errors: {self.errors()[-5:]}"
            time.sleep(0.01)

    def errors(self) -> list[str]:
        return [error for session in self.sessions for error in session.errors]

    def assert_quiet(self) -> None:
        """Nobody noticed anything: no error, and nobody had to connect again."""
        assert not self.errors(), self.errors()[:5]
        assert all(session.generation == 1 for session in self.sessions)

    def assert_books(self, server: MariaDb) -> None:
        """Nothing lost, nothing twice, nothing that nobody wrote. At rest, on the server itself."""
        with server.connect() as connection, connection.cursor() as cursor:
            for session in self.sessions:
                cursor.execute("SELECT number, COUNT(*) FROM ledger WHERE session = %s GROUP BY number", (session.number,))
                there = dict(cursor.fetchall())
                lost = session.acknowledged - there.keys()
                doubled = {number for number, count in there.items() if count > 1}
                phantom = there.keys() - session.acknowledged - session.unknown
                assert not (lost or doubled or phantom), (session.number, session.kind, lost, doubled, phantom)
                if session.kind == "transaction":
                    cursor.execute("SELECT value FROM counter WHERE session = %s", (session.number,))
                    assert (cursor.fetchone() or (0,))[0] == len(there), session.number

    def _run(self, session: Session) -> None:
        connection: Any = None
        while not self._stop.is_set():
            on_its_way = False
            began = time.monotonic()
            try:
                if connection is None:
                    connection = self._connect()
                    session.generation += 1
                    began = time.monotonic()
                with connection.cursor() as cursor:
                    insert = ("INSERT INTO ledger (session, number) VALUES (%s, %s)", (session.number, session.next_number))
                    if session.kind == "transaction":
                        connection.begin()
                        cursor.execute(*insert)
                        cursor.execute("INSERT INTO counter VALUES (%s, 1) ON DUPLICATE KEY UPDATE value = value + 1", (session.number,))
                        on_its_way = True
                        connection.commit()
                    else:
                        on_its_way = True
                        cursor.execute(*insert)
                session.acknowledged.add(session.next_number)
                session.next_number += 1
                session.latencies.append((began, (time.monotonic() - began) * 1000))
            except (pymysql.MySQLError, OSError) as error:
                session.errors.append(f"session {session.number} ({session.kind}): {error!r}")
                if on_its_way and (isinstance(error, OSError) or error.args[0] in LOST):
                    session.unknown.add(session.next_number)
                    session.next_number += 1
                if connection is not None:
                    try:
                        connection.close()
                    except (pymysql.MySQLError, OSError):
                        pass
                connection = None
                time.sleep(0.05)
            time.sleep(self.pace_s)
        if connection is not None:
            connection.close()


class MysqlHammer:
    """`app`, past Turnout, on both servers at once: over one old connection and over ever new ones."""

    def __init__(self, sides: dict[str, MariaDb]) -> None:
        self.strikes: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}  # of successes: began, ended
        self.refusals: dict[str, set[int]] = {side: set() for side in sides}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(side, server, is_new), daemon=True)
                         for side, server in sides.items() for is_new in (False, True)]

    def __enter__(self) -> "MysqlHammer":
        for thread in self._threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _run(self, side: str, server: MariaDb, is_new: bool) -> None:
        connection: Any = None
        while not self._stop.is_set():
            if is_new and connection is not None:
                connection.close()
                connection = None
            if connection is None:
                connection = server.connect()
            began = time.monotonic()
            try:
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO hammer (side) VALUES (%s)", (side,))
                self.strikes[side].append((began, time.monotonic()))
            except pymysql.MySQLError as error:
                self.refusals[side].add(int(error.args[0]))
            time.sleep(0.003)
        if connection is not None:
            connection.close()

    def late(self, old: str, new: str) -> list[tuple[float, float]]:
        """Successes on the old writer that began after the first one on the new writer had ended."""
        first = min(ended for _, ended in self.strikes[new])
        return [strike for strike in self.strikes[old] if strike[0] > first]
