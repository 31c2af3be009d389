"""The mutants of the traps 1 to 4, 12, 13 and 15 of a MySQL proxy: what goes over the wire."""
from __future__ import annotations

from mutant import Mutant, of_traps

TRAPS = "tests/e2e/test_mysql_wire_traps.py"
TESTS: dict[int, str] = {}

mutant = of_traps("mysql-", TRAPS, TESTS)

MUTANTS: list[Mutant] = []
