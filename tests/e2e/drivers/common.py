"""What the Python programs share: how a program runs its scenarios and prints what it saw.

A program prints one JSON line a scenario: {"scenario": name, "result": value}, or "error" where it should have gone well.
Whatever cannot be equal in two runs (process ids, OIDs, times) is not printed. With the word `loop` it repeats its movable
scenarios on the same connection until the file that is named in DRIVER_STOP exists; with names of scenarios, only those.
The server is where PGHOST, PGPORT, PGUSER and PGDATABASE say. The programs in other languages follow the same rules.
"""
from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

HOST, PORT = os.environ.get("PGHOST", "127.0.0.1"), int(os.environ.get("PGPORT", "5432"))
USER, DATABASE = os.environ.get("PGUSER", "app"), os.environ.get("PGDATABASE", "app")
SESSIONS = 16

# SQL whose value is shown as text and in the driver's own type.
VALUES = (
    "true", "(-32768)::int2", "2147483647::int4", "9223372036854775807::int8", "1.5::float4", "'-Infinity'::float8", "0.1::float8",
    "12345678901234567890.0123456789::numeric", "'NaN'::numeric", "'Größe ≠ 漢字 🙂'::text", "''::text", "'pad'::char(6)",
    "'\\x00ff10275c'::bytea", "'{\"b\": [1, 2.5, null], \"a\": \"ü\"}'::json", "'{\"b\": [1, 2.5, null], \"a\": \"ü\"}'::jsonb",
    "'2024-02-29 12:34:56.789012'::timestamp", "'2024-02-29 12:34:56.789012+02'::timestamptz", "'2024-02-29'::date",
    "'23:59:59.5'::time", "'00112233-4455-6677-8899-aabbccddeeff'::uuid", "ARRAY[1, 2, NULL]::int4[]",
    "ARRAY['a', 'b,\"c', NULL]::text[]", "ARRAY[[1.5, 2], [3, 4]]::numeric[]", "NULL::int4", "NULL::text", "'192.168.1.7'::inet",
    "'10.0.0.0/8'::cidr", "'3 days 04:05:06.7'::interval", "'[1,10)'::int4range", "'[2024-01-01,2024-02-01)'::daterange",
    "'(1,2)'::point", "B'10110'::bit(5)", "'<a>&amp;</a>'::xml", "repeat('long', 5000)",
)
# Their OIDs differ between the sides of a pair.
USER_VALUES = (
    "'green'::drivers.colour", "ARRAY['red', 'blue', NULL]::drivers.colour[]", "ROW(1, 2, 'a b')::drivers.spot",
    "ARRAY[ROW(1, 2, 'a'), ROW(3, NULL, NULL)]::drivers.spot[]", "55::drivers.percent", "'[1.5,2.5)'::drivers.span", "'sad'::mood",
)

Scenario = Callable[[Any], Any]


def wait_until(predicate: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def in_parallel(work: Callable[[int], Any]) -> list[Any]:
    """`work(number)` in as many sessions as there are; results in the order of the numbers."""
    with ThreadPoolExecutor(SESSIONS) as pool:
        return list(pool.map(work, range(SESSIONS)))


class Program:
    def __init__(self, owner: str, connect: Callable[[], Any], close: Callable[[Any], None] = lambda connection: connection.close()) -> None:
        self.owner, self.connect, self._close = owner, connect, close
        self.settle: Scenario = lambda connection: None  # after each scenario: a transaction left open would wait for its own other sessions
        self._scenarios: dict[str, Scenario] = {}
        self._movable: set[str] = set()
        self._connection: Any = None

    def add(self, name: str, body: Scenario, movable: bool = False) -> None:
        self._scenarios[name] = body
        if movable:
            self._movable.add(name)

    def scenario(self, movable: bool = False) -> Callable[[Scenario], Scenario]:
        def register(body: Scenario) -> Scenario:
            self.add(body.__name__, body, movable)
            return body

        return register

    def _run_one(self, name: str) -> None:
        line: dict[str, Any] = {"scenario": name}
        try:
            if self._connection is None:
                self._connection = self.connect()
            line["result"] = self._scenarios[name](self._connection)
            self.settle(self._connection)
        except (Exception, asyncio.CancelledError) as error:  # a scenario that breaks must not take the others along
            line["error"] = f"{type(error).__name__}: {error}".strip()
            traceback.print_exc()
            self._drop()
        print(json.dumps(line, sort_keys=True, default=repr), flush=True)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                self._close(connection)
        except Exception as error:
            print(f"closing: {error}", file=sys.stderr)

    def main(self) -> None:
        words = sys.argv[1:]
        stop = os.environ.get("DRIVER_STOP")
        if words == ["loop"]:
            assert stop, "loop needs DRIVER_STOP"
            while not os.path.exists(stop):
                for name in self._scenarios:
                    if name in self._movable:
                        self._run_one(name)
        else:
            for name in words or self._scenarios:
                self._run_one(name)
        self._drop()
