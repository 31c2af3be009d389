"""Every product that `protocol: mysql` is for: one server, or a pair. What is not on this machine is skipped, with the reason."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import pymysql
import pytest

from . import mysql97
from .mariadb import DATABASE, MariaDb
from .mariadb_pair import MariaPair
from .mysql97_pair import Mysql97Pair
from .mysql97_position_pair import Mysql97PositionPair
from .mysql_turnout import one
from .workspace import Workspace

SERVERS: dict[str, type[MariaDb]] = {"mariadb": MariaDb, "mysql97": mysql97.Mysql97}
PAIRS: dict[str, type[MariaPair]] = {"mariadb": MariaPair, "mysql97": Mysql97Pair, "mysql97_file": Mysql97PositionPair}
_needs_mysql97 = pytest.mark.skipif(not mysql97.is_there(), reason=mysql97.MISSING)
PRODUCTS = ["mariadb", pytest.param("mysql97", marks=_needs_mysql97)]
# Besides, by what tells how far a log is applied: no GTIDs.
PAIR_KINDS = [*PRODUCTS, pytest.param("mysql97_file", marks=_needs_mysql97)]


@contextmanager
def pair_of(product: str, options: list[str] | None = None, start: bool = True) -> Iterator[MariaPair]:
    """In a workspace of its own, which ends with it. Whoever has more to set of the servers starts it himself."""
    space = Workspace()
    try:
        pair = PAIRS[product](space, options)
        if start:
            pair.start()
        yield pair
    finally:
        space.close()


def as_root(server: MariaDb, *statements: str) -> None:
    """What its binary log does not tell."""
    with pymysql.connect(unix_socket=f"{server.home}/socket", user="root", database=DATABASE, autocommit=True) as root, root.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        is_fenced = server.PRODUCT == "MySQL" and bool(one(root, "SELECT @@global.super_read_only"))
        if is_fenced:  # that one holds root as well
            cursor.execute("SET GLOBAL super_read_only = 0")
        for statement in statements:
            cursor.execute(statement)
        if is_fenced:
            cursor.execute("SET GLOBAL super_read_only = 1")
