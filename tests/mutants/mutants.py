"""All mutants, by the names under which they can be asked for."""
from __future__ import annotations

import mysql_pair_mutants
import mysql_state_mutants
import mysql_wire_mutants
import postgres_mutants

MUTANTS = postgres_mutants.MUTANTS + mysql_wire_mutants.MUTANTS + mysql_state_mutants.MUTANTS + mysql_pair_mutants.MUTANTS
