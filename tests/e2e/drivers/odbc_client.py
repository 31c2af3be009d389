"""psqlODBC by pyodbc: the driver rewrites SQL, prepares on the server, and keeps its own savepoints for failed statements."""
from __future__ import annotations

import threading
import time
from typing import Any

import pyodbc
from common import DATABASE, HOST, PORT, USER, Program
import dbapi
from dbapi import Dbapi

OWNER = "psqlodbc"


def connect(more: str = "") -> Any:
    return pyodbc.connect(f"Driver={{PostgreSQL Unicode}};Server={HOST};Port={PORT};Database={DATABASE};Uid={USER};SSLmode=disable;"
                          f"MaxVarcharSize=4000;BoolsAsChar=0;ConnSettings=SET work_mem TO '5MB';{more}")


dbapi.VALUES = tuple(value for value in dbapi.VALUES if "NaN" not in value)  # which pyodbc cannot hold
program = Program(OWNER, connect)
db = Dbapi(program, pyodbc.Error, lambda error: str(error.args[0]), mark="?")


def with_settings(more: str) -> Any:
    connection = connect(more)
    try:
        seen: list[Any] = []
        for number in range(12):
            seen.append(db.one(connection, "SELECT CAST(? AS int) * 2", number))
        seen.append(db.refusal(connection, "SELECT 1/CAST(? AS int)", 0))
        connection.rollback()
        seen.append(db.rows(connection, "SELECT n, n * 2 FROM generate_series(1, 250) AS n")[-1])
        connection.commit()
        return [more, seen]
    finally:
        connection.close()


@program.scenario(movable=True)
def settings(_connection: Any) -> Any:
    return [with_settings(more) for more in ("UseServerSidePrepare=0", "UseServerSidePrepare=1", "UseDeclareFetch=1;Fetch=40",
                                             "UseDeclareFetch=1;Fetch=40;UseServerSidePrepare=0", "Protocol=7.4-0", "Protocol=7.4-1", "Protocol=7.4-2")]


@program.scenario(movable=True)
def cancel(connection: Any) -> Any:
    cursor = connection.cursor()
    timer = threading.Timer(0.2, cursor.cancel)
    begin = time.monotonic()
    timer.start()
    seen = []
    try:
        cursor.execute("SELECT pg_sleep(30)")
    except pyodbc.Error as error:
        seen = [error.args[0], str(error.args[1])]
    timer.join()
    connection.rollback()
    return [seen, time.monotonic() - begin < 20, db.one(connection, "SELECT 'usable'")]


@program.scenario()
def catalogue(connection: Any) -> Any:
    cursor = connection.cursor()
    columns = [[row.column_name, row.type_name, row.nullable] for row in cursor.columns(table="items", schema="drivers")]
    keys = [row.column_name for row in cursor.primaryKeys(table="items", schema="drivers")]
    tables = sorted(row.table_name for row in cursor.tables(schema="drivers"))
    connection.commit()
    return [columns, keys, tables, connection.getinfo(pyodbc.SQL_DBMS_NAME)]


if __name__ == "__main__":
    program.main()
