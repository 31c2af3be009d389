"""Every fault at every step of a cutover and of a rollback, under a ledger and the hammer, on real servers."""
from __future__ import annotations

from typing import Any, Iterator

import psycopg
import pytest

from harness import checks, faults
from harness.checks import other
from harness.fault_world import FaultWorld, FaultWorlds, judged
from harness.ledger import Ledger
from harness.load import Hammer
from harness.managed import admin_by_password, make_managed
from harness.pair import Pair, Template
from harness.turnout import Turnout, merged
from harness.workspace import Workspace

CHANGES: dict[str, Any] = {"waive": ["bypassing_clients"],  # the hammer
                           "cutover": {"drain": "1s", "proof": "1500ms", "window": f"{faults.WINDOW_S}s"}}
SETTINGS = {"track_commit_timestamp": "on",  # the servers' own clock says which commit came first
            "wal_retrieve_retry_interval": "1s"}  # else the apply workers stay away for 5 s after each fault
ON_THE_NEW = ("old", "new")  # see test_hammer.py


class World(FaultWorld):
    FAILURES = (psycopg.Error,)

    def __init__(self, workspace: Workspace, template: Template, is_managed: bool = False) -> None:
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

    def write_once(self) -> None:
        with self.turnout.connect(connect_timeout=5) as connection:
            connection.execute("INSERT INTO notes (body) VALUES ('after')")

    def clear_hammer(self, old: str) -> None:
        self.pair.sides[old].sql("TRUNCATE hammer")

    def make_hammer(self, old: str) -> Hammer:
        return Hammer(self.pair.sides, {old: Hammer.WAYS, other(old): ON_THE_NEW}, pace_s=0.01, pace_new_s=0.03)

    def now_on(self, side: str) -> str:
        return str(self.pair.sides[side].value("SELECT now()::text"))

    def assert_writer(self, writer: str) -> None:
        checks.assert_writer(self.pair, self.turnout, writer)

    def assert_books(self, side: str, unknown_max: int) -> None:
        checks.assert_books(self.ledger, self.pair, side, unknown_max=unknown_max)

    def end(self) -> None:
        Template.drop(self.pair)


@pytest.fixture(scope="module")
def worlds(workspace: Workspace, template: Template) -> Iterator[FaultWorlds]:
    made = FaultWorlds(lambda: World(workspace, template))
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.parametrize(("road", "fault", "when", "step", "verb"), faults.walk())
def test_fault(worlds: FaultWorlds, road: str, fault: str, when: str, step: str, verb: str) -> None:
    judged(worlds, verb, road, fault, when, step)


# Green's slot forgot where it had been moved to, and the way back never began; an empty pool did not try again to be warm.
@pytest.mark.parametrize(("when", "step"), [("after", "decide_commit"), ("before", "publish_warm")])
def test_what_once_never_ended(worlds: FaultWorlds, when: str, step: str) -> None:
    judged(worlds, "cutover", "onward", "new_dies", when, step)
