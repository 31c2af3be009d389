"""A cutover that cannot be done in its time is undone: nothing changed, and clients saw only latency."""
from __future__ import annotations

import re
import subprocess
import time
from typing import Any, Callable

import psycopg
import pytest

from conftest import Fresh
from harness.checks import assert_books, assert_no_errors, assert_report, assert_writer
from harness.ledger import Ledger
from harness.turnout import ABORTED, REVERTED

CHANGES: dict[str, Any] = {"cutover": {"drain": "600ms", "proof": "800ms", "window": "2s"}}


def assert_reverted(fresh: Fresh, before: dict[str, Any], report: dict[str, Any]) -> None:
    assert_report(report, "cutover", "reverted")
    assert report["reason"], "a reverted attempt says why"
    after = fresh.pair.snapshot()
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert not changed, f"not as before: {changed}"
    status = fresh.turnout.status()
    assert (status["writer"], status["phase"]) == ("blue", "idle"), status


@pytest.mark.smoke
def test_stuck_transaction(fresh: Fresh) -> None:
    turnout = fresh.turnout
    turnout.ask("prepare", "app")
    before = fresh.pair.snapshot()
    with Ledger(turnout.conninfo(), sessions_per_kind=1) as ledger:
        with turnout.connect() as stuck:
            stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
            start = time.monotonic()
            report = turnout.ask("cutover", "app", expect=REVERTED)
            end = time.monotonic()
            assert_reverted(fresh, before, report)
            assert re.match(r"drain_deadline: await_drained: transactions that may still write on blue: 1 "
                            r"\(client \d+ app@127\.0\.0\.1:\d+, in a transaction for [1-9].* s\)$", report["reason"]), report["reason"]
            stuck.execute("UPDATE counter SET value = 6 WHERE session = 200; COMMIT")
        ledger.wait_commits(20)
        assert 300 < ledger.longest_ms(start, end) < 4_000, "clients waited for the deadline and no longer"
    assert fresh.pair.blue.value("SELECT value FROM counter WHERE session = 200") == 6
    assert_no_errors(ledger)
    assert_books(ledger, fresh.pair, "blue")
    assert_writer(fresh.pair, turnout, "blue")


def test_without_prepare_first(fresh: Fresh) -> None:
    """Abort by deadline of a first attempt: settings and grants of both databases are as before it."""
    before = fresh.pair.snapshot()
    with fresh.turnout.connect() as stuck:
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
        fresh.turnout.ask("cutover", "app", expect=REVERTED)
        stuck.execute("ROLLBACK")
    after = fresh.pair.snapshot()
    for side in ("blue", "green"):
        for what in ("database_acl", "roles", "memberships", "relations"):
            assert after[f"{side}.{what}"] == before[f"{side}.{what}"], (side, what)
    assert after["blue.settings"] == before["blue.settings"]
    assert after["blue.role_settings"] == before["blue.role_settings"]
    assert after["blue.auto_conf"] == before["blue.auto_conf"]


def test_then_it_works(fresh: Fresh) -> None:
    """An attempt that was undone leaves nothing that would spoil the next one."""
    turnout = fresh.turnout
    with Ledger(turnout.conninfo(), sessions_per_kind=1) as ledger:
        for _ in range(2):
            with turnout.connect() as stuck:
                stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
                turnout.ask("cutover", "app", expect=REVERTED)
                stuck.execute("ROLLBACK")
        turnout.ask("cutover", "app")
        ledger.wait_commits(10)
        turnout.ask("rollback", "app")
        ledger.wait_commits(10)
    assert_no_errors(ledger)
    assert_books(ledger, fresh.pair, "blue")


@pytest.mark.parametrize("fresh", [{"cutover": {"drain": "6s", "proof": "1s", "window": "10s"}}], indirect=True)
def test_aborted_by_an_operator(fresh: Fresh) -> None:
    turnout = fresh.turnout
    turnout.ask("prepare", "app")
    before = fresh.pair.snapshot()
    with Ledger(turnout.conninfo(), sessions_per_kind=1) as ledger, turnout.connect() as stuck:
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
        process = turnout.cli_start("cutover", "app", "--yes", "-o", "json")
        turnout.wait_phase("drain", "fence")
        turnout.ask("abort", "app")
        stdout, stderr = process.communicate(timeout=20)
        assert process.returncode == ABORTED, stdout + stderr
        stuck.execute("ROLLBACK")
        ledger.wait_commits(10)
    assert fresh.pair.snapshot() == before
    assert_no_errors(ledger)
    assert_writer(fresh.pair, turnout, "blue")


def test_detached_cutover_goes_on(fresh: Fresh) -> None:
    """Whoever started it may go away; that neither stops it nor ends it."""
    process = fresh.turnout.cli_start("cutover", "app", "--yes")
    deadline = time.monotonic() + 20
    while fresh.turnout.status()["epoch"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    while fresh.turnout.status()["writer"] != "green":
        assert time.monotonic() < deadline, fresh.turnout.status()
        time.sleep(0.02)
    fresh.turnout.wait_settled()
    assert_writer(fresh.pair, fresh.turnout, "green")


def _green_frozen(fresh: Fresh) -> Callable[[], None]:
    fresh.pair.green.freeze()
    return fresh.pair.green.wake


def _green_killed(fresh: Fresh) -> Callable[[], None]:
    fresh.pair.green.kill9()
    return fresh.pair.green.start


def _apply_blocked(fresh: Fresh) -> Callable[[], None]:
    blocker = fresh.pair.green.connect(database="app")
    blocker.execute("BEGIN; LOCK TABLE ledger, counter IN ACCESS EXCLUSIVE MODE")
    return blocker.close


@pytest.mark.parametrize("fault", [_green_frozen, _green_killed, _apply_blocked], ids=lambda fault: fault.__name__.strip("_"))
def test_green_fails_in_the_window(fresh: Fresh, fault: Callable[[Fresh], Callable[[], None]]) -> None:
    """The proof cannot be had: back to blue, which is writable before green is heard of again."""
    turnout = fresh.turnout
    turnout.ask("prepare", "app")
    with Ledger(turnout.conninfo(), kinds=("simple", "prepared")) as ledger:
        stuck = turnout.connect()
        stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")  # keeps it in the drain until the fault is there
        process = turnout.cli_start("cutover", "app", "--yes", "-o", "json")
        turnout.wait_phase("drain", "fence")
        repair = fault(fresh)
        try:
            stuck.execute("COMMIT")
            deadline = time.monotonic() + 20
            while turnout.phase() not in ("idle", "reverting") and time.monotonic() < deadline:
                time.sleep(0.02)
            ledger.wait_commits(5, timeout_s=20)
        finally:
            repair()
            stuck.close()
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == REVERTED, stdout + stderr
        ledger.wait_commits(10)
    assert_no_errors(ledger)
    assert_books(ledger, fresh.pair, "blue")
    deadline = time.monotonic() + 20
    while turnout.status()["phase"] != "idle" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert_writer(fresh.pair, turnout, "blue")
    fresh.pair.blue.wait_for("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'", timeout_s=40)
    with Ledger(turnout.conninfo(), sessions_per_kind=1, first=100) as after:
        fresh.pair.caught_up()
        turnout.ask("cutover", "app")
        after.wait_commits(5)
    assert_no_errors(after)


def test_blue_killed_in_the_drain(fresh: Fresh) -> None:
    """The writer dies by itself: clients lose what they lose without a proxy, but nothing that was acknowledged."""
    turnout = fresh.turnout
    turnout.ask("prepare", "app")
    ledger = Ledger(turnout.conninfo(), sessions_per_kind=1).start()
    stuck = turnout.connect()
    stuck.execute("BEGIN; UPDATE counter SET value = 5 WHERE session = 200")
    process = turnout.cli_start("cutover", "app", "--yes", "-o", "json")
    turnout.wait_phase("drain", "fence")
    fresh.pair.blue.kill9()
    time.sleep(0.3)
    fresh.pair.blue.start()
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    with pytest.raises(psycopg.Error):
        stuck.execute("COMMIT")
    turnout.wait_settled()
    ledger.wait_commits(10, timeout_s=30)
    ledger.stop()
    writer = turnout.status()["writer"]
    assert_books(ledger, fresh.pair, writer, unknown_max=len(ledger.sessions))
    assert_writer(fresh.pair, turnout, writer)
