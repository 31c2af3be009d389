"""One real MySQL 9.7 server, from the Debian sid tree: what differs from MariaDB's in making and starting it.

The tree is made by `./dev setup --mysql`, never by a test.
"""
from __future__ import annotations

import subprocess

from . import sid_tree
from .mariadb import MariaDb

MISSING = "no MySQL 9.7 here: ./dev setup --mysql"


def is_there() -> bool:
    return sid_tree.has("mysql")


class Mysql97(MariaDb):
    PRODUCT = "MySQL"
    TIME_LIMIT = ("max_execution_time", "7500")
    KILLED_ITSELF = 1317
    KILLED_SLEEP = 1  # its result
    GOES_BACK_TO_THE_FORMER_USER = False

    def numbers(self, count: int) -> str:
        return f"JSON_TABLE(CONCAT('[', REPEAT('1,', {count - 1}), '1]'), '$[*]' COLUMNS (seq FOR ORDINALITY)) AS numbers"

    def initialise(self) -> None:
        subprocess.run([*self.program(), "--initialize-insecure", f"--datadir={self.data}"], check=True, capture_output=True,
                       **self._as_user)

    def program(self) -> list[str]:
        shared = sid_tree.TREE / "usr/share/mysql"
        return [*sid_tree.command("usr/sbin/mysqld"), "--no-defaults", f"--lc-messages-dir={shared}",
                f"--character-sets-dir={shared}/charsets", f"--plugin-dir={sid_tree.TREE}/usr/lib/mysql/plugin", "--mysqlx=OFF", "--secure-file-priv=",
                "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--sync-binlog=0", "--innodb-redo-log-capacity=32M",
                "--table-open-cache=400"]
