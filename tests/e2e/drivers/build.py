"""Makes the programs that need a compiler, below build/drivers, and says how each program is called."""
from __future__ import annotations

import subprocess
from pathlib import Path

from .driver import E2E, Driver

ROOT = E2E.parents[1]


def made(driver: Driver) -> list[str]:
    """The command of a driver's program, built when it is not yet or its sources are newer."""
    out = ROOT / "build/drivers" / driver.name.replace("/", "-")
    if driver.compiler:
        _build(driver, out)
    return [word.replace("{out}", str(out)) for word in driver.command]


def _build(driver: Driver, out: Path) -> None:
    sources = [driver.family.folder / source for source in driver.sources]
    mark = out / "made"
    if mark.exists() and all(source.stat().st_mtime <= mark.stat().st_mtime for source in sources):
        return
    out.mkdir(parents=True, exist_ok=True)
    cache = ROOT / "build/drivers/cache"
    words = [word.replace("{out}", str(out)).replace("{cache}", str(cache)) for word in driver.compiler]
    result = subprocess.run([*words, *map(str, sources), *driver.libraries], capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, f"{driver.name} does not compile:\n{result.stdout}{result.stderr}"
    mark.touch()
