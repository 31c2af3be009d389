"""MySQL's drivers at work while cutovers and rollbacks of a pair run: no error, and every round as it is without a proxy."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from drivers_mysql import dialect
from drivers_mysql.registry import DRIVERS
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.matrix import Loop, assert_rounds, loops_under_moves, run
from harness.mysql_products import PRODUCTS, pair_of
from test_mysql_drivers import load_schema

LOOPS = [driver.name for driver in DRIVERS.values() if driver.loops]


@pytest.fixture
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(product: str) -> Iterator[MariaPair]:
    with pair_of(product, ["--max-connections=600"]) as made:
        load_schema(made.blue, product)
        made.caught_up()
        yield made


def moving(names: list[str], pair: MariaPair, product: str, home: Path, moves: int) -> None:
    """Programs loop while the writer goes to and fro, and ends on blue; each round of each of them must be as it is directly."""
    words = {"DRIVER_STATEMENTS": str(dialect.statements(product, home))}
    # Fewer server connections than the parallel sessions, so that they have to share.
    turnout = make_pair_turnout(pair, changes={"pool": {"mode": "transaction", "size": 8}})
    turnout.ask("prepare", "app")
    loops = {name: Loop(DRIVERS[name], turnout.port, home, words) for name in names}
    results = loops_under_moves(loops, turnout, moves, lines=8, caught_up=pair.caught_up)
    pair.assert_writer("blue")  # and takes what the programs do there directly
    assert_rounds(results, lambda name, result: run(DRIVERS[name], pair.blue.port, *result.rounds, more=words))


@pytest.mark.matrix
@pytest.mark.parametrize("product", PRODUCTS, indirect=True)
@pytest.mark.parametrize("name", LOOPS)
def test_moves_under_a_driver(pair: MariaPair, product: str, tmp_path: Path, name: str) -> None:
    moving([name], pair, product, tmp_path, moves=2)


@pytest.mark.matrix
@pytest.mark.soak
@pytest.mark.parametrize("product", PRODUCTS, indirect=True)
def test_many_moves_under_all_drivers(pair: MariaPair, product: str, tmp_path: Path) -> None:
    moving(LOOPS, pair, product, tmp_path, moves=12)
