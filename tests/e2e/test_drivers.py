"""The driver matrix: every driver's program prints the same through Turnout as directly, in both pool modes.

A test is one driver in one mode and compares all scenarios of its program; tests/e2e/drivers has the programs.
"""
from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest

from drivers.driver import MODES
from drivers.registry import DRIVERS
from drivers_mysql.registry import DRIVERS as MYSQL_DRIVERS
from harness.matrix import DRIVERS as ALL_DRIVERS, KNOWN_DIFFERENT, MARKS, Direct, compare, differences, run, with_schema
from harness.pair import Pair
from harness.turnout import Turnout
from harness.workspace import Workspace

# Fewer server connections than the parallel sessions, so that they have to share.
CHANGES: dict[str, Any] = {"pool": {"mode": "transaction", "size": 8}}
SESSION_MODE: dict[str, Any] = {"pool": {"mode": "session", "size": 40}}


@pytest.fixture(scope="module")
def schema(pair: Pair) -> Pair:
    return with_schema(pair)


@pytest.fixture(scope="module")
def direct(schema: Pair) -> dict[str, Direct]:
    return {side: Direct(server.port) for side, server in schema.sides.items()}


@pytest.fixture(scope="module")
def port_of(schema: Pair, turnout: Turnout, workspace: Workspace) -> Iterator[Callable[[str], int]]:
    """A Turnout a mode, started when it is first asked for; two of them have the servers the other way round."""
    blue, green = (f"127.0.0.1:{server.port}" for server in schema.sides.values())
    around = {"blue": green, "green": blue}
    changes = {"session": SESSION_MODE, "transaction on green": CHANGES | around, "session on green": SESSION_MODE | around}
    made = {"transaction": turnout}

    def port(mode: str) -> int:
        if mode not in made:
            made[mode] = Turnout(workspace, schema, f"turnout-drivers-{mode}".replace(" ", "-"), changes[mode])
            made[mode].start()
        return made[mode].port

    yield port
    for mode in changes.keys() & made.keys():
        made[mode].stop()


LOCKS = """
SELECT coalesce(string_agg(pid || ' has the lock ' || objid || ', last query: ' || query, chr(10)), '')
FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND usename = 'app'"""


@pytest.mark.matrix
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DRIVERS)
def test_driver(port_of: Callable[[str], int], direct: dict[str, Direct], schema: Pair, name: str, mode: str) -> None:
    complaints = compare(name, mode, direct["blue"].of(DRIVERS[name]), run(DRIVERS[name], port_of(mode)))
    assert not complaints, "\n".join(complaints)
    schema.blue.wait_for(LOCKS, "")  # nothing of a session stays on a server connection


@pytest.mark.matrix
@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DRIVERS)
def test_driver_on_green(port_of: Callable[[str], int], direct: dict[str, Direct], schema: Pair, name: str, mode: str) -> None:
    """The same before the newer server."""
    mode += " on green"
    complaints = compare(name, mode, direct["green"].of(DRIVERS[name]), run(DRIVERS[name], port_of(mode)))
    assert not complaints, "\n".join(complaints)
    schema.green.wait_for(LOCKS, "")


def test_a_cell_that_differs_is_found(direct: dict[str, Direct], schema: Pair) -> None:
    """The comparison can fail: a server with another answer, and a scenario that breaks."""
    driver = DRIVERS["psycopg2"]
    expected = direct["blue"].of(driver)
    schema.blue.sql("ALTER DATABASE app SET statement_timeout = '123s'")
    try:
        other = run(driver, schema.blue.port, "parameters")
    finally:
        schema.blue.sql("ALTER DATABASE app RESET statement_timeout")
    assert list(differences(expected.only("parameters"), other.only("parameters")))
    assert list(differences(expected.only("errors"), other.only("errors")))  # it was not run at all


def test_known_differences_name_cells() -> None:
    unknown = [cell for cell in KNOWN_DIFFERENT
               if cell[0] not in ALL_DRIVERS or cell[1] not in ALL_DRIVERS[cell[0]].scenarios or cell[2] not in MARKS]
    assert not unknown


def test_a_driver_has_a_name_of_its_own() -> None:
    assert not DRIVERS.keys() & MYSQL_DRIVERS.keys()
