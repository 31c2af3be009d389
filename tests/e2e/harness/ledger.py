"""Clients that know exactly what they were promised, and the comparison with what the database holds afterwards.

Every session repeats one transaction: insert the next number, add one to the session's counter, read both back, commit.
There is no unique key on (session, number), so work that was executed twice shows. A commit whose answer was lost is
`unknown` (its number is never used again); anything else that goes wrong is an error of the client. After each commit
an autocommit read asks for the counter: a session that does not see its own write is `stale`.

Kinds: psycopg over the simple protocol, the extended one, and with prepared statements; asyncpg, whose prepared
statements with warm caches use the enum and the domain.
"""
from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Iterator

import asyncpg
import psycopg

KINDS = ("simple", "extended", "prepared", "asyncpg")
# InternalClientError is how asyncpg 0.27 reports that it no longer knows its connection's state.
ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, asyncio.TimeoutError)
_ASYNCPG_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, asyncio.TimeoutError)


@dataclass
class Session:
    number: int
    kind: str
    acknowledged: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # (start, milliseconds) of each transaction
    reads: list[tuple[float, float]] = field(default_factory=list)      # the same for each autocommit read
    errors: list[tuple[float, str]] = field(default_factory=list)
    stale: int = 0
    next_number: int = 1
    generation: int = 0    # connections made so far
    resting: bool = False  # between two transactions, on request
    settled: int = 0       # up to this number the books were right: from then on only counted and added up
    settled_sum: int = 0   # of the acknowledged ones among them
    settled_count: int = 0


@dataclass
class Verdict:
    acknowledged: int
    lost: list[tuple[int, int]]        # acknowledged, not there
    duplicated: list[tuple[int, int]]  # there more than once
    phantom: list[tuple[int, int]]     # there, neither acknowledged nor unknown
    counters: list[str]                # counters that do not say the same
    unknown: int

    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.phantom or self.counters)

    def __str__(self) -> str:
        return (f"{self.acknowledged} acknowledged, lost {len(self.lost)}, duplicated {len(self.duplicated)}, phantom "
                f"{len(self.phantom)}, wrong counters {len(self.counters)}, unknown {self.unknown}"
                + "".join(f"\n  {what}: {items[:5]}" for what, items in
                          (("lost", self.lost), ("duplicated", self.duplicated), ("phantom", self.phantom),
                           ("counters", self.counters)) if items))


class Ledger:
    """Start it, do things to the servers, stop it, verify. `first` keeps several ledgers of one database apart."""

    def __init__(self, conninfo: str, kinds: tuple[str, ...] = KINDS, sessions_per_kind: int = 2, pace_s: float = 0.004,
                 first: int = 0) -> None:
        self.conninfo, self.pace_s = conninfo, pace_s
        self.sessions = [Session(first + index, kind) for index, kind in
                         enumerate(kind for kind in kinds for _ in range(sessions_per_kind))]
        self._stop, self._rest = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    # ---- life

    def start(self, warm: int = 5, timeout_s: float = 20) -> "Ledger":
        """Returns once every session has `warm` acknowledged commits: caches are warm, pools are open."""
        for session in self.sessions:
            thread = threading.Thread(target=self._run, args=(session,), daemon=True, name=f"ledger-{session.number}")
            thread.start()
            self._threads.append(thread)
        deadline = time.monotonic() + timeout_s
        while any(len(session.acknowledged) < warm for session in self.sessions):
            if time.monotonic() > deadline:
                self.stop()
                raise TimeoutError(f"the ledger did not get going: {self.errors()[:5]}")
            time.sleep(0.02)
        return self

    def stop(self, timeout_s: float = 30) -> "Ledger":
        self._stop.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        hanging = [thread.name for thread in self._threads if thread.is_alive()]
        if hanging:
            raise TimeoutError(f"still waiting for an answer after {timeout_s} s: {hanging}")
        return self

    @contextmanager
    def resting(self, timeout_s: float = 20) -> Iterator["Ledger"]:
        """No transaction runs inside, so that the books can be compared; the connections stay as they are."""
        self._rest.set()
        deadline = time.monotonic() + timeout_s
        try:
            while not all(session.resting for session in self.sessions):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"sessions still waiting: {[s.number for s in self.sessions if not s.resting]}")
                time.sleep(0.005)
            yield self
        finally:
            self._rest.clear()

    def __enter__(self) -> "Ledger":
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.stop()
        except TimeoutError:
            if kind is None:  # do not hide the first failure behind the second
                raise

    # ---- results

    def commits(self) -> int:
        return sum(len(session.acknowledged) for session in self.sessions)

    def errors(self) -> list[tuple[float, str]]:
        return sorted(error for session in self.sessions for error in session.errors)

    def unknown(self) -> int:
        return sum(len(session.unknown) for session in self.sessions)

    def stale(self) -> int:
        return sum(session.stale for session in self.sessions)

    def longest_ms(self, start: float = 0, end: float = float("inf"), reads: bool = False) -> float:
        """The longest transaction (or read) that ran at any time between `start` and `end` (time.monotonic())."""
        values = [ms for session in self.sessions for began, ms in (session.reads if reads else session.latencies)
                  if began <= end and began + ms / 1000 >= start]
        return max(values, default=0.0)

    def wait_commits(self, more: int = 20, timeout_s: float = 20) -> None:
        """Every session commits `more` times from now on."""
        goals = {session.number: len(session.acknowledged) + more for session in self.sessions}
        deadline = time.monotonic() + timeout_s
        while any(len(session.acknowledged) < goals[session.number] for session in self.sessions):
            if time.monotonic() > deadline:
                slow = [(s.number, s.kind, len(s.acknowledged), goals[s.number]) for s in self.sessions]
                raise TimeoutError(f"no progress in {timeout_s} s: {slow}; errors: {self.errors()[-5:]}")
            time.sleep(0.01)

    def verify(self, conninfo: str) -> Verdict:
        """Compares with what the server at `conninfo` holds. Ask the writer itself, not the proxy."""
        verdict = Verdict(self.commits(), [], [], [], [], self.unknown())
        with psycopg.connect(conninfo, autocommit=True) as connection:
            counters = dict(connection.execute("SELECT session, value FROM counter").fetchall())
            for session in self.sessions:
                if not _settled_still(session, connection):
                    session.settled = 0  # so that the verdict names what changed
                there = _present(session, connection)
                acknowledged = {number for number in session.acknowledged if number > session.settled}
                verdict.lost += [(session.number, n) for n in sorted(acknowledged - there.keys())]
                verdict.duplicated += [(session.number, n) for n, count in sorted(there.items()) if count > 1]
                verdict.phantom += [(session.number, n) for n in sorted(there.keys() - acknowledged - session.unknown)]
                came_true = len(session.unknown & there.keys())
                if counters.get(session.number) != len(session.acknowledged) + came_true:
                    verdict.counters.append(f"session {session.number}: counter {counters.get(session.number)}, acknowledged "
                                            f"{len(session.acknowledged)}, unknown that came true {came_true}")
        return verdict

    def settle(self) -> None:
        """At rest, when both sides were verified: a ledger that is verified again and again need not read all of it each time."""
        for session in self.sessions:
            session.settled, session.settled_count = session.next_number - 1, len(session.acknowledged)
            session.settled_sum = sum(session.acknowledged)

    # ---- one session

    def _read_back(self, session: Session, number: int, count: int, value: int) -> None:
        expected_low = len(session.acknowledged) + 1
        if count != 1 or not expected_low <= value <= expected_low + len(session.unknown):
            session.errors.append((time.monotonic(), f"session {session.number} read back count {count} and counter {value} for "
                                   f"number {number}, expected 1 and {expected_low}"))

    def _check_own_write(self, session: Session, value: int) -> None:
        if value < len(session.acknowledged):
            session.stale += 1

    def _failed(self, session: Session, error: BaseException, committing: bool, lost: bool) -> None:
        state = getattr(error, "sqlstate", None)
        session.errors.append((time.monotonic(), f"session {session.number} ({session.kind}) {'at COMMIT ' if committing else ''}"
                               f"{type(error).__name__} {state or ''}: {str(error).strip()}"))
        if committing and (lost or state in ("08007", None)):
            session.unknown.add(session.next_number)
            session.next_number += 1

    def _run(self, session: Session) -> None:
        if session.kind == "asyncpg":
            asyncio.run(self._asyncpg_loop(session))
        else:
            self._run_psycopg(session)

    def _run_psycopg(self, session: Session) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._stop.is_set():
            session.resting = self._rest.is_set()
            if session.resting:
                time.sleep(0.005)
                continue
            committing, start = False, time.monotonic()
            try:
                if connection is None:
                    connection = _open_psycopg(self.conninfo, session.kind)
                    session.generation += 1
                    start = time.monotonic()
                number, me = session.next_number, session.number
                connection.execute("BEGIN")
                connection.execute("INSERT INTO ledger (session, number) VALUES (%s, %s)", (me, number))
                connection.execute("UPDATE counter SET value = value + 1 WHERE session = %s", (me,))
                count = connection.execute("SELECT count(*) FROM ledger WHERE session = %s AND number = %s", (me, number)).fetchone()
                value = connection.execute("SELECT value FROM counter WHERE session = %s", (me,)).fetchone()
                committing = True
                connection.execute("COMMIT")
                committing = False
                self._read_back(session, number, count[0], value[0])  # type: ignore[index]
                session.acknowledged.add(number)
                session.next_number += 1
                session.latencies.append((start, (time.monotonic() - start) * 1000))
                start = time.monotonic()
                row = connection.execute("SELECT value FROM counter WHERE session = %s", (me,)).fetchone()
                session.reads.append((start, (time.monotonic() - start) * 1000))
                self._check_own_write(session, row[0])  # type: ignore[index]
            except psycopg.Error as error:
                lost = connection is None or connection.closed or connection.broken
                self._failed(session, error, committing, lost)
                if connection is not None:
                    connection = _recovered(connection)
                self._stop.wait(0.05)
            self._stop.wait(self.pace_s)
        if connection is not None:
            connection.close()

    async def _asyncpg_loop(self, session: Session) -> None:
        connection: asyncpg.Connection | None = None
        moods = ("sad", "ok", "happy")
        while not self._stop.is_set():
            session.resting = self._rest.is_set()
            if session.resting:
                await asyncio.sleep(0.005)
                continue
            committing, start = False, time.monotonic()
            try:
                if connection is None:
                    connection = await open_asyncpg(self.conninfo)
                    session.generation += 1
                    start = time.monotonic()
                number, me = session.next_number, session.number
                mood, positive = moods[number % 3], 1 + number % 1000
                await connection.execute("BEGIN")
                await connection.fetch("INSERT INTO ledger (session, number) VALUES ($1, $2)", me, number)
                await connection.fetch("UPDATE counter SET value = value + 1 WHERE session = $1", me)
                row = await connection.fetchrow("INSERT INTO feelings (m, p) VALUES ($1, $2) RETURNING id, m, p", mood, positive)
                count = await connection.fetchval("SELECT count(*) FROM ledger WHERE session = $1 AND number = $2", me, number)
                value = await connection.fetchval("SELECT value FROM counter WHERE session = $1", me)
                committing = True
                await connection.execute("COMMIT")
                committing = False
                self._read_back(session, number, count, value)
                if (row["m"], row["p"]) != (mood, positive):
                    session.errors.append((time.monotonic(), f"session {me} wrote {(mood, positive)} and got {tuple(row)}"))
                session.acknowledged.add(number)
                session.next_number += 1
                session.latencies.append((start, (time.monotonic() - start) * 1000))
                start = time.monotonic()
                mine = await connection.fetchval("SELECT value FROM counter WHERE session = $1", me)
                session.reads.append((start, (time.monotonic() - start) * 1000))
                self._check_own_write(session, mine)
                # The enum as a parameter and as a result, in a statement that was prepared long ago.
                back = await connection.fetchrow("SELECT m, p FROM feelings WHERE id = $1 AND m = $2 AND p = $3", row["id"], mood, positive)
                if back is None or back["m"] != mood:
                    session.errors.append((time.monotonic(), f"session {me} does not find its feeling {row['id']}: {back}"))
            except ASYNCPG_ERRORS as error:
                lost = connection is None or connection.is_closed() or isinstance(error, _ASYNCPG_LOST)
                self._failed(session, error, committing, lost)
                if connection is not None and not lost:
                    try:
                        await connection.execute("ROLLBACK")
                    except ASYNCPG_ERRORS:
                        lost = True
                if connection is not None and lost:
                    connection.terminate()
                    connection = None
                await asyncio.sleep(0.05)
            await asyncio.sleep(self.pace_s)
        if connection is not None:
            await connection.close(timeout=5)


def _settled_still(session: Session, connection: psycopg.Connection[Any]) -> bool:
    """Nothing that was settled got lost since, or came twice. What is unknown may still come true, and is always looked at."""
    if session.settled == 0:
        return True
    found = connection.execute("SELECT count(*), coalesce(sum(number), 0)::bigint FROM ledger WHERE session = %s AND number <= %s "
                               "AND number <> ALL (%s::bigint[])", (session.number, session.settled, list(session.unknown))).fetchone()
    return found == (session.settled_count, session.settled_sum)


def _present(session: Session, connection: psycopg.Connection[Any]) -> dict[int, int]:
    """Number → how often it is there, of all that is not settled."""
    return dict(connection.execute("SELECT number, count(*) FROM ledger WHERE session = %s AND (number > %s OR number = ANY (%s::bigint[])) "
                                   "GROUP BY 1", (session.number, session.settled, list(session.unknown))).fetchall())


def _open_psycopg(conninfo: str, kind: str) -> psycopg.Connection[Any]:
    if kind == "simple":
        return psycopg.connect(conninfo, autocommit=True, connect_timeout=20, cursor_factory=psycopg.ClientCursor)
    connection = psycopg.connect(conninfo, autocommit=True, connect_timeout=20)
    connection.prepare_threshold = 0 if kind == "prepared" else None
    return connection


def _recovered(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any] | None:
    """The connection, out of its failed transaction, or None when it is gone."""
    try:
        if not connection.closed:
            connection.execute("ROLLBACK")
            return connection
    except psycopg.Error:
        pass
    connection.close()
    return None


async def open_asyncpg(conninfo: str) -> asyncpg.Connection:
    part = psycopg.conninfo.conninfo_to_dict(conninfo)
    return await asyncpg.connect(host=part["host"], port=int(part["port"]), user=part["user"], database=part["dbname"],
                                 password=part.get("password"), ssl=False, timeout=20)
