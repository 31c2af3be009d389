"""What a shadow costs: CPU of Turnout per transaction with a tenth of the reads run on green as well, against the same load with none.

Green's own work is not Turnout's.
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

SHARES = (0, 10)


def run(workspace: Workspace, ground: Ground, *how: Any) -> list[Row]:
    return in_turns.run(workspace, ground, "shadow", SHARES, shadowed, *how)


def shadowed(peer: Any, share: int, load: measure.Load, clients: int, seconds: float) -> Row:
    words = ("off",) if share == 0 else ("on", str(share))
    order = peer.server.cli("shadow", DATABASE, *words, "--yes")
    if order.code != 0:
        raise RuntimeError(f"turnout shadow {share}: {order}")
    load.run(peer, clients, seconds=2)
    before = counts(peer)
    figures = measure.cpu(peer, load, clients, seconds)
    after = counts(peer)
    ran, dropped, read = (after[key] - before[key] for key in ("ran", "dropped", "read"))
    return figures | {"target": f"shadow {share} %",
                      "shadow_percent": 100 * ran / read if read else 0.0,
                      "dropped_percent": 100 * dropped / (ran + dropped) if ran + dropped else 0.0}


def counts(peer: Any) -> dict[str, float]:
    time.sleep(0.7)  # control asks the workers twice a second
    samples = peer.server.metrics()

    def total(name: str) -> float:
        return sum(value for key, value in samples.items() if key.startswith(name + "{"))

    return {"ran": total("turnout_shadow_reads"), "dropped": total("turnout_shadow_dropped"), "read": total("turnout_queries_total")}


def shadow_tables(rows: list[Row], ground: Ground) -> list[str]:
    lines: list[str] = []
    for mode, clients in distinct(rows, "mode", "clients"):
        part = [row for row in rows if row["mode"] == mode and row["clients"] == clients]
        body = []
        for name in (f"shadow {share} %" for share in SHARES):
            own = [row for row in part if row["target"] == name]
            body.append([name, spread((row["tps"] for row in own), 0), spread((row["shadow_percent"] for row in own), 1),
                         spread((row["dropped_percent"] for row in own), 1), spread(row["cpu_us"] for row in own),
                         spread(ratios(part, name, "shadow 0 %", lambda row: row["cpu_us"]), 2)])
        lines += table(f"shadow: {ground.load_title} {mode}, {clients} at a time",
                       ["", "tps", "% run on green too", "% dropped", f"proxy CPU µs/{ground.unit}", "× without"], body)
    return lines
