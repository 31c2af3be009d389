"""MySQL's reads: what is called one writes nothing on a real server, and proven reads move to green by weight."""
from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

import pymysql
import pytest
from pymysql.constants import CLIENT

from harness.mariadb import DATABASE, MariaDb
from harness.mariadb_pair import MariaPair, make_pair_turnout
from harness.mysql_products import PAIR_KINDS, PAIRS, PRODUCTS, SERVERS, as_root, pair_of
from harness.mysql_ledger import MysqlLedger
from harness.mysql_prepared import Prepared
from harness.mysql_turnout import connect, one, reads_on
from harness.turnout import Turnout
from harness.waiting import eventually
from harness.workspace import Workspace

ROOT = Path(__file__).parent.parent.parent
WRITES = {1290, 1792}  # the server is read-only; the transaction is

# As tests/router/mysql_classify_test.cpp takes it for given.
SHOP = """
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, item INT, total DECIMAL(10,2), made DATETIME)
CREATE TABLE customer (id INT PRIMARY KEY, name VARCHAR(40), note TEXT, j LONGTEXT)
CREATE TABLE sbtest1 (id INT PRIMARY KEY, k INT, c CHAR(120), pad CHAR(60))
CREATE TABLE parted (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (5), PARTITION p1 VALUES LESS THAN MAXVALUE)
CREATE TABLE docs (id INT PRIMARY KEY, body TEXT, FULLTEXT (body))
CREATE TABLE words (`update` INT, `for` INT, `into` INT, `lock` INT, `delete` INT)
CREATE TABLE ITEM_UPPER (id INT PRIMARY KEY)
CREATE TABLE plain_myisam (id INT PRIMARY KEY) ENGINE=MyISAM
CREATE TABLE in_memory (id INT PRIMARY KEY) ENGINE=MEMORY
CREATE TABLE other.stock (id INT PRIMARY KEY, n INT)
CREATE TABLE written (id INT PRIMARY KEY AUTO_INCREMENT)
CREATE DEFINER = turnout@'%' FUNCTION f() RETURNS INT BEGIN INSERT INTO written VALUES (NULL); RETURN 1; END
CREATE DEFINER = turnout@'%' FUNCTION bin_to_uuid(x TEXT) RETURNS INT BEGIN INSERT INTO written VALUES (NULL); RETURN 1; END
CREATE VIEW good AS SELECT id, COUNT(*) AS n, CONCAT(name, 'x') AS x FROM item GROUP BY id
CREATE VIEW better AS SELECT g.id FROM good g JOIN orders o ON o.item = g.id WHERE o.made > NOW() - INTERVAL 1 DAY
CREATE VIEW bad AS SELECT id, f() AS x FROM item
CREATE VIEW worse AS SELECT * FROM bad
"""
# What only one of the products can have.
SHOP_OF = {"MariaDB": ["CREATE TABLE versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING", "CREATE SEQUENCE numbers"], "MySQL": []}
BYPASSES = {"MariaDB": "READ ONLY ADMIN", "MySQL": "SUPER"}  # who has it passes read_only (not super_read_only)


def make_shop(server: MariaDb) -> None:
    with server.connect("turnout") as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        for statement in [*SHOP.strip().splitlines(), *SHOP_OF[server.PRODUCT]]:
            cursor.execute(statement)


def corpus() -> list[tuple[str, str]]:
    """What is called a read: with its database, "" for none."""
    rows = []
    for line in (ROOT / "tests/router/mysql_corpus.tsv").read_text().splitlines():
        if line.startswith("read\t"):
            _, database, text = line.split("\t", 2)
            text = text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
            rows.append(("" if database == "-" else database, text))
    return rows


def generated() -> list[tuple[str, str]]:
    program = ROOT / "build/release/tests/router_test"
    assert program.exists(), f"{program} is missing: ./dev build"
    ran = subprocess.run([str(program), "--gtest_also_run_disabled_tests", "--gtest_filter=mysql_classify.DISABLED_print_generated_reads"],
                         capture_output=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    return [("shop", bytes.fromhex(line[5:].decode()).decode("utf-8", "replace"))
            for line in ran.stdout.split(b"\n") if line.startswith(b"READ ")]


def run_as_reads(server: MariaDb, texts: list[tuple[str, str]], position_name: str) -> "Counter[int]":
    """Each in a transaction that is READ ONLY on a server that is; what came of it, by the error's number, 0 for none."""
    came: Counter[int] = Counter()
    position = server.value(f"SELECT @@global.{position_name}")
    probe = {mode: server.connect("app", client_flag=CLIENT.MULTI_STATEMENTS, init_command=f"SET sql_mode = CONCAT(@@sql_mode, '{mode}')")
             for mode in ("", ",ANSI_QUOTES")}
    for database, text in texts:
        for connection in probe.values():
            connection.select_db(database or "other")
            with connection.cursor() as cursor:
                cursor.execute("START TRANSACTION READ ONLY")
                try:
                    cursor.execute(text.replace("?", "1"))
                    while cursor.nextset():
                        pass
                    number = 0
                except pymysql.MySQLError as error:
                    number = int(error.args[0])
                assert number not in WRITES, f"called a read, and the server says {number}: {text}"
                assert number not in (2006, 2013), f"the server went away: {text}"
                came[number] += 1
                cursor.execute("ROLLBACK")
    for connection in probe.values():
        connection.close()
    assert server.value(f"SELECT @@global.{position_name}") == position, "something was written"
    assert server.value("SELECT COUNT(*) FROM shop.written") == 0
    return came


@pytest.mark.parametrize("product", PRODUCTS)
def test_what_is_called_a_read_writes_nothing(product: str) -> None:
    """The corpus, and pieces of it spliced at random, with both meanings of "…"."""
    space = Workspace()
    try:
        server, position = SERVERS[product](space), PAIRS[product].POSITION
        server.start()
        make_shop(server)
        as_root(server, "GRANT EXECUTE, FILE, PROCESS ON *.* TO app@'%'", "SET GLOBAL read_only = 1")
        texts = corpus()
        came = run_as_reads(server, texts, position)
        print(f"{len(texts)} reads of the corpus, by what the server said of them in both modes:", dict(came))
        assert came[0] > len(texts) * 2 * 0.85, came
        texts = generated()
        assert len(texts) > 1_000, "the generator has stopped producing reads"
        came = run_as_reads(server, texts, position)
        print(f"{len(texts)} generated texts that the router calls reads:", dict(came))
        assert came[0] > 1_000, "hardly anything of it was run"
    finally:
        space.close()


# ---- the ramp

@pytest.fixture(scope="module", params=PAIR_KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[MariaPair]:
    with pair_of(request.param) as pair:
        as_root(pair.green, "SET GLOBAL log_bin_trust_function_creators = 1")
        make_shop(pair.blue)
        pair.caught_up()
        yield pair


@pytest.fixture(scope="module")
def turnout(pair: MariaPair) -> Turnout:
    return make_pair_turnout(pair, changes={"ramp": {"samples": 50, "hold_time": "1s"}})


@pytest.fixture(autouse=True)
def at_rest(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "turnout" not in request.fixturenames:
        return
    turnout = request.getfixturevalue("turnout")
    turnout.wait_settled()
    if turnout.status()["writer"] == "green":
        turnout.ask("rollback", "app")
        turnout.wait_settled()
    turnout.ask("shift", "app", "0")


@pytest.fixture
def marked(pair: MariaPair) -> Iterator[None]:
    """One row says on green that it is green's."""
    as_root(pair.green, "UPDATE item SET name = 'green' WHERE id = 2")
    yield
    as_root(pair.green, "UPDATE item SET name = 'two' WHERE id = 2")


WHERE = "SELECT name FROM item WHERE id = 2"


def await_side(connection: Any, name: str) -> None:
    eventually(lambda: one(connection, WHERE) == name, f"a read that says {name}", 10)


def metric(turnout: Turnout, name: str) -> float:
    return sum(value for key, value in turnout.metrics().items() if key.startswith(name))


@pytest.mark.smoke
def test_what_goes_where(turnout: Turnout, marked: None) -> None:
    with connect(turnout) as client:
        assert one(client, WHERE) == "two"
        prepared = Prepared(client, "SELECT name FROM item WHERE id = ?")
        assert prepared.run(2) == "two"
        assert turnout.ask("shift", "app", "100")["ramp_percent"] == 100
        await_side(client, "green")
        eventually(lambda: prepared.run(2) == "green", "an execution on green", 10)
        for text in ("SELECT name FROM item WHERE id = 2 FOR UPDATE", "SELECT name FROM item WHERE id = 2 LOCK IN SHARE MODE",
                     "SELECT name FROM item WHERE id = 2 AND GET_LOCK('a', 0) IS NOT NULL AND RELEASE_LOCK('a') IS NOT NULL",
                     "SELECT /*!50000 name */ FROM item WHERE id = 2"):
            with connect(turnout) as fresh:
                assert one(fresh, text) == "two", text
        client.begin()
        assert one(client, WHERE) == "two"  # a transaction is the writer's
        client.commit()
        await_side(client, "green")
    with connect(turnout) as client:
        await_side(client, "green")
        one(client, "SET sql_auto_is_null = 1")
        for _ in range(25):  # longer than what it has set takes to be on green
            assert one(client, WHERE) == "two"  # its reads may speak of its inserts
            time.sleep(0.02)
    with connect(turnout) as client:  # one that has prepared nothing: with that, a change of settings keeps it where it is
        await_side(client, "green")
        client.autocommit(False)
        assert one(client, WHERE) == "two"
        client.rollback()
        client.autocommit(True)
        await_side(client, "green")
        one(client, "CREATE TEMPORARY TABLE mine (n INT)")
        assert one(client, WHERE) == "two"  # it is on one server, and so is the session
        turnout.ask("shift", "app", "0")
    with connect(turnout) as client:
        assert one(client, WHERE) == "two"


def test_explain_says_what_happens(turnout: Turnout) -> None:
    turnout.ask("shift", "app", "100")
    for text, verdict, ramped in ((WHERE, "read", True), ("SELECT name FROM item FOR UPDATE", "write", False), ("SELECT f()", "write", False),
                                  ("SELECT VERSION()", "read_writer", False), ("SELECT * FROM better", "read", True), ("SELECT * FROM worse", "write", False)):
        told = turnout.ask("explain-route", "app", text, "--database", DATABASE)
        assert (told["verdict"], told["ramped"]) == (verdict, ramped), told


def test_a_wrong_verdict_does_not_write_on_green(turnout: Turnout, pair: MariaPair) -> None:
    """A view that has begun to write since the catalog was read; by a user whom read_only does not hold."""
    written = "SELECT COUNT(*) FROM shop.written"
    for server in pair.sides.values():
        as_root(server, f"GRANT {BYPASSES[server.PRODUCT]} ON *.* TO app@'%'")
    pair.execute("blue", "CREATE VIEW shop.turns AS SELECT id, 0 AS x FROM shop.item WHERE id = 1")
    try:
        turnout.ask("shift", "app", "0")
        turnout.ask("shift", "app", "100")
        with connect(turnout) as client:
            before = reads_on(turnout)["green"]
            eventually(lambda: one(client, "SELECT x FROM turns") == 0 and reads_on(turnout)["green"] > before, "a read of the view on green", 10)
            pair.execute("blue", "CREATE OR REPLACE VIEW shop.turns AS SELECT id, shop.f() AS x FROM shop.item WHERE id = 1")
            pair.caught_up()
            detours = metric(turnout, "turnout_route_detours_total")
            with client.cursor() as cursor:
                cursor.execute("SELECT * FROM turns")
                assert cursor.fetchall() == ((1, 1),)  # the writer's answer, and the function has run there
            assert metric(turnout, "turnout_route_detours_total") == detours + 1, "it never went to green: this proves nothing"
            eventually(lambda: turnout.status()["ramp_percent"] == 0, "the step back", 20)
        pair.caught_up()
        assert pair.blue.value(written) == pair.green.value(written) == 1
    finally:
        pair.execute("blue", "DROP VIEW shop.turns")
        pair.execute("blue", "DELETE FROM shop.written")
        for server in pair.sides.values():
            as_root(server, f"REVOKE {BYPASSES[server.PRODUCT]} ON *.* FROM app@'%'")


def test_an_error_on_green_is_not_seen(turnout: Turnout, pair: MariaPair, marked: None) -> None:
    turnout.ask("shift", "app", "100")
    with connect(turnout) as client:
        await_side(client, "green")
        prepared = Prepared(client, "SELECT name FROM orders JOIN item ON item.id = 2 WHERE orders.id < ? UNION SELECT name FROM item WHERE id = 2")
        as_root(pair.green, "RENAME TABLE shop.orders TO shop.gone")
        try:
            before = metric(turnout, "turnout_route_detours_total")

            def is_detoured() -> bool:  # the first ones may be the writer's anyway: it has just answered this session
                assert prepared.run(5) == "two"
                assert one(client, "SELECT COUNT(*) FROM orders") == 0
                return metric(turnout, "turnout_route_detours_total") > before

            eventually(is_detoured, "a read that failed on green", 10)
            eventually(lambda: turnout.status()["ramp_percent"] == 0, "the step back", 20)
        finally:
            as_root(pair.green, "RENAME TABLE shop.gone TO shop.orders")
        assert "H1146" in turnout.status()["ramp_step_back"] or "42S02" in turnout.status()["ramp_step_back"], turnout.status()
        turnout.ask("shift", "app", "100")
        await_side(client, "green")
        with pytest.raises(pymysql.MySQLError, match="Unknown column 'nothing'"):
            one(client, "SELECT nothing FROM item")  # an error of both is the writer's


def test_a_lost_connection_of_green_is_not_seen(turnout: Turnout, pair: MariaPair) -> None:
    turnout.ask("shift", "app", "100")
    errors: list[str] = []
    stop = threading.Event()

    def read() -> None:
        with connect(turnout) as client:
            while not stop.is_set():
                try:
                    one(client, "SELECT COUNT(*), MAX(a.name) FROM item a JOIN item b JOIN item c")
                except pymysql.MySQLError as error:
                    errors.append(repr(error))
                    return

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    eventually(lambda: reads_on(turnout)["green"] > 50, "reads on green", 20)
    for _ in range(10):
        time.sleep(0.1)
        for (number,) in pair.execute("green", "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'"):
            try:
                pair.execute("green", f"KILL {number}")
            except pymysql.MySQLError:
                pass  # gone by itself
    stop.set()
    for reader in readers:
        reader.join(20)
    # What was lost in the midst of an answer cannot be hidden; short reads hardly ever are.
    assert len(errors) <= 1, errors


class Checked:
    """Sessions that write their own row, read it at once, and look at the others': what was seen once never goes back."""

    def __init__(self, turnout: Turnout, sessions: int) -> None:
        self.turnout, self.count = turnout, sessions
        self.reads = self.writes = 0
        self.violations: list[str] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(sessions)]

    def __enter__(self) -> "Checked":
        with connect(self.turnout) as client:
            for number in range(self.count):
                one(client, f"REPLACE INTO counter VALUES ({1000 + number}, 0)")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self, number: int) -> None:
        seen: dict[int, int] = {}
        chance = random.Random(number)
        try:
            with connect(self.turnout) as client:
                prepared = Prepared(client, "SELECT CAST(value AS CHAR) FROM counter WHERE session = ?")
                while not self._stop.is_set():
                    mine = 1000 + number
                    seen[mine] = seen.get(mine, 0) + 1
                    one(client, f"UPDATE counter SET value = {seen[mine]} WHERE session = {mine}")
                    self.writes += 1
                    for turn in range(chance.randrange(5, 40)):
                        row = mine if turn % 2 == 0 else 1000 + chance.randrange(self.count)
                        value = int(prepared.run(row) if turn % 3 == 0 else one(client, f"SELECT value FROM counter WHERE session = {row}"))
                        self.reads += 1
                        if value < seen.get(row, 0):
                            self.violations.append(f"session {mine} read {value} of {row} behind {seen[row]}")
                        seen[row] = max(value, seen.get(row, 0)) if row != mine else seen[mine]
                        time.sleep(chance.random() * 0.01)
        except Exception as error:  # noqa: BLE001
            self.errors.append(repr(error))


class SlowApply:
    """The follower stops committing for up to half a second, again and again; reading goes on."""

    def __init__(self, pair: MariaPair) -> None:
        self._server, self._replica, self._stop = pair.green, pair.REPLICA, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "SlowApply":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        chance = random.Random(1)
        with self._server.connect("turnout", None) as connection, connection.cursor() as cursor:
            while not self._stop.is_set():
                cursor.execute(f"STOP {self._replica} SQL_THREAD")
                time.sleep(chance.random() * 0.5)
                cursor.execute(f"START {self._replica} SQL_THREAD")
                time.sleep(chance.random() * 0.5)


def test_sessions_read_their_own_writes(turnout: Turnout, pair: MariaPair) -> None:
    """At 50 %, while green applies 0 to 500 ms late."""
    turnout.ask("shift", "app", "50")
    with Checked(turnout, 12) as checked, SlowApply(pair):
        time.sleep(3)
        before = reads_on(turnout)
        time.sleep(12)
        after = reads_on(turnout)
    green, blue = (after[side] - before[side] for side in ("green", "blue"))
    print(f"{checked.reads} reads and {checked.writes} writes checked; {100 * green / (green + blue):.1f} % of the proven reads ran on green")
    assert not checked.errors, checked.errors[:3]
    assert not checked.violations, checked.violations[:5]
    assert green > 100 and checked.reads > 2_000


def test_green_leaves_the_read_set_when_it_is_behind(pair: MariaPair) -> None:
    turnout = make_pair_turnout(pair, "lagging", changes={"ramp": {"lag_size": "64kB"}})
    turnout.ask("shift", "app", "100")
    pair.execute("green", f"STOP {pair.REPLICA} SQL_THREAD")
    try:
        with connect(turnout) as client:
            for number in range(200):
                one(client, f"REPLACE INTO customer VALUES ({number}, 'x', REPEAT('y', 2000), '[]')")
        eventually(lambda: turnout.status()["ramp_evicted"], "the eviction", 20)
    finally:
        pair.execute("green", f"START {pair.REPLICA} SQL_THREAD")
    eventually(lambda: not turnout.status()["ramp_evicted"], "the return", 30)
    turnout.ask("shift", "app", "0")
    turnout.stop()


def test_ramp_and_moves_in_one_loop(turnout: Turnout, pair: MariaPair) -> None:
    """Writers and readers at 10, 50 and 100 %, cutover and rollback: nobody notices."""
    shares = {}
    with MysqlLedger(lambda: connect(turnout), first=500) as ledger, Checked(turnout, 12) as checked:
        for percent, writer in ((10, "green"), (50, "blue"), (100, "green"), (50, "blue")):
            turnout.ask("shift", "app", str(percent))
            time.sleep(2)
            before = reads_on(turnout)
            time.sleep(2)
            after = reads_on(turnout)
            moved = {side: after[side] - before[side] for side in after}
            shares[f"{percent} % on {writer}"] = round(100 * moved[writer] / max(1, sum(moved.values())))
            report = turnout.ask("cutover" if writer == "green" else "rollback", "app")
            assert (report["outcome"], report["writer"], report["client_errors"]) == ("committed", writer, 0), report
            turnout.wait_settled()
            pair.assert_writer(writer)
            ledger.wait_commits(20)
    print(f"share of the reads on the side that followed: {shares}; {checked.reads} reads, {checked.writes} writes checked")
    assert not checked.errors, checked.errors[:3]
    assert not checked.violations, checked.violations[:5]
    ledger.assert_quiet()
    ledger.assert_books(pair.blue)
    pair.caught_up("blue")
    ledger.assert_books(pair.green)
    assert all(share > 0 for share in shares.values()), shares


def test_the_ladder_climbs(turnout: Turnout) -> None:
    stop = threading.Event()

    def read() -> None:
        with connect(turnout) as client:
            while not stop.is_set():
                one(client, "SELECT name FROM item WHERE id = 3")

    readers = [threading.Thread(target=read, daemon=True) for _ in range(8)]
    for reader in readers:
        reader.start()
    try:
        turnout.ask("ramp", "start", "app")
        eventually(lambda: turnout.status()["ramp_percent"] >= 25, "a higher step of the ladder", 60)
    finally:
        stop.set()
        for reader in readers:
            reader.join(10)
        turnout.ask("ramp", "abort", "app")
