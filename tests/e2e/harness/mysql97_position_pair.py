"""Two MySQL 9.7 servers without GTIDs, green a copy of blue that replicates from it by file and position: MySQL's default."""
from __future__ import annotations

import time
from typing import Any

import pymysql

from .mariadb import PASSWORD
from .mariadb_pair import other
from .mysql97_pair import Mysql97Pair


class Mysql97PositionPair(Mysql97Pair):
    OPTIONS = ["--event-scheduler=OFF", "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--relay-log-recovery=ON"]

    def log_end(self, side: str) -> tuple[str, int]:
        """Where its binary log ends."""
        file, position = self.execute(side, "SHOW BINARY LOG STATUS")[0][:2]
        return str(file), int(position)

    def follow(self) -> None:
        file, position = self.log_end("blue")  # nobody has written since it was copied
        self.execute("green", f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={self.blue.port}, "
                              f"SOURCE_USER='turnout', SOURCE_PASSWORD='{PASSWORD}', SOURCE_CONNECT_RETRY=1, SOURCE_AUTO_POSITION=0, "
                              f"SOURCE_LOG_FILE='{file}', SOURCE_LOG_POS={position}, GET_SOURCE_PUBLIC_KEY=1")

    def link(self, side: str) -> dict[str, Any]:
        with self.sides[side].connect("turnout", None, cursorclass=pymysql.cursors.DictCursor) as connection, connection.cursor() as cursor:
            cursor.execute(self.LINKS)
            return cursor.fetchone() or {}

    def caught_up(self, writer: str = "blue", timeout_s: float = 20) -> None:
        file, position = self.log_end(writer)
        deadline = time.monotonic() + timeout_s
        while True:
            waited = self.sides[other(writer)].value(f"SELECT SOURCE_POS_WAIT('{file}', {position}, 1)")
            if waited is not None and int(waited) >= 0:
                return
            assert time.monotonic() < deadline, f"{other(writer)} does not get to {file}:{position}: {self.link(other(writer))}"
