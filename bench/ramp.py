"""What a ramp costs: CPU of Turnout per transaction with half of the reads on green, against the same load with none.

Both weights are measured in each round, on one process, in turns, and only their ratio counts. `simple` sends literals in
the text, so every statement goes through the shape lexer; `prepared` remembers its verdict.
"""
from __future__ import annotations

import time
from typing import Any

import measure
from measure import pgbench
from peers import DATABASE, say, turnout
from report import Row, distinct, ratios, spread, table

from harness.pair import Pair  # peers.py has put tests/e2e on the path
from harness.workspace import Workspace

WEIGHTS = (0, 50)


def run(workspace: Workspace, rounds: int, seconds: float, clients: list[int], modes: list[str], workers: int) -> list[Row]:
    pair = Pair(workspace, "bench-ramp")
    pair.build(1)
    peer = turnout(workers)(workspace, pair.blue, pair.green)
    rows: list[Row] = []
    try:
        for round_number in range(rounds):
            for count in clients:
                for mode in modes:
                    for weight in WEIGHTS if round_number % 2 == 0 else WEIGHTS[::-1]:
                        rows.append({"round": round_number, "target": f"weight {weight}", "mode": mode, "clients": count}
                                    | weighed(peer, weight, mode, count, seconds))
            say(f"ramp: round {round_number + 1} of {rounds} done")
    finally:
        peer.stop()
        pair.stop()
    return rows


def weighed(peer: Any, weight: int, mode: str, clients: int, seconds: float) -> dict[str, float]:
    shift = peer.server.cli("shift", DATABASE, str(weight), "--yes")
    if shift.code != 0:
        raise RuntimeError(f"turnout shift {weight}: {shift}")
    # The threshold follows what the sessions of a running load read: give it one.
    pgbench(peer, "-S", "-M", mode, "-c", str(clients), "-j", "2", "-T", "2")
    before = reads(peer)
    figures = measure.cpu(peer, mode, clients, seconds)
    after = reads(peer)
    green, blue = after["green"] - before["green"], after["blue"] - before["blue"]
    return figures | {"green_percent": 100 * green / (green + blue) if green + blue else 0.0}


def reads(peer: Any) -> dict[str, float]:
    time.sleep(0.1)
    samples = peer.server.metrics()
    return {side: sum(value for key, value in samples.items()
                      if key.startswith("turnout_ramped_reads_total") and f'side="{side}"' in key) for side in ("blue", "green")}


def ramp_tables(rows: list[Row]) -> list[str]:
    lines: list[str] = []
    for mode, clients in distinct(rows, "mode", "clients"):
        part = [row for row in rows if row["mode"] == mode and row["clients"] == clients]
        body = []
        for name in (f"weight {weight}" for weight in WEIGHTS):
            own = [row for row in part if row["target"] == name]
            body.append([name, spread((row["tps"] for row in own), 0), spread((row["green_percent"] for row in own), 0),
                         spread(row["cpu_us"] for row in own),
                         spread(ratios(part, name, "weight 0", lambda row: row["cpu_us"]), 2)])
        lines += table(f"ramp: pgbench -S -M {mode} -c {clients}",
                       ["", "tps", "% on green", "proxy CPU µs/transaction", "× weight 0"], body)
    return lines
