"""asyncpg: its own protocol code, everything binary, every statement prepared, types looked up in the catalogue."""
from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import asyncpg
from common import DATABASE, HOST, PORT, SESSIONS, USER, USER_VALUES, VALUES, Program

OWNER = "asyncpg"
loop = asyncio.new_event_loop()


async def open_one() -> Any:
    return await asyncpg.connect(host=HOST, port=PORT, user=USER, database=DATABASE, ssl=False, server_settings={"work_mem": "5MB"})


program = Program(OWNER, lambda: loop.run_until_complete(open_one()),
                  lambda connection: loop.run_until_complete(connection.close(timeout=5)))


def scenario(movable: bool = False) -> Any:
    def register(body: Any) -> Any:
        program.add(body.__name__, lambda connection: loop.run_until_complete(body(connection)), movable)
        return body

    return register


async def refusal(waited: Any) -> list[str]:
    try:
        await waited
    except asyncpg.PostgresError as error:
        return [error.sqlstate, str(error)]
    return ["no error"]


async def insert(connection: Any, number: int, name: str) -> None:
    await connection.execute("INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)", OWNER, number, name)


async def empty(connection: Any) -> None:
    await connection.execute("DELETE FROM drivers.items WHERE owner = $1", OWNER)


async def items(connection: Any) -> Any:
    return [tuple(row) for row in await connection.fetch("SELECT id, name FROM drivers.items WHERE owner = $1 ORDER BY id", OWNER)]


@scenario(movable=True)
async def transactions(connection: Any) -> Any:
    await empty(connection)
    async with connection.transaction():
        await insert(connection, 1, "committed")
    transaction = connection.transaction()
    await transaction.start()
    await insert(connection, 2, "rolled back")
    await transaction.rollback()
    async with connection.transaction():
        await insert(connection, 3, "before the savepoint")
        inner = connection.transaction()
        await inner.start()
        await insert(connection, 4, "given up")
        await inner.rollback()
        async with connection.transaction():
            await insert(connection, 5, "in a savepoint")
    seen = [await items(connection)]
    async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
        seen.append(await connection.fetchval("SHOW transaction_isolation"))
    reading = connection.transaction(readonly=True)
    await reading.start()
    seen.append(await refusal(insert(connection, 6, "refused")))
    await reading.rollback()
    return seen


@scenario(movable=True)
async def prepared(connection: Any) -> Any:
    statement = await connection.prepare("SELECT $1::int * 2 + 1")
    repeated = [await statement.fetchval(number) for number in range(25)]
    again = [await (await connection.prepare("SELECT $1::int * 2 + 1")).fetchval(number) for number in range(5)]
    many = [await connection.fetchval(f"SELECT $1::int + {number}", turn) for turn in range(2) for number in range(130)]
    described = [[parameter.name for parameter in statement.get_parameters()], [[a.name, a.type.name] for a in statement.get_attributes()]]
    await connection.reload_schema_state()
    return [repeated, again, sum(many), described, statement.get_statusmsg(), await connection.fetchval("SELECT $1::int", 5)]


@scenario()
async def deallocate_all(_connection: Any) -> Any:
    """As a statement of the protocol, which forgets itself."""
    mine = await open_one()
    kept, forget = await mine.prepare("SELECT 1"), await mine.prepare("DEALLOCATE ALL")
    await kept.fetchval()
    await forget.fetch()
    seen = [forget.get_statusmsg(), (await refusal(kept.fetchval()))[0], (await refusal(forget.fetch()))[0]]
    seen.append(await mine.fetchval("SELECT $1::int", 5))
    await mine.close(timeout=5)
    return seen


@scenario(movable=True)
async def cursors(connection: Any) -> Any:
    async with connection.transaction():
        walked = [row["n"] async for row in connection.cursor("SELECT generate_series(1, $1::int) AS n", 500, prefetch=70)]
        cursor = await connection.cursor("SELECT generate_series(1, 100)")
        await cursor.forward(50)
        jumped = [row[0] for row in await cursor.fetch(3)]
        statement = await connection.prepare("SELECT generate_series(1, 10)")
        other = [row[0] async for row in statement.cursor(prefetch=3)]
    return [sum(walked), jumped, other]


@scenario()
async def held_cursors(connection: Any) -> Any:
    async with connection.transaction():
        await connection.execute("DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20)")
    seen = [[tuple(row) for row in await connection.fetch("FETCH 3 FROM kept")] for _ in range(2)]
    await connection.execute("CLOSE kept")
    return seen + [await refusal(connection.execute("FETCH 3 FROM kept"))]


@scenario(movable=True)
async def copy(connection: Any) -> Any:
    await empty(connection)
    seen = [await connection.copy_records_to_table("items", schema_name="drivers", columns=["owner", "id", "name"],
                                                   records=[(OWNER, number, f"row {number}") for number in range(2000)])]
    out = io.BytesIO()
    seen.append(await connection.copy_from_query("SELECT id, name FROM drivers.items WHERE owner = $1 ORDER BY id", OWNER, output=out,
                                                 format="csv"))
    seen += [len(out.getvalue()), out.getvalue()[-30:]]
    bad = io.BytesIO(b"asyncpg\tnonsense\tx\t1\n" * 1000)
    seen.append(await refusal(connection.copy_to_table("items", schema_name="drivers", source=bad)))
    return seen + [await connection.fetchval("SELECT 'usable'")]


@scenario()
async def notify(connection: Any) -> Any:
    heard: list[Any] = []
    complete = asyncio.Event()

    def hear(_connection: Any, _pid: int, channel: str, payload: str) -> None:
        heard.append([channel, payload])
        if len(heard) == 6:
            complete.set()

    await connection.add_listener("asyncpg_news", hear)
    speaker = await open_one()
    for number in range(5):
        await speaker.execute("SELECT pg_notify('asyncpg_news', $1)", f"item {number}")
    await speaker.close(timeout=5)
    await connection.execute("NOTIFY asyncpg_news, 'my own'")
    await asyncio.wait_for(complete.wait(), 20)
    await connection.remove_listener("asyncpg_news", hear)
    return heard


@scenario(movable=True)
async def cancel(connection: Any) -> Any:
    begin = time.monotonic()
    try:
        await connection.execute("SELECT pg_sleep(30)", timeout=0.2)
        ended = "no error"
    except asyncio.TimeoutError:  # its own way to say that it has cancelled
        ended = "timeout"
    assert await connection.fetchval("SELECT 1") == 1  # or the next cancel would hit the wait for this one
    task = asyncio.ensure_future(connection.fetch("SELECT pg_sleep(30), $1::int", 1))
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        ended += ", cancelled"
    timed_out = await refusal(connection.execute("BEGIN; SET LOCAL statement_timeout = 50; SELECT pg_sleep(30)"))
    await connection.execute("ROLLBACK")
    return [ended, timed_out, time.monotonic() - begin < 20, await connection.fetchval("SELECT 'usable'")]


@scenario(movable=True)
async def errors(connection: Any) -> Any:
    await empty(connection)
    seen: list[Any] = []
    for text in ("SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT nothing()", "SELECT 'x'::int",
                 "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"):
        seen.append(await refusal(connection.execute(text)))
        seen.append(await refusal(connection.fetch(text)))
    await insert(connection, 1, "first")
    transaction = connection.transaction()
    await transaction.start()
    await insert(connection, 2, "lost with its transaction")
    seen.append(await refusal(insert(connection, 1, "again")))
    seen.append(await refusal(connection.fetch("SELECT 1")))
    await transaction.rollback()
    return seen + [await items(connection), await connection.fetchval("SELECT 'usable'")]


@scenario(movable=True)
async def types(connection: Any) -> Any:
    seen: list[Any] = [[value, repr(await connection.fetchval(f"SELECT {value}"))] for value in VALUES]
    row = await connection.fetchrow("SELECT $1::int8, $2::numeric, $3::text, $4::bytea, $5::jsonb, $6::int4[], $7::text[], $8::int, $9::interval",
                                    2**40, 7, "ü", b"\0\1", '{"a": 1}', [1, None], ["x", None], None, __import__("datetime").timedelta(1, 2, 3))
    return seen + [repr(tuple(row))]


@scenario()
async def user_types(connection: Any) -> Any:
    seen: list[Any] = [[value, repr(await connection.fetchval(f"SELECT {value}"))] for value in USER_VALUES]
    row = await connection.fetchrow("SELECT $1::drivers.colour, $2::drivers.spot, $3::drivers.spot[], $4::drivers.colour[], $5::drivers.span",
                                    "red", (1, 2, "x"), [(3, 4, "y")], ["blue", None], asyncpg.Range(1.0, 2.0))
    return seen + [repr(tuple(row))]


@scenario(movable=True)
async def batch(connection: Any) -> Any:
    await empty(connection)
    await connection.executemany("INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)",
                                 [(OWNER, number, f"row {number}") for number in range(300)])
    failed = await refusal(connection.executemany("INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)",
                                                  [(OWNER, 1000 + number % 50, "twice") for number in range(60)]))
    return [failed, tuple(await connection.fetchrow("SELECT count(*), sum(id) FROM drivers.items WHERE owner = $1", OWNER))]


@scenario()
async def parameters(connection: Any) -> Any:
    async def show() -> list[str]:
        return [await connection.fetchval(f"SHOW {name}") for name in ("work_mem", "search_path", "statement_timeout", "TimeZone")]

    seen = [await show()]
    await connection.execute("SET work_mem = '7MB'; SET search_path = drivers, public; SET TimeZone = 'Asia/Tokyo'")
    seen.append(await show())
    reported = [connection.get_settings().TimeZone]
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SET work_mem = '9MB'; SET LOCAL statement_timeout = '77s'")
    seen.append(await show())
    await transaction.rollback()
    seen.append(await show())
    await connection.fetchval("SELECT set_config('statement_timeout', '66s', false)")
    seen.append(await show())
    await connection.execute("SET work_mem TO '5MB'; SET search_path TO DEFAULT; SET TimeZone TO 'UTC'; SET statement_timeout TO 0")
    reported.append(connection.get_settings().TimeZone)
    return [seen, reported, list(connection.get_server_version())[:2], connection.get_settings().client_encoding]


@scenario()
async def resets(_connection: Any) -> Any:
    mine = await open_one()
    seen = []
    for text in ("SET work_mem = '7MB'", "RESET work_mem", "SET work_mem = '8MB'; SET TimeZone = 'Asia/Tokyo'", "RESET ALL"):
        await mine.execute(text)
        seen.append([await mine.fetchval("SHOW work_mem"), mine.get_settings().TimeZone])
    await mine.execute("SET work_mem = '9MB'")
    await mine.reset()
    found = await mine.fetch("SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') ORDER BY 1")
    seen.append([await mine.fetchval("SHOW work_mem"), [tuple(row) for row in found]])
    await mine.close(timeout=5)
    return seen


@scenario()
async def session_state(connection: Any) -> Any:
    await connection.execute("CREATE TEMPORARY TABLE mine (n int)")
    for number in range(5):
        await connection.execute("INSERT INTO mine VALUES ($1)", number)
    seen: list[Any] = [tuple(await connection.fetchrow("SELECT count(*), sum(n) FROM mine"))]
    await connection.execute("DROP TABLE mine")
    await connection.execute("SELECT pg_advisory_lock(4712)")
    seen.append(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"))
    seen.append(tuple(await connection.fetchrow("SELECT pg_advisory_unlock(4712), pg_advisory_unlock(4712)")))
    await connection.execute("PREPARE plus AS SELECT $1::int + 1")
    seen.append(await connection.fetchval("EXECUTE plus(41)"))
    await connection.execute("DEALLOCATE plus")
    seen.append(await refusal(connection.execute("EXECUTE plus(41)")))
    await connection.reset()  # pg_advisory_unlock_all, CLOSE ALL, UNLISTEN *, RESET ALL
    return seen


@scenario()
async def large_objects(connection: Any) -> Any:
    oid = await connection.fetchval("SELECT lo_from_bytea(0, $1)", b"\x00\xff\x10" * 50_000)
    async with connection.transaction():
        descriptor = await connection.fetchval("SELECT lo_open($1, 393216)", oid)
        await connection.fetchval("SELECT lo_lseek($1, 75000, 0)", descriptor)
        middle = await connection.fetchval("SELECT loread($1, 6)", descriptor)
        await connection.fetchval("SELECT lowrite($1, $2)", descriptor, b"changed")
    seen = [middle, await connection.fetchval("SELECT length(lo_get($1))", oid), await connection.fetchval("SELECT lo_get($1, 75000, 16)", oid)]
    return seen + [await connection.fetchval("SELECT lo_unlink($1)", oid)]


@scenario(movable=True)
async def parallel(_connection: Any) -> Any:
    async def session(number: int) -> int:
        mine = await open_one()
        try:
            await mine.execute(f"SET work_mem = '{1000 + number}kB'; SET application_name = 'session {number}'")
            statement = await mine.prepare(f"SELECT $1::int * {number}")
            sums = 0
            for turn in range(10):
                value = await statement.fetchval(turn)
                assert value == turn * number, value
                state = tuple(await mine.fetchrow("SELECT current_setting('work_mem'), current_setting('application_name')"))
                assert state == (f"{1000 + number}kB", f"session {number}"), state
                if turn % 3 == 0:
                    assert (await refusal(mine.fetch(f"SELECT {number}/0")))[0] == "22012"
                sums += value
            return sums
        finally:
            await mine.close(timeout=5)

    return await asyncio.gather(*(session(number) for number in range(SESSIONS)))


@scenario()
async def pool(_connection: Any) -> Any:
    """Its own pool, which resets each connection that comes back."""
    async with asyncpg.create_pool(host=HOST, port=PORT, user=USER, database=DATABASE, ssl=False, min_size=2, max_size=4) as pool_:
        async def one(number: int) -> Any:
            async with pool_.acquire() as connection:
                await connection.execute(f"SET work_mem = '{number + 100}kB'; SELECT pg_advisory_lock_shared(99)")
                return await connection.fetchval("SHOW work_mem")

        used = await asyncio.gather(*(one(number) for number in range(12)))
        async with pool_.acquire() as connection:
            clean = [await connection.fetchval("SHOW work_mem"),
                     await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 99 AND pid = pg_backend_pid()")]
    return [used, clean]


if __name__ == "__main__":
    program.main()
