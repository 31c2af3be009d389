"""What is measured about a proxy at work: CPU and latency, system calls, memory of idle clients, logins.

Every function measures one peer once and returns plain figures; rounds, order and ratios are bench.py's.
"""
from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from peers import DATABASE, PGBENCH, USER, Peer

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


def _threads(clients: int) -> str:
    return str(min(clients, os.cpu_count() or 1))


def cpu(peer: Peer, mode: str, clients: int, seconds: float) -> dict[str, float]:
    """Select-only load; CPU of the proxy's process divided by the transactions."""
    load = ("-S", "-M", mode, "-c", str(clients), "-j", _threads(clients))
    pgbench(peer, *load, "-t", "20")  # opens server connections, warms caches
    before = peer.cpu_s()
    figures = pgbench(peer, *load, "-T", str(max(1, round(seconds))))
    figures["cpu_us"] = (peer.cpu_s() - before) * 1e6 / figures["transactions"]
    return figures


# ---- system calls


def syscalls(peer: Peer, mode: str, transactions: int = 1000) -> dict[str, float]:
    """Per transaction at one client: a long run minus a short one, so that the login and the tracing itself cancel out."""
    pgbench(peer, "-S", "-M", mode, "-c", "1", "-t", "50")
    short, long = (_traced(peer, mode, count) for count in (transactions // 4, transactions // 4 + transactions))
    calls = {name: (long.get(name, 0) - short.get(name, 0)) / transactions for name in sorted({*short, *long})}
    calls = {name: count for name, count in calls.items() if abs(count) >= 0.005}
    return {"total": sum(calls.values()), **calls}


def _traced(peer: Peer, mode: str, transactions: int) -> dict[str, int]:
    assert peer.pid and peer.log
    output = peer.log.with_suffix(".strace")
    tracer = subprocess.Popen(["strace", "-c", "-f", "-o", str(output), "-p", str(peer.pid)], stderr=subprocess.DEVNULL)
    try:
        _wait_until_traced(peer.pid)
        pgbench(peer, "-S", "-M", mode, "-c", "1", "-t", str(transactions))
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    rows = [line.split() for line in output.read_text().splitlines()]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"}


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


def _idle_client(port: int) -> socket.socket:
    """Logs in, runs one query, and stays."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    parameters = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    client.sendall(struct.pack("!ii", 8 + len(parameters), 196608) + parameters)
    _until_ready(client)
    query = b"SELECT 1\0"
    client.sendall(b"Q" + struct.pack("!i", 4 + len(query)) + query)
    _until_ready(client)
    return client


def _until_ready(client: socket.socket) -> None:
    answer = b""
    while not answer.endswith(b"Z\0\0\0\5I"):
        got = client.recv(65536)
        if not got:
            raise RuntimeError(f"the proxy ended the connection after {answer!r}")
        answer += got


def memory(peer: Peer, clients: int) -> dict[str, float]:
    """Resident memory that `clients` more idle ones cost, for each. The first 50 pay for what is allocated once."""
    warm = [_idle_client(peer.port) for _ in range(50)]
    time.sleep(0.5)
    before = peer.rss_bytes()
    idle = [_idle_client(peer.port) for _ in range(clients)]
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
    load = ("-C", "-f", str(script), "-c", str(clients), "-j", _threads(clients))
    pgbench(peer, *load, "-t", "10")
    before = peer.cpu_s()
    figures = pgbench(peer, *load, "-T", str(max(1, round(seconds))))
    return {"per_second": figures["tps"], "cpu_us": (peer.cpu_s() - before) * 1e6 / figures["transactions"]}
