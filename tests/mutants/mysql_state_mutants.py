"""The mutants of the traps 5 to 11 and 14 of a MySQL proxy: the state of sessions."""
from __future__ import annotations

from mutant import Mutant, of_traps

TRAPS = "tests/e2e/test_mysql_state_traps.py"
TESTS: dict[int, str] = {}

mutant = of_traps("mysql-", TRAPS, TESTS)

MUTANTS: list[Mutant] = []
