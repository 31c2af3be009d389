"""A pair of MariaDB, and one of MySQL: the writes move to green and back under load; what is refused, given up, or killed leaves
one writer."""
from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Iterator

import pymysql
import pytest

from harness.mariadb import DATABASE, MariaDb
from harness.mariadb_pair import MariaPair, make_pair_turnout, other
from harness.mysql_ledger import MysqlHammer, MysqlLedger
from harness.mysql97_position_pair import Mysql97PositionPair
from harness.mysql_products import PAIR_KINDS, pair_of
from harness.mysql_turnout import connect, one
from harness.turnout import CONFLICT, REFUSED, REVERTED, Turnout
from harness.waiting import eventually
from harness.workspace import Workspace

# Where Turnout is killed, and who is the writer afterwards.
PLACES = [("after-raise_fence", "blue"), ("before-decide_commit", "blue"), ("after-decide_commit", "green"),
          ("before-start_reverse", "green")]
VERB = {"blue": "cutover", "green": "rollback"}  # from there


@dataclass
class Moved:
    pair: MariaPair
    turnout: Turnout

    def ledger(self, first: int = 0) -> MysqlLedger:
        return MysqlLedger(lambda: connect(self.turnout), first=first)

    def move(self, *words: str) -> dict[str, Any]:
        """To the other side; nothing is left to settle afterwards."""
        old = str(self.turnout.status()["writer"])
        report = dict(self.turnout.ask(VERB[old], "app", *words))
        assert (report["outcome"], report["writer"]) == ("committed", other(old)), report
        self.turnout.wait_settled()
        self.pair.assert_writer(other(old))
        return report

    def back_home(self) -> None:
        if self.turnout.status()["writer"] == "green":
            self.move()

    def await_books(self, ledger: MysqlLedger, writer: str) -> None:
        ledger.assert_books(self.pair.sides[writer])
        self.pair.caught_up(writer)
        ledger.assert_books(self.pair.sides[other(writer)])


@pytest.fixture(scope="module", params=PAIR_KINDS)
def moved(request: pytest.FixtureRequest) -> Iterator[Moved]:
    with pair_of(request.param) as pair:
        yield Moved(pair, make_pair_turnout(pair))


@pytest.fixture(autouse=True)
def at_home(moved: Moved) -> None:
    moved.back_home()  # what failed before may have left the writes on green


def test_the_checks_pass_and_nothing_is_touched(moved: Moved) -> None:
    answer = moved.turnout.ask("preflight", "app")
    assert answer["go"], [check for check in answer["checks"] if check["verdict"] == "FAIL"]
    verdicts = {check["name"]: check["verdict"] for check in answer["checks"]}
    assert verdicts.pop("replication.gtid") == ("WARN" if isinstance(moved.pair, Mysql97PositionPair) else "PASS")
    for name in ("identity", "version", "binlog", "replication.active", "replication.lag", "green.no_writes",
                 "schema.parity", "roles.parity", "privileges", "fence.effective", "reverse.possible", "prepared_transactions"):
        assert verdicts[name] == "PASS", (name, answer["checks"])
    assert not moved.pair.read_only("blue")


def test_lag_is_waited_for_as_long_as_it_may_last(moved: Moved) -> None:
    """Longer than any other question may take."""
    pair = moved.pair
    patient = make_pair_turnout(pair, "patient", changes={"cutover": {"lag_time": "30s"}})
    with pair.green.connect("turnout") as reader, connect(patient) as writer:
        one(reader, "LOCK TABLES item READ")
        one(writer, "INSERT INTO item (name) VALUES ('late')")
        release = threading.Timer(6, lambda: one(reader, "UNLOCK TABLES"))
        release.start()
        checks = patient.cli("preflight", "app", "-o", "json", timeout_s=60).json["checks"]
        release.join()
    patient.stop()
    lag, = [check for check in checks if check["name"] == "replication.lag"]
    assert lag["verdict"] == "PASS", lag


def test_cutover_and_rollback_under_load(moved: Moved) -> None:
    with moved.ledger() as ledger:
        for _ in range(2):
            for writer in ("green", "blue"):
                began = time.monotonic()
                report = moved.move()
                assert report["client_errors"] == 0
                assert report["fence_positions"]["server"], report
                ledger.wait_commits(10)
                longest = max(ms for session in ledger.sessions for start, ms in session.latencies if start + ms / 1000 >= began)
                assert longest < 5_000, longest
                assert moved.turnout.status()["writer"] == writer
    ledger.assert_quiet()
    moved.await_books(ledger, "blue")


def test_events_run_on_the_writer_alone(moved: Moved) -> None:
    """As their definers, in the modes they were made in; an event that is off stays off."""
    pair = moved.pair
    made = ("SELECT EVENT_NAME, DEFINER, SQL_MODE, TIME_ZONE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, EVENT_DEFINITION, INTERVAL_VALUE, "
            "STARTS, ON_COMPLETION FROM information_schema.EVENTS ORDER BY 1")
    with pair.blue.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES', time_zone = '+02:00'")
        cursor.execute("CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND ON COMPLETION PRESERVE DO INSERT INTO hammer (side) VALUES (@@server_id)")
        cursor.execute('CREATE EVENT "od`d" ON SCHEDULE EVERY 1 HOUR DISABLE DO SELECT 1')
    try:
        for side in pair.sides:
            pair.execute(side, "SET GLOBAL event_scheduler = ON")
        pair.caught_up("blue")
        before = pair.execute("blue", made)
        for writer in ("green", "blue"):
            moved.move()
            old = other(writer)
            mine = pair.sides[writer].server_id
            pair.caught_up(writer)
            assert pair.execute(writer, made) == before
            states = "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS ORDER BY 1"
            assert dict(pair.execute(writer, states)) == {"od`d": pair.EVENT_OF_THE_OTHER if writer == "green" else "DISABLED", "tick": "ENABLED"}
            assert dict(pair.execute(old, states))["tick"] == pair.EVENT_OF_THE_OTHER
            last = pair.sides[writer].value(f"SELECT MAX(id) FROM {DATABASE}.hammer")
            eventually(lambda: pair.sides[writer].value(f"SELECT COUNT(*) FROM {DATABASE}.hammer WHERE id > {last}") > 1, "events run")
            ran = pair.execute(writer, f"SELECT DISTINCT side FROM {DATABASE}.hammer WHERE id > {last}")
            assert ran == [(str(mine),)], ran
    finally:
        with pair.blue.connect() as connection, connection.cursor() as cursor:
            cursor.execute("DROP EVENT tick")
            cursor.execute("DROP EVENT `od``d`")
        for side in pair.sides:
            pair.execute(side, "SET GLOBAL event_scheduler = OFF")


def test_a_role_past_turnout_never_writes_on_both(moved: Moved) -> None:
    pair = moved.pair
    for verb, old, new in (("cutover", "blue", "green"), ("rollback", "green", "blue")):
        moved.turnout.ask("prepare", "app")  # from here on the follower is read-only
        pair.execute(old, f"TRUNCATE {DATABASE}.hammer")
        pair.caught_up(old)
        hammer = MysqlHammer(pair.sides).start()
        try:
            assert hammer.successes(new) == 0, "the follower takes writes before the decision"
            moved.turnout.ask(verb, "app", "--waive", "bypassing_clients")
            eventually(lambda: hammer.successes(new) > 20, "the hammer gets through to the new writer", timeout_s=10)
        finally:
            hammer.stop()
        verdict = hammer.verdict(old, new)
        assert verdict.last_on_old is not None, "the hammer never hit the old writer: this proves nothing"
        assert {how for side, how in verdict.successes if side == old} == set(hammer.WAYS)
        assert verdict.overlap_ms() <= 0, f"both sides took writes for {verdict.overlap_ms():.2f} ms: {verdict}"
        assert {error.split()[0] for side, _, error in hammer.errors() if side == old} == {"1290"}
        moved.turnout.wait_settled()
        pair.caught_up(new)
        rows = {side: server.value(f"SELECT COUNT(*) FROM {DATABASE}.hammer") for side, server in pair.sides.items()}
        assert rows["blue"] == rows["green"] == hammer.successes("blue") + hammer.successes("green")


def test_a_transaction_that_does_not_end_reverts_it(moved: Moved) -> None:
    with connect(moved.turnout) as stuck, moved.ledger(first=100) as ledger:
        stuck.begin()
        one(stuck, "INSERT INTO item (name) VALUES ('kept open')")
        report = moved.turnout.ask("cutover", "app", expect=REVERTED)
        assert report["outcome"] == "reverted", report
        moved.turnout.wait_settled()
        moved.pair.assert_writer("blue")
        ledger.wait_commits(10)
        stuck.commit()  # the fence has not broken it
    ledger.assert_quiet()
    moved.await_books(ledger, "blue")
    assert moved.pair.green.value(f"SELECT COUNT(*) FROM {DATABASE}.item WHERE name = 'kept open'") == 1


def test_a_rehearsal_turns_back_and_nobody_notices(moved: Moved) -> None:
    with moved.ledger(first=300) as ledger:
        report = moved.turnout.ask("cutover", "app", "--rehearse")
        assert (report["outcome"], report["writer"]) == ("rehearsed", "blue"), report
        assert report["fence_positions"]["server"] and report["undo"]["identical"], report
        moved.pair.assert_writer("blue")
        ledger.wait_commits(10)
    ledger.assert_quiet()
    moved.await_books(ledger, "blue")


def test_a_start_does_not_believe_a_store_that_the_servers_contradict(moved: Moved) -> None:
    """The writer of the store is read-only, and the other side is not: somebody has moved the writes without us."""
    pair, turnout = moved.pair, moved.turnout
    turnout.stop()
    pair.execute("blue", "SET GLOBAL read_only = 1")
    pair.execute("green", "SET GLOBAL read_only = 0")
    try:
        turnout.start(wait_ready=False)
        deadline = time.monotonic() + 10
        while turnout.cli("status").code != 0:  # the API is not up yet
            assert time.monotonic() < deadline, turnout.log_tail()
        turnout.wait_phase("unknown")
        assert "the decision store says that blue is the writer" in turnout.status()["reason"]
    finally:
        turnout.stop()
        pair.execute("green", "SET GLOBAL read_only = 1")
        pair.execute("blue", "SET GLOBAL read_only = 0")
        turnout.start()
    pair.assert_writer("blue")


def test_checks_refuse(moved: Moved) -> None:
    pair, turnout = moved.pair, moved.turnout

    def failed() -> set[str]:
        answer = turnout.ask("cutover", "app", expect=REFUSED)
        return {check["name"] for check in answer["checks"] if check["verdict"] == "FAIL"}

    pair.execute("green", f"STOP {pair.REPLICA}")
    try:
        assert {"replication.active"} <= failed()
    finally:
        pair.execute("green", f"START {pair.REPLICA}")
        pair.caught_up()
    with pair.blue.connect("app") as stranger:
        for statement in ("XA START 'left'", "INSERT INTO item (name) VALUES ('xa')", "XA END 'left'", "XA PREPARE 'left'"):
            one(stranger, statement)
        try:
            assert {"prepared_transactions"} <= failed()
        finally:
            one(stranger, "XA ROLLBACK 'left'")
    moved.pair.assert_writer("blue")


def test_checks_refuse_what_only_mariadb_has(moved: Moved) -> None:
    pair, turnout = moved.pair, moved.turnout
    if pair.SERVER is not MariaDb:
        pytest.skip("super_read_only holds everybody, and there are no domains")

    def failed() -> set[str]:
        answer = turnout.ask("cutover", "app", expect=REFUSED)
        return {check["name"] for check in answer["checks"] if check["verdict"] == "FAIL"}

    def as_root(*statements: str) -> None:
        with pymysql.connect(host="127.0.0.1", port=pair.blue.port, user="root") as root:
            for statement in statements:
                one(root, statement)

    # Of a session that writes although it comes past Turnout, and whom read_only does not hold.
    with pymysql.connect(host="127.0.0.1", port=pair.blue.port, user="root") as strange:
        assert one(strange, "SELECT 1") == 1
        assert {"superuser_sessions"} <= failed()
    as_root("CREATE ROLE dba", "GRANT READ ONLY ADMIN ON *.* TO dba", "GRANT dba TO reader@'%'")
    with pair.blue.connect("reader") as strange:  # by a role that need not even be on
        assert one(strange, "SELECT 1") == 1
        assert {"superuser_sessions"} <= failed()
    as_root("DROP ROLE dba")
    pair.caught_up()
    for domains, is_refused in (("7", True), ("", False)):  # the position moves on over what a filter leaves out
        for statement in ("STOP SLAVE", f"CHANGE MASTER TO IGNORE_DOMAIN_IDS = ({domains})", "START SLAVE"):
            pair.execute("green", statement)
        pair.caught_up()
        if is_refused:
            assert {"replication.filters"} <= failed()


def test_checks_refuse_what_only_mysql_has(moved: Moved) -> None:
    pair, turnout = moved.pair, moved.turnout
    if pair.SERVER is MariaDb:
        pytest.skip("its own statements")

    def failed() -> set[str]:
        answer = turnout.ask("preflight", "app", expect=REFUSED)
        return {check["name"] for check in answer["checks"] if check["verdict"] == "FAIL"}

    def filter_by(databases: str) -> None:
        for statement in ("STOP REPLICA SQL_THREAD", f"CHANGE REPLICATION FILTER REPLICATE_IGNORE_DB = ({databases})", "START REPLICA"):
            pair.execute("green", statement)
        pair.caught_up()

    filter_by("nowhere")  # the position moves on over what a filter leaves out
    assert failed() == {"replication.filters"}
    filter_by("")
    if isinstance(pair, Mysql97PositionPair):
        return  # what is written there has no GTID
    for statement in ("SET GLOBAL read_only = OFF", "CREATE DATABASE stray", "DROP DATABASE stray", "SET GLOBAL super_read_only = ON"):
        pair.execute("green", statement)
    assert failed() == {"green.no_writes"}
    known = pair.blue.value("SELECT @@global.gtid_executed")
    stray = pair.green.value(f"SELECT GTID_SUBTRACT(@@global.gtid_executed, '{known}')")
    origin, numbers = stray.split(":")
    first, last = (int(number) for number in numbers.split("-"))
    for number in range(first, last + 1):  # as an operator would: an empty transaction in the place of each
        with pair.blue.connect("turnout", None) as connection:
            for statement in (f"SET gtid_next = '{origin}:{number}'", "BEGIN", "COMMIT", "SET gtid_next = 'AUTOMATIC'"):
                one(connection, statement)
    assert turnout.ask("preflight", "app")["go"]
    moved.move()
    moved.move()


def test_what_mysql_does_not_have_is_refused(moved: Moved) -> None:
    for words in (("prepare", "app", "--replicate"),):
        refused = moved.turnout.cli(*words, "--yes")
        assert refused.code == CONFLICT, refused
        assert "protocol mysql has no" in " ".join(str(refused).split()), refused


@pytest.mark.parametrize("place,writer", PLACES)
def test_killed(moved: Moved, place: str, writer: str) -> None:
    """kill -9 before the decision ends with blue writable and as it was, after it with green; nothing is lost."""
    pair, turnout = moved.pair, moved.turnout
    stops = turnout.home / f"stops-{place}"
    stops.mkdir()
    turnout.stop()
    turnout.environment["TURNOUT_STOP_POINTS"] = str(stops)
    turnout.start()
    try:
        with moved.ledger(first=200 + 10 * PLACES.index((place, writer))) as ledger:
            (stops / place).touch()
            process = turnout.cli_start("cutover", "app", "--yes")
            deadline = time.monotonic() + 20
            while not (stops / f"{place}.reached").exists():
                assert time.monotonic() < deadline, turnout.log_tail()
                time.sleep(0.005)
            turnout.kill9()
            process.kill()
            process.communicate()
            assert pair.read_only("blue") or writer == "blue"
            (stops / place).unlink()
            turnout.start(timeout_s=30)
            turnout.wait_settled()
            ledger.wait_commits(10)
        assert turnout.status()["writer"] == writer
        pair.assert_writer(writer)
        moved.await_books(ledger, writer)
    finally:
        turnout.environment.pop("TURNOUT_STOP_POINTS")


def test_finish_takes_the_way_back_down(moved: Moved) -> None:
    space = Workspace()
    try:
        pair = type(moved.pair)(space)
        pair.start()
        turnout = make_pair_turnout(pair)
        turnout.ask("cutover", "app")
        turnout.wait_settled()
        assert pair.execute("blue", pair.LINKS), "blue follows green"
        assert not pair.execute("green", pair.LINKS)
        turnout.ask("finish", "app")
        assert not pair.execute("blue", pair.LINKS)
        assert turnout.cli("rollback", "app", "--yes").code == CONFLICT
        with connect(turnout) as client:
            one(client, "INSERT INTO item (name) VALUES ('on green alone')")
        assert pair.green.value(f"SELECT COUNT(*) FROM {DATABASE}.item WHERE name = 'on green alone'") == 1
    finally:
        space.close()
