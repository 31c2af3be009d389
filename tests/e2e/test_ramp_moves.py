"""Reads on the side that follows, straight after a move, in both directions: the doors open for them and for nobody's writes."""
from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from conftest import Fresh
from harness.checks import assert_books, assert_no_errors, assert_writer, other
from harness.ledger import Ledger
from harness.load import Hammer, Pgbench

CHANGES: dict[str, Any] = {"waive": ["bypassing_clients"]}  # the hammer


def reads_on(fresh: Fresh, side: str) -> float:
    return sum(value for key, value in fresh.turnout.metrics().items()
               if key.startswith("turnout_ramped_reads_total") and f'side="{side}"' in key)


def wait_for_reads(fresh: Fresh, side: str, more: int = 100) -> None:
    before, deadline = reads_on(fresh, side), time.monotonic() + 30
    while reads_on(fresh, side) < before + more:
        assert time.monotonic() < deadline, f"no reads on {side}: {fresh.turnout.status()}\n{fresh.turnout.log_tail()}"
        time.sleep(0.1)


def assert_shut(fresh: Fresh, side: str) -> None:
    """Not even a transaction that says READ WRITE, which passes the default, gets in."""
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        fresh.pair.sides[side].connect("app", "app")


def test_reads_on_the_follower_after_each_move(fresh: Fresh) -> None:
    turnout, pair = fresh.turnout, fresh.pair
    load = [Pgbench(turnout.port, turnout.home, mode=mode, script="select-only", clients=6, rate=200, seconds=600)
            for mode in ("prepared", "simple")]
    with Ledger(turnout.conninfo(), pace_s=0.05) as ledger:
        for verb, writer in (("cutover", "green"), ("rollback", "blue"), ("cutover", "green")):
            follower = other(writer)
            turnout.ask(verb, "app")
            turnout.wait_settled()
            assert_shut(fresh, follower)  # who still knows its address has nothing to look for there
            hammer = Hammer({follower: pair.sides[follower]}, {follower: ("old", "new")}, pace_s=0.01).start(age_s=0)
            turnout.ask("shift", "app", "50")
            wait_for_reads(fresh, follower)
            ledger.wait_commits(50)
            turnout.ask("shift", "app", "0")
            hammer.stop()
            assert hammer.successes(follower) == 0, f"{follower} took writes of an ordinary role while it took reads"
            assert any(error.startswith("25006") for _, _, error in hammer.errors()), "the hammer never came through the door: it proves nothing"
            assert_no_errors(ledger)
        with ledger.resting():
            assert_no_errors(ledger)
            assert_books(ledger, pair, "green")
            pair.caught_up("green")
            assert_books(ledger, pair, "blue")
    for pgbench in load:
        result = pgbench.stop()
        assert result.clean(), result.errors[:5]
    assert_writer(pair, turnout, "green")


def test_reads_on_the_follower_after_attempts_that_went_back(fresh: Fresh) -> None:
    turnout = fresh.turnout
    load = Pgbench(turnout.port, turnout.home, mode="prepared", script="select-only", clients=6, rate=200, seconds=600)
    turnout.ask("cutover", "app", "--rehearse")
    turnout.wait_settled()
    turnout.ask("shift", "app", "100")
    wait_for_reads(fresh, "green")
    turnout.ask("cutover", "app")
    turnout.wait_settled()
    turnout.kill9()  # what a former process knew about doors is nothing to the next one
    turnout.start()
    turnout.ask("ramp", "start", "app")
    assert turnout.status()["ramp_percent"] == 1
    turnout.ask("shift", "app", "100")
    load_again = Pgbench(turnout.port, turnout.home, mode="simple", script="select-only", clients=6, rate=200, seconds=600)
    wait_for_reads(fresh, "blue")
    turnout.ask("rollback", "app", "--rehearse")
    turnout.wait_settled()
    turnout.ask("shift", "app", "100")
    wait_for_reads(fresh, "blue")
    assert load_again.stop().clean()
    load.stop()  # it lost its connections to the kill
    assert_writer(fresh.pair, turnout, "green")
