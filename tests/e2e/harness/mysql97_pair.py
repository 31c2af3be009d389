"""Two MySQL 9.7 servers, green a copy of blue that replicates from it by GTID: what differs from MariaDB's."""
from __future__ import annotations

from .mariadb import PASSWORD
from .mariadb_pair import MariaPair
from .mysql97 import Mysql97


class Mysql97Pair(MariaPair):
    SERVER = Mysql97
    OPTIONS = ["--event-scheduler=OFF"]
    REPLICA = "REPLICA"
    LINKS = "SHOW REPLICA STATUS"
    POSITION, WAIT = "gtid_executed", "WAIT_FOR_EXECUTED_GTID_SET"
    EVENT_OF_THE_OTHER = "REPLICA_SIDE_DISABLED"
    FENCE = "super_read_only"
    SETTINGS = "@@global.read_only, @@global.super_read_only, @@global.event_scheduler, @@global.gtid_mode, @@global.max_connections"
    ACCOUNTS = "SELECT * FROM mysql.user ORDER BY Host, User"
    LINK_COLUMNS = ("Channel_Name", "Source_Host", "Source_Port", "Auto_Position", "Replica_IO_Running", "Replica_SQL_Running",
                    "Last_SQL_Error")

    def follow(self) -> None:
        self.execute("green", f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={self.blue.port}, "
                              f"SOURCE_USER='turnout', SOURCE_PASSWORD='{PASSWORD}', SOURCE_CONNECT_RETRY=1, "
                              "SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1")
