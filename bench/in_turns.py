"""What a feature costs: Turnout with it and without it under the same load, in turns, in each round, on one process.

Only the ratio of the two counts.
"""
from __future__ import annotations

from typing import Any, Callable, Sequence

from peers import say, turnout
from report import Row

from harness.pair import Pair  # peers.py has put tests/e2e on the path
from harness.workspace import Workspace


def run(workspace: Workspace, part: str, levels: Sequence[int], measured: Callable[[Any, int, str, int, float], Row], rounds: int,
        seconds: float, clients: list[int], modes: list[str], workers: int) -> list[Row]:
    """`measured(peer, level, mode, clients, seconds)` sets the level and measures under it."""
    pair = Pair(workspace, f"bench-{part}")
    pair.build(1)
    peer = turnout(workers)(workspace, pair.blue, pair.green)
    rows: list[Row] = []
    try:
        for round_number in range(rounds):
            for count in clients:
                for mode in modes:
                    for level in levels if round_number % 2 == 0 else levels[::-1]:
                        rows.append({"round": round_number, "mode": mode, "clients": count} | measured(peer, level, mode, count, seconds))
            say(f"{part}: round {round_number + 1} of {rounds} done")
    finally:
        peer.stop()
        pair.stop()
    return rows
