"""aiomysql: PyMySQL's messages over asyncio, with a pool of its own. The rules are in mysql_dbapi.py."""
from __future__ import annotations

import asyncio
import warnings
from typing import Any

import aiomysql
from common import SESSIONS, Program
from mysql_dbapi import LOGIN, SHARED, shown

warnings.simplefilter("ignore")
loop = asyncio.new_event_loop()
OPTIONS = {("db" if name == "database" else name): value for name, value in LOGIN.items()} | {"autocommit": True}


async def open_one(**more: Any) -> Any:
    return await aiomysql.connect(**OPTIONS | more)


program = Program("aiomysql", lambda: loop.run_until_complete(open_one()), lambda connection: loop.run_until_complete(connection.ensure_closed()))


def scenario(body: Any) -> Any:
    program.add(body.__name__, lambda connection: loop.run_until_complete(body(connection)))
    return body


def told(error: Any) -> Any:
    return {"error": [type(error).__name__, *map(shown, error.args)]}


async def answer(connection: Any, text: str, *values: Any) -> list[Any]:
    """All that a statement answers: each result, then an error if there is one."""
    cursor = await connection.cursor()
    results: list[Any] = []
    try:
        await cursor.execute(text, values or None)
        while True:
            if cursor.description is None:
                results.append({"affected": cursor.rowcount, "id": cursor.lastrowid})
            else:
                results.append({"columns": [list(map(shown, column)) for column in cursor.description], "rows": [[shown(value) for value in row] for row in await cursor.fetchall()]})
            if not await cursor.nextset():
                return results
    except aiomysql.Error as error:
        return [*results, told(error)]
    finally:
        try:
            await cursor.close()
        except aiomysql.Error:
            pass  # what it would have read is in the answer already


for _name, _texts in SHARED["scenarios"].items():
    program.add(_name, lambda connection, texts=_texts: loop.run_until_complete(all_of(connection, texts)))  # type: ignore[misc]


async def all_of(connection: Any, texts: Any) -> list[Any]:
    return [await answer(connection, text) for text in texts]


@scenario
async def commits(connection: Any) -> Any:
    await answer(connection, "TRUNCATE TABLE items")
    await connection.begin()
    await answer(connection, "INSERT INTO items VALUES (%s, %s)", 1, "committed")
    await connection.commit()
    await connection.begin()
    await answer(connection, "INSERT INTO items VALUES (%s, %s)", 2, "rolled back")
    await connection.rollback()
    return [await answer(connection, "SELECT id, name, in_transaction() FROM items"), connection.get_transaction_status(), await connection.ping() is None]


@scenario
async def types(connection: Any) -> Any:
    return [[value, await answer(connection, f"SELECT {value}, HEX({value})")] for value in SHARED["values"]]


@scenario
async def typed_rows(connection: Any) -> Any:
    return await answer(connection, "SELECT * FROM typed ORDER BY id")


@scenario
async def large(connection: Any) -> Any:
    seen = []
    for number, size in enumerate((5_000_000, 17_000_000)):
        body = bytes(range(256)) * (size // 256)
        await answer(connection, "REPLACE INTO large VALUES (%s, %s)", number, body)
        cursor = await connection.cursor()
        await cursor.execute("SELECT LENGTH(body), body FROM large WHERE id = %s", (number,))
        length, back = await cursor.fetchone()
        await cursor.close()
        seen.append([length, back == body])
    return [seen, await answer(connection, "TRUNCATE TABLE large")]


@scenario
async def streaming(connection: Any) -> Any:
    seen = []
    for wanted in (None, 3):
        cursor = await connection.cursor(aiomysql.SSCursor)
        await cursor.execute("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000")
        rows = await (cursor.fetchmany(wanted) if wanted else cursor.fetchall())
        await cursor.close()  # the rest is read away
        seen.append([sum(row[0] + len(row[1]) for row in rows), await answer(connection, "SELECT 'usable'")])
    return seen


@scenario
async def commands(connection: Any) -> Any:
    await connection.select_db("other")
    seen: list[Any] = [await answer(connection, "SELECT DATABASE(), name FROM things")]
    try:
        await connection.select_db("no_such_database")
    except aiomysql.Error as error:
        seen.append(told(error))
    await connection.select_db("shop")
    await connection.set_charset("latin1")
    seen.append(await answer(connection, "SELECT DATABASE(), @@character_set_client"))
    await connection.set_charset("utf8mb4")
    return [*seen, connection.get_server_info(), connection.server_status]


@scenario
async def kill(connection: Any) -> Any:
    victim, text = await open_one(), "SELECT SLEEP(30), 'victim of aiomysql'"
    caught = asyncio.ensure_future(answer(victim, text))
    running: list[Any] = []
    for _ in range(2000):
        running = (await answer(connection, "SELECT COUNT(*) FROM information_schema.processlist WHERE info = %s", text))[0]["rows"]
        if running == [[1]]:
            break
        await asyncio.sleep(0.01)
    seen = [running, await answer(connection, f"KILL QUERY {victim.thread_id()}"), await caught, await answer(victim, "SELECT 'usable'")]
    await victim.ensure_closed()
    return seen


@scenario
async def logins(_connection: Any) -> Any:
    seen: list[Any] = []
    for options in ({"charset": "latin1"}, {"charset": ""}, {"init_command": "SET @first = 'words'"}, {"db": None}, {"sql_mode": "ANSI_QUOTES"}, {"db": "other"}):
        mine = await open_one(**options)
        seen.append(await answer(mine, "SELECT @@character_set_client, @@collation_connection, @first, @@sql_mode, DATABASE()"))
        await mine.ensure_closed()
    for options in ({"password": "wrong"}, {"user": "nobody"}, {"db": "no_such_database"}):
        try:
            await open_one(**options)
        except aiomysql.Error as error:
            seen.append(told(error))
    return seen


@scenario
async def parallel(_connection: Any) -> Any:
    async def session(number: int) -> Any:
        mine, zone, total = await open_one(), f"+{number % 13:02}:00", 0
        await answer(mine, f"SET sort_buffer_size = {1024 * (100 + number)}, time_zone = '{zone}'")
        if number % 2:
            await answer(mine, f"SET @mine = {number}")
        for turn in range(10):
            state = (await answer(mine, "SELECT @@sort_buffer_size, @@time_zone, @mine, %s * %s", turn, number))[0]["rows"]
            assert state == [[1024 * (100 + number), zone, number if number % 2 else None, turn * number]], state
            await mine.begin()
            await answer(mine, "REPLACE INTO entries (id, name) VALUES (%s, %s)", 1000 + number, f"turn {turn}")
            assert (await answer(mine, f"SELECT nonsense{number}"))[0]["error"][1] == 1054
            await (mine.commit() if turn % 2 else mine.rollback())
            total += turn * number
        last = await answer(mine, "SELECT name FROM entries WHERE id = %s", 1000 + number)
        await mine.ensure_closed()
        return [total, last]

    return await asyncio.gather(*(session(number) for number in range(SESSIONS)))


@scenario
async def pool(_connection: Any) -> Any:
    async with aiomysql.create_pool(minsize=1, maxsize=4, **OPTIONS) as made:
        async def one(number: int) -> Any:
            async with made.acquire() as mine:
                return (await answer(mine, "SELECT %s * 2", number))[0]["rows"]

        return await asyncio.gather(*(one(number) for number in range(24)))


program.main()
