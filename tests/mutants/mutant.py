"""What a mutant is: a small mistake that somebody could make, and the test that must fail then."""
from __future__ import annotations

import dataclasses
from typing import Callable


@dataclasses.dataclass(frozen=True)
class Edit:
    """`old` must be in the file exactly once (tests/style/test_mutants.py looks); the file is a .cpp of the binary."""

    file: str
    old: str
    new: str


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    trap: str  # "4", "mysql-4"; "-": no trap
    wrong: str  # what it does, in one sentence
    edits: tuple[Edit, ...]
    test: str  # with its case, where it has cases


def of_traps(product: str, file: str, tests: dict[int, str]) -> Callable[..., Mutant]:
    """Makes mutants of the traps whose tests those are, in that file."""

    def made(trap: int, name: str, wrong: str, changed: str, old: str, new: str, elsewhere: str = "") -> Mutant:
        return Mutant(name, f"{product}{trap}", wrong, (Edit(changed, old, new),), elsewhere or f"{file}::{tests[trap]}")

    return made
