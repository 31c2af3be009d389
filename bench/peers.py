"""Who is measured: nobody (direct), the floor (relay), HAProxy, PgBouncer or MySQL Router, and Turnout, each a process of its own.

All of them listen on a free loopback port in front of one server, with trust towards clients (MySQL's log in with their
password), 20 server connections a pool where there is a pool, and no log line per connection. A peer that cannot be had is left out, and says so.
"""
from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Protocol

import pymysql

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))

import harness.turnout  # noqa: E402
from harness import sid_tree  # noqa: E402
from harness.certificates import Authority  # noqa: E402
from harness.mariadb import DATABASE as MYSQL_DATABASE, PASSWORD, users_file  # noqa: E402
from harness.postgres import DEBIAN_BIN, Postgres, superuser_of_system  # noqa: E402
from harness.workspace import Workspace, die_with_parent, free_port  # noqa: E402

POOL_SIZE = 20
DATABASE, USER = "app", "app"
PGBENCH = DEBIAN_BIN / "pgbench"


class Missing(Exception):
    """This peer cannot be measured here; the text says why and what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def own_tool(name: str) -> Path:
    """bench_relay and bench_probe come from the build tree; they are built when they are not there."""
    folders = [ROOT / "build/release/bench"]
    if "TURNOUT_BINARY" in os.environ:
        folders.insert(0, Path(os.environ["TURNOUT_BINARY"]).resolve().parent / "bench")
    if "TURNOUT_BENCH_BIN" in os.environ:
        folders.insert(0, Path(os.environ["TURNOUT_BENCH_BIN"]))
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    say(f"building {name}")
    for command in (["cmake", "--preset", "release"], ["cmake", "--build", "build/release", "--target", name]):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return ROOT / "build/release/bench" / name


class Server(Protocol):
    """Whichever database: it listens on loopback."""

    port: int


class Peer:
    """A running proxy. `pid` is None for direct; `port` is where clients go."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
        self.name, self.port, self.process, self.log = name, port, process, log

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def cpu_s(self) -> float:
        """User and system time of all threads so far. The kernel's CPU clock of a process counts in nanoseconds;
        /proc/PID/stat holds the same figure in hundredths of a second."""
        return time.clock_gettime((~self.pid << 3) | 2) if self.pid else 0.0

    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name} has no resident memory: has it ended? {self.log_tail()}")

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:]) if self.log and self.log.exists() else ""

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _spawn(workspace: Workspace, name: str, command: list[str], port: int, unprivileged: bool = False) -> Peer:
    log = workspace.directory("peers") / f"{name}-{port}.log"
    more: dict[str, Any] = {}
    user = superuser_of_system()
    if unprivileged and user:
        account = pwd.getpwnam(user)
        more = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with open(log, "wb") as output:
        # A session of its own, as Turnout has: on a busy machine the kernel shares the cores out among sessions first
        # (sched(7), autogroup), and who has to share with the load is let in later, finds more to do, and looks cheaper.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True,
                                   preexec_fn=die_with_parent(signal.SIGKILL), **more)
    peer = Peer(name, port, process, log)
    workspace.on_close(peer.stop)
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return peer
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                peer.stop()
                raise Missing(f"{name} did not start: {' '.join(command)}\n{peer.log_tail()}") from error
            time.sleep(0.02)


# ---- each of them


def direct(_workspace: Workspace, server: Server) -> Peer:
    return Peer("direct", server.port)


def relay(workspace: Workspace, server: Server) -> Peer:
    port = free_port()
    return _spawn(workspace, "relay", [str(own_tool("bench_relay")), str(port), str(server.port)], port)


def haproxy(workspace: Workspace, server: Server) -> Peer:
    binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
    if not Path(binary).exists():
        raise Missing("no HAProxy: `apt-get install haproxy`")
    port = free_port()
    file = workspace.directory("peers") / f"haproxy-{port}.cfg"
    # One thread, as PgBouncer and the relay have.
    file.write_text(f"global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode tcp\n  maxconn 8000\n  timeout connect 5s\n"
                    f"  timeout client 1h\n  timeout server 1h\n"
                    f"listen pg\n  bind 127.0.0.1:{port}\n  server blue 127.0.0.1:{server.port}\n")
    return _spawn(workspace, "haproxy", [binary, "-db", "-f", str(file)], port)


def pgbouncer_command() -> list[str]:
    """The tree's own loader and libraries, so that neither chroot nor root is needed."""
    if not sid_tree.has("pgbouncer"):
        raise Missing("no PgBouncer 1.26: `./dev bench --setup` makes a Debian sid tree with it in .cache/sid (root, a minute)")
    return sid_tree.command("usr/sbin/pgbouncer")


def pgbouncer_ini(listen_port: int, server_port: int, users_file: Path) -> str:
    return (f"[databases]\n{DATABASE} = host=127.0.0.1 port={server_port} dbname={DATABASE}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen_port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users_file}\nadmin_users = {USER}\n"
            f"pool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\nmax_client_conn = 8000\nmax_prepared_statements = 500\n"
            f"log_connections = 0\nlog_disconnections = 0\n")


class PgBouncer(Peer):
    """Knows its ini file, for the cutover by hand."""

    ini: Path
    users_file: Path

    def point_to(self, server: Postgres) -> None:
        self.ini.write_text(pgbouncer_ini(self.port, server.port, self.users_file))


def pgbouncer(workspace: Workspace, server: Postgres) -> PgBouncer:
    command = pgbouncer_command()
    port = free_port()
    users_file = workspace.directory("peers") / "users.txt"
    users_file.write_text(f'"{USER}" ""\n')
    ini = workspace.directory("peers") / f"pgbouncer-{port}.ini"
    ini.write_text(pgbouncer_ini(port, server.port, users_file))
    started = _spawn(workspace, "pgbouncer", [*command, "-q", str(ini)], port, unprivileged=True)
    peer = PgBouncer("pgbouncer", port, started.process, started.log)
    peer.ini, peer.users_file = ini, users_file
    return peer


SHARERS = 40  # clients that must not need a server connection each


def mysqlrouter(workspace: Workspace, server: Server, threads: int = 0) -> Peer:
    """With connection sharing, as a pool. 0 threads: as many as it takes by itself, one a core."""
    if not sid_tree.has("mysql-router"):
        raise Missing("no MySQL Router: `./dev setup --mysql` makes a Debian sid tree with it in .cache/sid (root, some minutes)")
    port = free_port()
    home = workspace.directory("peers") / f"mysqlrouter-{port}"
    for folder in ("run", "data", "log"):
        (home / folder).mkdir(parents=True)
    file = home / "router.conf"
    # It shares what it can log in anew by itself, and so it must learn the password, for which clients want its key (PREFERRED;
    # sysbench asks for no TLS, so nothing is encrypted but that).
    cert, key = Authority(home).server()
    file.write_text(f"[DEFAULT]\nlogging_folder={home}/log\nruntime_folder={home}/run\ndata_folder={home}/data\n"
                    f"plugin_folder={sid_tree.TREE}/usr/lib/mysqlrouter/plugin\nconfig_folder={home}\nmax_total_connections=8000\n"
                    f"[logger]\nlevel=WARNING\n[io]\nthreads={threads}\n"
                    f"[connection_pool]\nmax_idle_server_connections={POOL_SIZE}\n"
                    f"[routing:bench]\nbind_address=127.0.0.1\nbind_port={port}\ndestinations=127.0.0.1:{server.port}\n"
                    f"routing_strategy=first-available\nprotocol=classic\nclient_ssl_mode=PREFERRED\nclient_ssl_cert={cert}\n"
                    f"client_ssl_key={key}\nserver_ssl_mode=DISABLED\nconnection_sharing=1\nconnection_sharing_delay=0\n")
    peer = _spawn(workspace, f"mysqlrouter-{threads}t" if threads else "mysqlrouter", [*sid_tree.command("usr/bin/mysqlrouter"), "-c", str(file)], port)
    try:
        say(f"mysqlrouter: {SHARERS} clients share {shared_connections(peer, server)} server connections")
    except (pymysql.MySQLError, Missing) as error:
        peer.stop()
        raise error if isinstance(error, Missing) else Missing(f"mysqlrouter does not serve before this server: {error}") from error
    return peer


def shared_connections(peer: Peer, server: Any) -> int:
    """How many server connections as many clients use that have each run a statement; a router that shares none is no rival."""
    clients = [pymysql.connect(host="127.0.0.1", port=peer.port, user="app", password=PASSWORD, database=MYSQL_DATABASE, autocommit=True)
               for _ in range(SHARERS)]
    try:
        for _ in range(2):
            for client in clients:
                with client.cursor() as cursor:
                    cursor.execute("SELECT 1")
        used = int(server.sessions_of("app"))
    finally:
        for client in clients:
            client.close()
    if used > POOL_SIZE:
        raise Missing(f"mysqlrouter does not share: {SHARERS} clients had {used} server connections")
    return used


class Turnout(Peer):
    """The end-to-end tests' Turnout, with a green side or without one."""

    def __init__(self, name: str, workspace: Workspace, blue: Server, green: Server | None, workers: int,
                 changes: dict[str, Any] | None = None) -> None:
        without_green = {} if green else {"green": None, "databases": None}
        sides = SimpleNamespace(blue=blue, green=green or blue)
        self.server = harness.turnout.Turnout(workspace, sides, f"{name}-{free_port()}",  # type: ignore[arg-type]
                                              {"pool": {"size": POOL_SIZE}, **without_green, **(changes or {})})
        self.server.config |= {"workers": workers, "log_level": "warn"}
        self.server.write_config()
        self.server.start(timeout_s=90)  # under valgrind it takes its time
        super().__init__(name, self.server.port, None, self.server.log_file)

    @property
    def pid(self) -> int | None:
        return self.server.pid

    def stop(self) -> None:
        self.server.stop()


Changes = Callable[[Workspace], dict[str, Any]]


def turnout(workers: int, name: str = "turnout", changes: Changes = lambda _workspace: {}) -> Callable[..., Turnout]:
    """`workers` 0 is Turnout's default, one a core."""

    def start(workspace: Workspace, server: Server, green: Server | None = None) -> Turnout:
        try:
            harness.turnout.binary()
        except FileNotFoundError as error:
            raise Missing(str(error)) from error
        try:
            return Turnout(name, workspace, server, green, workers, changes(workspace))
        except (RuntimeError, TimeoutError) as error:
            raise Missing(f"{name} did not start: {error}") from error

    return start


def _of_mysql(workspace: Workspace) -> dict[str, Any]:
    home = workspace.directory("peers")
    (home / "admin.pass").write_text(PASSWORD)
    return {"protocol": "mysql", "databases": None, "auth": None, "users": str(users_file(home / "mysql-users.txt")),
            "admin": {"user": "turnout", "password_file": str(home / "admin.pass")},
            "server_tls": {"sslmode": "disable"}}  # MySQL offers it, and nobody else here takes it


def mysql_turnout(workers: int, name: str = "turnout") -> Callable[..., Turnout]:
    return turnout(workers, name, _of_mysql)


def set_up() -> None:
    """Puts PgBouncer into the Debian sid tree, and makes that where it is missing."""
    try:
        sid_tree.ensure("pgbouncer")
    except sid_tree.CannotMake as error:
        raise Missing(f"--setup: {error}") from error
    say(f"{sid_tree.version('pgbouncer')} is there: {sid_tree.TREE}")
