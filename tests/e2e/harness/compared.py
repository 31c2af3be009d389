"""`turnout compare`, and what it has found."""
from __future__ import annotations

import time
from typing import Any

from .turnout import DONE, Turnout


def report(turnout: Turnout) -> dict[str, Any]:
    return dict(turnout.rest("/v1/deployments/app/compare")[1])


def wait_for(turnout: Turnout, is_so: Any, timeout_s: float = 60, stop: bool = False) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while True:
        now = report(turnout)
        if is_so(now):
            return now
        if stop:
            turnout.rest("/v1/deployments/app/compare", {"action": "stop"})
            stop = False
        assert time.monotonic() < deadline, f"{now}\n{turnout.log_tail()}"
        time.sleep(0.05)


def stop(turnout: Turnout) -> None:
    """Whatever the test before has left running."""
    if not turnout.alive():
        turnout.start()
    wait_for(turnout, lambda r: r["phase"] not in ("running", "paused"), stop=True)


def compare(turnout: Turnout, *words: str, expect: int = DONE) -> dict[str, Any]:
    return dict(turnout.ask("compare", "app", "--anew", *words, expect=expect, timeout_s=120))


def rows_of(found: dict[str, Any], table: str) -> dict[str, set[tuple[str, ...]]]:
    """kind → keys, of one table."""
    out: dict[str, set[tuple[str, ...]]] = {}
    for row in found["differing"]:
        if row["table"] == table:
            out.setdefault(row["kind"], set()).add(tuple(row.get("key", {}).values()))
    return out


def stage_of(found: dict[str, Any], table: str) -> dict[str, Any]:
    return next(dict(one) for one in found["tables"] if one["table"] == table)
