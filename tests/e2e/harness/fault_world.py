"""A cell of the fault matrix, whatever the protocol: a move walks to a step, is struck there, and what holds afterwards.

One pair and one Turnout go from cell to cell: what a fault leaves behind must not disturb the next move. Only after a
failed cell are they made anew.
"""
from __future__ import annotations

import subprocess
import time
from abc import ABC, abstractmethod
from typing import Any, Callable, ClassVar

from . import faults
from .checks import other
from .ledger import Ledger
from .load import Hammer
from .turnout import DONE, Turnout


class FaultWorld(ABC):
    """What outlives a cell."""

    FAILURES: ClassVar[tuple[type[Exception], ...]]  # of a client's write
    pair: Any
    turnout: Turnout
    stops: faults.StopPoints
    ledger: Ledger

    @abstractmethod
    def write_once(self) -> None:
        """A new client writes through Turnout, or raises one of FAILURES."""

    @abstractmethod
    def clear_hammer(self, old: str) -> None:
        """What is asked of it is asked row by row."""

    @abstractmethod
    def make_hammer(self, old: str) -> Hammer: ...
    @abstractmethod
    def now_on(self, side: str) -> str: ...
    @abstractmethod
    def assert_writer(self, writer: str) -> None: ...
    @abstractmethod
    def assert_books(self, side: str, unknown_max: int) -> None: ...
    def assert_strikes(self, hammer: Hammer) -> None:
        """Where every success of the hammer is held to be a promise too: both sides have all of them."""

    @abstractmethod
    def end(self) -> None:
        """Of the pair; Turnout and the ledger have ended."""

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
        self.clear_hammer(old)
        self.pair.caught_up(old)
        return old

    def writes_soon(self, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.write_once()
            except self.FAILURES:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        try:
            self.ledger.stop()
        finally:
            self.turnout.stop()
            self.end()


class FaultWorlds:
    def __init__(self, make: Callable[[], FaultWorld]) -> None:
        self._make = make
        self._world: FaultWorld | None = None
        self._failed = False

    def take(self) -> FaultWorld:
        if self._failed:
            self.close()
        self._world = self._world or self._make()
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


def assert_one_writer(hammer: Hammer, old: str, writer: str, since: str) -> None:
    if writer == old:
        assert hammer.successes(other(old)) == 0, "the other side took writes although nothing was decided"
        return
    verdict = hammer.verdict(old, writer, since)
    assert verdict.overlap_ms() <= 0, f"both sides took writes for {verdict.overlap_ms():.2f} ms: {verdict}"


def walk_to(world: FaultWorld, verb: str, road: str, point: str) -> subprocess.Popen[str]:
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


def strike(world: FaultWorld, verb: str, road: str, fault: str, point: str, old: str) -> None:
    """The move, stopped at its point, struck there, and all that follows."""
    process = None
    try:
        process = walk_to(world, verb, road, point)
        (faults.ALL_FAULTS | faults.TOGETHER)[fault](faults.Scene(world.pair, world.turnout, world.stops, point, old))
    finally:
        world.stops.clear()
        if process is not None:
            if fault == "turnout_killed":
                process.kill()
            process.communicate(timeout=90)
    world.pair.wait_free()
    world.turnout.wait_ready(60)
    world.turnout.wait_settled(60)


def judged(worlds: FaultWorlds, verb: str, road: str, fault: str, when: str, step: str) -> None:
    world = worlds.take()
    pair, turnout, ledger = world.pair, world.turnout, world.ledger
    old = world.before(verb)
    since = world.now_on(other(old))
    hammer = world.make_hammer(old).start(age_s=0)
    try:
        before, unknown = pair.snapshot(), ledger.unknown()  # and the preflight, until the hammer's old connections matter
        strike(world, verb, road, fault, f"{when}-{step}", old)
        writer = str(turnout.status()["writer"])
        world.writes_soon()
        ledger.wait_commits(3, timeout_s=60)
    finally:
        hammer.stop()
    assert writer in faults.outcomes(road, fault, when, step, old), f"{writer} is the writer\n{turnout.log_tail()}"
    assert_one_writer(hammer, old, writer, since)
    world.assert_writer(writer)
    # At most the COMMIT that each session had on its way, and one more while a server came back.
    unknown_max = unknown + 2 * len(ledger.sessions)
    with ledger.resting(60):
        world.assert_books(writer, unknown_max)
        pair.caught_up(writer)
        world.assert_books(other(writer), unknown_max)
        world.assert_strikes(hammer)
        ledger.settle()
    if writer == old:
        differing = faults.settled_snapshot(pair, before)
        assert not differing, f"a trace is left: {differing}"
    worlds.give_back()
