"""psycopg2: libpq, values written into the text, so nothing but the simple protocol."""
from __future__ import annotations

import io
import threading
import time
from typing import Any

import psycopg2
import psycopg2.extras
from common import DATABASE, HOST, PORT, USER, Program, wait_until
from dbapi import Dbapi


def connect() -> Any:
    return psycopg2.connect(host=HOST, port=PORT, user=USER, dbname=DATABASE, sslmode="disable", options="-c work_mem=5MB")


program = Program("psycopg2", connect)
db = Dbapi(program, psycopg2.Error, lambda error: error.pgcode)


@program.scenario(movable=True)
def cursors(connection: Any) -> Any:
    with connection.cursor("walk") as cursor:
        cursor.itersize = 70
        cursor.execute("SELECT n, n * n FROM generate_series(1, 500) AS n")
        walked = [row[1] for row in cursor]
    with connection.cursor("jump", scrollable=True) as cursor:
        cursor.execute("SELECT generate_series(1, 100)")
        cursor.scroll(50)
        jumped = [cursor.fetchmany(2)]
        cursor.scroll(-10)
        jumped.append(cursor.fetchone())
    connection.commit()
    return [len(walked), sum(walked), jumped]


@program.scenario()
def cursors_with_hold(connection: Any) -> Any:
    cursor = connection.cursor("held", withhold=True)
    cursor.execute("SELECT generate_series(1, 10)")
    connection.commit()
    seen = [cursor.fetchmany(4)]
    connection.commit()
    seen.append(cursor.fetchall())
    cursor.close()
    connection.commit()
    return seen


@program.scenario(movable=True)
def copy(connection: Any) -> Any:
    db.empty(connection)
    cursor = connection.cursor()
    rows = "".join(f"psycopg2\t{number}\trow {number}\t\\N\n" for number in range(2000))
    cursor.copy_expert("COPY drivers.items FROM STDIN", io.StringIO(rows))
    connection.commit()
    out = io.StringIO()
    cursor.copy_expert("COPY (SELECT id, name FROM drivers.items WHERE owner = 'psycopg2' ORDER BY id) TO STDOUT (FORMAT csv)", out)
    connection.commit()
    try:
        cursor.copy_expert("COPY drivers.items FROM STDIN", io.StringIO("psycopg2\tnonsense\tx\t1\n" * 1000))
    except psycopg2.Error as error:
        refusal = [error.pgcode, str(error)]
    connection.rollback()
    return [len(out.getvalue()), out.getvalue()[-30:], refusal, db.one(connection, "SELECT 'usable'")]


@program.scenario()
def notify(connection: Any) -> Any:
    speaker = connect()
    db.run(connection, "LISTEN psycopg2_news")
    connection.commit()
    for number in range(5):
        db.run(speaker, "SELECT pg_notify('psycopg2_news', ?)", f"item {number}")
        speaker.commit()
    db.run(connection, "NOTIFY psycopg2_news, 'my own'")
    connection.commit()

    def all_here() -> bool:
        connection.poll()
        return len(connection.notifies) >= 6

    wait_until(all_here)
    heard = [[notice.channel, notice.payload] for notice in connection.notifies]
    connection.notifies.clear()
    db.run(connection, "UNLISTEN *")
    connection.commit()
    speaker.close()
    return heard


@program.scenario(movable=True)
def cancel(connection: Any) -> Any:
    timer = threading.Timer(0.2, connection.cancel)
    timer.start()
    begin = time.monotonic()
    refusal = db.refusal(connection, "SELECT pg_sleep(30)")
    in_time = time.monotonic() - begin < 20
    timer.join()
    connection.rollback()
    return [refusal, in_time, db.one(connection, "SELECT 'usable'")]


@program.scenario(movable=True)
def values_lists(connection: Any) -> Any:
    db.empty(connection)
    cursor = connection.cursor()
    psycopg2.extras.execute_values(cursor, "INSERT INTO drivers.items (owner, id, name) VALUES %s RETURNING id",
                                   [("psycopg2", number, f"row {number}") for number in range(300)], page_size=100)
    psycopg2.extras.execute_batch(cursor, "UPDATE drivers.items SET amount = %s WHERE owner = 'psycopg2' AND id = %s",
                                  [(number * 3, number) for number in range(300)])
    connection.commit()
    return db.rows(connection, "SELECT count(*), sum(amount) FROM drivers.items WHERE owner = 'psycopg2'")


def large_objects(connection: Any) -> Any:
    made = connection.lobject(0, "wb")
    made.write(b"\x00\xff\x10" * 50_000)
    oid = made.oid
    made.close()
    connection.commit()
    read = connection.lobject(oid, "rwb")
    read.seek(75_000)
    middle = read.read(6)
    read.seek(0, 2)
    length = read.tell()
    read.truncate(10)
    read.seek(0)
    rest = read.read()
    read.unlink()
    connection.commit()
    return [middle.hex(), length, rest.hex()]


program.add("large_objects", large_objects)

if __name__ == "__main__":
    program.main()
