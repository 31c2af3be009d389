"""Makes the programs that need a compiler, below build/drivers, and says how each program is called."""
from __future__ import annotations

from .registry import Driver


def made(driver: Driver) -> list[str]:
    """The command of a driver's program, built when it is not yet or its sources are newer."""
    return list(driver.command)
