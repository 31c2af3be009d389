"""Drivers at work while cutovers and rollbacks run: no error, and every round as it is without a proxy."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import Fresh
from drivers.registry import DRIVERS
from harness.checks import assert_writer
from harness.matrix import Direct, Loop, assert_rounds, loops_under_moves, with_schema

# Fewer server connections than the parallel sessions, so that they have to share.
CHANGES: dict[str, Any] = {"pool": {"mode": "transaction", "size": 8}}
LOOPS = [driver.name for driver in DRIVERS.values() if driver.loops]


def moving(names: list[str], fresh: Fresh, home: Path, moves: int) -> None:
    """Programs loop while the writer goes to and fro; each round of each of them must be as it is directly."""
    turnout = fresh.turnout
    direct = Direct(with_schema(fresh.pair).blue.port)
    expected = {name: direct.of(DRIVERS[name]) for name in names}
    loops = {name: Loop(DRIVERS[name], turnout.port, home) for name in names}
    assert_rounds(loops_under_moves(loops, turnout, moves, lines=12), lambda name, _: expected[name])
    assert_writer(fresh.pair, turnout, "blue" if moves % 2 == 0 else "green")


@pytest.mark.matrix
@pytest.mark.parametrize("name", LOOPS)
def test_moves_under_a_driver(fresh: Fresh, tmp_path: Path, name: str) -> None:
    moving([name], fresh, tmp_path, moves=2)


@pytest.mark.matrix
@pytest.mark.soak
def test_many_moves_under_all_drivers(fresh: Fresh, tmp_path: Path) -> None:
    moving(LOOPS, fresh, tmp_path, moves=12)
