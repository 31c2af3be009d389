"""mysqlclient: libmariadb below; its commands beside the texts: change of user, next_result, statistics, options of the server."""
from __future__ import annotations

from typing import Any

import MySQLdb
import MySQLdb._mysql
import MySQLdb.cursors
from mysql_dbapi import LOGIN, MysqlDbapi, shown

from common import Program


def connect(multi: bool = False, **options: Any) -> Any:
    connection = MySQLdb.connect(**LOGIN | options)  # with several statements in one text, always
    connection.autocommit(True)
    return connection


class MysqlClient(MysqlDbapi):
    def warnings(self, cursor: Any) -> Any:
        return [cursor.connection.warning_count(), cursor.connection.info()]

    @property
    def unbuffered(self) -> Any:
        return MySQLdb.cursors.SSCursor


program = Program("mysqlclient", connect)
db = MysqlClient(program, MySQLdb)


@program.scenario()
def change_user(_connection: Any) -> Any:
    """To somebody else and back; nothing of before is left."""
    mine, seen = connect(), []
    password = LOGIN["password"]
    for text in ("SET @a = 1, time_zone = '+07:00'", "CREATE TEMPORARY TABLE mine (n INT)", "SELECT GET_LOCK('changed', 0)", "BEGIN"):
        db.rows(mine, text)
    for user, database in (("reader", "shop"), ("app", "other"), ("app", "shop")):
        mine.change_user(user, password, database)
        seen.append(db.answer(mine, "SELECT CURRENT_USER(), DATABASE(), @a, @@time_zone, shop.in_transaction(), IS_FREE_LOCK('changed'), @@character_set_client"))
        seen.append(db.answer(mine, "SELECT * FROM mine"))
        seen.append(db.answer(mine, "INSERT INTO entries VALUES (3000, 'x', 1) ON DUPLICATE KEY UPDATE n = n"))
    mine.close()
    return seen


@program.scenario()
def refused_change(_connection: Any) -> Any:
    mine, seen = connect(), []
    try:
        mine.change_user("app", "wrong", "shop")
    except MySQLdb.Error as error:
        seen.append(["refused", *error.args])
    seen.append(db.answer(mine, "SELECT 1"))
    return seen


@program.scenario()
def commands(connection: Any) -> Any:
    """What is not a text: another character set, results one by one, multi-statements switched on and off."""
    seen: list[Any] = [connection.get_server_info(), connection.get_proto_info(), connection.character_set_name(), connection.stat().split()[0]]
    connection.set_character_set("latin1")
    seen.append([connection.character_set_name(), db.rows(connection, "SELECT 'ä', @@character_set_client, @@collation_connection")])
    connection.set_character_set("utf8mb4")
    connection.set_server_option(0)  # MYSQL_OPTION_MULTI_STATEMENTS_ON
    connection.query("SELECT 1; SELECT 2 FROM dual WHERE FALSE; DO 1; SELECT nonsense; SELECT 3")
    while True:
        result = connection.store_result()
        seen.append([connection.field_count(), result and result.fetch_row(0), connection.affected_rows()])
        try:
            if connection.next_result() != 0:
                break
        except MySQLdb.Error as error:
            seen.append([*error.args, connection.errno(), connection.error()])
            break
    connection.set_server_option(1)
    seen.append(db.answer(connection, "SELECT 1; SELECT 2"))
    connection.query("SELECT id, vary AS other_name, bits, moment, doc FROM typed AS t ORDER BY id")
    result = connection.store_result()
    seen.append([result.describe(), result.field_flags(), result.num_rows()])
    return seen


@program.scenario()
def logins(_connection: Any) -> Any:
    seen: list[Any] = []
    for options in ({"charset": "latin1"}, {"init_command": "SET @first = 'words', time_zone = '+05:00'"}, {"database": ""}, {"sql_mode": "ANSI_QUOTES"},
                    {"compress": True}, {"client_flag": MySQLdb.constants.CLIENT.FOUND_ROWS}, {"database": "other"}, {"connect_timeout": 10, "read_timeout": 20}):
        mine = connect(**options)
        seen.append([mine.character_set_name(), db.answer(mine, "SELECT @@character_set_client, @@collation_connection, @first, @@time_zone, @@sql_mode, DATABASE()"),
                     db.answer(mine, "UPDATE shop.typed SET tiny = tiny WHERE id = 1")])
        mine.close()
    for options in ({"password": "wrong"}, {"user": "nobody"}, {"database": "no_such_database"}, {"database": "mysql"}):
        try:
            connect(**options)
        except MySQLdb.Error as error:
            seen.append([type(error).__name__, *map(shown, error.args)])
    return seen


program.main()
