"""Types whose numbers (OIDs) differ between the sides, in every form in which numbers travel, and clients that read and
write them without end: each keeps one session with warm caches and now and then opens another.

A client checks every value it gets. Those in other languages (tests/e2e/types) print a line after each round, so that
the test knows how far they are.
"""
from __future__ import annotations

import asyncio
import enum
import os
import shutil
import subprocess
import threading
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.hstore import register_hstore
from psycopg.types.multirange import Multirange, MultirangeInfo, register_multirange
from psycopg.types.range import Range, RangeInfo, register_range
from psycopg.types import TypeInfo
from psycopg.types.numeric import Int4BinaryLoader, IntLoader

from .pair import DATABASE, Pair

TYPES_SQL = """
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE TYPE spot AS (feeling mood, height positive_int, feelings mood[]);
CREATE TYPE mood_span AS RANGE (subtype = mood, multirange_type_name = mood_spans);
CREATE TYPE spot_span AS RANGE (subtype = spot);
CREATE DOMAIN tag AS citext;
CREATE TABLE typed (id integer PRIMARY KEY, m mood NOT NULL, ms mood[] NOT NULL, s spot NOT NULL, ss spot[] NOT NULL,
                    r mood_span NOT NULL, rs mood_spans NOT NULL, sr spot_span NOT NULL, h hstore NOT NULL, t tag NOT NULL,
                    ts tag[] NOT NULL, o oid NOT NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON typed TO app;
"""
COLUMNS = "m, ms, s, ss, r, rs, sr, h, t, ts, o"


def prepare_types(pair: Pair) -> None:
    """The same types, made in another order with others between them, so that a number of one side is another type's of
    the other; one row for every client."""
    for server, between in ((pair.blue, "SELECT 1"), (pair.green, "CREATE TABLE between_them (n mood); DROP TABLE between_them")):
        with server.connect(database=DATABASE) as connection:
            connection.execute(between)
            connection.execute(TYPES_SQL)
    pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE typed", user="turnout")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd REFRESH PUBLICATION", user="turnout")
    pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    # A value of type oid that is the number of a type is the user's own business.
    pair.blue.sql("""INSERT INTO typed SELECT n, 'ok', '{sad,NULL,happy}', '(happy,7,"{ok,sad}")', ARRAY['(sad,1,{})'::spot, NULL,
                     '(ok,,"{happy}")'::spot], '[sad,ok]', '{[sad,sad],[happy,happy]}', '["(sad,1,{})","(ok,2,{sad})"]',
                     'a=>1,b=>NULL', 'Tag', '{One,two}', 'mood'::regtype::oid FROM generate_series(1, 9) AS n""")
    pair.caught_up()


class Client:
    """A loop in a thread; `rounds` grows, `errors` shall stay empty."""

    name = "client"

    def __init__(self, conninfo: str, row: int) -> None:
        self.conninfo, self.row = conninfo, row
        self.rounds, self.errors = 0, []  # type: int, list[str]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Client":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def wait_rounds(self, more: int = 5, timeout_s: float = 60) -> None:
        goal, deadline = self.rounds + more, time.monotonic() + timeout_s
        while self.rounds < goal:
            assert not self.errors, f"{self.name}: {self.errors[:3]}"
            assert self._thread.is_alive(), f"{self.name} has ended"
            assert time.monotonic() < deadline, f"{self.name} made {self.rounds} rounds, not {goal}, in {timeout_s} s"
            time.sleep(0.02)

    def _run(self) -> None:
        try:
            self.work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must hear of it
            self.errors.append(f"{type(error).__name__} {getattr(error, 'sqlstate', '')}: {error}")

    def work(self) -> None:
        raise NotImplementedError

    def check(self, got: Any, expected: Any) -> None:
        if got != expected:
            self.errors.append(f"round {self.rounds}: got {got!r}, not {expected!r}")
            self._stop.set()


class Asyncpg(Client):
    """Binary throughout; asks the catalogs for types that it has not met, by their numbers."""

    name = "asyncpg"

    def work(self) -> None:
        asyncio.run(self._work())

    async def _open(self) -> "asyncpg.Connection[Any]":
        parts = psycopg.conninfo.conninfo_to_dict(self.conninfo)
        connection = await asyncpg.connect(host=parts["host"], port=int(parts["port"]), user=parts["user"], database=parts["dbname"],
                                           ssl=False)
        await connection.set_builtin_type_codec("hstore", schema="public", codec_name="pg_contrib.hstore")
        await connection.set_builtin_type_codec("citext", schema="public", codec_name="text")
        return connection

    @staticmethod
    def _plain(row: Any) -> tuple[Any, ...]:
        spot = lambda s: None if s is None else tuple(s)  # noqa: E731
        span = lambda r: (spot(r.lower) if isinstance(r.lower, tuple) else r.lower, spot(r.upper) if isinstance(r.upper, tuple)
                          else r.upper, r.lower_inc, r.upper_inc)  # noqa: E731
        return (row["m"], row["ms"], spot(row["s"]), [spot(s) for s in row["ss"]], span(row["r"]), [span(r) for r in row["rs"]],
                span(row["sr"]), dict(row["h"]), row["t"], row["ts"])

    async def _work(self) -> None:
        keeper = await self._open()
        first = await keeper.fetchrow(f"SELECT {COLUMNS} FROM typed WHERE id = $1", self.row)
        expected, number = self._plain(first), first["o"]
        while not self._stop.is_set():
            connection = keeper if self.rounds % 4 else await self._open()
            row = await connection.fetchrow(f"SELECT {COLUMNS} FROM typed WHERE id = $1", self.row)
            self.check(self._plain(row), expected)
            self.check(row["o"], number)
            spots = [None if s is None else dict(s) for s in row["ss"]]  # a Record in a list would be taken for a list
            values = [row["m"], row["ms"], row["s"], spots, *(row[name] for name in ("r", "rs", "sr", "h", "t", "ts", "o"))]
            self.check(await connection.fetchval(
                "UPDATE typed SET m = $2, ms = $3, s = $4, ss = $5, r = $6, rs = $7, sr = $8, h = $9, t = $10, ts = $11, o = $12 "
                "WHERE id = $1 RETURNING ms", self.row, *values), row["ms"])
            self.check(await connection.fetchval("SELECT count(*) FROM typed WHERE id = $1 AND ss = $2 AND sr = $3 AND $4::mood[][] IS NOT NULL",
                                                 self.row, spots, row["sr"], [row["ms"]]), 1)
            # An anonymous record, and the row of a table.
            record = await connection.fetchval("SELECT ROW(m, ss) FROM typed WHERE id = $1", self.row)
            self.check((record[0], [None if s is None else tuple(s) for s in record[1]]), (expected[0], expected[3]))
            whole = await connection.fetchval("SELECT typed FROM typed WHERE id = $1", self.row)
            self.check((whole["m"], whole["ms"], whole["o"]), (expected[0], expected[1], number))
            if connection is not keeper:
                await connection.close(timeout=10)
            self.rounds += 1
            await asyncio.sleep(0.01)
        await keeper.close(timeout=10)


class Psycopg3(Client):
    """Types registered once, for every connection of the process; binary parameters and results, prepared and not."""

    name = "psycopg 3"

    def work(self) -> None:
        spot = namedtuple("spot", "feeling height feelings")
        mood = enum.Enum("mood", "sad ok happy")
        kinds: dict[str, Any] = {"mood": EnumInfo, "spot": CompositeInfo, "mood_span": RangeInfo, "spot_span": RangeInfo,
                                 "mood_spans": MultirangeInfo, "hstore": TypeInfo, "positive_int": TypeInfo}
        with self._open() as connection:  # once, with the numbers that were told then
            infos = {name: kind.fetch(connection, name) for name, kind in kinds.items()}

        def open_registered() -> psycopg.Connection[Any]:
            connection = self._open()
            register_enum(infos["mood"], connection, mood)
            register_composite(infos["spot"], connection, factory=spot)
            register_range(infos["mood_span"], connection)
            register_range(infos["spot_span"], connection)
            register_multirange(infos["mood_spans"], connection)
            register_hstore(infos["hstore"], connection)
            infos["positive_int"].register(connection)
            for loader in (IntLoader, Int4BinaryLoader):
                connection.adapters.register_loader(infos["positive_int"].oid, loader)
            return connection

        keeper = open_registered()
        columns = ("m", "ms", "r", "rs", "o", "s", "ss", "sr", "h")
        binary, text = columns[:8], columns[5:]  # in which way it can take them
        select = f"SELECT {', '.join(binary)} FROM typed WHERE id = %s"
        expected = keeper.execute(select, [self.row], binary=True).fetchone()
        assert expected is not None and expected[0] is mood.ok and expected[5] == spot(mood.happy, 7, [mood.ok, mood.sad]), expected
        assert isinstance(expected[2], Range) and isinstance(expected[3], Multirange), expected
        words = keeper.execute(f"SELECT {', '.join(text)} FROM typed WHERE id = %s", [self.row]).fetchone()
        assert words is not None and words[3] == {"a": "1", "b": None}, words
        while not self._stop.is_set():
            connection = keeper if self.rounds % 4 else open_registered()
            prepare = None if self.rounds % 3 else True
            row = connection.execute(select, [self.row], binary=True, prepare=prepare).fetchone()
            self.check(row, expected)
            self.check(connection.execute(f"SELECT {', '.join(text)} FROM typed WHERE id = %s", [self.row]).fetchone(), words)
            sets = ", ".join([f"{name} = %b" for name in binary[:5]] + [f"{name} = %s" for name in text])
            self.check(connection.execute(f"UPDATE typed SET {sets} WHERE id = %b RETURNING ss", [*expected[:5], *words, self.row],
                                          binary=True, prepare=prepare).fetchone(), (expected[6],))
            with connection.transaction(), connection.cursor("portal", binary=True) as cursor:
                cursor.execute(f"SELECT {', '.join(binary)} FROM typed WHERE id = {self.row}")
                self.check(cursor.fetchone(), expected)
            if connection is not keeper:
                connection.close()
            self.rounds += 1
            time.sleep(0.01)
        keeper.close()

    def _open(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.conninfo, autocommit=True)


class Program(Client):
    """A client in another language: prints a line after each round, ends when its input does."""

    command: list[str] = []

    def environment(self) -> dict[str, str]:
        return {}

    def work(self) -> None:
        parts = psycopg.conninfo.conninfo_to_dict(self.conninfo)
        process = subprocess.Popen([*self.command, str(parts["port"]), str(self.row)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, env=dict(os.environ, **self.environment()), start_new_session=True)
        assert process.stdin is not None and process.stdout is not None
        closer = threading.Thread(target=lambda: (self._stop.wait(), process.stdin.close()), daemon=True)
        closer.start()
        rest = []
        for line in process.stdout:
            if line.strip() == "round":
                self.rounds += 1
            else:
                rest.append(line.rstrip())
        if process.wait(30) != 0 or rest:
            self.errors.append("\n".join(rest[-12:]) or f"ended with {process.returncode}")


def go_client(home: Path) -> type[Program] | None:
    """pgx v4, built with Debian's packages; None where they are not installed."""
    source = Path(__file__).resolve().parents[1] / "types" / "pgx.go"
    if shutil.which("go") is None or not Path("/usr/share/gocode/src/github.com/jackc/pgx/v4").exists():
        return None
    environment = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off", GOFLAGS="", GOCACHE=str(home / "go-cache"))
    built = subprocess.run(["go", "build", "-o", str(home / "pgx"), source.name], cwd=source.parent, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr

    class Pgx(Program):
        name = "pgx"
        command = [str(home / "pgx")]

    return Pgx


def java_client(home: Path) -> type[Program] | None:
    """pgjdbc, compiled here; None where there is no driver or no compiler."""
    jar = Path("/usr/share/java/postgresql.jar")
    if shutil.which("javac") is None or not jar.exists():
        return None
    source = Path(__file__).resolve().parents[1] / "types" / "Jdbc.java"
    built = subprocess.run(["javac", "-cp", str(jar), "-d", str(home), str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr

    class Pgjdbc(Program):
        name = "pgjdbc"
        command = ["java", "-Xss512k", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jar}:{home}", "Jdbc"]

    return Pgjdbc
