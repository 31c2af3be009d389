"""The read ramp: proven reads move to green by weight, sessions read their own writes, and trouble stays invisible."""
from __future__ import annotations

import signal
import struct
import time
from typing import Any, Callable

import psycopg
import pytest

from harness.checks import assert_books, assert_no_errors
from harness.ledger import Ledger
from harness.load import Pgbench, TypeReaders
from harness.pair import Pair
from harness.raw import Raw, framed, query
from harness.slow import SlowRoad
from harness.turnout import CONFLICT, USAGE, Turnout
from harness.waiting import eventually

CHANGES: dict[str, Any] = {}
DETOURS = 'turnout_route_detours_total{deployment="app"}'


def reads_on(turnout: Turnout) -> dict[str, float]:
    samples = turnout.metrics()
    return {side: sum(value for key, value in samples.items() if key.startswith("turnout_ramped_reads_total") and f'side="{side}"' in key)
            for side in ("blue", "green")}


def share_during(turnout: Turnout, seconds: float) -> float:
    before = reads_on(turnout)
    time.sleep(seconds)
    after = reads_on(turnout)
    green, blue = after["green"] - before["green"], after["blue"] - before["blue"]
    return 100 * green / (green + blue) if green + blue else 0.0


def set_weight(turnout: Turnout, percent: int) -> None:
    turnout.ask("shift", "app", str(percent))
    assert turnout.status()["ramp_percent"] == percent


@pytest.fixture(autouse=True)
def back_to_zero(turnout: Turnout) -> Any:
    yield
    set_weight(turnout, 0)


@pytest.mark.smoke
def test_share_follows_the_weight(turnout: Turnout, pair: Pair) -> None:
    load = [Pgbench(turnout.port, turnout.home, mode=mode, script="select-only", clients=12, rate=250, seconds=600)
            for mode in ("prepared", "simple")]
    readers = TypeReaders(turnout.conninfo(), 4).start()
    # Slow, for a read right after its session's own write stays with the writer whatever the weight says.
    with Ledger(turnout.conninfo(), sessions_per_kind=1, first=20, pace_s=0.1) as ledger:
        # Weights are made of whole sessions: with about 36 of them the share is exact to some per cent.
        for percent, low, high in ((10, 2, 30), (50, 33, 67), (100, 90, 100), (50, 33, 67), (0, 0, 0)):
            set_weight(turnout, percent)
            time.sleep(2.5)  # the threshold follows what sessions really read
            share = share_during(turnout, 1.5)
            actual = turnout.status()["ramp_actual_percent"]
            assert low <= share <= high, f"weight {percent}: {share:.1f} % of the reads on green"
            assert abs(actual - share) < 20, f"status says {actual}, the counters {share:.1f}"
    results = [pgbench.stop() for pgbench in load]
    readers.stop()
    for result in results:
        assert result.clean(), result.errors[:5]
    assert not readers.errors, readers.errors[:5]
    assert_no_errors(ledger)
    assert_books(ledger, pair, "blue")


def where(connection: psycopg.Connection[Any]) -> str:
    """Which side answers a proven read of this session? One row says something else on green (see `marked`)."""
    row = connection.execute("SELECT body FROM notes WHERE id = 50").fetchone()
    return "green" if row == ("green's own",) else "blue"


@pytest.fixture
def marked(pair: Pair) -> Any:
    pair.green.sql("SET session_replication_role = replica; "
                   "UPDATE notes SET body = 'green''s own' WHERE id = 50")
    yield
    pair.green.sql("SET session_replication_role = replica; "
                   "UPDATE notes SET body = 'note 50' WHERE id = 50")


def wait_where(connection: psycopg.Connection[Any], side: str, timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while where(connection) != side:
        assert time.monotonic() < deadline, f"reads never reached {side}"
        time.sleep(0.02)


def test_what_goes_where(turnout: Turnout, marked: None) -> None:
    with turnout.connect() as connection:
        assert where(connection) == "blue"
        set_weight(turnout, 100)
        wait_where(connection, "green")
        with connection.transaction():  # a read-write transaction belongs to the writer, reads included
            connection.execute("UPDATE counter SET value = value WHERE session = 250")
            assert where(connection) == "blue"
        assert connection.execute("SELECT body FROM notes WHERE id = 50 FOR UPDATE").fetchone() == ("note 50",)
        set_weight(turnout, 0)
        wait_where(connection, "blue")


def test_read_only_transactions_are_ramped_whole(turnout: Turnout, marked: None) -> None:
    set_weight(turnout, 100)
    with turnout.connect() as connection:
        wait_where(connection, "green")
        connection.execute("BEGIN READ ONLY")
        assert where(connection) == "green"
        assert where(connection) == "green"
        connection.execute("COMMIT")


def asked_again(connection: psycopg.Connection[Any], text: str) -> set[Any]:
    """What it answers, prepared: on green as soon as that is ready, if the text is taken for a read."""
    answers = set()
    for _ in range(30):
        answers.add(connection.execute(text, prepare=True).fetchone())
        time.sleep(0.03)
    return answers


def test_what_is_half_a_letter(turnout: Turnout, pair: Pair, marked: None) -> None:
    """In SJIS that letter ends in a backslash; who does not know it takes the quote behind it for a part of the text."""
    set_weight(turnout, 100)
    with turnout.connect() as connection:
        connection.execute("SET client_encoding TO SJIS")
        wait_where(connection, "green")
        assert asked_again(connection, "SELECT E'\u8868', inet_server_port() -- '") == {("\u8868", pair.blue.port)}


def test_backslashes_by_the_role_s_default(turnout: Turnout, pair: Pair, marked: None) -> None:
    set_weight(turnout, 100)
    for side in pair.sides.values():
        side.sql("ALTER ROLE hammer SET standard_conforming_strings = off")
    with turnout.connect(user="hammer") as connection:
        assert asked_again(connection, "SELECT '\\'', inet_server_port() -- '") == {("'", pair.blue.port)}


@pytest.mark.parametrize("prepare_threshold", [None, 0])
def test_read_only_transaction_that_becomes_another(turnout: Turnout, pair: Pair, marked: None, prepare_threshold: int | None) -> None:
    """Until its first read a transaction may still be made READ WRITE: then it is the writer's, and green is never written to."""
    set_weight(turnout, 100)
    before = pair.blue.value("SELECT value FROM counter WHERE session = 251")
    with turnout.connect() as connection:
        connection.prepare_threshold = prepare_threshold
        wait_where(connection, "green")
        for begin in ("BEGIN READ ONLY", "BEGIN READ ONLY; COMMIT AND CHAIN"):
            for text in begin.split("; "):
                connection.execute(text)
            connection.execute("SET TRANSACTION READ WRITE")
            connection.execute("UPDATE counter SET value = value + 1 WHERE session = 251")
            connection.execute("COMMIT")
    assert pair.blue.value("SELECT value FROM counter WHERE session = 251") == before + 2
    pair.caught_up()
    assert pair.green.value("SELECT value FROM counter WHERE session = 251") == before + 2


@pytest.mark.parametrize("prepare_threshold", [None, 0])
def test_first_read_of_a_read_only_transaction_detours(turnout: Turnout, pair: Pair, marked: None, prepare_threshold: int | None) -> None:
    set_weight(turnout, 100)
    pair.green.sql("REVOKE SELECT ON pgbench_tellers FROM app")
    try:
        with turnout.connect() as connection:
            connection.prepare_threshold = prepare_threshold
            wait_where(connection, "green")
            for number in range(1, 6):
                connection.execute("BEGIN READ ONLY")
                assert connection.execute("SELECT tid FROM pgbench_tellers WHERE tid = %s", (number,)).fetchone() == (number,)
                assert where(connection) == "blue", "the rest of the transaction stays where its first read went"
                connection.execute("COMMIT")
    finally:
        pair.green.sql("GRANT SELECT ON pgbench_tellers TO app")


def test_a_session_reads_its_own_writes(turnout: Turnout, pair: Pair) -> None:
    """Green is stopped from applying: nobody may see the state from before their own write."""
    set_weight(turnout, 100)
    with turnout.connect() as connection, pair.green.connect(database="app") as blocker:
        connection.execute("UPDATE counter SET value = 0 WHERE session = 240")
        pair.caught_up()
        blocker.execute("BEGIN; LOCK TABLE counter IN SHARE ROW EXCLUSIVE MODE")  # apply waits, reads do not
        for number in range(1, 60):
            connection.execute("UPDATE counter SET value = %s WHERE session = 240", (number,))
            assert connection.execute("SELECT value FROM counter WHERE session = 240").fetchone() == (number,)
        blocker.execute("ROLLBACK")
        pair.caught_up()
        for number in range(100, 200):
            connection.execute("UPDATE counter SET value = %s WHERE session = 240", (number,))
            assert connection.execute("SELECT value FROM counter WHERE session = 240").fetchone() == (number,)


@pytest.mark.smoke
def test_detour(turnout: Turnout, pair: Pair) -> None:
    """A read that fails on green only is answered by the writer; the client notices nothing, a counter does."""
    set_weight(turnout, 100)
    pair.green.sql("REVOKE SELECT ON pgbench_tellers FROM app")
    try:
        before = sum(value for key, value in turnout.metrics().items() if key.startswith("turnout_route_detours_total"))
        with turnout.connect() as connection:
            for prepare_threshold in (None, 0):
                connection.prepare_threshold = prepare_threshold
                for number in range(1, 11):
                    row = connection.execute("SELECT tid FROM pgbench_tellers WHERE tid = %s", (number,)).fetchone()
                    assert row == (number,)
        after = sum(value for key, value in turnout.metrics().items() if key.startswith("turnout_route_detours_total"))
        assert after > before, "no read went to green at all"
    finally:
        pair.green.sql("GRANT SELECT ON pgbench_tellers TO app")


def test_green_dies_under_the_reads(turnout: Turnout, pair: Pair) -> None:
    set_weight(turnout, 100)
    load = Pgbench(turnout.port, turnout.home, mode="prepared", script="select-only", clients=6, rate=300, seconds=600)
    readers = TypeReaders(turnout.conninfo(), 2).start()
    time.sleep(1.5)
    pair.green.kill9()
    time.sleep(1.5)
    seen = readers.reads
    time.sleep(1)
    assert readers.reads > seen, "reads stand still without green"
    pair.green.start()
    pair.blue.wait_for("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'", timeout_s=40)
    result = load.stop()
    readers.stop()
    # An answer of which a part had reached the client cannot be asked for again; nothing else may show.
    assert result.clean(), result.errors[:5]
    assert not readers.errors, readers.errors[:5]


class OverARoad:
    """A Turnout whose way to green can be torn, and a client of it."""

    def __init__(self, make: Callable[..., Turnout], pair: Pair, **slow: Any) -> None:
        self.road = SlowRoad(pair.green.port, **slow)
        self.turnout = make({"green": f"127.0.0.1:{self.road.port}"})
        set_weight(self.turnout, 100)
        self.client = Raw(self.turnout.port)
        assert self.client.login() == {}

    def __enter__(self) -> "OverARoad":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.road.__exit__()

    def _is_read_on_green(self) -> bool:
        before = reads_on(self.turnout)["green"]
        self.client.value("SELECT body FROM notes WHERE id = 1")
        return reads_on(self.turnout)["green"] > before

    def wait_for_green(self) -> float:
        """The next read begins on green. How many detours there were before."""
        eventually(self._is_read_on_green, "a read on green")
        return self.turnout.metrics()[DETOURS]


def test_green_ends_while_it_is_asked_for_types(other_turnout: Callable[..., Turnout], pair: Pair) -> None:
    """Turnout asks what it needs for the binary parameter, and keeps the client's Bind meanwhile: it is run once."""
    with OverARoad(other_turnout, pair, late=framed("H"), late_s=0.3) as over:
        client = over.client
        client.send(framed("P", b"s\0SELECT body FROM notes WHERE id = $1\0\0\0") + framed("S"))
        client.until("Z")
        for number in (2, 3):
            before = over.wait_for_green()
            run = framed("B", b"\0s\0" + struct.pack("!hhhii", 1, 1, 1, 4, number) + struct.pack("!h", 0))
            client.send(run + framed("E", b"\0\0\0\0\0") + framed("S"))
            time.sleep(0.1)
            over.road.tear()
            answer = client.until("Z")
            eventually(lambda: over.turnout.metrics()[DETOURS] == before + 1, "a read that began on green")
            assert "".join(kind for kind, _ in answer) == "2DCZ", answer
            assert answer[1][1].endswith(b"note %d" % number), answer
        assert client.value("SELECT 'the next'") == "the next"


def test_green_has_ended_when_it_is_sent_a_read(other_turnout: Callable[..., Turnout], pair: Pair) -> None:
    """Turnout finds out by sending, in the midst of the client's bytes: the writer is asked once."""
    pair.blue.sql("ALTER ROLE app SET log_statement = 'all'")
    try:
        with OverARoad(other_turnout, pair) as over:
            detours, number = over.turnout.metrics()[DETOURS], 0
            while over.turnout.metrics()[DETOURS] < detours + 2:  # where the sampler hears of it first there is none
                number += 1
                assert number < 40, "no read began on green"
                over.client.ask("UPDATE notes SET body = body WHERE id = 50")  # a connection to the writer is there
                over.wait_for_green()
                over.turnout.stand_still()
                over.client.send(query(f"SELECT body, 'torn {number}' FROM notes WHERE id = 2"))
                time.sleep(0.1)  # the read stands in front of the end
                over.road.tear()
                time.sleep(0.1)
                over.turnout.signal(signal.SIGCONT)
                assert "".join(kind for kind, _ in over.client.until("Z")) == "TDCZ"
                assert over.client.value("SELECT 'the next'") == "the next"
                assert pair.blue.log.read_text().count(f"'torn {number}'") == 1
    finally:
        pair.blue.sql("ALTER ROLE app RESET log_statement")


def test_what_green_refuses_to_set_is_read_on_the_writer(turnout: Turnout) -> None:
    """A setting that has another name since 16; as with a green that ends in front of the read, nobody notices."""
    set_weight(turnout, 100)
    with turnout.connect() as connection:
        connection.execute("SET force_parallel_mode = off")
        before, deadline = turnout.metrics()[DETOURS], time.monotonic() + 20
        while turnout.metrics()[DETOURS] == before:  # then the ramp steps back by itself
            assert time.monotonic() < deadline, "nothing was tried on green"
            assert connection.execute("SELECT body FROM notes WHERE id = 2").fetchone() == ("note 2",)


@pytest.mark.parametrize("text, to_green", [
    ("SELECT abalance FROM pgbench_accounts WHERE aid = 1", True),
    ("SELECT m, count(*) FROM feelings GROUP BY m ORDER BY 2 DESC", True),
    ("WITH n AS (SELECT 1 AS x) SELECT * FROM n, notes WHERE id = x", True),
    ("INSERT INTO notes (body) VALUES ('x')", False),
    ("SELECT * FROM notes FOR UPDATE", False),
    ("SELECT nextval('ticket')", False),
    ("WITH gone AS (DELETE FROM notes RETURNING id) SELECT * FROM gone", False),
    ("SELECT 1; DELETE FROM notes", False),
    ("SELECT pg_advisory_lock(1)", False),
    ("SELECT set_config('work_mem', '1MB', false)", False),
    ("EXPLAIN ANALYZE DELETE FROM notes", False),
    ("SELECT xmin FROM notes", False),
    ("SELECT version()", False),
    ("SELECT count(*) FROM pg_class", False),
    ("SHOW work_mem", False),
    ("SELEC broken", False),
    ("SELECT last_value FROM ticket", False),
])
def test_explain_route(turnout: Turnout, text: str, to_green: bool) -> None:
    set_weight(turnout, 100)
    answer = turnout.cli("explain-route", "app", text, "-o", "json", "--yes")
    assert answer.code == 0, answer
    verdict = str(answer.json.get("verdict"))
    assert (verdict == "read") == to_green, answer.stdout
    assert answer.json.get("reason") or answer.json.get("why"), "it says why"


def test_wrong_weights(turnout: Turnout) -> None:
    for wrong in ("101", "-1", "ten"):
        assert turnout.cli("shift", "app", wrong, "--yes").code == USAGE
    assert turnout.cli("shift", "nobody", "10", "--yes").code in (USAGE, CONFLICT)
