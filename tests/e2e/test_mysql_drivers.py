"""The driver matrix of MySQL: every driver's program prints the same through Turnout as directly, in both pool modes, before
MariaDB and, where it is on this machine, before MySQL 9.7.

A test is one driver in one mode and compares all scenarios of its program; tests/e2e/drivers_mysql has the programs.
"""
from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Iterator

import pytest

from drivers.driver import MODES
from drivers_mysql import dialect
from drivers_mysql.registry import DRIVERS
from harness import mysql97
from harness.mariadb import PASSWORD, MariaDb
from harness.matrix import Direct, compare, run
from harness.mysql_products import PRODUCTS, SERVERS
from harness.mysql_turnout import make_turnout
from harness.turnout import Turnout
from harness.workspace import Workspace

NEEDS_97 = {"mysql-cli"}  # programs of the same tree
NAMES = [pytest.param(name, marks=pytest.mark.skipif(not mysql97.is_there(), reason=mysql97.MISSING)) if name in NEEDS_97 else name for name in DRIVERS]

# Fewer server connections than the parallel sessions, so that they have to share.
SIZES = {"transaction": 8, "session": 40}


@dataclass
class World:
    """A server with the programs' tables, and a Turnout a mode before it, started when it is first asked for."""

    product: str
    server: MariaDb
    direct: Direct
    words: dict[str, str]  # what the programs are told
    turnouts: dict[str, Turnout] = field(default_factory=dict)

    def turnout(self, mode: str) -> Turnout:
        if mode not in self.turnouts:
            self.turnouts[mode] = make_turnout(self.server, mode, SIZES[mode], f"turnout-drivers-{mode}")
        return self.turnouts[mode]

    def label(self, mode: str) -> str:
        return mode if self.product == "mariadb" else f"{mode} on {self.product}"


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """In a workspace of its own: it ends with the server and every Turnout before it."""
    space = Workspace()
    server = SERVERS[request.param](space, options=["--max-connections=600"])  # each dialect has a pool of its own, of all drivers in turn
    server.start()
    load_schema(server, request.param)
    words = {"DRIVER_STATEMENTS": str(dialect.statements(request.param, space.directory("statements")))}
    yield World(request.param, server, Direct(server.port, words), words)
    space.close()


def load_schema(server: MariaDb, product: str) -> None:
    done = subprocess.run(["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(server.port), "-u", "turnout", f"-p{PASSWORD}", "--default-character-set=utf8mb4"],
                          input=dialect.schema(product), text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.matrix
@pytest.mark.parametrize("world", PRODUCTS, indirect=True, scope="module")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_mysql_driver(world: World, name: str, mode: str) -> None:
    complaints = compare(name, world.label(mode), world.direct.of(DRIVERS[name]), run(DRIVERS[name], world.turnout(mode).port, more=world.words))
    assert not complaints, "\n".join(complaints)
