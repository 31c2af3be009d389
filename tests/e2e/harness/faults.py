"""A fault exactly before or after a step of the executor, and who must be the writer afterwards.

The steps come from drain/plan.cpp itself, so a new step is a new row of the matrix. Turnout stops where a file of
TURNOUT_STOP_POINTS tells it to (control/stop_points.h); the fault strikes while it stands there.
"""
from __future__ import annotations

import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

from .checks import other
from .turnout import ROOT, Turnout

WINDOW_S = 3
WRITER_OF = {"cutover": "blue", "rollback": "green"}  # before
_ROW = re.compile(r"^ *\{(\w+), Road::(\w+),", re.M)


def steps(road: str) -> list[str]:
    """In the order of the plan."""
    return [step for step, of in _ROW.findall((ROOT / "drain/plan.cpp").read_text()) if of == road]


BEFORE_THE_HOLD = steps("forward")[:steps("forward").index("publish_hold")]
IN_THE_WINDOW = steps("forward")[len(BEFORE_THE_HOLD):]
PROVEN = ("copy_sequences", "advance_slots", "decide_commit")  # the old side has been read to its end
AFTER_THE_DECISION = steps("commit")
# How a move comes to the step: by itself, because an operator aborted it in the window, or because Turnout starts again after it
# was killed before or after the decision.
ROADS = {
    "onward": BEFORE_THE_HOLD + IN_THE_WINDOW + AFTER_THE_DECISION,
    "aborted": ["decide_abort", "lower_fence", "await_writable", "publish_release_from", "await_released_from"],
    "restarted_undecided": ["publish_doubt", "end_former_from", "end_former_to", "lower_fence"],
    "restarted_decided": ["end_former_from", "end_former_to", "publish_flip", "open_to", "start_reverse"],  # no doubt there
}
# Where it matters how the fence is raised: what puts it up, takes it down, or finds it there.
AT_THE_FENCE = ("record_undo", "publish_fence", "raise_fence", "verify_fence", "decide_commit", "publish_flip", "open_to", "start_reverse",
                "decide_abort", "lower_fence", "await_writable", "end_former_from", "end_former_to")
BESIDES_THE_FENCE = tuple(step for walked in ROADS.values() for step in walked if step not in AT_THE_FENCE)
ABORTED_AT, UNDECIDED_AT, DECIDED_AT = "after-verify_fence", "after-raise_fence", "after-decide_commit"


class StopPoints:
    """Where Turnout shall stand still."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.environment = {"TURNOUT_STOP_POINTS": str(directory)}

    def set(self, point: str) -> None:
        (self._directory / f"{point}.reached").unlink(missing_ok=True)
        (self._directory / point).touch()

    def wait(self, point: str, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while not (self._directory / f"{point}.reached").exists():
            assert time.monotonic() < deadline, f"{point} was not reached in {timeout_s} s"
            time.sleep(0.001)

    def release(self, point: str) -> None:
        (self._directory / point).unlink(missing_ok=True)

    def clear(self) -> None:
        for file in self._directory.iterdir():
            file.unlink(missing_ok=True)


@dataclass
class Scene:
    """A move that stands at a stop point."""

    pair: Any
    turnout: Turnout
    stops: StopPoints
    point: str  # before-STEP, after-STEP
    old: str    # the writer until now

    def release(self) -> None:
        self.stops.release(self.point)


def killed(scene: Scene) -> None:
    scene.turnout.kill9()
    scene.release()
    scene.turnout.start(timeout_s=30)


def stalled(scene: Scene) -> None:
    """Longer than the window may last: the deadline has passed before it moves again."""
    scene.turnout.stand_still()
    scene.release()
    time.sleep(WINDOW_S + 0.5)
    scene.turnout.signal(signal.SIGCONT)


def _server_dies(scene: Scene, side: str) -> None:
    scene.pair.sides[side].kill9()
    scene.release()
    time.sleep(0.5)
    scene.pair.sides[side].start()


def old_dies(scene: Scene) -> None:
    _server_dies(scene, scene.old)


def new_dies(scene: Scene) -> None:
    _server_dies(scene, other(scene.old))


def _server_stalls(scene: Scene, side: str) -> None:
    scene.pair.sides[side].freeze()
    scene.release()
    time.sleep(WINDOW_S + 0.5)
    scene.pair.sides[side].wake()


def old_stalls(scene: Scene) -> None:
    _server_stalls(scene, scene.old)


def new_stalls(scene: Scene) -> None:
    _server_stalls(scene, other(scene.old))


def both_die(scene: Scene) -> None:
    for side in (scene.old, other(scene.old)):
        scene.pair.sides[side].kill9()
    scene.release()
    time.sleep(0.5)
    for side in (other(scene.old), scene.old):
        scene.pair.sides[side].start()


def cut_off(scene: Scene) -> None:
    scene.pair.cut_off()
    scene.release()


FAULTS: dict[str, Callable[[Scene], None]] = {
    "turnout_killed": killed, "turnout_stalled": stalled, "old_dies": old_dies, "new_dies": new_dies, "connections_cut": cut_off}
STALLS: dict[str, Callable[[Scene], None]] = {"old_stalls": old_stalls, "new_stalls": new_stalls}
ALL_FAULTS = FAULTS | STALLS
TOGETHER: dict[str, Callable[[Scene], None]] = {"both_die": both_die}
# What the executor of MySQL answers without asking anybody (control/mysql_steps.cpp).
NOTHING_IN_MYSQL = ("check_schema", "read_sequences", "copy_sequences", "advance_slots", "copy_journal")


def outcomes(road: str, fault: str, when: str, step: str, old: str) -> set[str]:
    """The writers that are right afterwards (`old` is the former one)."""
    new = other(old)
    if road != "onward":
        return {new} if road == "restarted_decided" else {old}
    if step in AFTER_THE_DECISION or (when, step) == ("after", "decide_commit"):
        return {new}
    if fault == "turnout_killed":
        return {old}
    if fault == "turnout_stalled":
        if step in BEFORE_THE_HOLD:
            return {new}  # no deadline runs yet
        # The decision is asked for and the deadline has passed: whichever the store says first.
        return {old, new} if step == "decide_commit" else {old}
    return {old, new}


def cells(faults: Iterable[str] = tuple(FAULTS), without: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str, str]]:
    """(road, fault, when, step)"""
    for road, walked in ROADS.items():
        for fault in faults:
            for step in walked:
                for when in ("before", "after"):
                    if step not in without:
                        yield road, fault, when, step


def walk(faults: Iterable[str] = tuple(FAULTS), without: tuple[str, ...] = ()) -> list[tuple[str, str, str, str, str]]:
    """Every cell of both verbs, in an order in which the writer is nearly always where the next one begins: a move that
    comes through is followed by one of the other verb, one that is undone by the next of its own."""
    left = {verb: list(reversed(list(cells(faults, without)))) for verb in WRITER_OF}
    order, verb = [], "cutover"
    while any(left.values()):
        if not left[verb]:
            verb = _other_verb(verb)
        cell = left[verb].pop()
        order.append((*cell, verb))
        if other(WRITER_OF[verb]) == _likely(*cell, WRITER_OF[verb]):
            verb = _other_verb(verb)
    return order


def _other_verb(verb: str) -> str:
    return "rollback" if verb == "cutover" else "cutover"


def _likely(road: str, fault: str, when: str, step: str, old: str) -> str:
    """Only a guess where both are right: a wrong one costs a move."""
    right = outcomes(road, fault, when, step, old)
    if right == {old}:
        return old
    proven = step == "decide_commit" or fault in ("old_dies", "connections_cut") and step in PROVEN
    return other(old) if right == {other(old)} or proven else old


def settled_snapshot(pair: Any, wanted: dict[str, Any], timeout_s: float = 10) -> dict[str, Any]:
    """What differs from `wanted`; empty as soon as nothing does."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = pair.snapshot()
        differing = {what: (wanted[what], found[what]) for what in wanted if wanted[what] != found[what]}
        if not differing or time.monotonic() > deadline:
            return differing
        time.sleep(0.05)
