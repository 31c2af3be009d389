"""The driver matrix of MySQL: every driver's program prints the same through Turnout as directly, in both pool modes.

A test is one driver in one mode and compares all scenarios of its program; tests/e2e/drivers_mysql has the programs.
"""
from __future__ import annotations

import subprocess
from typing import Callable, Iterator

import pytest

from drivers_mysql.registry import DRIVERS, HERE
from harness.mariadb import PASSWORD, MariaDb
from harness.matrix import MODES, Direct, compare, differences, run
from harness.mysql_turnout import make_turnout
from harness.turnout import Turnout
from harness.workspace import Workspace

# Fewer server connections than the parallel sessions, so that they have to share.
SIZES = {"transaction": 8, "session": 40}


@pytest.fixture(scope="module")
def schema() -> Iterator[MariaDb]:
    space = Workspace()
    mariadb = MariaDb(space, options=["--max-connections=600"])  # each dialect has a pool of its own, of all drivers in turn
    mariadb.start()
    subprocess.run(["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(mariadb.port), "-u", "turnout", f"-p{PASSWORD}", "--default-character-set=utf8mb4"],
                   input=(HERE / "schema.sql").read_text(), text=True, check=True, timeout=60)
    yield mariadb
    space.close()


@pytest.fixture(scope="module")
def direct(schema: MariaDb) -> Direct:
    return Direct(schema.port)


@pytest.fixture(scope="module")
def turnout_of(schema: MariaDb) -> Callable[[str], Turnout]:
    """One a mode, started when it is first asked for; they end with the server's workspace."""
    made: dict[str, Turnout] = {}

    def turnout(mode: str) -> Turnout:
        if mode not in made:
            made[mode] = make_turnout(schema, mode, SIZES[mode], f"turnout-drivers-{mode}")
        return made[mode]

    return turnout


@pytest.mark.matrix
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DRIVERS)
def test_mysql_driver(turnout_of: Callable[[str], Turnout], direct: Direct, schema: MariaDb, name: str, mode: str) -> None:
    complaints = compare(name, mode, direct.of(DRIVERS[name]), run(DRIVERS[name], turnout_of(mode).port))
    assert not complaints, "\n".join(complaints)
