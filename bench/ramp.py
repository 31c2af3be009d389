"""What a ramp costs: CPU of Turnout per transaction with half of the reads on green, against the same load with none.

`simple` and `text` send literals in the text, so every statement goes through the shape lexer; `prepared` remembers its verdict.
"""
from __future__ import annotations

import time
from typing import Any

import in_turns
import measure
from ground import Ground
from peers import DATABASE
from report import Row, distinct, ratios, spread, table

from harness.workspace import Workspace  # peers.py has put tests/e2e on the path

WEIGHTS = (0, 50)


def run(workspace: Workspace, ground: Ground, *how: Any) -> list[Row]:
    return in_turns.run(workspace, ground, "ramp", WEIGHTS, weighed, *how)


def weighed(peer: Any, weight: int, load: measure.Load, clients: int, seconds: float) -> Row:
    shift = peer.server.cli("shift", DATABASE, str(weight), "--yes")
    if shift.code != 0:
        raise RuntimeError(f"turnout shift {weight}: {shift}")
    # The threshold follows what the sessions of a running load read: give it one.
    load.run(peer, clients, seconds=2)
    before = reads(peer)
    figures = measure.cpu(peer, load, clients, seconds)
    return figures | {"target": f"weight {weight}", "green_percent": green_percent(before, reads(peer))}


def reads(peer: Any) -> dict[str, float]:
    time.sleep(0.1)
    samples = peer.server.metrics()
    return {side: sum(value for key, value in samples.items()
                      if key.startswith("turnout_ramped_reads_total") and f'side="{side}"' in key) for side in ("blue", "green")}


def green_percent(before: dict[str, float], after: dict[str, float]) -> float:
    """Of the proven reads between the two."""
    green, blue = after["green"] - before["green"], after["blue"] - before["blue"]
    return 100 * green / (green + blue) if green + blue else 0.0


def ramp_tables(rows: list[Row], ground: Ground) -> list[str]:
    lines: list[str] = []
    for mode, clients in distinct(rows, "mode", "clients"):
        part = [row for row in rows if row["mode"] == mode and row["clients"] == clients]
        body = []
        for name in (f"weight {weight}" for weight in WEIGHTS):
            own = [row for row in part if row["target"] == name]
            body.append([name, spread((row["tps"] for row in own), 0), spread((row["green_percent"] for row in own), 0),
                         spread(row["cpu_us"] for row in own),
                         spread(ratios(part, name, "weight 0", lambda row: row["cpu_us"]), 2)])
        lines += table(f"ramp: {ground.load_title} {mode}, {clients} at a time",
                       ["", "tps", "% on green", f"proxy CPU µs/{ground.unit}", "× weight 0"], body)
    return lines
