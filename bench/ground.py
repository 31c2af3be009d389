"""What is measured upon: a server or a pair, who stands before it, the work, and clients that do nothing. One for each protocol."""
from __future__ import annotations

import re
import socket
import struct
import subprocess
from dataclasses import dataclass
from typing import Any, Callable

import pymysql

import measure
import peers
from peers import DATABASE, PGBENCH, USER, Peer

from harness import mariadb, mysql97, sysbench  # peers.py has put tests/e2e on the path
from harness.mariadb import MariaDb
from harness.mariadb_pair import MariaPair
from harness.mysql97_pair import Mysql97Pair
from harness.pair import Pair
from harness.postgres import DEBIAN_BIN, Postgres
from harness.workspace import Workspace

Starter = Callable[..., Peer]


@dataclass(frozen=True)
class Ground:
    start_server: Callable[[Workspace], Any]
    start_pair: Callable[[Workspace, str], Any]          # what has .blue and .green, which follows it; under that name
    starters: Callable[[list[int]], dict[str, Starter]]  # by the number of Turnout's workers, each a target
    turnout: Callable[[int], Callable[..., peers.Turnout]]  # by the number of workers, before a server or a pair
    loads: dict[str, Callable[[], measure.Load]]         # by mode
    idle_client: Callable[[int], measure.Idle]
    modes: list[str]     # those that are measured by default
    reads: list[str]     # and where the work has to be reads, outside of transactions
    clients: list[int]   # few, usual, many
    load_title: str
    unit: str            # what costs are divided by
    rival: str           # besides the relay
    mysql_pair: type[MariaPair] | None = None  # what moves its writes, where that is MySQL's protocol


def with_turnouts(found: dict[str, Starter], workers: list[int], start: Callable[[int, str], Starter]) -> dict[str, Starter]:
    for count in workers:
        name = f"turnout-{count}w" if count else "turnout"
        found[name] = start(count, name)
    return found


# ---- PostgreSQL


def start_postgres(workspace: Workspace) -> Postgres:
    server = Postgres(workspace, "bench", DEBIAN_BIN)
    server.initialise()
    server.start()
    server.create_roles()
    server.sql(f"CREATE DATABASE {DATABASE} OWNER {USER}", database="postgres")
    subprocess.run([str(PGBENCH), "-i", "-q", "-s", "1", "-h", "127.0.0.1", "-p", str(server.port), "-U", USER, DATABASE], check=True,
                   capture_output=True)
    return server


def postgres_pair(workspace: Workspace, name: str) -> Pair:
    pair = Pair(workspace, name)
    pair.build(1)
    return pair


def before_postgres(workers: list[int]) -> dict[str, Starter]:
    return with_turnouts({"direct": peers.direct, "relay": peers.relay, "haproxy": peers.haproxy, "pgbouncer": peers.pgbouncer},
                         workers, peers.turnout)


def idle_in_postgres(port: int) -> socket.socket:
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


POSTGRES = Ground(
    start_postgres, postgres_pair, before_postgres, peers.turnout,
    {mode: lambda mode=mode: measure.SelectOnly(mode) for mode in ("simple", "extended", "prepared")},  # type: ignore[misc]
    idle_in_postgres, ["simple", "prepared"], ["simple", "prepared"], [1, 16, 64], "pgbench -S -M", "transaction", "pgbouncer")


# ---- MySQL's protocol, as MariaDB and MySQL itself speak it


class Sysbench:
    """One of sysbench's own scripts, with prepared statements or with text."""

    def __init__(self, script: str, is_prepared: bool) -> None:
        self._script = script
        self._options = (f"--db-ps-mode={'auto' if is_prepared else 'disable'}",)
        self.pace = 0.0

    def run(self, peer: Peer, clients: int, *, each: int = 0, seconds: float = 0) -> dict[str, float]:
        amount = (f"--events={each * clients}", "--time=0") if each else ("--events=0", f"--time={max(1, round(seconds))}")
        command = sysbench.command(peer.port, self._script, "run", f"--threads={clients}", f"--rate={round(self.pace)}", *self._options, *amount)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = {name: re.search(pattern, done.stdout, re.M) for name, pattern in _FIGURES.items()}
        if done.returncode != 0 or not all(found.values()):
            raise RuntimeError(f"{peer.name}: {' '.join(command)} ended with {done.returncode}\n{done.stdout[-1500:]}"
                               f"{done.stderr[-1500:]}{peer.log_tail()}")
        return {name: float(match.group(1)) for name, match in found.items() if match}


_FIGURES = {
    "transactions": r"^\s*transactions:\s+(\d+)",
    "tps": r"^\s*transactions:\s+\d+\s+\(([\d.]+) per sec",
    "queries": r"^\s*queries:\s+(\d+)",
    "latency_ms": r"^\s*avg:\s+([\d.]+)",
}


def must_be_there(product: type[MariaDb]) -> None:
    if product is mysql97.Mysql97 and not mysql97.is_there():
        raise peers.Missing(mysql97.MISSING)


def start_mysql(workspace: Workspace, product: type[MariaDb]) -> MariaDb:
    must_be_there(product)
    server = product(workspace, f"bench-{product.PRODUCT}", options=["--max-connections=1000"])
    server.start()
    sysbench.fill(server.port)
    return server


def start_mysql_pair(workspace: Workspace, kind: type[MariaPair], name: str) -> MariaPair:
    must_be_there(kind.SERVER)
    pair = kind(workspace, name=f"{name}-")
    pair.start()
    sysbench.fill(pair.blue.port)
    pair.caught_up()
    return pair


def before_mysql(workers: list[int]) -> dict[str, Starter]:
    return with_turnouts({"direct": peers.direct, "relay": peers.relay, "haproxy": peers.haproxy, "mysqlrouter": peers.mysqlrouter,
                          "mysqlrouter-1t": lambda workspace, server: peers.mysqlrouter(workspace, server, 1)},
                         workers, peers.mysql_turnout)


def idle_in_mysql(port: int) -> measure.Idle:
    client = pymysql.connect(host="127.0.0.1", port=port, user="app", password=mariadb.PASSWORD, database=mariadb.DATABASE,
                             connect_timeout=20)
    with client.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
    return client


def mysql_ground(pair: type[MariaPair]) -> Ground:
    return Ground(
        lambda workspace: start_mysql(workspace, pair.SERVER), lambda workspace, name: start_mysql_pair(workspace, pair, name),
        before_mysql, peers.mysql_turnout,
        {"text": lambda: Sysbench("oltp_point_select", False), "prepared": lambda: Sysbench("oltp_point_select", True),
         "read_write": lambda: Sysbench("oltp_read_write", True)},
        idle_in_mysql, ["text", "prepared", "read_write"], ["text", "prepared"], [1, 8, 64], f"sysbench, {pair.SERVER.PRODUCT},", "query",
        "mysqlrouter", pair)


# By the word of --server.
MYSQL = {"mariadb": mysql_ground(MariaPair), "mysql": mysql_ground(Mysql97Pair)}
