"""Load beside the ledger: pgbench, readers that watch their types, and the hammer that tries to write where it must not."""
from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from .postgres import DEBIAN_BIN
from .workspace import die_with_parent

_PROGRESS = re.compile(r"progress: ([\d.]+) s, ([\d.]+) tps, lat ([\d.]+|NaN) ms stddev ([\d.]+|NaN), (\d+) failed")
_SUMMARY = re.compile(r"number of transactions actually processed: (\d+)")


@dataclass
class PgbenchResult:
    code: int
    transactions: int
    errors: list[str]
    longest_ms: float
    output: str

    def clean(self) -> bool:
        return self.code == 0 and not self.errors


class Pgbench:
    """pgbench as it is; everything it says on stderr that is not progress is an error."""

    def __init__(self, port: int, home: Path, *, user: str = "app", script: str = "tpcb-like", mode: str = "simple", clients: int = 8,
                 jobs: int = 2, seconds: float = 5, rate: int = 0, transactions: int = 0, database: str = "app",
                 extra: tuple[str, ...] = ()) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._prefix = home / f"pgbench-{Path(script).name}-{mode}-{time.monotonic_ns()}"
        self._output = self._prefix.with_suffix(".out")
        length = ["-t", str(transactions)] if transactions else ["-T", str(max(1, round(seconds)))]
        command = [str(DEBIAN_BIN / "pgbench"), "-n", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-M", mode, "-c", str(clients),
                   "-j", str(jobs), "-P", "1", "-l", "--log-prefix", str(self._prefix), *length,
                   *(["-f", script] if "/" in script else ["-b", script]), *(["-R", str(rate)] if rate else []), *extra, database]
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                             preexec_fn=die_with_parent(signal.SIGKILL))
        self._stopped = False

    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> PgbenchResult:
        """Ends an open-ended run. A SIGTERM that we sent is not an error of the run."""
        if self.running():
            self._stopped = True
            self._process.terminate()
        return self.wait(10)

    def wait(self, timeout_s: float = 120) -> PgbenchResult:
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        text = self._output.read_text(errors="replace")
        if self._stopped and code == -signal.SIGTERM:
            code = 0
        progress = _PROGRESS.findall(text)
        errors = [line for line in text.splitlines() if re.search(r"error|FATAL|aborted|WARNING|lost", line, re.I)
                  and not line.startswith(("progress:", "number of failed"))]
        errors += [f"{failed} failed transactions at {at} s" for at, _, _, _, failed in progress if failed != "0"]
        summary = _SUMMARY.search(text)
        longest, logged = self._log()
        return PgbenchResult(code, int(summary.group(1)) if summary else logged, errors, longest, text)

    def tps(self) -> float:
        """Of the last full second."""
        progress = _PROGRESS.findall(self._output.read_text(errors="replace"))
        return float(progress[-1][1]) if progress else 0.0

    def _log(self) -> tuple[float, int]:
        """The longest transaction in milliseconds and how many were logged (the last, half-written line aside)."""
        longest, count = 0, 0
        for file in self._prefix.parent.glob(self._prefix.name + ".[0-9]*"):
            for line in file.read_text(errors="replace").splitlines():
                part = line.split()
                if len(part) >= 6 and part[2].isdigit():
                    longest, count = max(longest, int(part[2])), count + 1
        return longest / 1000, count


@dataclass
class Strike:
    side: str
    how: str  # old, new, read_write
    began: float
    ended: float
    error: str = ""


@dataclass
class HammerVerdict:
    """Commit times by the servers' own clocks, which are one clock here."""

    successes: dict[tuple[str, str], int] = field(default_factory=dict)
    last_on_old: float | None = None
    first_on_new: float | None = None
    last_on_old_by_way: dict[str, float] = field(default_factory=dict)

    def overlap_ms(self) -> float:
        """How long both sides took writes; not positive is what we want."""
        if self.last_on_old is None or self.first_on_new is None:
            return float("-inf")
        return (self.last_on_old - self.first_on_new) * 1000


class Hammer:
    """An ordinary role that goes past Turnout, to both servers at once: one old connection, ever new ones, and BEGIN
    READ WRITE. Every success commits a row that names the side it was sent to; the servers' commit timestamps then say
    whether the old writer took anything after the new one took its first."""

    WAYS = ("old", "new", "read_write")
    FAILURES: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, sides: dict[str, Any], ways: dict[str, tuple[str, ...]] | None = None, user: str = "hammer",
                 pace_s: float = 0.002, pace_new_s: float | None = None) -> None:
        """Between two strikes; a new connection costs a server some milliseconds of a core, so it may have a pace of its own."""
        self.sides, self.user, self.pace_s = sides, user, pace_s
        self.pace_new_s = pace_s if pace_new_s is None else pace_new_s
        self.ways = ways or {side: self.WAYS for side in sides}
        self.strikes: list[Strike] = []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, age_s: float = 0.3) -> "Hammer":
        for side in self.sides:
            for how in self.ways.get(side, ()):
                thread = threading.Thread(target=self._run, args=(side, how), daemon=True)
                thread.start()
                self._threads.append(thread)
        time.sleep(age_s)  # the old connections shall be old
        return self

    def stop(self) -> "Hammer":
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        return self

    def _run(self, side: str, how: str) -> None:
        connection: Any = None
        while not self._stop.is_set():
            began, error = time.monotonic(), ""
            try:
                if connection is None or how == "new" or not self.is_open(connection):
                    if connection is not None and self.is_open(connection):
                        connection.close()
                    connection = self.open(side)
                self.hit(connection, side, how)
            except self.FAILURES as failure:
                error = self.text_of(failure)
                if connection is not None and self.is_open(connection):
                    try:
                        connection.rollback()
                    except self.FAILURES:
                        connection.close()
            with self._lock:
                self.strikes.append(Strike(side, how, began, time.monotonic(), error))
            pace_s = self.pace_new_s if how == "new" else self.pace_s
            self._stop.wait(max(pace_s, 0.005) if error else pace_s)
        if connection is not None and self.is_open(connection):
            connection.close()

    # ---- of the protocol

    def open(self, side: str) -> Any:
        return self.sides[side].connect(self.user, "app", connect_timeout=5)

    def is_open(self, connection: Any) -> bool:
        return not connection.closed

    def hit(self, connection: Any, side: str, how: str) -> None:
        insert = f"INSERT INTO hammer (side, how) VALUES ('{side}', '{how}')"
        connection.execute(f"BEGIN READ WRITE; {insert}; COMMIT" if how == "read_write" else insert)

    def text_of(self, failure: Any) -> str:
        return f"{failure.sqlstate or ''} {str(failure).strip().splitlines()[0]}"

    # ---- results

    def successes(self, side: str) -> int:
        with self._lock:
            return sum(strike.side == side and not strike.error for strike in self.strikes)

    def errors(self) -> dict[tuple[str, str, str], int]:
        found: dict[tuple[str, str, str], int] = {}
        for strike in self.strikes:
            if strike.error:
                key = (strike.side, strike.how, strike.error)
                found[key] = found.get(key, 0) + 1
        return found

    def verdict(self, old: str, new: str, since_on_new: str = "-infinity") -> HammerVerdict:
        """`old` was the writer before, `new` is it now. A replicated row keeps the name of the side it was sent to, so
        each side is asked only for its own."""
        text = ("SELECT extract(epoch FROM {what}(pg_xact_commit_timestamp(xmin))) FROM hammer WHERE side = %s "
                "AND pg_xact_commit_timestamp(xmin) > %s::timestamptz")
        last = self.sides[old].value(text.format(what="max"), [old, since_on_new])
        first = self.sides[new].value(text.format(what="min"), [new, since_on_new])
        verdict = HammerVerdict(last_on_old=None if last is None else float(last), first_on_new=None if first is None else float(first))
        for how, at in self.sides[old].sql("SELECT how, extract(epoch FROM max(pg_xact_commit_timestamp(xmin))) FROM hammer "
                                           "WHERE side = %s GROUP BY how", [old]):
            verdict.last_on_old_by_way[how] = round((float(at) - (verdict.first_on_new or float(at))) * 1000, 2)  # ms after the first on new
        for strike in self.strikes:
            if not strike.error:
                key = (strike.side, strike.how)
                verdict.successes[key] = verdict.successes.get(key, 0) + 1
        return verdict


class TypeReaders:
    """asyncpg sessions that only read: the enum and the domain as parameters and as results, prepared, caches warm."""

    def __init__(self, conninfo: str, sessions: int = 3, pace_s: float = 0.003) -> None:
        self.conninfo, self.count, self.pace_s = conninfo, sessions, pace_s
        self.reads, self.errors = 0, []  # type: int, list[str]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> "TypeReaders":
        import asyncio
        for _ in range(self.count):
            thread = threading.Thread(target=lambda: asyncio.run(self._loop()), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> "TypeReaders":
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        return self

    async def _loop(self) -> None:
        import asyncio

        from .ledger import ASYNCPG_ERRORS, open_asyncpg
        connection = None
        number = 0
        while not self._stop.is_set():
            number += 1
            mood = ("sad", "ok", "happy")[number % 3]
            try:
                connection = connection or await open_asyncpg(self.conninfo)
                rows = await connection.fetch("SELECT m, p FROM feelings WHERE m = $1 AND p < $2 ORDER BY id LIMIT 5", mood, 200)
                if not rows or any(row["m"] != mood or not 0 < row["p"] < 200 for row in rows):
                    self.errors.append(f"asked for {mood}, got {rows[:2]}")
                self.reads += 1
            except ASYNCPG_ERRORS as error:
                self.errors.append(f"{type(error).__name__} {getattr(error, 'sqlstate', '')}: {error}")
                if connection is not None:
                    connection.terminate()
                    connection = None
                await asyncio.sleep(0.05)
            await asyncio.sleep(self.pace_s)
        if connection is not None:
            await connection.close(timeout=5)
