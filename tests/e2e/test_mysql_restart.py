"""Servers of a pair, of MariaDB and of MySQL, are restarted before, between and after moves: read_only does not outlive that, the promise does."""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Iterator

import pymysql
import pytest

from harness import faults
from harness.mariadb import DATABASE
from harness.mariadb_pair import MariaPair, make_pair_turnout, other
from harness.mysql_ledger import MysqlHammer, MysqlLedger
from harness.mysql_products import PRODUCTS, pair_of
from harness.mysql_turnout import connect, one
from harness.turnout import REVERTED, Turnout
from harness.waiting import eventually

VERB = {"blue": "cutover", "green": "rollback"}  # from there


@dataclass
class Restarted:
    pair: MariaPair
    turnout: Turnout

    def ledger(self, first: int) -> MysqlLedger:
        return MysqlLedger(lambda: connect(self.turnout), first=first, pace_s=0.02)

    def move(self) -> str:
        """The new writer."""
        old = str(self.turnout.status()["writer"])
        report = self.turnout.ask(VERB[old], "app", "--waive", "bypassing_clients")
        assert report["outcome"] == "committed", report
        self.turnout.wait_settled()
        return other(old)

    def deeds(self) -> list[tuple[str, str]]:
        """What Turnout did by itself: (verb, side)."""
        lines = [line for line in self.turnout.ask("audit")["audit"] if line["who"] == "turnout"]
        return [(line["verb"], line["side"]) for line in lines]


def restarted(product: str, lasts: bool, changes: dict[str, Any] | None = None) -> Iterator[Restarted]:
    with pair_of(product, ["--innodb-flush-log-at-trx-commit=2"]) as pair:
        for server in pair.sides.values():
            server.options += [f"--{pair.FENCE}=1"] if lasts else []  # from the next start on
        turnout = make_pair_turnout(pair, changes=changes, start=False)
        stops = faults.StopPoints(pair.workspace.directory("stops"))
        turnout.environment = stops.environment
        turnout.start()
        yield Restarted(pair, turnout)


@pytest.fixture(scope="module", params=PRODUCTS)
def plain(request: pytest.FixtureRequest) -> Iterator[Restarted]:
    """Nothing of read_only in the servers' options."""
    yield from restarted(request.param, False, {"cutover": {"proof": "15s", "window": "20s", "lag_time": "1s"}})


@pytest.fixture(scope="module", params=PRODUCTS)
def lasting(request: pytest.FixtureRequest) -> Iterator[Restarted]:
    """As the README says: read_only=1, of MySQL super_read_only=1, in the options of both."""
    yield from restarted(request.param, True, {"waive": ["bypassing_clients"]})


def test_a_follower_that_nobody_has_closed_is_left_alone(plain: Restarted) -> None:
    time.sleep(1)
    assert not plain.pair.read_only("green"), "nobody has prepared anything"


def test_a_follower_that_comes_up_writable_is_closed_again(plain: Restarted) -> None:
    """Before, between and after moves; no client of the writer notices."""
    pair = plain.pair
    plain.turnout.ask("prepare", "app")
    assert pair.read_only("green")
    time.sleep(1)  # it has been seen so
    with plain.ledger(0) as ledger:
        writer, restarts = "blue", []
        for round_ in range(3):
            follower = other(writer)
            pair.sides[follower].restart()
            eventually(lambda: pair.read_only(follower), f"{follower} is read-only again", timeout_s=5)
            restarts.append(("close follower", follower))
            assert plain.deeds() == restarts
            pair.assert_writer(writer)
            pair.caught_up(writer)
            ledger.wait_commits(5)
            if round_ < 2:
                writer = plain.move()
    ledger.assert_quiet()
    ledger.assert_books(pair.blue)
    pair.caught_up("blue")
    ledger.assert_books(pair.green)


def test_one_that_was_restarted_while_turnout_was_away(plain: Restarted) -> None:
    """The store knows that it was closed once."""
    plain.turnout.stop()
    plain.pair.green.restart()
    assert not plain.pair.read_only("green")
    plain.turnout.start()
    eventually(lambda: plain.pair.read_only("green"), "green is read-only again", timeout_s=5)
    plain.pair.assert_writer("blue")


def test_what_somebody_has_set_on_the_writer_stays(plain: Restarted) -> None:
    plain.turnout.ask("prepare", "app")  # green is closed: nothing but who has set it keeps Turnout from opening the writer
    time.sleep(0.5)  # it has been seen as the writer
    plain.pair.execute("blue", "SET GLOBAL read_only = 1")
    try:
        eventually(lambda: "blue, the writer, is read-only" in plain.turnout.log_file.read_text(), "it is told", timeout_s=5)
        time.sleep(1)
        assert plain.pair.read_only("blue"), "that was not for Turnout to undo"
        assert plain.turnout.log_file.read_text().count("blue, the writer, is read-only") == 1
    finally:
        plain.pair.execute("blue", "SET GLOBAL read_only = 0")


def test_restarts_under_the_hammer(lasting: Restarted) -> None:
    """Of either server, before, between and after moves: the follower never takes a write, the writer soon does again."""
    pair = lasting.pair
    lasting.turnout.ask("prepare", "app")
    time.sleep(1)  # both have been seen in their roles
    with lasting.ledger(0) as ledger:
        writer = "blue"
        for round_ in range(3):
            old, new = writer, other(writer)
            hammer = MysqlHammer(pair.sides, pace_s=0.01, pace_new_s=0.02).start()
            try:
                pair.sides[new].restart()
                assert pair.read_only(new)
                pair.sides[old].restart()
                eventually(lambda: not pair.read_only(old), f"{old} takes writes again", timeout_s=5)
                ledger.wait_commits(3)
                assert hammer.successes(new) == 0, "the follower took a write"
                pair.caught_up(old)
                if round_ < 2:
                    writer = lasting.move()
                    eventually(lambda: hammer.successes(new) > 10, f"the hammer gets through to {new}", timeout_s=10)
            finally:
                hammer.stop()
            if writer == new:
                verdict = hammer.verdict(old, new)
                assert verdict.overlap_ms() <= 0, f"both sides took writes for {verdict.overlap_ms():.2f} ms: {verdict}"
            pair.caught_up(writer)
            pair.execute(writer, f"TRUNCATE {DATABASE}.hammer")
        assert [deed for deed in lasting.deeds()] == [("open writer", side) for side in ("blue", "green", "blue")]
    verdict = ledger.verify(pair.blue)
    assert verdict.clean(), verdict


def test_a_writer_stays_closed_while_nobody_knows_the_other_side(lasting: Restarted) -> None:
    """Green may have been made the writer meanwhile, or have what blue has lost."""
    pair = lasting.pair
    writer = str(lasting.turnout.status()["writer"])
    follower = other(writer)
    before = len(lasting.deeds())
    pair.sides[follower].stop()
    pair.sides[writer].restart()
    eventually(lambda: f"{writer}, the writer, is read-only" in lasting.turnout.log_file.read_text(), "it is told", timeout_s=5)
    time.sleep(1)
    assert pair.read_only(writer)
    pair.sides[follower].start()
    eventually(lambda: not pair.read_only(writer), f"{writer} takes writes again", timeout_s=10)
    assert lasting.deeds()[before:] == [("open writer", writer)]
    pair.assert_writer(writer)


def test_a_fence_that_a_restart_has_taken_down_proves_nothing(plain: Restarted) -> None:
    pair, turnout = plain.pair, plain.turnout
    stops = faults.StopPoints(turnout.home.parent / "stops")
    turnout.ask("prepare", "app")
    stops.set("before-await_marker")
    process = turnout.cli_start("cutover", "app", "--yes", "-o", "json", "--waive", "bypassing_clients")
    try:
        stops.wait("before-await_marker")
        pair.blue.restart()
        with pair.blue.connect() as stranger:
            one(stranger, "INSERT INTO item (name) VALUES ('behind the position that is proven')")
    finally:
        stops.clear()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == REVERTED, said
    assert "may have been restarted behind the fence" in said, said
    turnout.wait_settled()
    pair.assert_writer("blue")
    pair.caught_up("blue")


def test_a_proof_does_not_believe_a_follower_that_takes_writes(plain: Restarted) -> None:
    """Restarted in the window, and written to: the attempt is undone, and the next one refused. The last one: green is spoilt."""
    pair, turnout = plain.pair, plain.turnout
    stops = faults.StopPoints(turnout.home.parent / "stops")
    turnout.ask("prepare", "app")
    time.sleep(1)  # green has been seen closed, whichever test was the first
    stops.set("before-prepare")
    process = turnout.cli_start("cutover", "app", "--yes", "-o", "json")
    try:
        stops.wait("before-prepare")
        stops.set("before-await_marker")
        stops.release("before-prepare")
        stops.wait("before-await_marker")
        pair.green.restart()
        with pair.green.connect() as stranger:
            one(stranger, "INSERT INTO item (name) VALUES ('on green alone')")
    finally:
        stops.clear()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == REVERTED, said
    assert f"green takes writes: was it restarted without {pair.FENCE}=1?" in said, said
    turnout.wait_settled()
    eventually(lambda: pair.read_only("green"), "green is read-only again", timeout_s=5)
    pair.assert_writer("blue")
    with connect(turnout) as client:
        one(client, "INSERT INTO item (name) VALUES ('after')")
    failed = {check["name"] for check in turnout.cli("preflight", "app", "-o", "json").json["checks"] if check["verdict"] == "FAIL"}
    assert "green.no_writes" in failed
    with pytest.raises(pymysql.MySQLError):
        with pair.green.connect() as stranger:
            one(stranger, "INSERT INTO item (name) VALUES ('never')")
