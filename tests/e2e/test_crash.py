"""kill -9 of Turnout, anywhere: after a restart either blue is the writer and no trace is left, or the move completes.

Which of the two is decided by the one durable record. A test that wants a certain moment keeps a transaction open (the
hold lasts) or follows the event stream and strikes when the phase is announced.
"""
from __future__ import annotations

import random
import subprocess
import time
from typing import Any

import pytest

from conftest import Fresh
from harness.checks import assert_books, assert_writer, other, writes_soon
from harness.ledger import Ledger

CHANGES: dict[str, Any] = {"cutover": {"drain": "6s", "proof": "2s", "window": "10s"}}


def let_go(process: subprocess.Popen[str]) -> None:
    """The command line would wait for its Turnout to come back; it only looks on."""
    process.kill()
    process.communicate()


def restart_and_judge(fresh: Fresh, ledger: Ledger, old: str) -> str:
    """After the kill: start again, see who the writer is, and that the books agree with it. Returns the writer."""
    turnout, pair = fresh.turnout, fresh.pair
    turnout.start(timeout_s=30)
    turnout.wait_settled()
    writes_soon(turnout)
    ledger.wait_commits(10, timeout_s=30)
    ledger.stop()
    writer = str(turnout.status()["writer"])
    # At most the one COMMIT that each session had on its way is unknown.
    assert_books(ledger, pair, writer, unknown_max=len(ledger.sessions))
    assert_writer(pair, turnout, writer)
    if writer != old:
        pair.caught_up(writer)  # the way back stands as well
        assert_books(ledger, pair, other(writer), unknown_max=len(ledger.sessions))
    return writer


@pytest.mark.smoke
def test_killed_in_the_hold(fresh: Fresh) -> None:
    turnout, pair = fresh.turnout, fresh.pair
    turnout.ask("prepare", "app")
    before = pair.snapshot()
    ledger = Ledger(turnout.conninfo(), sessions_per_kind=1).start()
    stuck = turnout.connect()
    stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
    process = turnout.cli_start("cutover", "app", "--yes")
    turnout.wait_phase("drain", "fence")
    time.sleep(0.2)
    turnout.kill9()
    let_go(process)
    stuck.close()
    assert restart_and_judge(fresh, ledger, "blue") == "blue"
    assert pair.snapshot() == before, "a trace is left"
    turnout.ask("cutover", "app")  # and the next attempt works
    assert_writer(pair, turnout, "green")


def test_green_stays_closed_after_a_kill_in_the_hold(fresh: Fresh) -> None:
    """In doubt nobody writes: a dead Turnout may leave blue fenced, and only its restart decides."""
    turnout, pair = fresh.turnout, fresh.pair
    turnout.ask("prepare", "app")
    stuck = turnout.connect()
    stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
    process = turnout.cli_start("cutover", "app", "--yes")
    turnout.wait_phase("drain", "fence")
    turnout.kill9()
    let_go(process)
    stuck.close()
    assert not pair.writable("green"), "green opened without a decision"
    turnout.start(timeout_s=30)
    turnout.wait_settled()
    assert_writer(pair, turnout, "blue")


def kill_at(fresh: Fresh, verb: str, phase: str, delay_s: float) -> str:
    turnout = fresh.turnout
    old = str(turnout.status()["writer"])
    if verb == "cutover":
        turnout.ask("prepare", "app")  # from here on green is read-only, whatever becomes of the attempt
    ledger = Ledger(turnout.conninfo(), sessions_per_kind=1, first=8 * random.randrange(4, 20)).start()
    events = turnout.events()
    process = turnout.cli_start(verb, "app", "--yes")
    assert events.wait_phase(phase, 20), f"phase {phase} was never announced: {events.phases()}"
    time.sleep(delay_s)
    turnout.kill9()
    let_go(process)
    return restart_and_judge(fresh, ledger, old)


@pytest.mark.parametrize("phase", ["flip", "resume", "settle"])
def test_killed_after_the_decision(fresh: Fresh, phase: str) -> None:
    assert kill_at(fresh, "cutover", phase, 0) == "green"
    fresh.turnout.ask("rollback", "app")
    assert_writer(fresh.pair, fresh.turnout, "blue")


@pytest.mark.parametrize("phase", ["preflight", "warm"])
def test_killed_before_the_hold(fresh: Fresh, phase: str) -> None:
    assert kill_at(fresh, "cutover", phase, 0) == "blue"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_several_times(fresh: Fresh, seed: int) -> None:
    """The same attempt is killed, restarted and killed again."""
    dice = random.Random(seed)
    turnout = fresh.turnout
    turnout.ask("prepare", "app")  # from here on green is read-only, whatever becomes of the attempt
    ledger = Ledger(turnout.conninfo()).start()
    process = turnout.cli_start("cutover", "app", "--yes")
    for _ in range(4):
        time.sleep(dice.uniform(0, 0.4))
        turnout.kill9()
        turnout.start(wait_ready=False)
    let_go(process)
    turnout.kill9()
    restart_and_judge(fresh, ledger, "blue")
