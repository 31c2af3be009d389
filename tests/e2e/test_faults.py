"""Every fault at every step of a cutover and of a rollback, under a ledger and the hammer, on real servers.

One pair and one Turnout go from cell to cell, which is a test of its own: what a fault leaves behind must not disturb the
next move. Only after a failed cell are they made anew.
"""
from __future__ import annotations

import subprocess
import time
from typing import Any, Iterator

import pytest

from harness import faults
from harness.checks import assert_books, assert_writer, other, writes_soon
from harness.ledger import Ledger
from harness.load import Hammer
from harness.managed import admin_by_password, make_managed
from harness.pair import Pair, Template
from harness.turnout import DONE, Turnout, merged
from harness.workspace import Workspace

CHANGES: dict[str, Any] = {"waive": ["bypassing_clients"],  # the hammer
                           "cutover": {"drain": "1s", "proof": "1500ms", "window": f"{faults.WINDOW_S}s"}}
SETTINGS = {"track_commit_timestamp": "on",  # the servers' own clock says which commit came first
            "wal_retrieve_retry_interval": "1s"}  # else the apply workers stay away for 5 s after each fault
ON_THE_NEW = ("old", "new")  # see test_hammer.py


class World:
    """What outlives a cell."""

    def __init__(self, workspace: Workspace, template: Template, is_managed: bool) -> None:
        self.pair: Pair = template.copy(**SETTINGS)
        changes = CHANGES
        if is_managed:
            make_managed(self.pair)
            changes = merged(CHANGES, admin_by_password(workspace, self.pair))
        self.turnout = Turnout(workspace, self.pair, f"{self.pair.name}/turnout", changes)
        self.stops = faults.StopPoints(workspace.directory(f"{self.pair.name}/stops"))
        self.turnout.environment = self.stops.environment
        self.turnout.start()
        self.turnout.ask("prepare", "app")
        self.ledger = Ledger(self.turnout.conninfo(), sessions_per_kind=1, pace_s=0.02).start()

    def move(self, verb: str, timeout_s: float = 60) -> None:
        """A server that has just come back may be refused for a while."""
        deadline = time.monotonic() + timeout_s
        while True:
            outcome = self.turnout.cli(verb, "app", "--yes", "-o", "json")
            self.turnout.wait_settled()
            if outcome.code == DONE:
                return
            assert time.monotonic() < deadline, f"{verb} is not possible any more: {outcome}\n{self.turnout.log_tail()}"
            time.sleep(0.2)

    def before(self, verb: str) -> str:
        """The writer from which `verb` goes."""
        old = faults.WRITER_OF[verb]
        self.turnout.wait_settled()
        if self.turnout.status()["writer"] != old:
            self.move("rollback" if old == "blue" else "cutover")
        self.turnout.ask("prepare", "app")  # else the attempt does it, and a revert leaves it done
        self.pair.sides[old].sql("TRUNCATE hammer")  # what is asked of it is asked row by row
        self.pair.caught_up(old)
        return old

    def close(self) -> None:
        try:
            self.ledger.stop()
        finally:
            self.turnout.stop()
            Template.drop(self.pair)


class Worlds:
    def __init__(self, workspace: Workspace, template: Template, is_managed: bool) -> None:
        self._workspace, self._template, self._is_managed = workspace, template, is_managed
        self._world: World | None = None
        self._failed = False

    def take(self) -> World:
        if self._failed:
            self.close()
        self._world = self._world or World(self._workspace, self._template, self._is_managed)
        self._failed = True  # until the cell says otherwise
        return self._world

    @property
    def turnout(self) -> Turnout | None:
        return self._world and self._world.turnout

    def give_back(self) -> None:
        self._failed = False

    def close(self) -> None:
        world, self._world = self._world, None
        if world is not None:
            world.close()


@pytest.fixture(scope="module")
def worlds(workspace: Workspace, template: Template) -> Iterator[Worlds]:
    made = Worlds(workspace, template, is_managed=False)
    yield made
    made.close()


@pytest.fixture(scope="module")
def managed_worlds(workspace: Workspace, template: Template) -> Iterator[Worlds]:
    made = Worlds(workspace, template, is_managed=True)
    yield made
    made.close()


def assert_one_writer(hammer: Hammer, old: str, writer: str, since: str) -> None:
    if writer == old:
        assert hammer.successes(other(old)) == 0, "the other side took writes although nothing was decided"
        return
    verdict = hammer.verdict(old, writer, since)
    assert verdict.overlap_ms() <= 0, f"both sides took writes for {verdict.overlap_ms():.2f} ms: {verdict}"


def walk_to(world: World, verb: str, road: str, point: str) -> subprocess.Popen[str]:
    """The move stands at `point` when this returns."""
    turn = {"onward": None, "aborted": faults.ABORTED_AT, "restarted_undecided": faults.UNDECIDED_AT,
            "restarted_decided": faults.DECIDED_AT}[road]
    world.stops.set(turn or point)
    process = world.turnout.cli_start(verb, "app", "--yes")
    world.stops.wait(turn or point)
    if turn is not None:
        world.stops.set(point)
        if road == "aborted":
            world.turnout.ask("abort", "app")
        else:
            world.turnout.kill9()
            process.kill()
        world.stops.release(turn)
        if road != "aborted":
            world.turnout.start(wait_ready=False)
        world.stops.wait(point)
    return process


def strike(world: World, verb: str, road: str, fault: str, point: str, old: str) -> None:
    """The move, stopped at its point, struck there, and all that follows."""
    process = None
    try:
        process = walk_to(world, verb, road, point)
        faults.FAULTS[fault](faults.Scene(world.pair, world.turnout, world.stops, point, old))
    finally:
        world.stops.clear()
        if process is not None:
            if fault == "turnout_killed":
                process.kill()
            process.communicate(timeout=90)
    faults.wait_free(world.pair)
    world.turnout.wait_ready(60)
    world.turnout.wait_settled(60)


def judged(worlds: Worlds, verb: str, road: str, fault: str, when: str, step: str) -> None:
    world = worlds.take()
    pair, turnout, ledger = world.pair, world.turnout, world.ledger
    old = world.before(verb)
    since = pair.sides[other(old)].value("SELECT now()::text")
    hammer = Hammer(pair.sides, {old: Hammer.WAYS, other(old): ON_THE_NEW}, pace_s=0.01, pace_new_s=0.03).start(age_s=0)
    try:
        before, unknown = pair.snapshot(), ledger.unknown()  # and the preflight, until the hammer's old connections matter
        strike(world, verb, road, fault, f"{when}-{step}", old)
        writer = str(turnout.status()["writer"])
        writes_soon(turnout)
        ledger.wait_commits(3, timeout_s=60)
    finally:
        hammer.stop()
    assert writer in faults.outcomes(road, fault, when, step, old), f"{writer} is the writer\n{turnout.log_tail()}"
    assert_one_writer(hammer, old, writer, since)
    assert_writer(pair, turnout, writer)
    with ledger.resting(60):
        # At most the COMMIT that each session had on its way, and one more while a server came back.
        assert_books(ledger, pair, writer, unknown_max=unknown + 2 * len(ledger.sessions))
        pair.caught_up(writer)
        assert_books(ledger, pair, other(writer), unknown_max=unknown + 2 * len(ledger.sessions))
        ledger.settle()
    if writer == old:
        differing = faults.settled_snapshot(pair, before)
        assert not differing, f"a trace is left: {differing}"
    worlds.give_back()


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.parametrize(("road", "fault", "when", "step", "verb"), faults.walk())
def test_fault(worlds: Worlds, road: str, fault: str, when: str, step: str, verb: str) -> None:
    judged(worlds, verb, road, fault, when, step)


# The other fence, by ALTER DATABASE and REVOKE CONNECT, of an admin who is no superuser (test_managed_fence.py).
@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.parametrize(("road", "fault", "when", "step", "verb"), faults.walk(faults.AT_THE_FENCE))
def test_managed_fault(managed_worlds: Worlds, road: str, fault: str, when: str, step: str, verb: str) -> None:
    judged(managed_worlds, verb, road, fault, when, step)


# Green's slot forgot where it had been moved to, and the way back never began; an empty pool did not try again to be warm.
@pytest.mark.parametrize(("when", "step"), [("after", "decide_commit"), ("before", "publish_warm")])
def test_what_once_never_ended(worlds: Worlds, when: str, step: str) -> None:
    judged(worlds, "cutover", "onward", "new_dies", when, step)
