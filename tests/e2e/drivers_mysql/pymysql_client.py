"""PyMySQL: the protocol in Python; values written into the text."""
from __future__ import annotations

import warnings
from typing import Any

import pymysql
import pymysql.cursors
from mysql_dbapi import LOGIN, MysqlDbapi, shown

from common import Program

warnings.simplefilter("ignore")


def connect(multi: bool = False, **options: Any) -> Any:
    flags = pymysql.constants.CLIENT.MULTI_STATEMENTS if multi else 0
    return pymysql.connect(**LOGIN | options, autocommit=True, client_flag=flags)


class PyMysql(MysqlDbapi):
    def warnings(self, cursor: Any) -> Any:
        result = cursor._result  # the only place that has the flags
        return None if result is None else [result.warning_count, result.server_status, result.message]


program = Program("pymysql", connect)
db = PyMysql(program, pymysql)


@program.scenario()
def callproc(connection: Any) -> Any:
    """Through variables of the server."""
    cursor = connection.cursor()
    given = cursor.callproc("adds", (4, None))
    rows = cursor.fetchall()
    cursor.nextset()
    cursor.execute("SELECT @_adds_0, @_adds_1")
    seen = [given, rows, cursor.fetchall()]
    cursor.execute("SET @_adds_0 = NULL, @_adds_1 = NULL")
    return seen


@program.scenario()
def logins(_connection: Any) -> Any:
    """Options of a login: character set, first words, database, what the greeting says; and refusals."""
    seen: list[Any] = []
    for options in ({"charset": "latin1"}, {"init_command": "SET @first = 'words', time_zone = '+05:00'"}, {"database": None}, {"sql_mode": "ANSI_QUOTES"},
                    {"local_infile": True}, {"charset": "utf8mb4", "use_unicode": False}, {"database": "other"}):
        mine = connect(**options)
        seen.append([mine.get_server_info(), mine.server_charset, db.answer(
            mine, "SELECT @@character_set_client, @@collation_connection, @first, @@time_zone, @@sql_mode, DATABASE(), 'ä'")])
        mine.close()
    for options in ({"password": "wrong"}, {"user": "nobody"}, {"database": "no_such_database"}, {"database": "mysql"}):
        try:
            connect(**options)
        except pymysql.Error as error:
            seen.append([type(error).__name__, *map(shown, error.args)])
    return seen


@program.scenario()
def local_infile(_connection: Any) -> Any:
    """Refused to a client that has not offered it; to one that has, Turnout refuses it and a server alone would not."""
    return db.answer(connect(local_infile=False), "LOAD DATA LOCAL INFILE '/no/such/file' INTO TABLE entries")


program.main()
