"""What is measured about a proxy at work: CPU and latency, system calls, memory of idle clients, logins.

Every function measures one peer once and returns plain figures; rounds, order and ratios are bench.py's. What the work
is (a `Load`) and how an idle client comes to be are the protocol's: ground.py.
"""
from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Protocol

from peers import DATABASE, PGBENCH, USER, Peer


class Load(Protocol):
    """Work that clients do. Of the figures `queries` is what costs are divided by."""

    pace: float  # transactions a second, of all clients; 0 = as many as go

    def run(self, peer: Peer, clients: int, *, each: int = 0, seconds: float = 0) -> dict[str, float]:
        """`each` transactions of every client, or as many as `seconds` have room for."""


class Idle(Protocol):
    """A client that has logged in, run one query, and stays."""

    def close(self) -> object: ...


# libpq would ask for TLS first, which is one more round trip at each login and the same for all of them.
_ENVIRONMENT = {**os.environ, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}
_FIGURES = {
    "transactions": re.compile(r"^number of transactions actually processed: (\d+)", re.M),
    "failed": re.compile(r"^number of failed transactions: (\d+)", re.M),
    "latency_ms": re.compile(r"^latency average = ([\d.]+) ms", re.M),
    "tps": re.compile(r"^tps = ([\d.]+)", re.M),
}


def pgbench(peer: Peer, *arguments: str) -> dict[str, float]:
    command = [str(PGBENCH), "-n", "-h", "127.0.0.1", "-p", str(peer.port), "-U", USER, *arguments, DATABASE]
    done = subprocess.run(command, capture_output=True, text=True, env=_ENVIRONMENT, check=False)
    found = {name: pattern.search(done.stdout) for name, pattern in _FIGURES.items()}
    if done.returncode != 0 or not all(found.values()) or found["failed"].group(1) != "0":  # type: ignore[union-attr]
        raise RuntimeError(f"{peer.name}: {' '.join(command)} ended with {done.returncode}\n{done.stderr[-1500:]}"
                           f"{peer.log_tail()}")
    return {name: float(match.group(1)) for name, match in found.items() if match}


def threads(clients: int) -> str:
    return str(min(clients, os.cpu_count() or 1))


class SelectOnly:
    """pgbench -S in one of its modes: a query a transaction."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self.pace = 0.0

    def run(self, peer: Peer, clients: int, *, each: int = 0, seconds: float = 0) -> dict[str, float]:
        amount = ("-t", str(each)) if each else ("-T", str(max(1, round(seconds))))
        if self.pace:
            amount += ("-R", str(self.pace))
        figures = pgbench(peer, "-S", "-M", self._mode, "-c", str(clients), "-j", threads(clients), *amount)
        return figures | {"queries": figures["transactions"]}


def cpu(peer: Peer, load: Load, clients: int, seconds: float) -> dict[str, float]:
    """CPU of the proxy's process divided by the queries."""
    load.run(peer, clients, each=20)  # opens server connections, warms caches
    before = peer.cpu_s()
    figures = load.run(peer, clients, seconds=seconds)
    figures["cpu_us"] = (peer.cpu_s() - before) * 1e6 / figures["queries"]
    return figures


# ---- system calls


def syscalls(peer: Peer, load: Load, transactions: int = 1000) -> dict[str, float]:
    """Per query at one client: a long run minus a short one, so that the login and the tracing itself cancel out."""
    load.run(peer, 1, each=50)
    (short, few), (long, many) = (_traced(peer, load, count) for count in (transactions // 4, transactions // 4 + transactions))
    calls = {name: (long.get(name, 0) - short.get(name, 0)) / (many - few) for name in sorted({*short, *long})}
    calls = {name: count for name, count in calls.items() if abs(count) >= 0.005}
    return {"total": sum(calls.values()), **calls}


def _traced(peer: Peer, load: Load, transactions: int) -> tuple[dict[str, int], float]:
    assert peer.pid and peer.log
    output = peer.log.with_suffix(".strace")
    tracer = subprocess.Popen(["strace", "-c", "-f", "-o", str(output), "-p", str(peer.pid)], stderr=subprocess.DEVNULL)
    try:
        _wait_until_traced(peer.pid)
        queries = load.run(peer, 1, each=transactions)["queries"]
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    rows = [line.split() for line in output.read_text().splitlines()]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"}, queries


def _wait_until_traced(pid: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        states = [Path(task, "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        if all(re.search(r"^TracerPid:\s+[1-9]", state, re.M) for state in states):
            return
        if time.monotonic() > deadline:
            raise RuntimeError("strace could not attach: is ptrace allowed here?")
        time.sleep(0.02)


# ---- memory


def memory(peer: Peer, idle_client: Callable[[int], Idle], clients: int) -> dict[str, float]:
    """Resident memory that `clients` more idle ones cost, for each. The first 50 pay for what is allocated once."""
    warm = [idle_client(peer.port) for _ in range(50)]
    time.sleep(0.5)
    before = peer.rss_bytes()
    idle = [idle_client(peer.port) for _ in range(clients)]
    time.sleep(1.0)
    after = peer.rss_bytes()
    for client in warm + idle:
        client.close()
    return {"bytes_per_client": (after - before) / clients, "rss_empty_bytes": before, "rss_full_bytes": after}


# ---- logins


def logins(peer: Peer, seconds: float, clients: int = 4) -> dict[str, Any]:
    """A connection for each `SELECT 1`, four clients at it all the time."""
    script = Path(peer.log.parent if peer.log else "/tmp") / "select1.sql"
    script.write_text("SELECT 1;\n")
    load = ("-C", "-f", str(script), "-c", str(clients), "-j", threads(clients))
    pgbench(peer, *load, "-t", "10")
    before = peer.cpu_s()
    figures = pgbench(peer, *load, "-T", str(max(1, round(seconds))))
    return {"per_second": figures["tps"], "cpu_us": (peer.cpu_s() - before) * 1e6 / figures["transactions"]}
