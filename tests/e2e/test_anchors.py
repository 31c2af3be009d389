"""Consumers of the writer's log (change data capture) go on after a move: every row once, none missed."""
from __future__ import annotations

import re
from typing import Any, Iterator

import pytest

from harness.ledger import Ledger
from harness.pair import Pair
from harness.turnout import REFUSED, Turnout

SLOT = "orders_cdc"
CHANGES: dict[str, Any] = {"cdc": [SLOT]}


@pytest.fixture
def consumer(pair: Pair) -> Iterator[None]:
    """Its slot is on blue from before the first row, as Debezium would have made it."""
    pair.blue.sql("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", [SLOT], database="app")
    yield
    for server in (pair.blue, pair.green):
        server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ 'orders_cdc' AND NOT active")


def rows_of(server: Any, slot: str, until: str | None) -> list[tuple[int, int]]:
    """(session, number) of every ledger row that the slot gives, in its order."""
    lines = server.sql("SELECT data FROM pg_logical_slot_get_changes(%s, %s::pg_lsn, NULL)", [slot, until], database="app")
    found = [re.match(r"table public\.ledger: INSERT: .*session\[\w+\]:(\d+) number\[\w+\]:(\d+)", line) for (line,) in lines]
    return [(int(one[1]), int(one[2])) for one in found if one]


def test_refused_without_its_slot(turnout: Turnout) -> None:
    answer = turnout.cli("cutover", "app", "--yes")
    assert answer.code == REFUSED and "cdc.anchors" in answer.stdout + answer.stderr, answer


def test_every_row_once_across_a_cutover(turnout: Turnout, pair: Pair, consumer: None) -> None:
    before = pair.blue.sql("SELECT session, number FROM ledger", database="app")
    with Ledger(turnout.conninfo(), sessions_per_kind=1) as ledger:
        ledger.wait_commits(20)
        report = turnout.ask("cutover", "app")
        ledger.wait_commits(20)
        with ledger.resting():
            (anchor,) = report["cdc"]
            assert (anchor["consumer"], anchor["database"], anchor["plugin"]) == (SLOT, "app", "test_decoding"), anchor
            assert anchor["until"]["side"] == "blue" and anchor["then"]["side"] == "green", anchor
            assert anchor["then"]["slot"] in anchor["instructions"]["debezium"], anchor
            assert anchor["then"]["position"] in anchor["instructions"]["dms"], anchor
            pair.caught_up("green")  # blue's log now also has what came back from green: a consumer must stop at the fence
            read = rows_of(pair.blue, SLOT, anchor["until"]["position"])
            then = rows_of(pair.green, anchor["then"]["slot"], None)
            assert then, "nothing was written on green"
            written = set(pair.green.sql("SELECT session, number FROM ledger", database="app")) - set(before)
            assert len(read + then) == len(set(read + then)), "a row came twice"
            assert set(read + then) == written, "a row was missed, or invented"
            for session in {session for session, _ in written}:
                numbers = [number for one, number in read + then if one == session]
                assert numbers == sorted(numbers), "the order of a session's rows was kept"
    text = turnout.cli("report", "app").stdout
    assert SLOT in text, text
