"""Other steps than 15 → 18: the whole way to that version and back, under load. 15 → 18 is what all other tests do."""
from __future__ import annotations

from typing import Iterator

import pytest

from conftest import Fresh
from harness.checks import assert_books, assert_no_errors, assert_report, assert_sequences_moved_on, assert_writer, other
from harness.ledger import Ledger
from harness.load import TypeReaders
from harness.pair import Pair, Template
from harness.turnout import Turnout
from harness.workspace import Workspace


@pytest.fixture(params=[16, *(pytest.param(major, marks=pytest.mark.soak) for major in (17, 15))])
def upgrade(workspace: Workspace, request: pytest.FixtureRequest) -> Iterator[Fresh]:
    pair = Pair(workspace, f"to{request.param}", green_major=request.param)
    if pair.green_major != request.param:
        pytest.skip(f"PostgreSQL {request.param} could not be had (./dev setup)")
    pair.build()
    turnout = Turnout(workspace, pair, f"{pair.name}/turnout")
    turnout.start()
    yield Fresh(pair, turnout)
    turnout.stop()
    Template.drop(pair)


def test_there_and_back(upgrade: Fresh) -> None:
    pair, turnout = upgrade.pair, upgrade.turnout
    assert (pair.blue.major, pair.green.major) == (15, pair.green_major)
    readers = TypeReaders(turnout.conninfo(), 2).start()
    with Ledger(turnout.conninfo(), sessions_per_kind=1) as ledger:
        for verb, to in (("cutover", "green"), ("rollback", "blue"), ("cutover", "green")):
            sequences = pair.sequences(other(to))
            assert_report(turnout.ask(verb, "app"), verb)
            ledger.wait_commits(10)
            with ledger.resting():
                assert_no_errors(ledger)
                assert_sequences_moved_on(pair, sequences, to)
                pair.caught_up(to)
                for side in pair.sides:  # the follower has all of it, too
                    assert_books(ledger, pair, side)
    readers.stop()
    assert not readers.errors and readers.reads > 20, readers.errors[:5]
    assert_writer(pair, turnout, "green")
