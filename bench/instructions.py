"""What a query costs in instructions of the worker that serves it, counted by valgrind: no clock, so a busy machine changes nothing.

A long run minus a short one, so that logins cancel out. The kernel's work is not in it: read it beside `cpu`, `ramp` and `shadow`.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import measure
import ramp
from ground import Ground
from peers import DATABASE, Missing, Turnout
from report import Row, distinct, table

import harness.turnout
from harness.workspace import Workspace  # peers.py has put tests/e2e on the path

LEVELS = {"without": (("shadow", "off"), ("shift", "0")), "shadow 10 %": (("shift", "0"), ("shadow", "on", "10")),
          "ramp 50 %": (("shadow", "off"), ("shift", "50"))}
CLIENTS, SHORT, LONG = 4, 100, 1100  # transactions of each client


def run(workspace: Workspace, ground: Ground, modes: list[str], read_modes: list[str]) -> list[Row]:
    if not shutil.which("valgrind"):
        raise Missing("no valgrind: `apt-get install valgrind`")
    pair = ground.start_pair(workspace, "bench-instructions")
    counts = workspace.directory("callgrind")
    peer = counted_turnout(workspace, counts, lambda: ground.turnout(1)(workspace, pair.blue, pair.green))
    try:
        return [counted(peer, counts, ground, mode, level, orders) for mode in modes for level, orders in LEVELS.items()
                if mode in read_modes or level == "without"]
    finally:
        peer.stop()
        for server in (pair.green, pair.blue):
            server.stop()


def counted_turnout(workspace: Workspace, counts: Path, start: Callable[[], Turnout]) -> Turnout:
    """What `start` starts as the program named Turnout runs under valgrind."""
    wrapped = workspace.directory("counted") / "turnout"
    wrapped.write_text(f'#!/bin/sh\nif [ "$1" = run ]; then exec valgrind -q --tool=callgrind --separate-threads=yes '
                       f'--callgrind-out-file={counts}/%p {harness.turnout.binary()} "$@"; fi\nexec {harness.turnout.binary()} "$@"\n')
    wrapped.chmod(0o755)
    before, os.environ["TURNOUT_BINARY"] = os.environ.get("TURNOUT_BINARY"), str(wrapped)
    try:
        return start()
    finally:
        os.environ.pop("TURNOUT_BINARY")
        if before is not None:
            os.environ["TURNOUT_BINARY"] = before


def counted(peer: Any, counts: Path, ground: Ground, mode: str, level: str, orders: tuple[tuple[str, ...], ...]) -> Row:
    for words in orders:
        order = peer.server.cli(words[0], DATABASE, *words[1:], "--yes")
        if order.code != 0:
            raise RuntimeError(f"turnout {' '.join(words)}: {order}")
    load = ground.loads[mode]()
    # Opens server connections; the ramp's threshold follows a running load, and a shadow looks at 2 000 units before it looks at fewer.
    instructions(peer, counts, load, 600)
    before = ramp.reads(peer)
    (short, few), (long, many) = (instructions(peer, counts, load, transactions) for transactions in (SHORT, LONG))
    return {"target": level, "mode": mode, "instructions": (long - short) / (many - few),
            "green_percent": ramp.green_percent(before, ramp.reads(peer))}


def instructions(peer: Any, counts: Path, load: measure.Load, transactions: int) -> tuple[int, float]:
    """Of the busiest thread, which is the one worker; and how many queries there were."""
    control(peer, "--zero")
    known = set(counts.iterdir())
    queries = load.run(peer, CLIENTS, each=transactions)["queries"]
    control(peer, "--dump")
    time.sleep(0.5)  # the last file may still be written
    totals = [re.search(r"^totals: (\d+)", file.read_text(), re.M) for file in set(counts.iterdir()) - known]
    return max(int(total.group(1)) for total in totals if total), queries


def control(peer: Any, order: str) -> None:
    subprocess.run(["callgrind_control", order, str(peer.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def instruction_tables(rows: list[Row], ground: Ground) -> list[str]:
    lines: list[str] = []
    for mode in distinct(rows, "mode"):
        part = {row["target"]: row for row in rows if row["mode"] == mode}
        body = [[level, f"{row['green_percent']:.0f}", f"{row['instructions']:.0f}", f"{row['instructions'] / part['without']['instructions']:.2f}"]
                for level, row in part.items()]
        lines += table(f"instructions: {ground.load_title} {mode}, {CLIENTS} at a time",
                       ["", "% on green", f"worker's instructions/{ground.unit}", "× without"], body)
    return lines
