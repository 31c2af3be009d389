"""Two MariaDB servers, green a copy of blue that replicates from it by GTID."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from .mariadb import PASSWORD, MariaDb, users_file
from .turnout import Turnout
from .workspace import Workspace

_OPTIONS = ["--log-slave-updates", "--gtid-strict-mode=1", "--binlog-format=ROW"]
_TABLES = """
CREATE TABLE ledger (id BIGINT PRIMARY KEY AUTO_INCREMENT, session INT NOT NULL, number INT NOT NULL, KEY (session, number));
CREATE TABLE counter (session INT PRIMARY KEY, value INT NOT NULL);
CREATE TABLE hammer (id BIGINT PRIMARY KEY AUTO_INCREMENT, side VARCHAR(10) NOT NULL);
"""


def other(side: str) -> str:
    return "green" if side == "blue" else "blue"


class MariaPair:
    def __init__(self, workspace: Workspace, options: list[str] | None = None) -> None:
        self.workspace = workspace
        self.blue = MariaDb(workspace, "blue", 7, _OPTIONS + (options or []))
        self.green = MariaDb(workspace, "green", 8, _OPTIONS + (options or []))
        self.sides = {"blue": self.blue, "green": self.green}

    def start(self) -> None:
        self.blue.start()
        with self.blue.connect() as connection, connection.cursor() as cursor:
            for statement in _TABLES.split(";"):
                if statement.strip():
                    cursor.execute(statement)
        self.blue.stop()
        # With its binary log: what was written so far is known on both sides to be the same.
        shutil.copytree(self.blue.data, self.green.data)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"--reference={self.blue.data}", str(self.green.data)], check=True)
        self.blue.start()
        self.green.start()
        self.execute("green", "SET GLOBAL gtid_slave_pos = @@global.gtid_binlog_pos")
        self.execute("green", f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={self.blue.port}, MASTER_USER='turnout', "
                              f"MASTER_PASSWORD='{PASSWORD}', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos")
        self.execute("green", "START SLAVE")
        self.caught_up()

    def execute(self, side: str, sql: str) -> list[tuple[Any, ...]]:
        with self.sides[side].connect("turnout", None) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def caught_up(self, writer: str = "blue", timeout_s: float = 20) -> None:
        """Everything committed on the writer so far is applied on the other side."""
        position = self.sides[writer].value("SELECT @@global.gtid_binlog_pos")
        deadline = time.monotonic() + timeout_s
        while self.sides[other(writer)].value(f"SELECT MASTER_GTID_WAIT('{position}', 1)") != 0:
            assert time.monotonic() < deadline, f"{other(writer)} does not get to {position}"

    def read_only(self, side: str) -> bool:
        return bool(self.sides[side].value("SELECT @@global.read_only"))

    def assert_writer(self, writer: str) -> None:
        assert not self.read_only(writer)
        assert self.read_only(other(writer)), f"{other(writer)} takes writes although {writer} is the writer"


def make_pair_turnout(pair: MariaPair, name: str = "turnout", changes: dict[str, Any] | None = None, start: bool = True) -> Turnout:
    home: Path = pair.workspace.directory(name)
    (home / "admin.pass").write_text(PASSWORD)
    turnout = Turnout(pair.workspace, pair, name, {  # type: ignore[arg-type]
        "protocol": "mysql", "databases": None, "auth": None,
        "users": str(users_file(home / "users.txt")),
        "admin": {"user": "turnout", "password_file": str(home / "admin.pass")},
    } | (changes or {}))
    if start:
        turnout.start()
    return turnout
