"""The driver matrix: every driver's program prints the same through Turnout as directly, in both pool modes.

A test is one driver in one mode and compares all scenarios of its program; tests/e2e/drivers has the programs.
"""
from __future__ import annotations

from typing import Any

import pytest

from drivers.registry import DRIVERS, KNOWN_DIFFERENT
from harness.matrix import MODES, SCORE, Direct, Results, differences, run, with_schema
from harness.pair import Pair
from harness.turnout import Turnout

# Fewer server connections than the parallel sessions, so that they have to share.
CHANGES: dict[str, Any] = {"pool": {"mode": "transaction", "size": 8}}
SESSION_MODE: dict[str, Any] = {"pool": {"mode": "session", "size": 40}}


@pytest.fixture(scope="module")
def schema(pair: Pair) -> Pair:
    return with_schema(pair)


@pytest.fixture(scope="module")
def direct(schema: Pair) -> Direct:
    return Direct(schema.blue.port)


@pytest.fixture(scope="module")
def proxies(schema: Pair, turnout: Turnout, workspace: Any) -> Any:
    """A Turnout a mode, in front of the same server."""
    session = Turnout(workspace, schema, "turnout-drivers-session", SESSION_MODE)
    session.start()
    yield {"transaction": turnout, "session": session}
    session.stop()


def compare(name: str, mode: str, direct: Results, here: Results) -> list[str]:
    """Keeps the score of each scenario; what is different although nobody knows of it, and what nobody needs to know of any more."""
    complaints = []
    for scenario in DRIVERS[name].scenarios:
        cell = (name, scenario, mode)
        found = list(differences(direct.only(scenario), here.only(scenario)))
        SCORE[cell] = "equal" if not found else "known" if cell in KNOWN_DIFFERENT else "different"
        if found and cell not in KNOWN_DIFFERENT:
            complaints.append(f"{' '.join(cell)}: " + "; ".join(found[:4]))
        elif not found and cell in KNOWN_DIFFERENT:
            SCORE[cell] = "different"
            complaints.append(f"{' '.join(cell)} is equal now: take it out of KNOWN_DIFFERENT ({KNOWN_DIFFERENT[cell]})")
    return complaints


@pytest.mark.matrix
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DRIVERS)
def test_driver(proxies: dict[str, Turnout], direct: Direct, name: str, mode: str) -> None:
    driver = DRIVERS[name]
    expected = direct.of(driver)
    complaints = compare(name, mode, expected, run(driver, proxies[mode].port))
    assert not complaints, "\n".join(complaints)


def test_a_cell_that_differs_is_found(direct: Direct, schema: Pair) -> None:
    """The comparison can fail: a server with another answer, and a scenario that breaks."""
    driver = DRIVERS["psycopg2"]
    expected = direct.of(driver)
    schema.blue.sql("ALTER DATABASE app SET statement_timeout = '123s'")
    try:
        other = run(driver, schema.blue.port, "parameters")
    finally:
        schema.blue.sql("ALTER DATABASE app RESET statement_timeout")
    assert list(differences(expected.only("parameters"), other.only("parameters")))
    assert list(differences(expected.only("errors"), other.only("errors")))  # it was not run at all


def test_known_differences_name_cells() -> None:
    unknown = [cell for cell in KNOWN_DIFFERENT if cell[0] not in DRIVERS or cell[1] not in DRIVERS[cell[0]].scenarios or cell[2] not in MODES]
    assert not unknown
