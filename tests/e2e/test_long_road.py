"""The writer goes to and fro two hundred times under everything at once, and no client hears of it.

pgbench (prepared, writing and reading), the ledger in all its kinds, asyncpg readers, listeners with their senders, and a session
that holds an advisory lock all the way. The run prints how long the pauses were.
"""
from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

import pytest

from conftest import Fresh
from harness import told
from harness.checks import assert_books, assert_no_errors, assert_report, assert_writer
from harness.ledger import Ledger
from harness.listening import Listeners, Senders
from harness.load import Pgbench, TypeReaders

# Two waiting for the advisory lock's holder would be no load: everybody else shares fewer connections than there are sessions.
CHANGES: dict[str, Any] = {"pool": {"mode": "transaction", "size": 16}}
MOVES = 200


def distribution(values: list[float]) -> str:
    ordered = sorted(values)
    at = {percent: ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (50, 90, 95, 99)}
    return ", ".join(f"p{percent} {value:.1f} ms" for percent, value in at.items()) + f", longest {ordered[-1]:.1f} ms"


def moving(fresh: Fresh, moves: int) -> None:
    turnout = fresh.turnout
    load = [Pgbench(turnout.port, turnout.home, mode="prepared", clients=4, rate=80, seconds=7200),
            Pgbench(turnout.port, turnout.home, mode="prepared", script="select-only", clients=4, rate=200, seconds=7200)]
    readers = TypeReaders(turnout.conninfo(), 2, pace_s=0.02).start()
    listeners = Listeners(turnout.conninfo(), "road", 3)
    senders = Senders(turnout.conninfo(), "road", 2, pause_s=0.02)
    pauses: dict[str, list[float]] = {"cutover": [], "rollback": []}
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(turnout.conninfo(), sessions_per_kind=1, pace_s=0.02))
        holder, other = stack.enter_context(turnout.connect()), stack.enter_context(turnout.connect())
        holder.execute("SELECT pg_advisory_lock(4242)")
        for number in range(moves):
            verb, to = (("cutover", "green"), ("rollback", "blue"))[number % 2]
            report = turnout.ask(verb, "app")
            assert_report(report, verb)
            pauses[verb].append(float(report["pause_ms"]["max"]))
            ledger.wait_commits(2)
            assert_no_errors(ledger)
            had = other.execute("SELECT pg_try_advisory_lock(4242)").fetchone()
            assert had == (False,), f"the lock is free after move {number}"
            assert not readers.errors and not senders.errors and not listeners.errors, (readers.errors, senders.errors, listeners.errors)
        with ledger.resting():
            assert_books(ledger, fresh.pair, to)
    results = [pgbench.stop() for pgbench in load]
    readers.stop()
    listeners.assert_heard_all(senders.stop())
    for verb, values in pauses.items():
        told.say(f"{len(values)} × {verb} under load: the longest pause of held work had a median of {statistics.median(values):.1f} ms "
                 f"({distribution(values)})")
    for result in results:
        assert result.clean(), result.errors[:5]
    assert readers.reads > 50 and not readers.errors, readers.errors[:5]
    assert_no_errors(ledger)
    assert_writer(fresh.pair, turnout, "blue" if moves % 2 == 0 else "green")


@pytest.mark.soak(seconds=2400)
def test_two_hundred_moves_under_everything(fresh: Fresh) -> None:
    moving(fresh, MOVES)
