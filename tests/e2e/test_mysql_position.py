"""A pair of MySQL without GTIDs, as MySQL comes: positions are places in a log. What only such a pair can get wrong."""
from __future__ import annotations

import threading
import time
from typing import Any, Iterator

import pytest

from harness import faults, mysql97, shadowed
from harness.compared import compare, rows_of
from harness.mariadb import DATABASE
from harness.mariadb_pair import LASTING, make_pair_turnout, other
from harness.mysql97_position_pair import Mysql97PositionPair
from harness.mysql_ledger import MysqlLedger
from harness.mysql_turnout import connect, one
from harness.turnout import DONE, REFUSED
from harness.waiting import eventually
from harness.workspace import Workspace

pytestmark = pytest.mark.skipif(not mysql97.is_there(), reason=mysql97.MISSING)
VERB = {"blue": "cutover", "green": "rollback"}  # from there
ROTATE = "FLUSH BINARY LOGS"


class Moving:
    def __init__(self, name: str = "", options: list[str] | None = None, changes: dict[str, Any] | None = None) -> None:
        self.space = Workspace()
        self.pair = Mysql97PositionPair(self.space, options, name)
        self.pair.start()
        self.turnout = make_pair_turnout(self.pair, changes=changes, start=False)
        self.stops = faults.StopPoints(self.space.directory("stops"))
        self.turnout.environment = self.stops.environment
        self.turnout.start()

    def ledger(self, first: int) -> MysqlLedger:
        return MysqlLedger(lambda: connect(self.turnout), first=first)

    def writer(self) -> str:
        return str(self.turnout.status()["writer"])

    def move(self) -> dict[str, Any]:
        old = self.writer()
        report = dict(self.turnout.ask(VERB[old], "app"))
        assert (report["outcome"], report["client_errors"]) == ("committed", 0), report
        self.turnout.wait_settled()
        self.pair.assert_writer(other(old))
        return report

    def await_books(self, ledger: MysqlLedger) -> None:
        writer = self.writer()
        for side in (writer, other(writer)):
            ledger.assert_books(self.pair.sides[side])
            self.pair.caught_up(writer)

    def check(self, name: str) -> tuple[str, str]:
        found, = [one for one in self.turnout.cli("preflight", "app", "-o", "json").json["checks"] if one["name"] == name]
        return found["verdict"], found["measured"]

    def refused(self) -> set[str]:
        answer = self.turnout.ask(VERB[self.writer()], "app", expect=REFUSED)
        return {check["name"] for check in answer["checks"] if check["verdict"] == "FAIL"}

    def stand_at(self, *points: str) -> Iterator[str]:
        """A cutover (or rollback) that stops at each of them in turn, and then goes on to its end."""
        self.stops.set(points[0])
        process = self.turnout.cli_start(VERB[self.writer()], "app", "--yes", "-o", "json")
        try:
            for point, following in zip(points, [*points[1:], ""]):
                self.stops.wait(point)
                if following:
                    self.stops.set(following)
                yield point
                self.stops.release(point)
            said, _ = process.communicate(timeout=60)
            assert process.returncode == DONE, said
        finally:
            self.stops.clear()
            process.kill()
            process.communicate()
        self.turnout.wait_settled()


@pytest.fixture(scope="module")
def moving() -> Iterator[Moving]:
    made = Moving()
    yield made
    made.space.close()


def test_ten_moves_while_the_logs_are_rotated(moving: Moving) -> None:
    stop = threading.Event()

    def rotate() -> None:
        while not stop.wait(0.15):
            for side in moving.pair.sides:
                moving.pair.execute(side, ROTATE)

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        with moving.ledger(0) as ledger:
            for _ in range(10):
                report = moving.move()
                old = other(report["writer"])
                assert report["fence_positions"]["server"].startswith("binlog."), report
                assert report["first_positions"]["server"].startswith("binlog."), report
                ledger.wait_commits(10)
                assert moving.pair.link(old)["Auto_Position"] == 0
    finally:
        stop.set()
        rotating.join()
    ledger.assert_quiet()
    moving.await_books(ledger)


def test_rotated_between_the_steps(moving: Moving) -> None:
    """The fence's place is the beginning of a file without a transaction; the new writer's log goes on in another file than the
    way back begins in."""
    with moving.ledger(100) as ledger:
        for _ in range(2):
            old = moving.writer()
            for point in moving.stand_at("before-write_marker", "after-await_marker", "after-decide_commit", "before-start_reverse"):
                moving.pair.execute(old if point == "before-write_marker" else other(old), ROTATE)
            moving.pair.assert_writer(other(old))
            ledger.wait_commits(10)
    ledger.assert_quiet()
    moving.await_books(ledger)


def test_the_way_back_is_set_up_once(moving: Moving) -> None:
    """Turnout is killed around it, and the old writer restarted, which begins to replicate by itself; nothing comes twice, not even
    into a table without a key."""
    for server in moving.pair.sides.values():
        server.options.append("--read-only=1")
    with connect(moving.turnout) as client:
        one(client, "CREATE TABLE IF NOT EXISTS plain (n INT)")
    for place in ("before-start_reverse", "after-start_reverse", "before-drop_forward"):
        old = moving.writer()
        moving.stops.set(place)
        process = moving.turnout.cli_start(VERB[old], "app", "--yes")
        moving.stops.wait(place)
        with moving.pair.sides[other(old)].connect() as writer:
            for number in range(50):
                one(writer, f"INSERT INTO plain VALUES ({number})")
        moving.turnout.kill9()
        process.kill()
        process.communicate()
        moving.pair.sides[old].kill9()
        moving.pair.sides[old].start()
        moving.stops.clear()
        moving.turnout.start(timeout_s=30)
        moving.turnout.wait_settled()
        moving.pair.assert_writer(other(old))
        moving.pair.caught_up(other(old))
        counts = [server.value(f"SELECT COUNT(*) FROM {DATABASE}.plain") for server in moving.pair.sides.values()]
        assert counts[0] == counts[1], (place, counts)
    if moving.writer() == "green":
        moving.move()


def test_a_way_back_that_was_taken_away_is_not_made_anew(moving: Moving) -> None:
    """How far it had come nobody knows."""
    pair, old = moving.pair, moving.writer()
    moving.stops.set("after-start_reverse")
    process = moving.turnout.cli_start(VERB[old], "app", "--yes")
    moving.stops.wait("after-start_reverse")
    moving.turnout.kill9()
    process.kill()
    process.communicate()
    begin = pair.link(old)
    for statement in ("STOP REPLICA", "RESET REPLICA ALL"):
        pair.execute(old, statement)
    moving.stops.clear()
    moving.turnout.start()
    eventually(lambda: "how far it had come is not known" in moving.turnout.log_file.read_text(), "it is told", timeout_s=20)
    assert not pair.link(old)
    pair.execute(old, f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={pair.sides[other(old)].port}, "
                      f"SOURCE_USER='turnout', SOURCE_PASSWORD='correct horse, battery', SOURCE_AUTO_POSITION=0, GET_SOURCE_PUBLIC_KEY=1, "
                      f"SOURCE_LOG_FILE='{begin['Relay_Source_Log_File']}', SOURCE_LOG_POS={begin['Exec_Source_Log_Pos']}")
    pair.execute(old, "START REPLICA")
    moving.turnout.wait_settled()
    pair.assert_writer(other(old))
    moving.move()


def test_checks_refuse(moving: Moving) -> None:
    pair = moving.pair
    pair.execute("blue", f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={pair.green.port}")
    try:
        assert moving.refused() == {"replication.gtid"}, "a connection that would be taken for the way back"
    finally:
        pair.execute("blue", "RESET REPLICA ALL")
    pair.execute("green", "STOP REPLICA IO_THREAD")
    pair.execute("blue", ROTATE)
    with connect(moving.turnout) as client:
        one(client, "INSERT INTO item (name) VALUES ('purged')")
    pair.execute("blue", ROTATE)
    pair.execute("blue", f"PURGE BINARY LOGS TO '{pair.log_end('blue')[0]}'")
    pair.execute("green", "START REPLICA IO_THREAD")
    eventually(lambda: "Could not find" in pair.link("green")["Last_IO_Error"], "it is told", timeout_s=20)
    assert {"replication.active", "replication.errors"} <= moving.refused()
    pair.assert_writer("blue")


def test_relay_logs_must_outlive_a_crash() -> None:
    made = Moving("crash-", ["--relay-log-recovery=OFF"])
    try:
        verdict, measured = made.check("replication.gtid")
        assert verdict == "FAIL" and "relay_log_recovery is off" in measured, measured
        assert made.refused() == {"replication.gtid"}
    finally:
        made.space.close()


def test_what_is_written_on_the_follower_alone() -> None:
    made = Moving("own-")
    pair = made.pair
    try:
        assert made.check("green.no_writes")[0] == "PASS"
        made.move()
        made.move()  # green was the writer, and its log has that
        verdict, measured = made.check("green.no_writes")
        assert verdict == "PASS" and measured.startswith("none since binlog."), measured
        with connect(made.turnout) as client:
            one(client, "INSERT INTO item (name) VALUES ('replicated')")
        pair.caught_up("blue")
        pair.execute("green", "SET GLOBAL read_only = OFF")
        place = ":".join(map(str, pair.log_end("green")))
        pair.execute("green", f"INSERT INTO {DATABASE}.item (id, name) VALUES (1000000, 'on green alone')")
        pair.execute("green", "SET GLOBAL super_read_only = ON")
        verdict, measured = made.check("green.no_writes")
        assert verdict == "FAIL" and place in measured, (place, measured)
        assert made.refused() == {"green.no_writes"}
        # What was not looked through is not vouched for.
        filler = "INSERT INTO item (name) SELECT REPEAT('x', 40) FROM " + pair.blue.numbers(1000)
        with connect(made.turnout) as client:
            for _ in range(150):
                one(client, filler)
        pair.caught_up("blue")
        verdict, measured = made.check("green.no_writes")
        assert verdict == "WARN" and ("nobody knows" in measured or "too long" in measured), (verdict, measured)
    finally:
        made.space.close()


def test_a_writer_that_comes_up_read_only_is_opened() -> None:
    """Not while the follower has read what the writer's log has not, or has written itself."""
    made = Moving("lasting-", LASTING)
    pair = made.pair
    try:
        made.turnout.ask("prepare", "app")
        made.move()
        made.move()
        time.sleep(1)  # both have been seen in their roles
        with made.ledger(300) as ledger:
            ledger.wait_commits(10)
            pair.blue.kill9()
            pair.blue.start()
            eventually(lambda: not pair.read_only("blue"), "blue takes writes again", timeout_s=20)
            ledger.wait_commits(10)
        pair.caught_up("blue")
        made.await_books(ledger)
        pair.execute("green", "SET GLOBAL read_only = OFF")
        pair.execute("green", f"INSERT INTO {DATABASE}.item (id, name) VALUES (1000000, 'on green alone')")
        pair.execute("green", "SET GLOBAL super_read_only = ON")
        pair.blue.restart()
        eventually(lambda: "blue, the writer, is read-only" in made.turnout.log_file.read_text(), "it is told", timeout_s=20)
        time.sleep(1)
        assert pair.read_only("blue")
    finally:
        made.space.close()


def test_compare_and_the_shadow_need_no_gtids() -> None:
    """Neither calls equal sides different while they are written to; both name what was planted."""
    made = Moving("compared-", changes={"compare": {"rows_per_second": 0}, "shadow": {"brackets": 2}})

    def read() -> None:
        with connect(made.turnout) as client:
            for _ in range(10):
                one(client, "SELECT name FROM item WHERE id = 1")
                one(client, "SELECT COUNT(*) FROM item")

    try:
        shadowed.on(made.turnout)
        with made.ledger(0) as ledger:
            ledger.wait_commits(20)
            compare(made.turnout)
            found = shadowed.wait_for(made.turnout, lambda r: r["same"] >= 100, read)
        assert not shadowed.differing(found), found
        made.pair.execute("green", "SET GLOBAL read_only = OFF")
        made.pair.execute("green", f"UPDATE {DATABASE}.item SET name = 'other' WHERE id = 1")
        made.pair.execute("green", "SET GLOBAL super_read_only = ON")
        found = shadowed.wait_for(made.turnout, shadowed.differing, read)
        assert [shape["shape"] for shape in shadowed.differing(found)] == ["SELECT name FROM item WHERE id = ?"], found
        found = compare(made.turnout, expect=REFUSED)
        assert rows_of(found, f"{DATABASE}.item"), found
    finally:
        made.space.close()
