"""One real MariaDB server on a free loopback port: made, started, stopped.

The server runs as an ordinary user; its data belongs to the workspace and vanishes with it. Accounts: `app` (password
below), `reader`, and `turnout`, the deployment's admin.
"""
from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pymysql

from .workspace import Workspace, free_port

PASSWORD = "correct horse, battery"
DATABASE = "shop"

_SETUP = f"""
CREATE USER app@'%' IDENTIFIED BY '{PASSWORD}';
CREATE USER reader@'%' IDENTIFIED BY '{PASSWORD}';
CREATE USER turnout@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO turnout@'%';
CREATE DATABASE {DATABASE};
CREATE DATABASE other;
GRANT ALL ON {DATABASE}.* TO app@'%';
GRANT ALL ON other.* TO app@'%';
GRANT SELECT, EXECUTE ON {DATABASE}.* TO reader@'%';
CREATE TABLE {DATABASE}.item (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40)) ENGINE=InnoDB;
INSERT INTO {DATABASE}.item (name) VALUES ('one'), ('two'), (NULL), ('four'), ('five');
"""
# Not in that file, which MySQL cuts at each semicolon.
_PROCEDURES = ("CREATE PROCEDURE twice() BEGIN SELECT 1; SELECT id FROM item WHERE id < 3; END",
               "CREATE PROCEDURE hides() BEGIN CREATE TEMPORARY TABLE hidden (n INT); END")


class MariaDb:
    PRODUCT = "MariaDB"
    TIME_LIMIT = ("max_statement_time", "7.5")  # a setting of the session's, and a value of it
    KILLED_ITSELF = 1927
    KILLED_SLEEP = 1317  # what SELECT SLEEP(…) comes to
    GOES_BACK_TO_THE_FORMER_USER = True  # when a change of user is refused

    def __init__(self, workspace: Workspace, name: str = "mariadb", server_id: int = 7, options: list[str] | None = None) -> None:
        self.workspace, self.server_id, self.options = workspace, server_id, options or []
        self.port = free_port()
        self.home = workspace.directory(name)
        self.data, self.log = self.home / "data", self.home / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {"cwd": "/"}
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            os.chown(self.home, account.pw_uid, account.pw_gid)
            self._as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        workspace.on_close(self.stop)

    def initialise(self) -> None:
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}",
                        "--auth-root-authentication-method=normal", "--skip-test-db"],
                       check=True, capture_output=True, **self._as_user)

    def program(self) -> list[str]:
        return ["mariadbd", "--no-defaults"]

    def start(self, timeout_s: float = 60) -> None:
        first = not self.data.exists()
        if first:
            self.initialise()
        command = [*self.program(), f"--datadir={self.data}", f"--socket={self.home}/socket",
                   f"--pid-file={self.home}/pid", "--bind-address=127.0.0.1", f"--port={self.port}", f"--tmpdir={self.home}",
                   "--log-bin=binlog", f"--server-id={self.server_id}", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve",
                   "--max-connections=100", "--max-allowed-packet=64M", *self.options]
        if first:
            setup = self.home / "setup.sql"
            setup.write_text(_SETUP)
            command.append(f"--init-file={setup}")
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=self.workspace.tie(signal.SIGKILL),
                                             **self._as_user)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.connect("turnout", None).close()
                break
            except pymysql.Error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.PRODUCT} did not start:\n{self.log.read_text()[-4000:]}")
                time.sleep(0.05)
        if first:
            with self.connect("turnout") as connection, connection.cursor() as cursor:
                for procedure in _PROCEDURES:
                    cursor.execute(procedure)

    def kill9(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def connect(self, user: str = "app", database: str | None = DATABASE, **options: Any) -> "pymysql.Connection[Any]":
        return pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=PASSWORD, database=database,
                               autocommit=True, **options)

    def value(self, sql: str) -> Any:
        with self.connect("turnout", None) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
            return row[0] if row else None

    def end_sessions_of(self, user: str) -> None:
        with self.connect("turnout", None) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM information_schema.processlist WHERE user = '{user}'")
            for number, in cursor.fetchall():
                try:
                    cursor.execute(f"KILL {number}")
                except pymysql.err.OperationalError as error:
                    if error.args[0] != 1094:  # it has gone meanwhile
                        raise

    def numbers(self, count: int) -> str:
        """A table of them: SELECT seq FROM …"""
        return f"seq_1_to_{count}"

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else "(no log)"

    def sessions_of(self, user: str) -> int:
        return int(self.value(f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'"))


def run_client(port: int, sql: str, *options: str, user: str = "app", database: str = DATABASE) -> subprocess.CompletedProcess[str]:
    """The mariadb command line, in batch mode."""
    return subprocess.run(["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", user, f"-p{PASSWORD}", "--batch",
                           *options, database, "-e", sql], capture_output=True, text=True, timeout=30, check=False)


def users_file(path: Path) -> Path:
    path.write_text("".join(f'"{user}" "{PASSWORD}"\n' for user in ("app", "reader")))
    return path
