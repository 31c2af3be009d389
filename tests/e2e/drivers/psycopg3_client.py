"""psycopg 3: libpq, the extended protocol, server-side prepared statements, pipelines, cursors on both ends."""
from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.json import Jsonb
from common import DATABASE, HOST, PORT, USER, USER_VALUES, VALUES, Program, wait_until
from dbapi import Dbapi

OWNER = "psycopg3"


def connect() -> Any:
    return psycopg.connect(host=HOST, port=PORT, user=USER, dbname=DATABASE, sslmode="disable", options="-c work_mem=5MB")


program = Program(OWNER, connect)
db = Dbapi(program, psycopg.Error, lambda error: error.sqlstate or "")


@program.scenario(movable=True)
def binary_types(connection: Any) -> Any:
    with connection.cursor(binary=True) as cursor:
        seen = [repr(cursor.execute(f"SELECT {value}", prepare=True).fetchone()) for value in VALUES if "xml" not in value]
        cursor.execute("SELECT %b::int8, %b::float8, %b::numeric, %b::text, %b::bytea, %b::jsonb, %b::int4[], %b::text[], %b::bool, %b::int",
                       (2**40, 2.5, 7, "ü", b"\0\1", Jsonb({"a": [1]}), [1, 2], ["x", None], True, None))
        seen.append(repr(cursor.fetchone()))
    connection.commit()
    return seen


@program.scenario()
def user_types_binary(connection: Any) -> Any:
    info = CompositeInfo.fetch(connection, "drivers.spot")
    register_composite(info, connection)
    seen = []
    for turn in range(8):  # often enough to become prepared
        with connection.cursor(binary=turn % 2 == 0) as cursor:
            seen.append([repr(cursor.execute(f"SELECT {value}").fetchone()) for value in USER_VALUES])
            spot = info.python_type(1, turn, "here")
            seen.append(repr(cursor.execute("SELECT %s::drivers.spot, %s::drivers.colour", (spot, "red")).fetchone()))
    connection.commit()
    return seen


@program.scenario(movable=True)
def prepared_by_hand(connection: Any) -> Any:
    before, connection.prepare_threshold = connection.prepare_threshold, 0
    seen = []
    for turn in range(3):
        for number in range(130):  # more than prepared_max, so old ones are given up
            seen.append(connection.execute(f"SELECT %s::int + {number}", (turn,)).fetchone()[0])
        connection.commit()
    connection.execute("SELECT 1")
    connection.execute("ROLLBACK", prepare=False)  # after which the driver sends DEALLOCATE ALL
    again = [connection.execute("SELECT %s::int", (turn,)).fetchone()[0] for turn in range(10)]
    connection.commit()
    connection.prepare_threshold = before
    return [sum(seen), again]


@program.scenario(movable=True)
def cursors(connection: Any) -> Any:
    with connection.cursor("walk") as cursor:
        cursor.itersize = 70
        cursor.execute("SELECT n, n * %s::int FROM generate_series(1, 500) AS n", (3,))
        walked = [row[1] for row in cursor]
    with connection.cursor("jump", scrollable=True) as cursor:
        cursor.execute("SELECT generate_series(1, 100)", binary=True)
        cursor.scroll(50)
        jumped = [cursor.fetchmany(2)]
        cursor.scroll(-10)
        jumped.append(cursor.fetchone())
    streamed = [row[0] for row in connection.cursor().stream("SELECT generate_series(1, %s::int)", (300,))]
    connection.commit()
    return [len(walked), sum(walked), jumped, sum(streamed)]


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
    with connection.cursor() as cursor, cursor.copy("COPY drivers.items FROM STDIN") as copying:
        for number in range(2000):
            copying.write_row((OWNER, number, f"row {number}", None))
    connection.commit()
    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT id, name FROM drivers.items WHERE owner = %s ORDER BY id) TO STDOUT (FORMAT binary)", (OWNER,)) as copying:
            copying.set_types(["int4", "text"])
            out = list(copying.rows())
    connection.commit()
    refusal = []
    try:
        with connection.cursor() as cursor, cursor.copy("COPY drivers.items FROM STDIN") as copying:
            for _ in range(1000):
                copying.write(f"{OWNER}\tnonsense\tx\t1\n")
    except psycopg.Error as error:
        refusal = [error.sqlstate, str(error)]
    connection.rollback()
    try:
        with connection.cursor() as cursor, cursor.copy("COPY drivers.items FROM STDIN") as copying:
            copying.write_row((OWNER, 9000, "left alone", None))
            raise RuntimeError("the client gives up")
    except psycopg.Error as error:
        refusal += [error.sqlstate, str(error)]
    connection.rollback()
    return [len(out), out[-1], refusal, db.rows(connection, "SELECT count(*) FROM drivers.items WHERE owner = ?", OWNER)]


@program.scenario()
def notify(connection: Any) -> Any:
    heard: list[list[str]] = []

    def hear(notice: Any) -> None:
        heard.append([notice.channel, notice.payload])

    connection.add_notify_handler(hear)
    db.run(connection, "LISTEN psycopg3_news")
    connection.commit()
    with connect() as speaker:
        for number in range(5):
            speaker.execute("SELECT pg_notify('psycopg3_news', %s)", (f"item {number}",))
            speaker.commit()
    db.run(connection, "NOTIFY psycopg3_news, 'my own'")
    connection.commit()

    def all_here() -> bool:
        connection.execute("SELECT 1")
        connection.commit()
        return len(heard) >= 6

    wait_until(all_here)
    db.run(connection, "UNLISTEN *")
    connection.commit()
    connection.remove_notify_handler(hear)
    return heard


@program.scenario(movable=True)
def cancel(connection: Any) -> Any:
    timer = threading.Timer(0.2, connection.cancel)
    timer.start()
    begin = time.monotonic()
    refusal = db.refusal(connection, "SELECT pg_sleep(%s)".replace("%s", "30"))
    in_time = time.monotonic() - begin < 20
    timer.join()
    connection.rollback()
    return [refusal, in_time, db.one(connection, "SELECT 'usable'")]


@program.scenario(movable=True)
def pipeline(connection: Any) -> Any:
    db.empty(connection)
    seen: list[Any] = []
    with connection.pipeline() as pipe:
        cursors = [connection.execute("INSERT INTO drivers.items (owner, id, name) VALUES (%s, %s, 'piped') RETURNING id", (OWNER, number))
                   for number in range(40)]
        pipe.sync()
        seen.append(sum(cursor.fetchone()[0] for cursor in cursors))
    connection.commit()
    try:
        with connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute("SELECT 1/0")
            connection.execute("INSERT INTO drivers.items (owner, id, name) VALUES (%s, 99, 'never')", (OWNER,))
    except psycopg.Error as error:
        seen.append([error.sqlstate, str(error)])
    connection.rollback()
    with connection.pipeline():  # transactions inside of one pipeline
        for number in range(3):
            with connection.transaction(force_rollback=number == 1):
                connection.execute("UPDATE drivers.items SET amount = %s WHERE owner = %s AND id = %s", (number + 10, OWNER, number))
    connection.commit()
    seen.append(db.rows(connection, "SELECT count(*), sum(amount) FROM drivers.items WHERE owner = ?", OWNER))
    connection.commit()
    return seen


@program.scenario(movable=True)
def returning_batch(connection: Any) -> Any:
    db.empty(connection)
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO drivers.items (owner, id, name) VALUES (%s, %s, %s) RETURNING id, name",
                       [(OWNER, number, f"n {number}") for number in range(30)], returning=True)
    seen = []
    while True:
        seen.append(cursor.fetchone())
        if not cursor.nextset():
            break
    connection.commit()
    return seen


if __name__ == "__main__":
    program.main()
