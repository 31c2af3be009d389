"""Several databases of one server in one window, and several subscriptions of one database: all of it moves, or nothing."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from conftest import Fresh
from harness.checks import assert_books, assert_no_errors, assert_report, assert_sequences_moved_on, assert_writer, other
from harness.faults import StopPoints
from harness.ledger import Ledger
from harness.pair import PUBLISHED, Pair
from harness.turnout import REFUSED, REVERTED

DATABASES = ("app", "second", "third")
CHANGES: dict[str, Any] = {"databases": list(DATABASES)}


def with_all(fresh: Fresh) -> Fresh:
    for database in DATABASES[1:]:
        fresh.pair.add_database(database)
    return fresh


def ledgers(fresh: Fresh, stack: ExitStack) -> dict[str, Ledger]:
    return {database: stack.enter_context(Ledger(fresh.turnout.conninfo(database=database), sessions_per_kind=1, pace_s=0.02))
            for database in DATABASES}


def assert_all_books(running: dict[str, Ledger], pair: Pair, writer: str) -> None:
    with ExitStack() as rest:
        for ledger in running.values():
            rest.enter_context(ledger.resting())
        pair.caught_up(writer)
        for database, ledger in running.items():
            assert_no_errors(ledger)
            for side in pair.sides:  # what follows has all of it, too
                assert_books(ledger, pair, side, database=database)


def test_they_move_together(fresh: Fresh) -> None:
    pair, turnout = with_all(fresh).pair, fresh.turnout
    with ExitStack() as stack:
        running = ledgers(fresh, stack)
        for verb, to in (("cutover", "green"), ("rollback", "blue"), ("cutover", "green")):
            sequences = {database: pair.sequences(other(to), database) for database in DATABASES}
            report = turnout.ask(verb, "app")
            assert_report(report, verb)
            assert set(report["sequences"]) == set(DATABASES), report["sequences"].keys()
            for database, ledger in running.items():
                ledger.wait_commits(10)
                assert_sequences_moved_on(pair, sequences[database], to, database)
            assert_all_books(running, pair, to)
    assert_writer(pair, turnout, "green")


@pytest.mark.soak
def test_one_that_does_not_follow_keeps_all(fresh: Fresh) -> None:
    """The apply worker of one database stands still: the window closes, and every database is written on blue again."""
    pair, turnout = with_all(fresh).pair, fresh.turnout
    turnout.stop()
    stops = StopPoints(turnout.home / "stops")
    turnout.environment = stops.environment
    turnout.start()
    turnout.ask("prepare", "app")
    with ExitStack() as stack:
        running = ledgers(fresh, stack)
        stops.set("before-write_marker")  # it has come as far as the window
        moving = stack.enter_context(ThreadPoolExecutor()).submit(turnout.ask, "cutover", "app", expect=REVERTED, timeout_s=120)
        stops.wait("before-write_marker")
        with pair.green.connect(database="third", options="-c default_transaction_read_only=off") as lock:
            lock.execute("BEGIN; LOCK TABLE turnout.marker IN EXCLUSIVE MODE")
            stops.clear()
            report = moving.result(120)
            assert "marker" in report["reason"] and "third" in report["reason"], report["reason"]
            lock.execute("ROLLBACK")
        for ledger in running.values():
            ledger.wait_commits(10)
        assert_all_books(running, pair, "blue")
    assert_writer(pair, turnout, "blue")


def split(pair: Pair) -> None:
    """The stream of `app` in two: a busy table has its own."""
    parts = {"busy": ["ledger"], "the_rest": [table for table in PUBLISHED if table != "ledger"]}
    pair.green.sql("DROP SUBSCRIPTION turnout_fwd", user="turnout")
    pair.blue.sql("DROP PUBLICATION turnout_fwd", user="turnout")
    pair.green.sql(f"TRUNCATE {', '.join(PUBLISHED)}")
    for name, tables in parts.items():
        pair.subscribe("app", name, tables)
    pair.green.wait_for("SELECT count(*) = %d FROM pg_subscription_rel WHERE srsubstate = 'r'" % len(PUBLISHED))
    pair.green.sql("ANALYZE")


@pytest.mark.parametrize("fresh", [{"databases": ["app"]}], indirect=True, ids=[""])
def test_several_subscriptions_of_one(fresh: Fresh) -> None:
    """Each proves its own part; the way back is one stream, and so is the next way there."""
    pair, turnout = fresh.pair, fresh.turnout
    split(pair)
    with Ledger(turnout.conninfo(), sessions_per_kind=1) as ledger:
        for verb, to, streams in (("cutover", "green", 2), ("rollback", "blue", 1), ("cutover", "green", 1)):
            follower = pair.sides[to]
            assert follower.value("SELECT count(*) FROM pg_subscription WHERE subenabled") == streams
            sequences = pair.sequences(other(to))
            assert_report(turnout.ask(verb, "app"), verb)
            turnout.wait_settled()
            ledger.wait_commits(10)
            assert_sequences_moved_on(pair, sequences, to)
            assert follower.value("SELECT count(*) FROM pg_subscription") == 0
            with ledger.resting():
                pair.caught_up(to)
                assert_no_errors(ledger)
                for side in pair.sides:
                    assert_books(ledger, pair, side)
    assert_writer(pair, turnout, "green")
    assert turnout.ask("compare", "app", timeout_s=120)["outcome"] == "equal"


@pytest.mark.parametrize("fresh", [{"databases": ["app"]}], indirect=True, ids=[""])
def test_the_slower_of_two_is_waited_for(fresh: Fresh) -> None:
    """What the busy stream has not brought yet is not given up because the other one is there."""
    pair, turnout = fresh.pair, fresh.turnout
    split(pair)
    turnout.ask("prepare", "app")
    markers = dict(pair.blue.sql("SELECT pubname, rowfilter FROM pg_publication_tables WHERE tablename = 'marker'"))
    assert set(markers) == {"busy", "the_rest"} and all(markers.values()), markers
    for subscription in markers:
        with Ledger(turnout.conninfo(), sessions_per_kind=1) as ledger:
            pair.green.sql(f"ALTER SUBSCRIPTION {subscription} DISABLE", user="turnout")
            refused = turnout.ask("cutover", "app", expect=REFUSED)
            assert subscription in str(refused), refused
            pair.green.sql(f"ALTER SUBSCRIPTION {subscription} ENABLE", user="turnout")
            ledger.wait_commits(10)
    comparison = turnout.ask("compare", "app", timeout_s=120)
    assert comparison["outcome"] == "equal" and not comparison["not_published"], comparison
