"""What a statement costs in instructions of the worker that serves it, counted by valgrind: no clock, so a busy machine changes nothing.

A long run minus a short one, so that logins cancel out. The kernel's work is not in it: read it beside `ramp` and `shadow`.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from measure import pgbench
from peers import DATABASE, Missing, turnout
from report import Row, distinct, table

import harness.turnout
from harness.pair import Pair  # peers.py has put tests/e2e on the path
from harness.workspace import Workspace

LEVELS = {"without": (("shadow", "off"), ("shift", "0")), "shadow 10 %": (("shift", "0"), ("shadow", "on", "10")),
          "ramp 50 %": (("shadow", "off"), ("shift", "50"))}
CLIENTS, SHORT, LONG = 4, 100, 1100  # transactions of each client


def run(workspace: Workspace, modes: list[str]) -> list[Row]:
    if not shutil.which("valgrind"):
        raise Missing("no valgrind: `apt-get install valgrind`")
    counts = workspace.directory("callgrind")
    wrapped = workspace.directory("counted") / "turnout"
    wrapped.write_text(f'#!/bin/sh\nif [ "$1" = run ]; then exec valgrind -q --tool=callgrind --separate-threads=yes '
                       f'--callgrind-out-file={counts}/%p {harness.turnout.binary()} "$@"; fi\nexec {harness.turnout.binary()} "$@"\n')
    wrapped.chmod(0o755)
    pair = Pair(workspace, "bench-instructions")
    pair.build(1)
    before, os.environ["TURNOUT_BINARY"] = os.environ.get("TURNOUT_BINARY"), str(wrapped)
    try:
        peer = turnout(1)(workspace, pair.blue, pair.green)
    finally:
        os.environ.pop("TURNOUT_BINARY")
        if before is not None:
            os.environ["TURNOUT_BINARY"] = before
    try:
        return [counted(peer, counts, mode, level) for mode in modes for level in LEVELS]
    finally:
        peer.stop()
        pair.stop()


def counted(peer: Any, counts: Path, mode: str, level: str) -> Row:
    for words in LEVELS[level]:
        order = peer.server.cli(words[0], DATABASE, *words[1:], "--yes")
        if order.code != 0:
            raise RuntimeError(f"turnout {' '.join(words)}: {order}")
    instructions(peer, counts, mode, 150)  # opens server connections; the ramp's threshold follows a running load
    short, long = (instructions(peer, counts, mode, transactions) for transactions in (SHORT, LONG))
    return {"target": level, "mode": mode, "instructions": (long - short) / (CLIENTS * (LONG - SHORT))}


def instructions(peer: Any, counts: Path, mode: str, transactions: int) -> int:
    """Of the busiest thread, which is the one worker."""
    control(peer, "--zero")
    known = set(counts.iterdir())
    pgbench(peer, "-S", "-M", mode, "-c", str(CLIENTS), "-t", str(transactions))
    control(peer, "--dump")
    time.sleep(0.5)  # the last file may still be written
    totals = [re.search(r"^totals: (\d+)", file.read_text(), re.M) for file in set(counts.iterdir()) - known]
    return max(int(total.group(1)) for total in totals if total)


def control(peer: Any, order: str) -> None:
    subprocess.run(["callgrind_control", order, str(peer.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def instruction_tables(rows: list[Row]) -> list[str]:
    lines: list[str] = []
    for mode in distinct(rows, "mode"):
        part = {row["target"]: row["instructions"] for row in rows if row["mode"] == mode}
        body = [[level, f"{count:.0f}", f"{count / part['without']:.2f}"] for level, count in part.items()]
        lines += table(f"instructions: pgbench -S -M {mode} -c {CLIENTS}", ["", "worker's instructions/query", "× without"], body)
    return lines
