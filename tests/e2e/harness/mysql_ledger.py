"""Clients of a MySQL deployment that know what they were promised, and the hammer for it.

A session of kind `transaction` inserts its next number, adds one to its counter and commits; one of kind `autocommit`
only inserts. There is no unique key on (session, number), so work that was done twice shows. What was on its way when
the connection was lost is `unknown` (its number is never used again); anything else that goes wrong is an error.
"""
from __future__ import annotations

import time
from typing import Any, Callable

import pymysql

from .ledger import Ledger, Session, Verdict
from .load import Hammer, HammerVerdict
from .mariadb import DATABASE, MariaDb

KINDS = ("transaction", "autocommit")
LOST = (1053, 1927, 2006, 2013)  # of the connection, in the server's words or the client's


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
                if not _settled_still(session, cursor):
                    session.settled = 0  # so that the verdict names what changed
                unknown = "".join(f", {number}" for number in session.unknown)
                cursor.execute(f"SELECT number, COUNT(*) FROM ledger WHERE session = %s AND (number > %s OR number IN (0{unknown})) GROUP BY 1",
                               (session.number, session.settled))
                there = dict(cursor.fetchall())
                acknowledged = {number for number in session.acknowledged if number > session.settled}
                verdict.lost += [(session.number, n) for n in sorted(acknowledged - there.keys())]
                verdict.duplicated += [(session.number, n) for n, count in sorted(there.items()) if count > 1]
                verdict.phantom += [(session.number, n) for n in sorted(there.keys() - acknowledged - session.unknown)]
                if session.kind == "transaction":
                    cursor.execute("SELECT value FROM counter WHERE session = %s", (session.number,))
                    value = (cursor.fetchone() or (0,))[0]
                    wanted = len(session.acknowledged) + len(session.unknown & there.keys())
                    if value != wanted:
                        verdict.counters.append(f"session {session.number}: counter {value}, rows {wanted}")
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


def _settled_still(session: Session, cursor: Any) -> bool:
    """As many as then, and the same ones."""
    if session.settled == 0:
        return True
    unknown = "".join(f", {number}" for number in session.unknown)
    cursor.execute(f"SELECT COUNT(*), COALESCE(SUM(number), 0) FROM ledger WHERE session = %s AND number <= %s AND number NOT IN (0{unknown})",
                   (session.number, session.settled))
    count, total = cursor.fetchone()
    return (int(count), int(total)) == (session.settled_count, session.settled_sum)


class MysqlHammer(Hammer):
    """`app`, past Turnout. A row carries the time at which its statement ran, by the server's clock, to the other side too."""

    FAILURES = (pymysql.MySQLError, OSError)

    def open(self, side: str) -> Any:
        return self.sides[side].connect(connect_timeout=5)

    def is_open(self, connection: Any) -> bool:
        return bool(connection.open)

    def hit(self, connection: Any, side: str, how: str) -> None:
        with connection.cursor() as cursor:
            if how == "read_write":
                cursor.execute("START TRANSACTION READ WRITE")
            cursor.execute("INSERT INTO hammer (side, how, at) VALUES (%s, %s, SYSDATE(6))", (side, how))
            if how == "read_write":
                cursor.execute("COMMIT")

    def text_of(self, failure: Any) -> str:
        return " ".join(str(part) for part in failure.args[:2])

    def verdict(self, old: str, new: str, since_on_new: str = "") -> HammerVerdict:
        """Of all that is in the table."""
        asked = f"SELECT UNIX_TIMESTAMP({{}}(at)) FROM {DATABASE}.hammer WHERE side = '{{}}'"
        last, first = (self.sides[side].value(asked.format(what, side)) for what, side in (("MAX", old), ("MIN", new)))
        verdict = HammerVerdict(last_on_old=None if last is None else float(last), first_on_new=None if first is None else float(first))
        for strike in self.strikes:
            if not strike.error:
                key = (strike.side, strike.how)
                verdict.successes[key] = verdict.successes.get(key, 0) + 1
        return verdict
