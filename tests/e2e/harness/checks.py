"""What several test files assert about a deployment after something was done to it."""
from __future__ import annotations

import time
from typing import Any

import psycopg

from .ledger import Ledger
from .pair import DATABASE, Pair
from .turnout import Turnout


def other(side: str) -> str:
    return "green" if side == "blue" else "blue"


def assert_books(ledger: Ledger, pair: Pair, writer: str, unknown_max: int = 0, database: str = DATABASE) -> None:
    """Nothing lost, nothing twice; no error either unless unknown outcomes are allowed."""
    verdict = ledger.verify(pair.sides[writer].conninfo("postgres", database))
    assert verdict.clean(), str(verdict)
    assert verdict.unknown <= unknown_max, str(verdict)


def assert_no_errors(ledger: Ledger) -> None:
    errors = ledger.errors()
    assert not errors, f"{len(errors)} client errors, the first ones: {errors[:5]}"
    assert ledger.stale() == 0, f"{ledger.stale()} reads did not see their session's own write"


def assert_writer(pair: Pair, turnout: Turnout, writer: str) -> None:
    """The status says so, the databases behave so, and a write through Turnout lands there."""
    assert turnout.status()["writer"] == writer
    with turnout.connect() as connection:
        mark = f"written on {writer} at {time.time_ns()}"
        connection.execute("INSERT INTO notes (body) VALUES (%s)", (mark,))
    found = {side: server.value("SELECT count(*) FROM notes WHERE body = %s", [mark]) for side, server in pair.sides.items()}
    assert found[writer] == 1, found
    assert pair.writable(writer)
    assert not pair.writable(other(writer)), f"{other(writer)} takes writes although {writer} is the writer"


def assert_sequences_moved_on(pair: Pair, old: dict[str, tuple[int, bool]], writer: str, database: str = DATABASE) -> None:
    """No sequence of the new writer is behind what the old one had given out."""
    now = pair.sequences(writer, database)
    for name, (value, called) in old.items():
        assert now[name][0] >= value and (now[name][1] or not called), f"{name}: {old[name]} before, {now[name]} after"


def assert_report(report: dict[str, Any], direction: str, outcome: str = "committed") -> None:
    missing = {"epoch", "direction", "outcome", "reason", "pause_ms", "phases_ms", "held_sessions", "client_errors", "fence_position",
               "writer"} - report.keys()
    assert not missing, f"the report lacks {missing}: {report}"
    assert (report["direction"], report["outcome"]) == (direction, outcome), report
    assert report["client_errors"] == 0, report
    assert {"p50", "p99", "max"} <= report["pause_ms"].keys(), report


def writes_soon(turnout: Turnout, timeout_s: float = 20) -> float:
    """Seconds until a new client can write through Turnout."""
    start = time.monotonic()
    while True:
        try:
            with turnout.connect(connect_timeout=5) as connection:
                connection.execute("INSERT INTO notes (body) VALUES ('after')")
            return time.monotonic() - start
        except psycopg.Error:
            if time.monotonic() - start > timeout_s:
                raise
            time.sleep(0.05)
