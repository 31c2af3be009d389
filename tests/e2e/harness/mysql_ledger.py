"""Clients of a MySQL deployment that know what they were promised, and a role that goes past Turnout.

A session of kind `transaction` inserts its next number, adds one to its counter and commits; one of kind `autocommit`
only inserts. There is no unique key on (session, number), so work that was done twice shows. What was on its way when
the connection was lost is `unknown` (its number is never used again); anything else that goes wrong is an error.
"""
from __future__ import annotations

import threading
import time
from typing import Any, Callable

import pymysql

from .ledger import Ledger, Session, Verdict
from .mariadb import MariaDb

KINDS = ("transaction", "autocommit")
LOST = (2006, 2013)


class MysqlLedger(Ledger):
    def __init__(self, connect: Callable[[], Any], sessions_per_kind: int = 3, first: int = 0, pace_s: float = 0.005) -> None:
        super().__init__("", KINDS, sessions_per_kind, pace_s, first)
        self._connect = connect

    def assert_quiet(self) -> None:
        """Nobody noticed anything: no error, and nobody had to connect again."""
        assert not self.errors(), self.errors()[:5]
        assert self.reconnects() == 0

    def reconnects(self) -> int:
        return sum(session.generation - 1 for session in self.sessions)

    def assert_books(self, server: MariaDb) -> None:
        verdict = self.verify(server)
        assert verdict.clean(), verdict

    def verify(self, server: MariaDb) -> Verdict:  # type: ignore[override]
        """Nothing lost, nothing twice, nothing that nobody wrote? At rest, on the server itself."""
        verdict = Verdict(self.commits(), [], [], [], [], self.unknown())
        with server.connect() as connection, connection.cursor() as cursor:
            for session in self.sessions:
                cursor.execute("SELECT number, COUNT(*) FROM ledger WHERE session = %s GROUP BY number", (session.number,))
                there = dict(cursor.fetchall())
                verdict.lost += [(session.number, n) for n in sorted(session.acknowledged - there.keys())]
                verdict.duplicated += [(session.number, n) for n, count in sorted(there.items()) if count > 1]
                verdict.phantom += [(session.number, n) for n in sorted(there.keys() - session.acknowledged - session.unknown)]
                if session.kind == "transaction":
                    cursor.execute("SELECT value FROM counter WHERE session = %s", (session.number,))
                    value = (cursor.fetchone() or (0,))[0]
                    if value != len(there):
                        verdict.counters.append(f"session {session.number}: counter {value}, rows {len(there)}")
        return verdict

    def _run(self, session: Session) -> None:
        connection: Any = None
        while not self._stop.is_set():
            session.resting = self._rest.is_set()
            if session.resting:
                time.sleep(0.005)
                continue
            on_its_way, began = False, time.monotonic()
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
                session.errors.append((time.monotonic(), f"session {session.number} ({session.kind}): {error!r}"))
                if on_its_way and (isinstance(error, OSError) or error.args[0] in LOST):
                    session.unknown.add(session.next_number)
                    session.next_number += 1
                if connection is not None:
                    try:
                        connection.close()
                    except (pymysql.MySQLError, OSError):
                        pass
                connection = None
                self._stop.wait(0.05)
            self._stop.wait(self.pace_s)
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
