"""pg8000: the protocol in pure Python, binary values, a named statement and a portal for each text, fetched in pieces of 100 rows."""
from __future__ import annotations

import io
from typing import Any

import pg8000
from common import DATABASE, HOST, PORT, USER, Program, wait_until
from dbapi import Dbapi

OWNER = "pg8000"


def connect() -> Any:
    return pg8000.connect(USER, host=HOST, port=PORT, database=DATABASE)


def sqlstate(error: Any) -> str:
    return str(error.args[2]) if len(error.args) > 2 else "?"  # the fields of the message, in their order: S, V, C


program = Program(OWNER, connect)
db = Dbapi(program, pg8000.Error, sqlstate)


@program.scenario(movable=True)
def cursors(connection: Any) -> Any:
    """Execute with a row limit: portals that are suspended and resumed, and given up."""
    cursor = connection.cursor()
    cursor.execute("SELECT n, n * %s FROM generate_series(1, 950) AS n", (3,))
    first = [list(row) for row in cursor.fetchmany(150)]
    other = db.one(connection, "SELECT 'between'")
    rest = [list(row) for row in cursor.fetchall()]
    early = connection.cursor()
    early.execute("SELECT generate_series(1, 10000)")
    some = [list(row) for row in early.fetchmany(3)]
    early.close()
    connection.commit()
    return [sum(row[1] for row in first), other, len(rest), rest[-1], some]


@program.scenario()
def two_phase(connection: Any) -> Any:
    db.empty(connection)
    connection.tpc_begin((0, "pg8000 one", ""))
    db.insert(connection, 1, "prepared")
    connection.tpc_prepare()
    connection.tpc_commit()
    connection.tpc_begin((0, "pg8000 two", ""))
    db.insert(connection, 2, "taken back")
    connection.tpc_prepare()
    waiting = [xid[1] for xid in connection.tpc_recover() if xid[1].startswith("pg8000")]
    connection.tpc_rollback()
    return [waiting, db.items(connection)]


@program.scenario(movable=True)
def copy(connection: Any) -> Any:
    db.empty(connection)
    cursor = connection.cursor()
    rows = "".join(f"{OWNER}\t{number}\trow {number}\t\\N\n" for number in range(1000))
    cursor.execute("COPY drivers.items FROM STDIN", stream=io.BytesIO(rows.encode()))
    connection.commit()
    out = io.BytesIO()
    cursor.execute(f"COPY (SELECT id, name FROM drivers.items WHERE owner = '{OWNER}' ORDER BY id) TO STDOUT", stream=out)
    connection.commit()
    refusal = []
    try:
        cursor.execute("COPY drivers.items FROM STDIN", stream=io.BytesIO(b"pg8000\tnonsense\tx\t1\n" * 500))
    except pg8000.Error as error:
        refusal = [sqlstate(error), error.args[3]]
    connection.rollback()
    return [len(out.getvalue()), out.getvalue()[-30:], refusal, db.one(connection, "SELECT 'usable'")]


@program.scenario()
def notify(connection: Any) -> Any:
    speaker = connect()
    db.run(connection, "LISTEN pg8000_news")
    connection.commit()
    for number in range(5):
        db.run(speaker, "SELECT pg_notify('pg8000_news', ?)", f"item {number}")
        speaker.commit()

    def all_here() -> bool:
        db.run(connection, "SELECT 1")
        connection.commit()
        return len(connection.notifies) >= 5

    wait_until(all_here)
    heard = [channel for _pid, channel in connection.notifies]
    connection.notifies.clear()
    db.run(connection, "UNLISTEN *")
    connection.commit()
    speaker.close()
    return heard


@program.scenario(movable=True)
def timeout(connection: Any) -> Any:
    """It has no cancel of its own; the server's clock does it."""
    db.run(connection, "SET LOCAL statement_timeout = 50")
    refusal = db.refusal(connection, "SELECT pg_sleep(30)")
    connection.rollback()
    return [refusal, db.one(connection, "SELECT 'usable'")]


if __name__ == "__main__":
    program.main()
