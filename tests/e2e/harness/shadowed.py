"""`turnout shadow`, and what it has found."""
from __future__ import annotations

import json
import time
from typing import Any, Callable

from .turnout import Turnout


def report(turnout: Turnout) -> dict[str, Any]:
    return dict(turnout.rest("/v1/deployments/app/shadow")[1])


def shape_of(found: dict[str, Any], text: str) -> dict[str, Any]:
    return next((dict(one) for one in found["shapes"] if text in one["shape"]), {})


def differing(found: dict[str, Any]) -> list[Any]:
    return [shape for shape in found["shapes"] if shape["different"] or shape["failed"]]


def wait_for(turnout: Turnout, is_so: Callable[[dict[str, Any]], bool], again: Callable[[], Any] = lambda: None,
             timeout_s: float = 60) -> dict[str, Any]:
    """Runs `again` until the report is so."""
    deadline = time.monotonic() + timeout_s
    while True:
        again()
        found = report(turnout)
        if is_so(found):
            return found
        assert time.monotonic() < deadline, f"{json.dumps(found)[:4000]}\n{turnout.log_tail()}"
        time.sleep(0.02)


def wait_for_reads(turnout: Turnout, side: str, more: int) -> dict[str, Any]:
    now = report(turnout)
    before = now["same"] if now["side"] == side else 0  # numbers of the other side: they begin anew
    return wait_for(turnout, lambda r: r["side"] == side and r["same"] >= before + more)


def on(turnout: Turnout, percent: int = 100) -> None:
    turnout.ask("shadow", "app", "on", str(percent))
    assert turnout.status()["shadow_percent"] == percent


def off(turnout: Turnout) -> None:
    """Whatever the test before has left."""
    if not turnout.alive():
        turnout.start()
    turnout.ask("shadow", "app", "off")
