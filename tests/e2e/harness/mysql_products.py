"""Every product that `protocol: mysql` is for: one server, or a pair. What is not on this machine is skipped, with the reason."""
from __future__ import annotations

import pytest

from . import mysql97
from .mariadb import MariaDb
from .mariadb_pair import MariaPair
from .mysql97_pair import Mysql97Pair

SERVERS: dict[str, type[MariaDb]] = {"mariadb": MariaDb, "mysql97": mysql97.Mysql97}
PAIRS: dict[str, type[MariaPair]] = {"mariadb": MariaPair, "mysql97": Mysql97Pair}
PRODUCTS = ["mariadb", pytest.param("mysql97", marks=pytest.mark.skipif(not mysql97.is_there(), reason=mysql97.MISSING))]
