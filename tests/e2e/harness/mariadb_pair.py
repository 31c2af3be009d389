"""Two servers of one product (here MariaDB's), green a copy of blue that replicates from it by GTID."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pymysql

from .mariadb import PASSWORD, MariaDb, users_file
from .turnout import Turnout
from .workspace import Workspace

_TABLES = """
CREATE TABLE ledger (id BIGINT PRIMARY KEY AUTO_INCREMENT, session INT NOT NULL, number INT NOT NULL, KEY (session, number));
CREATE TABLE counter (session INT PRIMARY KEY, value INT NOT NULL);
CREATE TABLE hammer (id BIGINT PRIMARY KEY AUTO_INCREMENT, side VARCHAR(10) NOT NULL, how VARCHAR(10), at DATETIME(6));
"""
# What was acknowledged survives kill -9, and a server that comes back takes writes from nobody until it is known to be the writer.
LASTING = ["--innodb-flush-log-at-trx-commit=2", "--read-only=1"]


def other(side: str) -> str:
    return "green" if side == "blue" else "blue"


class MariaPair:
    SERVER: type[MariaDb] = MariaDb
    OPTIONS = ["--log-slave-updates", "--gtid-strict-mode=1", "--binlog-format=ROW"]
    REPLICA = "SLAVE"  # START it, STOP it
    LINKS = "SHOW ALL SLAVES STATUS"
    POSITION, WAIT = "gtid_binlog_pos", "MASTER_GTID_WAIT"
    EVENT_OF_THE_OTHER = "SLAVESIDE_DISABLED"
    FENCE = "read_only"  # what the option files of both have, so that a restart lets nobody in
    # What a snapshot is made of.
    SETTINGS = "@@global.read_only, @@global.event_scheduler, @@global.gtid_strict_mode, @@global.max_connections"
    ACCOUNTS = "SELECT User, Host, Priv FROM mysql.global_priv ORDER BY 1, 2"
    LINK_COLUMNS = ("Connection_name", "Master_Host", "Master_Port", "Using_Gtid", "Slave_IO_Running", "Slave_SQL_Running", "Last_SQL_Error")

    def __init__(self, workspace: Workspace, options: list[str] | None = None, name: str = "") -> None:
        """`options` of both servers, besides ours; `name` keeps several pairs of a workspace apart."""
        self.workspace = workspace
        self.blue = self.SERVER(workspace, f"{name}blue", 7, self.OPTIONS + (options or []))
        self.green = self.SERVER(workspace, f"{name}green", 8, self.OPTIONS + (options or []))
        self.sides = {"blue": self.blue, "green": self.green}

    def start(self) -> None:
        self.blue.start()
        self.execute("blue", "SET GLOBAL read_only = 0")
        with self.blue.connect() as connection, connection.cursor() as cursor:
            for statement in _TABLES.split(";"):
                if statement.strip():
                    cursor.execute(statement)
        self.blue.stop()
        # With its binary log: what was written so far is known on both sides to be the same.
        shutil.copytree(self.blue.data, self.green.data, ignore=shutil.ignore_patterns("auto.cnf"))  # MySQL's identity
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"--reference={self.blue.data}", str(self.green.data)], check=True)
        self.blue.start()
        self.execute("blue", "SET GLOBAL read_only = 0")
        self.green.start()
        self.follow()
        self.execute("green", f"START {self.REPLICA}")
        self.caught_up()

    def follow(self) -> None:
        self.execute("green", "SET GLOBAL gtid_slave_pos = @@global.gtid_binlog_pos")
        self.execute("green", f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={self.blue.port}, MASTER_USER='turnout', "
                              f"MASTER_PASSWORD='{PASSWORD}', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos")

    def execute(self, side: str, sql: str) -> list[tuple[Any, ...]]:
        with self.sides[side].connect("turnout", None) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def caught_up(self, writer: str = "blue", timeout_s: float = 20) -> None:
        """Everything committed on the writer so far is applied on the other side."""
        position = self.sides[writer].value(f"SELECT @@global.{self.POSITION}")
        deadline = time.monotonic() + timeout_s
        while self.sides[other(writer)].value(f"SELECT {self.WAIT}('{position}', 1)") != 0:
            assert time.monotonic() < deadline, f"{other(writer)} does not get to {position}"

    def wait_free(self, timeout_s: float = 30) -> None:
        """Both servers answer again."""
        deadline = time.monotonic() + timeout_s
        for server in self.sides.values():
            while True:
                try:
                    server.value("SELECT 1")
                    break
                except pymysql.MySQLError as error:
                    assert time.monotonic() < deadline, error
                    time.sleep(0.02)

    def cut_off(self) -> None:
        """Every connection of Turnout to both servers, and between the servers, is ended."""
        for side in self.sides:
            for number, in self.execute(side, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER IN ('turnout', 'app') "
                                              "AND ID <> CONNECTION_ID()"):
                try:
                    self.execute(side, f"KILL CONNECTION {number}")
                except pymysql.MySQLError:
                    pass  # it has gone by itself

    def snapshot(self) -> dict[str, Any]:
        """All that an attempt which is undone must leave as it was."""
        queries = {
            "settings": f"SELECT {self.SETTINGS}",
            "events": "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, STATUS FROM information_schema.EVENTS ORDER BY 1, 2",
            "accounts": self.ACCOUNTS,
            "tables": "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' ORDER BY 1, 2",
        }
        found: dict[str, Any] = {f"{side}.{what}": self.execute(side, sql) for side in self.sides for what, sql in queries.items()}
        for side, server in self.sides.items():
            with server.connect("turnout", None, cursorclass=pymysql.cursors.DictCursor) as connection, connection.cursor() as cursor:
                cursor.execute(self.LINKS)
                found[f"{side}.links"] = [{name: row[name] for name in self.LINK_COLUMNS} for row in cursor.fetchall()]
        return found

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
