"""What a feature costs: Turnout with it and without it under the same load, in turns, in each round, on one process.

Only the ratio of the two counts.
"""
from __future__ import annotations

from typing import Any, Callable, Sequence

from ground import Ground
from measure import Load
from peers import say
from report import Row

from harness.workspace import Workspace  # peers.py has put tests/e2e on the path


def run(workspace: Workspace, ground: Ground, part: str, levels: Sequence[int], measured: Callable[[Any, int, Load, int, float], Row],
        rounds: int, seconds: float, clients: list[int], modes: list[str], workers: int, pace: float) -> list[Row]:
    """`measured(peer, level, load, clients, seconds)` sets the level and measures under it; `pace`: of the load."""
    pair = ground.start_pair(workspace, f"bench-{part}")
    peer = ground.turnout(workers)(workspace, pair.blue, pair.green)
    rows: list[Row] = []
    try:
        for round_number in range(rounds):
            for count in clients:
                for mode in modes:
                    for level in levels if round_number % 2 == 0 else levels[::-1]:
                        load = ground.loads[mode]()
                        load.pace = pace
                        figures = measured(peer, level, load, count, seconds)
                        rows.append({"round": round_number, "mode": mode, "clients": count} | figures)
            say(f"{part}: round {round_number + 1} of {rounds} done")
    finally:
        peer.stop()
        for server in (pair.green, pair.blue):  # who follows first, or it complains about whom it follows
            server.stop()
    return rows
