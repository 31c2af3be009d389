"""The fault matrix for pairs of MariaDB and of MySQL: every fault at every step of both verbs, under a ledger and the hammer."""
from __future__ import annotations

import itertools
from typing import Any, Iterator

import pymysql
import pytest

from harness import faults, mysql97
from harness.fault_world import FaultWorld, FaultWorlds, judged
from harness.load import Hammer
from harness.mariadb import DATABASE
from harness.mariadb_pair import LASTING, MariaPair, make_pair_turnout, other
from harness.mysql_ledger import MysqlHammer, MysqlLedger
from harness.mysql_products import PAIRS, PRODUCTS
from harness.mysql_turnout import connect, one
from harness.waiting import eventually
from harness.workspace import Workspace

CHANGES: dict[str, Any] = {"waive": ["bypassing_clients"],  # the hammer
                           "cutover": {"drain": "1s", "proof": "1500ms", "window": f"{faults.WINDOW_S}s", "lag_time": "1s"}}
READ_ONLY = 1290


class World(FaultWorld):
    FAILURES = (pymysql.MySQLError, OSError)
    ledger: MysqlLedger

    def __init__(self, product: str) -> None:
        self._workspace = Workspace()
        self.pair: MariaPair = PAIRS[product](self._workspace, LASTING)
        self.pair.start()
        self.turnout = make_pair_turnout(self.pair, changes=CHANGES, start=False)
        self.stops = faults.StopPoints(self._workspace.directory("stops"))
        self.turnout.environment = self.stops.environment
        self.turnout.start()
        self.turnout.ask("prepare", "app")
        self.ledger = MysqlLedger(lambda: connect(self.turnout), sessions_per_kind=2, pace_s=0.02)
        self.ledger.start()

    def write_once(self) -> None:
        with connect(self.turnout) as connection:
            one(connection, "INSERT INTO item (name) VALUES ('after')")

    def clear_hammer(self, old: str) -> None:
        self.pair.execute(old, f"TRUNCATE {DATABASE}.hammer")

    def make_hammer(self, old: str) -> MysqlHammer:
        return MysqlHammer(self.pair.sides, pace_s=0.01, pace_new_s=0.03)

    def now_on(self, side: str) -> str:
        return ""  # the table is empty

    def assert_writer(self, writer: str) -> None:
        """The status says so, the servers behave so, and a write through Turnout lands there."""
        assert self.turnout.status()["writer"] == writer
        with connect(self.turnout) as connection:
            one(connection, "INSERT INTO item (name) VALUES ('mine')")
            assert one(connection, "SELECT @@server_id") == self.pair.sides[writer].server_id
        eventually(lambda: self.pair.read_only(other(writer)), f"{other(writer)} is read-only", timeout_s=5)
        self.pair.assert_writer(writer)
        with self.pair.sides[other(writer)].connect() as stranger, pytest.raises(pymysql.MySQLError) as refused:
            one(stranger, "INSERT INTO item (name) VALUES ('never')")
        assert refused.value.args[0] == READ_ONLY

    def assert_books(self, side: str, unknown_max: int) -> None:
        verdict = self.ledger.verify(self.pair.sides[side])
        assert verdict.clean() and verdict.unknown <= unknown_max, str(verdict)

    def assert_strikes(self, hammer: Hammer) -> None:
        for side in self.pair.sides:
            rows = [server.value(f"SELECT COUNT(*) FROM {DATABASE}.hammer WHERE side = '{side}'") for server in self.pair.sides.values()]
            assert rows[0] == rows[1] >= hammer.successes(side), f"{hammer.successes(side)} acknowledged on {side}, there are {rows}"

    def end(self) -> None:
        self._workspace.close()


@pytest.fixture(scope="module", params=PRODUCTS)
def worlds(request: pytest.FixtureRequest) -> Iterator[FaultWorlds]:
    made = FaultWorlds(lambda: World(request.param))
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.parametrize(("road", "fault", "when", "step", "verb"), faults.walk(faults.ALL_FAULTS, faults.NOTHING_IN_MYSQL))
def test_mysql_fault(worlds: FaultWorlds, road: str, fault: str, when: str, step: str, verb: str) -> None:
    judged(worlds, verb, road, fault, when, step)


# Without GTIDs: where the position is taken, decided upon and used.
BY_FILE = ("write_marker", "await_marker", "decide_commit", "open_to", "disable_forward", "await_forward_gone", "start_reverse", "drop_forward")
NOT_BY_FILE = tuple(step for walked in faults.ROADS.values() for step in walked if step not in BY_FILE)


@pytest.fixture(scope="module")
def worlds_by_file() -> Iterator[FaultWorlds]:
    made = FaultWorlds(lambda: World("mysql97_file"))
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.skipif(not mysql97.is_there(), reason=mysql97.MISSING)
@pytest.mark.parametrize(("road", "fault", "when", "step", "verb"),
                         faults.walk(("turnout_killed", "old_dies", "new_dies", "connections_cut"), NOT_BY_FILE))
def test_fault_by_file(worlds_by_file: FaultWorlds, road: str, fault: str, when: str, step: str, verb: str) -> None:
    judged(worlds_by_file, verb, road, fault, when, step)


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.skipif(not mysql97.is_there(), reason=mysql97.MISSING)
@pytest.mark.parametrize(("when", "step", "verb"), [
    (when, step, verb) for verb, step in zip(itertools.cycle(faults.WRITER_OF), BY_FILE[3:]) for when in ("before", "after")])
def test_both_servers_die_by_file(worlds_by_file: FaultWorlds, when: str, step: str, verb: str) -> None:
    judged(worlds_by_file, verb, "onward", "both_die", when, step)


SETTLES = [(when, step) for step in faults.AFTER_THE_DECISION if step not in faults.NOTHING_IN_MYSQL for when in ("before", "after")]


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.parametrize(("when", "step", "verb"), [(*cell, verb) for cell, verb in zip(SETTLES, itertools.cycle(faults.WRITER_OF))])
def test_both_servers_die_while_it_settles(worlds: FaultWorlds, when: str, step: str, verb: str) -> None:
    """Each comes up read-only, and begins to replicate by itself."""
    judged(worlds, verb, "onward", "both_die", when, step)
