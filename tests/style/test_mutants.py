"""The mutants fit the tree: what each changes is there exactly once, and the test that it names is one case. Running them is soak's."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutants"))

import run  # noqa: E402
from mutant import Edit, Mutant  # noqa: E402
from mutants import MUTANTS  # noqa: E402


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies(mutant: Mutant) -> None:
    run.mutated(mutant)


@pytest.mark.parametrize("old", ["no such line\n", "namespace turnout"])
def test_one_that_does_not_apply_is_found(old: str) -> None:
    with pytest.raises(run.NotPossible):
        run.mutated(Mutant("a_lamp", "-", "", (Edit("proxy/pool.cpp", old, ""),), ""))


def test_the_tests_of_the_mutants_are_single_cases() -> None:
    wanted = {mutant.test.removeprefix("tests/e2e/") for mutant in MUTANTS}
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", *sorted(f"tests/e2e/{test}" for test in wanted)], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert {line for line in done.stdout.splitlines() if "::" in line} == wanted, done.stdout + done.stderr
