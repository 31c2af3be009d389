"""The pause of a cutover, as the clients of one run feel it: Turnout's, and PgBouncer's recipe beside it.

Each run gets a fresh blue/green pair (replicating), load at a fixed rate, and the open-loop probe (probe.cpp); in it the writes
move once, or to and fro. What the pair and its load are is the ground's: Ground here for PostgreSQL, mysql_cutover.py for MariaDB
and MySQL. The pause is the longest answer in the window of a move, minus the longest in an equally long window without one: the
median over the windows just before, so that one lucky or unlucky window does not decide.
"""
from __future__ import annotations

import collections
import json
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg2

from measure import pgbench
from peers import DATABASE, PGBENCH, USER, Missing, Peer, PgBouncer, Turnout, direct, own_tool, pgbouncer, say, turnout

from harness.mariadb import PASSWORD  # peers.py has put tests/e2e on the path
from harness.pair import Pair
from harness.postgres import Postgres
from harness.workspace import Workspace, die_with_parent


@dataclass
class Options:
    """What a ground has no word on, it leaves as it is here."""

    runs: int = 3
    moves: int = 1             # of the writes in each run, to and fro; the recipe knows no way back
    window_s: float = 4.0      # at least; a longer cutover makes it longer
    baseline_s: float = 12.0   # of the same load before each window
    period_ms: float = 5.0
    connections: int = 4       # of the probe, for reads and for writes
    clients: int = 12          # of the load; with the probe's, 16 that write
    mode: str = "simple"
    rate: float | None = None  # transactions a second; None = half of what the machine does
    workers: int = 0
    cutover_arguments: list[str] = field(default_factory=list)


class Mover(Protocol):
    """Somebody who can move the writes from blue to green."""

    peer: Peer

    def prepare(self) -> None: ...
    def move(self, number: int) -> dict[str, Any]: ...  # from 0: to green, back to blue, …


class TurnoutMover:
    start = staticmethod(turnout)

    def __init__(self, workspace: Workspace, pair: Any, options: Options) -> None:
        self._options = options
        self.peer: Turnout = self.start(options.workers)(workspace, pair.blue, pair.green)

    def prepare(self) -> None:
        outcome = self.peer.server.cli("prepare", DATABASE, "--yes")
        if outcome.code != 0:
            raise RuntimeError(f"turnout prepare: {outcome}\n{self.peer.log_tail()}")

    def move(self, number: int) -> dict[str, Any]:
        verb = ("cutover", "rollback")[number % 2]
        outcome = self.peer.server.cli(verb, DATABASE, "-o", "json", "--yes", *self._options.cutover_arguments)
        if outcome.code != 0:
            raise RuntimeError(f"turnout {verb}: {outcome}\n{self.peer.log_tail()}")
        report = outcome.json
        return {name: report.get(name) for name in ("outcome", "pause_ms", "phases_ms", "steps", "held_sessions", "client_errors")}


class RecipeMover:
    """What people do with PgBouncer: PAUSE, wait for the slot, move the sequences, RELOAD with the new host, RESUME.
    All its connections stand before it begins, as in a script written with care; it polls each millisecond."""

    def __init__(self, workspace: Workspace, pair: Pair, _options: Options) -> None:
        self._pair = pair
        self.peer: PgBouncer = pgbouncer(workspace, pair.blue)

    def prepare(self) -> None:
        # psycopg2, because PgBouncer's console speaks the simple protocol only.
        console = f"host=127.0.0.1 port={self.peer.port} user={USER} dbname=pgbouncer"
        self._console = self._connect(console)
        self._blue = self._connect(self._pair.blue.conninfo("postgres", DATABASE))
        self._green = self._connect(self._pair.green.conninfo("postgres", DATABASE))

    @staticmethod
    def _connect(conninfo: str) -> Any:
        connection = psycopg2.connect(conninfo)
        connection.autocommit = True
        return connection.cursor()

    def move(self, number: int) -> dict[str, Any]:
        if number > 0:
            raise RuntimeError("the recipe knows no way back: one move a run")
        steps: dict[str, float] = {}
        last = time.monotonic()

        def done(step: str) -> None:
            nonlocal last
            now = time.monotonic()
            steps[step] = round((now - last) * 1000, 1)
            last = now

        self._console.execute(f"PAUSE {DATABASE}")
        done("pause")
        self._wait_for_slot()
        done("slot")
        self._move_sequences()
        done("sequences")
        self.peer.point_to(self._pair.green)
        self._console.execute("RELOAD")
        done("reload")
        self._console.execute(f"RESUME {DATABASE}")
        done("resume")
        return {"phases_ms": steps}

    def _wait_for_slot(self, timeout_s: float = 30) -> None:
        self._blue.execute("SELECT pg_current_wal_lsn()")
        position = self._blue.fetchone()[0]
        deadline = time.monotonic() + timeout_s
        while True:
            self._blue.execute("SELECT bool_and(confirmed_flush_lsn >= %s) FROM pg_replication_slots WHERE slot_type = 'logical'",
                               [position])
            if self._blue.fetchone()[0]:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"green did not confirm {position} in {timeout_s} s")
            time.sleep(0.001)

    def _move_sequences(self) -> None:
        self._blue.execute("SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences "
                           "WHERE last_value IS NOT NULL")
        values = self._blue.fetchall()
        if values:
            calls = ", ".join(f"setval('{name}', {value})" for name, value in values)
            self._green.execute(f"SELECT {calls}")


# ---- the ground


class Load(Protocol):
    """Work at a fixed rate."""

    def transactions(self) -> int: ...        # so far
    def has_ended(self) -> bool: ...
    def complaints(self) -> list[str]: ...    # ends it
    def kill(self) -> None: ...


class PgbenchLoad:
    def __init__(self, peer: Peer, pair: Pair, rate: float, options: Options) -> None:
        self._pair = pair
        self._errors = tempfile.TemporaryFile("w+")
        address = ["-h", "127.0.0.1", "-p", str(peer.port), "-U", USER]
        self._process = subprocess.Popen([str(PGBENCH), "-n", *address, "-M", options.mode, "-c", str(options.clients), "-j", "2",
                                          "-T", "3600", "-R", f"{rate:.1f}", DATABASE], stdout=subprocess.DEVNULL, stderr=self._errors,
                                         env={**os.environ, "PGSSLMODE": "disable"}, preexec_fn=die_with_parent(15))

    def transactions(self) -> int:
        return int(self._pair.blue.value("SELECT count(*) FROM pgbench_history"))

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def complaints(self) -> list[str]:
        self._process.terminate()
        self._process.wait(30)
        self._errors.seek(0)
        return [line for line in self._errors.read().splitlines() if "ERROR" in line or "error" in line]

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Ground:
    """A pair built once; each run works on a copy of it, on the same ports."""

    movers = {"turnout": TurnoutMover, "pgbouncer": RecipeMover}
    load = staticmethod(PgbenchLoad)
    options: dict[str, Any] = {}

    def __init__(self, workspace: Workspace, scale: int) -> None:
        self._workspace = workspace
        self._origin = Pair(workspace, "bench-pair", fsync=True)
        self._origin.build(scale)
        self._add_probe_table(self._origin)
        self.description = self._origin.describe() + ", fsync on"
        self._origin.stop()
        self._copies = 0

    @staticmethod
    def _add_probe_table(pair: Pair) -> None:
        for server in pair.sides.values():
            server.sql("CREATE TABLE bench_probe (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "
                       "number bigint NOT NULL); ALTER TABLE bench_probe OWNER TO app_owner; GRANT SELECT, INSERT ON bench_probe TO app; "
                       "GRANT USAGE ON SEQUENCE bench_probe_id_seq TO app")
        pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE bench_probe", user="turnout")
        pair.green.sql("ALTER SUBSCRIPTION turnout_fwd REFRESH PUBLICATION", user="turnout")
        pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")

    def copy(self) -> Pair:
        self._copies += 1
        origin = self._origin
        pair = Pair(self._workspace, f"bench-run{self._copies}", fsync=True, ports=(origin.blue.port, origin.green.port))
        for source, target in ((origin.blue, pair.blue), (origin.green, pair.green)):
            subprocess.run(["cp", "-a", "--reflink=auto", str(source.data), str(target.data)], check=True)
        pair.start()
        pair.blue.wait_for("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'")
        return pair

    def drop(self, pair: Pair) -> None:
        pair.stop()
        subprocess.run(["rm", "-rf", str(self._workspace.path / pair.name)], check=True)

    def measured_tps(self, peer: Peer, options: Options) -> float:
        load = ("-M", options.mode, "-c", str(options.clients), "-j", "2")
        pgbench(peer, *load, "-T", "1")
        return pgbench(peer, *load, "-T", "5")["tps"]

    @staticmethod
    def probe_address(port: int) -> str:
        return f"host=127.0.0.1 port={port} user={USER} dbname={DATABASE} sslmode=disable"

    @staticmethod
    def stored(writer: Postgres) -> list[int]:
        """The numbers of the probe's writes that it has."""
        return [row[0] for row in writer.sql("SELECT number FROM bench_probe")]


# ---- one run


def half_of_what_the_machine_does(ground: Any, workspace: Workspace, options: Options) -> float:
    pair = ground.copy()
    try:
        return float(ground.measured_tps(direct(workspace, pair.blue), options)) / 2
    finally:
        ground.drop(pair)


@dataclass
class Answer:
    kind: str
    number: int
    due_s: float
    latency_ms: float
    sqlstate: str


class Traffic:
    """The load, and the probe, both through `peer`."""

    def __init__(self, ground: Any, peer: Peer, pair: Any, rate: float, options: Options) -> None:
        self.load: Load = ground.load(peer, pair, rate, options)
        self._answers = tempfile.TemporaryFile("w+")
        self._probe_errors = tempfile.TemporaryFile("w+")
        self._probe = subprocess.Popen([str(own_tool("bench_probe")), ground.probe_address(peer.port), str(options.period_ms),
                                        str(options.connections)], stdout=self._answers, stderr=self._probe_errors,
                                       env={**os.environ, "MYSQL_PWD": PASSWORD}, preexec_fn=die_with_parent(15))

    def check(self) -> None:
        if self.load.has_ended():
            raise RuntimeError(f"the load ended early: {self.load.complaints()}")
        if self._probe.poll() is not None:
            self._probe_errors.seek(0)
            raise RuntimeError(f"the probe ended early:\n{self._probe_errors.read()[-3000:]}")

    def end(self) -> tuple[list[Answer], list[str]]:
        """The probe's answers, and the load's complaints."""
        self._probe.terminate()
        self._probe.wait(30)
        complaints = self.load.complaints()
        self._answers.seek(0)
        answers = []
        for line in self._answers:
            kind, number, due_us, latency_us, sqlstate = line.strip().split(",")
            answers.append(Answer(kind, int(number), int(due_us) / 1e6, int(latency_us) / 1e3, sqlstate))
        return answers, complaints

    def kill(self) -> None:
        if self._probe.poll() is None:
            self._probe.kill()
            self._probe.wait()
        self.load.kill()


def longest_answer(answers: list[Answer], kind: str, start_s: float, end_s: float) -> Answer | None:
    window = [each for each in answers if each.kind == kind and start_s <= each.due_s < end_s]
    return max(window, key=lambda each: each.latency_ms, default=None)


def longest(answers: list[Answer], kind: str, start_s: float, end_s: float) -> float:
    answer = longest_answer(answers, kind, start_s, end_s)
    return answer.latency_ms if answer else 0.0


def read_after_hold_ms(answers: list[Answer], start_s: float, end_s: float) -> float | None:
    """When the longest read fell due, counted from the longest write: that one fell due as the hold began."""
    read, write = (longest_answer(answers, kind, start_s, end_s) for kind in "rw")
    return round((read.due_s - write.due_s) * 1000, 1) if read and write else None


def read_in_hold_ms(answers: list[Answer], start_s: float, end_s: float) -> float:
    """The longest answer of a read that fell due while writes were held, or just before or behind: nothing subtracted."""
    write = longest_answer(answers, "w", start_s, end_s)
    around_s = 0.05
    return longest(answers, "r", write.due_s - around_s, write.due_s + write.latency_ms / 1000 + around_s) if write else 0.0


def pauses(answers: list[Answer], start_s: float, window_s: float, baseline_s: float) -> dict[str, dict[str, float]]:
    """Longest answer in the window, in the windows before it, and the difference, for reads and writes apart."""
    windows = max(1, int(baseline_s // window_s))
    result = {}
    for kind, name in (("w", "write"), ("r", "read")):
        inside = longest(answers, kind, start_s, start_s + window_s)
        before = [longest(answers, kind, start_s - (n + 1) * window_s, start_s - n * window_s) for n in range(windows)]
        base = statistics.median(before)
        result[name] = {"longest_ms": inside, "baseline_ms": base, "pause_ms": inside - base}
    return result


def run_once(name: str, ground: Any, workspace: Workspace, rate: float, options: Options) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Of each move what was felt, and of the whole run whether the books are right."""
    pair = ground.copy()
    traffic: Traffic | None = None
    mover: Mover | None = None
    try:
        mover = ground.movers[name](workspace, pair, options)
        mover.prepare()
        traffic = Traffic(ground, mover.peer, pair, rate, options)
        time.sleep(2)  # connections, caches, the first checkpoint's shock
        done_before, begun = traffic.load.transactions(), time.monotonic()
        moves = [move_once(mover, number, traffic, options) for number in range(options.moves)]
        load_tps = (traffic.load.transactions() - done_before) / (time.monotonic() - begun)
        answers, load_errors = traffic.end()
        writer = pair.sides[("blue", "green")[options.moves % 2]]
        books = {"target": name, "load_tps": round(load_tps, 1), **_ledger(ground.stored(writer), answers), "load_errors": len(load_errors),
                 "error_texts": load_errors[:3]}
        return [felt(move, answers, options) for move in moves], books
    finally:
        if traffic:
            traffic.kill()
        if mover:
            mover.peer.stop()
        ground.drop(pair)


@dataclass
class Move:
    number: int
    start_s: float
    took_s: float
    window_s: float
    report: dict[str, Any]


def move_once(mover: Mover, number: int, traffic: Traffic, options: Options) -> Move:
    time.sleep(options.baseline_s)
    traffic.check()
    start = time.monotonic()
    report = mover.move(number)
    took = time.monotonic() - start
    window = max(options.window_s, took + 0.5)
    time.sleep(max(0.0, start + window + 0.5 - time.monotonic()))
    traffic.check()
    return Move(number, start, took, window, report)


def felt(move: Move, answers: list[Answer], options: Options) -> dict[str, Any]:
    end_s = move.start_s + move.window_s
    return {"move": move.number, "window_s": round(move.window_s, 2), "took_ms": round(move.took_s * 1000, 1),
            **pauses(answers, move.start_s, move.window_s, options.baseline_s), "report": move.report,
            "read_after_hold_ms": read_after_hold_ms(answers, move.start_s, end_s),
            "read_in_hold_ms": read_in_hold_ms(answers, move.start_s, end_s)}


def _ledger(on_writer: list[int], answers: list[Answer]) -> dict[str, int]:
    """A short pause bought with lost writes would be no achievement: what was acknowledged is on the writer, once."""
    stored = collections.Counter(on_writer)
    acknowledged = {each.number for each in answers if each.kind == "w" and each.sqlstate == "00000"}
    return {"answers": len(answers), "errors": sum(each.sqlstate != "00000" for each in answers),
            "lost": sum(number not in stored for number in acknowledged),
            "duplicated": sum(count > 1 for count in stored.values())}


def run(workspace: Workspace, ground: Any, targets: list[str], options: Options) -> dict[str, Any]:
    """All runs, the movers taking turns in changing order."""
    rate = options.rate or half_of_what_the_machine_does(ground, workspace, options)
    say(f"{ground.description}; load: {rate:.0f} transactions/s, {options.clients} clients; "
        f"probe: 1 write and 1 read each {options.period_ms:g} ms")
    results: list[dict[str, Any]] = []
    books: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for number in range(options.runs):
        order = targets if number % 2 == 0 else targets[::-1]
        for name in order:
            if name in left_out:
                continue
            try:
                moves, book = run_once(name, ground, workspace, rate, options)
            except (Missing, RuntimeError, TimeoutError) as error:
                left_out[name] = str(error)
                say(f"cutover: {name} left out: {error}")
                continue
            results += [{"run": number, "target": name, **move} for move in moves]
            books.append({"run": number, **book})
            say_what_was_felt(f"cutover run {number + 1} {name}", moves, book)
    return {"rate": rate, "servers": ground.description, "results": results, "books": books, "left_out": left_out}


def say_what_was_felt(who: str, moves: list[dict[str, Any]], book: dict[str, Any]) -> None:
    for move in moves:
        say(f"{who}, move {move['move'] + 1}: write pause {move['write']['pause_ms']:.1f} ms, read pause "
            f"{move['read']['pause_ms']:.1f} ms (due {move['read_after_hold_ms']} ms after the longest write; longest of the hold "
            f"{move['read_in_hold_ms']:.1f} ms), command {move['took_ms']:.0f} ms, {shlex.quote(json.dumps(move['report'].get('phases_ms')))}")
    say(f"{who}: load {book['load_tps']} transactions/s, errors {book['errors']}+{book['load_errors']}, lost {book['lost']}")
