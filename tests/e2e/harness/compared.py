"""`turnout compare`, and what it has found."""
from __future__ import annotations

import time
from typing import Any

from .turnout import CONFLICT, DONE, Turnout


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


def assert_goes_on_after_a_kill(turnout: Turnout, table: str, pieces_max: int) -> None:
    """Of 60 000 rows by `id`; 300 and 59000, one on either side of the kill, are only on blue."""
    words = ("--table", table, "--rows-per-second", "12000")
    assert turnout.cli("compare", "app", "--anew", "--detach", *words).code == DONE
    assert turnout.cli("compare", "app", "--detach").code == CONFLICT, "one at a time"
    wait_for(turnout, lambda r: r["rows"] >= 20000)
    time.sleep(1.1)  # what it knows is on disk at least every second
    turnout.kill9()
    turnout.start()
    broken = report(turnout)
    assert broken["phase"] == "interrupted" and broken["rows"] >= 15000, broken
    started = turnout.rest("/v1/deployments/app/compare", {"rows_per_second": 1_000_000})
    assert started[0] == 202 and started[1]["goes_on"], started
    done = wait_for(turnout, lambda r: r["phase"] == "finished")
    wide = stage_of(done, table)
    assert 60000 <= wide["rows"] <= 60001 and wide["pieces"] <= pieces_max, "it did not begin anew"
    assert rows_of(done, table)["only_on_blue"] >= {("300",), ("59000",)}
    assert len([row for row in done["differing"] if row["key"] == {"id": "300"}]) == 1
