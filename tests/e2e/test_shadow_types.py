"""The shadow where types have other numbers (OIDs) on each side: whoever writes, it compares in every form in which clients ask."""
from __future__ import annotations

import asyncio
from typing import Any, Callable, Iterator

import asyncpg
import psycopg
import pytest

from harness.pair import Pair
from harness.postgres import Postgres
from harness.shadowed import on, shape_of, wait_for
from harness.turnout import Turnout
from harness.typed import prepare_types

CHANGES: dict[str, Any] = {"shadow": {"brackets": 2}}
COLUMNS = "ms, s, ss, r, rs, sr"


@pytest.fixture(scope="module", autouse=True)
def types(pair: Pair) -> None:
    prepare_types(pair)


class Reads:
    """One row in each form; the first column's name tells the form, so that the report tells them apart."""

    forms = ("simple", "text", "binary", "prepared", "undeclared")

    def __init__(self, turnout: Turnout) -> None:
        self.connection: psycopg.Connection[Any] = turnout.connect()
        self.loop = asyncio.new_event_loop()
        parts = psycopg.conninfo.conninfo_to_dict(turnout.conninfo())
        # Declares no parameter's type, and sends and takes all of them in binary.
        self.undeclared = self.loop.run_until_complete(asyncpg.connect(
            host=parts["host"], port=int(parts["port"]), user=parts["user"], database=parts["dbname"], ssl=False))

    def close(self) -> None:
        self.loop.run_until_complete(self.undeclared.close(timeout=10))
        self.loop.close()
        self.connection.close()

    def __call__(self) -> None:
        sql = lambda form, where: f"SELECT m AS {form}_m, {COLUMNS} FROM typed WHERE {where}"  # noqa: E731
        execute = self.connection.execute
        execute(sql("simple", "id = 5"))
        execute(sql("text", "id = %s AND m = %s::mood"), [5, "ok"], prepare=False)
        execute(sql("binary", "id = %b"), [5], prepare=False, binary=True)
        execute(sql("prepared", "id = %b AND ms <> %s::mood[]"), [5, ["ok"]], prepare=True, binary=True)
        self.loop.run_until_complete(self.undeclared.fetch(
            sql("undeclared", "id = $1 AND ms <> $2 AND s <> $3::spot AND ROW(m, ms) IS NOT NULL"), 5, ["ok"], ("sad", 1, ["sad"])))


@pytest.fixture
def reads(turnout: Turnout) -> Iterator[Reads]:
    made = Reads(turnout)
    yield made
    made.close()


def every(found: dict[str, Any], is_so: Callable[[dict[str, Any]], bool]) -> bool:
    return all(is_so(shape_of(found, f"as {form}_m")) for form in Reads.forms)


def compare(turnout: Turnout, side: str, other: Postgres, reads: Reads) -> None:
    """Equal answers are equal in every form, and what is planted on the side that follows is found in every form."""
    on(turnout)
    found = wait_for(turnout, lambda r: r["side"] == side and every(r, lambda shape: shape.get("same", 0) >= 10), reads)
    assert found["different"] == found["failed"] == 0, [one for one in found["shapes"] if one["difference"]]
    assert found["dropped"]["not_whole"] == 0, found
    assert every(found, lambda shape: shape.get("not_compared") == 0), found
    plant = "BEGIN READ WRITE; SET LOCAL session_replication_role = replica; UPDATE typed SET ss = {} WHERE id = 5; COMMIT"
    other.sql(plant.format("ss || '(sad,3,{happy})'::spot"))
    try:
        found = wait_for(turnout, lambda r: every(r, lambda shape: shape.get("different", 0) > 0), reads)
        assert every(found, lambda shape: "in ss" in shape["difference"]), found
    finally:
        other.sql(plant.format("ss[1:3]"))


@pytest.mark.smoke
def test_before_the_cutover(turnout: Turnout, pair: Pair, reads: Reads) -> None:
    compare(turnout, "green", pair.green, reads)


def test_behind_it(turnout: Turnout, pair: Pair, reads: Reads) -> None:
    turnout.ask("cutover", "app")
    turnout.wait_settled()
    compare(turnout, "blue", pair.blue, reads)
