"""What a read on green may see: policies, whose they are, and that a function's change is noticed."""
from __future__ import annotations

import random
import threading
import time
from typing import Any, Callable, Iterator

import psycopg
import pytest

from harness.pair import Pair
from harness.turnout import Turnout

CHANGES: dict[str, Any] = {"ramp": {"users": {"reader": "strict"}}}


class DelayedApply:
    """Holds up green's apply for 0 to 500 ms, again and again; its readers are not touched."""

    def __init__(self, pair: Pair, table: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(pair, table), daemon=True)
        self._thread.start()

    def _run(self, pair: Pair, table: str) -> None:
        chance = random.Random(7)
        with pair.green.connect(database="app") as connection:
            while not self._stop.is_set():
                connection.execute(f"BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
                time.sleep(chance.uniform(0, 0.5))
                connection.execute("ROLLBACK")
                time.sleep(chance.uniform(0, 0.3))

    def __enter__(self) -> "DelayedApply":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)


def reads_on(turnout: Turnout) -> tuple[float, float]:
    samples = turnout.metrics()
    green, blue = (sum(value for key, value in samples.items() if key.startswith("turnout_ramped_reads_total") and f'side="{side}"' in key)
                   for side in ("green", "blue"))
    return green, blue


def run_all(threads: list[Callable[[], None]]) -> list[str]:
    wrong: list[str] = []

    def guarded(body: Callable[[], None]) -> None:
        try:
            body()
        except (psycopg.Error, AssertionError) as error:
            wrong.append(repr(error))

    running = [threading.Thread(target=guarded, args=(body,), daemon=True) for body in threads]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(90)
    return wrong


@pytest.fixture(autouse=True)
def back_to_zero(turnout: Turnout) -> Iterator[None]:
    yield
    turnout.ask("shift", "app", "0")


def value_of(connection: psycopg.Connection[Any], session: int) -> int:
    row = connection.execute("SELECT value FROM counter WHERE session = %s", (session,)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.smoke
def test_sessions_read_their_own_writes_and_never_back_in_time(turnout: Turnout, pair: Pair) -> None:
    turnout.ask("shift", "app", "50")
    before = reads_on(turnout)
    until = time.monotonic() + 8
    sessions, reads = 8, [0]

    def run(session: int) -> None:
        chance = random.Random(session)
        with turnout.connect() as connection:
            connection.prepare_threshold = None if session % 2 else 0
            own, seen = value_of(connection, session), {other: 0 for other in range(sessions)}
            while time.monotonic() < until:
                own += 1
                connection.execute("UPDATE counter SET value = %s WHERE session = %s", (own, session))
                seen[session] = own
                for _ in range(chance.randrange(5, 120)):
                    other = chance.choice([session, chance.randrange(sessions)])
                    value = value_of(connection, other)
                    assert value >= seen[other], f"session {session} saw {value} of {other} after {seen[other]}"
                    seen[other] = value
                    reads[0] += 1
                    time.sleep(0.002)

    with DelayedApply(pair, "counter"):
        wrong = run_all([lambda session=session: run(session) for session in range(sessions)])  # type: ignore[misc]
    after = reads_on(turnout)
    green, blue = after[0] - before[0], after[1] - before[1]
    print(f"policy session, weight 50, apply delayed 0-500 ms: {reads[0]} reads, {100 * green / (green + blue):.1f} % on green, {len(wrong)} violations")
    assert not wrong, wrong[:3]
    assert green > 20, "green answered next to nothing: the test has shown nothing"


def test_global_shows_everybodys_writes(other_turnout: Callable[..., Turnout], pair: Pair) -> None:
    """One session writes, tells another one, and that one reads."""
    turnout = other_turnout({"ramp": {"policy": "global"}})
    turnout.ask("shift", "app", "100")
    before = reads_on(turnout)
    until = time.monotonic() + 8
    told = {session: 0 for session in range(100, 102)}

    def write(session: int) -> None:
        with turnout.connect() as connection:
            told[session] = value = value_of(connection, session)
            while time.monotonic() < until:
                value += 1
                connection.execute("UPDATE counter SET value = %s WHERE session = %s", (value, session))
                told[session] = value
                time.sleep(random.uniform(0.2, 1.2))

    def read() -> None:
        with turnout.connect() as connection:
            connection.prepare_threshold = 0
            while time.monotonic() < until:
                for session in told:
                    least = told[session]
                    value = value_of(connection, session)
                    assert value >= least, f"{value} after {least} was told"
                time.sleep(0.001)

    with DelayedApply(pair, "counter"):
        wrong = run_all([lambda: write(100), lambda: write(101), read, read, read])
    after = reads_on(turnout)
    green, blue = after[0] - before[0], after[1] - before[1]
    print(f"policy global, weight 100: {100 * green / (green + blue):.1f} % of the reads on green, {len(wrong)} violations")
    assert not wrong, wrong[:3]
    assert green > 20, "green answered next to nothing: the test has shown nothing"


def side_of(connection: psycopg.Connection[Any]) -> str:
    """One row says something else on green (see `marked`)."""
    row = connection.execute("SELECT body FROM notes WHERE id = 50").fetchone()
    return "green" if row == ("green's own",) else "blue"


@pytest.fixture
def marked(pair: Pair) -> Iterator[None]:
    pair.green.sql("SET session_replication_role = replica; UPDATE notes SET body = 'green''s own' WHERE id = 50")
    yield
    pair.green.sql("SET session_replication_role = replica; UPDATE notes SET body = 'note 50' WHERE id = 50")


def wait_green(connection: psycopg.Connection[Any], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while side_of(connection) != "green":
        assert time.monotonic() < deadline, "its reads never reached green"
        time.sleep(0.02)


def test_a_users_own_policy(turnout: Turnout, marked: None) -> None:
    turnout.ask("shift", "app", "100")
    with turnout.connect() as app, turnout.connect(user="reader") as reader:
        wait_green(app)
        assert {side_of(reader) for _ in range(20)} == {"blue"}, "strict for this user"
        assert side_of(app) == "green"


def test_bounded_needs_no_token_but_a_fresh_green(other_turnout: Callable[..., Turnout], pair: Pair, marked: None) -> None:
    turnout = other_turnout({"ramp": {"policy": "strict", "bounded": "400ms", "users": {"app": "bounded"}}})
    turnout.ask("shift", "app", "100")
    with turnout.connect() as connection:
        wait_green(connection)
        with pair.green.connect(database="app") as blocker:
            blocker.execute("BEGIN; LOCK TABLE counter IN SHARE ROW EXCLUSIVE MODE")
            connection.execute("UPDATE counter SET value = value + 1 WHERE session = 120")
            deadline = time.monotonic() + 20
            while side_of(connection) == "green":
                assert time.monotonic() < deadline, "green is older than the bound and still read"
                time.sleep(0.02)
            blocker.execute("ROLLBACK")
        wait_green(connection, 40)


def test_a_function_that_becomes_volatile_is_noticed(turnout: Turnout, pair: Pair) -> None:
    for side in pair.sides.values():
        side.sql("CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n'")
    turnout.ask("shift", "app", "100")

    def verdict() -> str:
        return str(turnout.ask("explain-route", "app", "SELECT twice(21)")["verdict"])

    assert verdict() == "read"
    began = time.monotonic()
    pair.blue.sql("CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 2 * n'")
    while verdict() != "write":
        assert time.monotonic() - began < 20, "the change is not noticed"
        time.sleep(0.1)
    print(f"noticed after {time.monotonic() - began:.1f} s")


def test_a_cancelled_read_on_green_is_cancelled(turnout: Turnout, marked: None) -> None:
    """And not begun again on the writer."""
    turnout.ask("shift", "app", "100")
    with turnout.connect() as connection:
        wait_green(connection)
        timer = threading.Timer(0.7, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
        timer.join()
        assert side_of(connection) in ("blue", "green")
