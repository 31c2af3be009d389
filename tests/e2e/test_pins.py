"""What keeps a session on its server connection is lifted when it is gone, and is told while it stands."""
from __future__ import annotations

from typing import Callable

import pytest

from harness.pair import Pair
from harness.raw import Raw
from harness.slow import SlowRoad
from harness.turnout import Turnout
from harness.waiting import eventually

CHANGES = {"pool": {"mode": "transaction", "size": 3}}

# (reason, statements that make it, statements that end it)
CASES = [
    ("temp_object", ["CREATE TEMP TABLE scratch (n int)"], ["DROP TABLE scratch"]),
    ("temp_object", ["CREATE TEMP VIEW look AS SELECT 1", "CREATE TEMP TABLE other (n int)"], ["DROP VIEW look", "DROP TABLE other"]),
    ("temp_object", ["CREATE TEMP TABLE scratch (n int)"], ["DISCARD TEMP"]),
    ("hold_cursor", ["BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT"], ["CLOSE held"]),
    ("hold_cursor", ["BEGIN", "DECLARE held CURSOR WITH HOLD FOR SELECT 1", "COMMIT"], ["CLOSE ALL"]),
    ("sql_prepare", ["PREPARE asked AS SELECT 1"], ["DEALLOCATE asked"]),
    ("sql_prepare", ["PREPARE one AS SELECT 1", "PREPARE two AS SELECT 2"], ["DEALLOCATE one", "DEALLOCATE ALL"]),
    ("advisory_lock", ["SELECT pg_advisory_lock(7)"], ["SELECT pg_advisory_unlock(7)"]),
    ("advisory_lock", ["SELECT pg_advisory_lock(7)", "SELECT pg_advisory_lock_shared(8)"], ["SELECT pg_advisory_unlock_all()"]),
    ("advisory_lock", ["SELECT pg_try_advisory_lock(7)"], ["SELECT pg_advisory_unlock(7)"]),
]


def reasons(turnout: Turnout) -> list[str]:
    return [client["pinned_by"] for client in turnout.ask("clients")["clients"] if client["pinned_by"]]


@pytest.mark.smoke
@pytest.mark.parametrize("reason,make,end", CASES)
def test_a_pin_ends_with_its_cause(turnout: Turnout, reason: str, make: list[str], end: list[str]) -> None:
    with turnout.connect() as connection:
        before = turnout.metrics()[f'turnout_pins_total{{deployment="app",reason="{reason}"}}']
        for statement in make:
            connection.execute(statement)
        eventually(lambda: reasons(turnout) == [reason], f"pinned by {reason}")
        metrics = turnout.metrics()
        assert metrics[f'turnout_pinned_clients{{deployment="app",reason="{reason}"}}'] == 1
        assert metrics[f'turnout_pins_total{{deployment="app",reason="{reason}"}}'] > before
        for statement in end[:-1]:
            connection.execute(statement)
        assert reasons(turnout) == [reason], "one of two is left"
        connection.execute(end[-1])
        eventually(lambda: reasons(turnout) == [], "free")
        assert turnout.metrics()[f'turnout_pinned_clients{{deployment="app",reason="{reason}"}}'] == 0


@pytest.mark.parametrize("text", [
    "BEGIN; CREATE TEMP TABLE scratch (n int) ON COMMIT DROP; COMMIT",
    "BEGIN; CREATE TEMP TABLE scratch (n int); ROLLBACK",
    "BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; ROLLBACK",
    "SELECT count(*) FROM pg_class WHERE relname LIKE 'pg_temp'",
])
def test_what_did_not_last_does_not_pin(turnout: Turnout, text: str) -> None:
    with turnout.connect() as connection:
        connection.execute(text)
        eventually(lambda: reasons(turnout) == [], "free")
        for statement in text.split("; "):  # and one by one
            connection.execute(statement)
        eventually(lambda: reasons(turnout) == [], "free")


def test_a_lock_that_was_not_had_does_not_pin(turnout: Turnout) -> None:
    with turnout.connect() as holder, turnout.connect() as other:
        holder.execute("SELECT pg_advisory_lock(9)")
        assert other.execute("SELECT pg_try_advisory_lock(9)").fetchone() == (False,)
        eventually(lambda: reasons(turnout) == ["advisory_lock"], "only the holder is pinned")
        # A lock taken twice is let go twice.
        holder.execute("SELECT pg_advisory_lock(9)")
        holder.execute("SELECT pg_advisory_unlock(9)")
        assert other.execute("SELECT pg_try_advisory_lock(9)").fetchone() == (False,)
        holder.execute("SELECT pg_advisory_unlock(9)")
        assert other.execute("SELECT pg_try_advisory_lock(9)").fetchone() == (True,)
        other.execute("SELECT pg_advisory_unlock(9)")
        eventually(lambda: reasons(turnout) == [], "free")


def test_pipelined_work_goes_on_behind_the_question(turnout: Turnout) -> None:
    with turnout.connect() as connection:
        with connection.pipeline():
            connection.execute("CREATE TEMP TABLE piped (n int)")
            connection.execute("DROP TABLE piped")
            connection.execute("CREATE TEMP TABLE piped_again (n int)")
            rows = [connection.execute("SELECT %s::int", (n,)) for n in range(50)]
            assert [row.fetchone()[0] for row in rows] == list(range(50))  # type: ignore[index]
        eventually(lambda: reasons(turnout) == ["temp_object"], "pinned by the second")
        assert connection.execute("SELECT count(*) FROM piped_again").fetchone() == (0,)


def test_blockers_name_who_and_what(turnout: Turnout) -> None:
    with turnout.connect(application_name="blocking") as connection:
        connection.execute("CREATE TEMP TABLE mine AS SELECT 'a secret' AS word, 42 AS number")
        blockers = [blocker for blocker in turnout.ask("blockers", "app")["blockers"] if blocker["kind"] == "unmovable_session"]
        assert len(blockers) == 1, blockers
        blocker = blockers[0]
        assert (blocker["user"], blocker["application"], blocker["reason"]) == ("app", "blocking", "temp_object")
        assert blocker["address"].startswith("127.0.0.1") and blocker["age_s"] >= 0
        assert blocker["query"] == "CREATE TEMP TABLE mine AS SELECT ? AS word, ? AS number"


def test_a_pin_that_comes_while_the_server_is_asked_stands(other_turnout: Callable[..., Turnout], pair: Pair) -> None:
    """The client is answered before the server is asked whether the lock is gone; its next lock overtakes the answer."""
    mine = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    with SlowRoad(pair.blue.port, late=b"WHERE locktype = 'advisory' AND pid = pg_catalog", late_s=0.1) as road:
        turnout = other_turnout(CHANGES | {"blue": f"127.0.0.1:{road.port}"})
        with Raw(turnout.port) as holder, Raw(turnout.port) as other:
            assert holder.login() == other.login() == {}
            holder.ask("SELECT pg_advisory_lock(9)")
            holder.ask("SELECT pg_advisory_unlock(9)")
            holder.ask("SELECT pg_advisory_lock(9)")
            other.ask("BEGIN; SELECT 1")  # takes the connection that has been free last
            assert (holder.value(mine), other.value(mine)) == ("1", "0")
