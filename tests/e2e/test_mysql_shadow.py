"""`turnout shadow` before a pair of MariaDB, and of MySQL 9.7: reads run on green as well. What was planted there is named; lag and live writes never are."""
from __future__ import annotations

import json
import struct
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator

import pymysql
import pytest

from harness.mariadb_pair import MariaPair, make_pair_turnout, other
from harness.mysql_ledger import MysqlLedger
from harness.mysql_prepared import Prepared
from harness.mysql_products import PRODUCTS, as_root, pair_of
from harness.mysql_turnout import connect, one
from harness.shadowed import differing, off, on, report, shape_of, wait_for, wait_for_reads
from harness.turnout import DONE, REFUSED, Turnout
from harness.waiting import eventually

CHANGES: dict[str, Any] = {"shadow": {"lag_time": "2s", "brackets": 2}}

# A later row sorts before an earlier one by its word, in each group; thirds have no end in binary.
TABLES = """
CREATE TABLE number (seq INT PRIMARY KEY)
INSERT INTO number SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 1 FROM {n} a, {n} b, {n} c, {n} d, {n} e WHERE e.n < 4
CREATE TABLE sh_rows (id INT PRIMARY KEY, grp INT, word VARCHAR(20), weight DOUBLE, KEY by_word (grp, word))
INSERT INTO sh_rows SELECT seq, seq % 10, CONCAT(CHAR(90 - seq % 26), seq), seq / 3E0 FROM number WHERE seq <= 200
CREATE TABLE sh_wide (id INT PRIMARY KEY, owner INT, payload TEXT, KEY sh_wide_owner (owner))
INSERT INTO sh_wide SELECT seq, seq % 4000, REPEAT('p', 100) FROM number
CREATE VIEW sh_rate AS SELECT id, id * 2 AS rate FROM sh_rows
""".replace("{n}", "(" + " UNION ALL ".join(f"SELECT {digit} AS n" for digit in range(10)) + ")")


@contextmanager
def filled(product: str) -> Iterator[MariaPair]:
    with pair_of(product) as pair:
        with pair.blue.connect("turnout") as connection, connection.cursor() as cursor:
            for statement in TABLES.strip().splitlines():
                cursor.execute(statement)
        pair.caught_up()
        for server in pair.sides.values():
            as_root(server, "ANALYZE TABLE sh_rows, sh_wide")
        yield pair


@pytest.fixture(scope="module", params=PRODUCTS)
def pair(request: pytest.FixtureRequest) -> Iterator[MariaPair]:
    with filled(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def turnout(pair: MariaPair) -> Turnout:
    return make_pair_turnout(pair, changes=CHANGES)


@pytest.fixture(autouse=True)
def off_again(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "turnout" in request.fixturenames:
        off(request.getfixturevalue("turnout"))


def run_unread(client: Any, prepared: Prepared, row: int) -> None:
    """An answer of one column, whatever its type."""
    client._execute_command(0x17, struct.pack("<IBI", prepared.number, 0, 1) + b"\x00\x01\x08\x00" + struct.pack("<q", row))
    for _ in range(3):  # how many columns, the column, what ends them
        assert not client._read_packet().is_error_packet()
    while not client._read_packet().is_eof_packet():
        pass


class Readers:
    """Clients that read all the time, by texts and by prepared statements, also what others are writing; what they met is in `errors`."""

    def __init__(self, turnout: Turnout, sessions: int = 3, writers: int = 1) -> None:
        self.errors: list[str] = []
        self._turnout, self._stop = turnout, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(self._read,), daemon=True) for _ in range(sessions)]
        self._threads += [threading.Thread(target=self._run, args=(self._write,), daemon=True) for _ in range(writers)]

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, work: Callable[[Any], Iterator[None]]) -> None:
        try:
            with connect(self._turnout) as client:
                for _ in work(client):
                    if self._stop.is_set():
                        return
                    time.sleep(0.002)
        except Exception as error:  # noqa: BLE001
            self.errors.append(repr(error))

    def _read(self, client: Any) -> Iterator[None]:
        by_id = Prepared(client, "SELECT word FROM sh_rows WHERE id = ?")
        weights = Prepared(client, "SELECT CONCAT(weight, '') FROM sh_rows WHERE id > ? ORDER BY id")
        turn = 0
        while True:
            turn += 1
            one(client, "SELECT id, word, weight FROM sh_rows WHERE id < 30 ORDER BY id")
            yield
            one(client, "SELECT grp, COUNT(*), SUM(id) FROM sh_rows GROUP BY grp")
            yield
            one(client, f"SELECT payload, owner, id FROM sh_wide WHERE id BETWEEN {turn % 30000} AND {turn % 30000 + 300}")
            yield
            by_id.run(turn % 250)
            yield
            weights.run(turn % 200)
            yield

    def _write(self, client: Any) -> Iterator[None]:
        number = 0
        while True:
            number += 1
            one(client, f"UPDATE sh_rows SET word = 'w{number}' WHERE id = {number % 20 + 1}")
            yield


@pytest.mark.smoke
def test_equal_sides_are_equal_while_everybody_writes(turnout: Turnout) -> None:
    on(turnout)
    with Readers(turnout) as readers:
        found = wait_for(turnout, lambda r: r["same"] >= 500 and shape_of(r, "GROUP BY grp").get("same", 0) >= 20
                         and shape_of(r, "SELECT word FROM sh_rows WHERE id = ?").get("same", 0) >= 20
                         and shape_of(r, "FROM sh_wide").get("same", 0) >= 20)
    assert not readers.errors, readers.errors
    assert found["different"] == 0 and found["failed"] == 0, differing(found)
    shape = shape_of(found, "SELECT word FROM sh_rows WHERE id = ?")
    assert shape["green"]["reads"] > 0 and shape["blue"]["reads"] == shape["green"]["reads"], shape
    assert 0 < shape["green"]["p50_ms"] <= shape["green"]["p95_ms"] <= shape["green"]["p99_ms"]
    assert turnout.cli("shadow", "app").code == DONE
    assert "SELECT word FROM sh_rows" in turnout.cli("shadow", "app", "report").stdout


def test_what_was_planted_on_green_is_named(turnout: Turnout, pair: MariaPair) -> None:
    on(turnout)
    as_root(pair.green, "UPDATE sh_rows SET word = 'planted' WHERE id = 150", "DELETE FROM sh_rows WHERE id = 151",
            "CREATE OR REPLACE VIEW sh_rate AS SELECT id, id * 3 AS rate FROM sh_rows")
    try:
        with connect(turnout) as client:
            prepared = Prepared(client, "SELECT word AS said FROM sh_rows WHERE id = ?")

            def read() -> None:
                assert one(client, "SELECT word FROM sh_rows WHERE id = 150") != "planted"
                assert prepared.run(150) != "planted"
                one(client, "SELECT id FROM sh_rows WHERE id BETWEEN 150 AND 152 ORDER BY id")
                assert one(client, "SELECT rate FROM sh_rate WHERE id = 7") == 14
                one(client, "SELECT grp FROM sh_rows WHERE id = 150")

            found = wait_for(turnout, lambda r: sum(1 for s in r["shapes"] if s["different"] > 0) >= 4, read)
        by_text = {s["shape"]: s["difference"] for s in found["shapes"] if s["different"]}

        def words_of(piece: str) -> str:
            return str(next(words for text, words in by_text.items() if piece in text))

        assert "1 row, in word" in words_of("SELECT word FROM"), by_text
        assert "1 row, in said" in words_of("AS said"), by_text
        assert "3 rows on the writer, 2 on the other side" in words_of("BETWEEN"), by_text
        assert "in rate" in words_of("sh_rate"), by_text
        assert "planted" not in json.dumps(found), "a report holds no values"
        assert shape_of(found, "SELECT grp FROM").get("different", 0) == 0
        assert found["outcome"] == "different"
        assert turnout.cli("shadow", "app").code == REFUSED
    finally:
        as_root(pair.green, "UPDATE sh_rows SET word = CONCAT(CHAR(90 - 150 % 26), 150) WHERE id = 150",
                "INSERT INTO sh_rows SELECT 151, 1, CONCAT(CHAR(90 - 151 % 26), 151), 151 / 3E0",
                "CREATE OR REPLACE VIEW sh_rate AS SELECT id, id * 2 AS rate FROM sh_rows")


def test_errors_of_green_alone(turnout: Turnout, pair: MariaPair) -> None:
    on(turnout)
    as_root(pair.green, "ALTER TABLE sh_rows RENAME COLUMN grp TO grp_gone")
    try:
        with connect(turnout) as client:
            prepared = Prepared(client, "SELECT CONCAT(grp) FROM sh_rows WHERE id = ?")

            def read() -> None:
                assert one(client, "SELECT grp, id FROM sh_rows WHERE id = 3") == 3
                assert prepared.run(3) == "3"

            found = wait_for(turnout, lambda r: shape_of(r, "SELECT grp, id").get("failed", 0) > 0
                             and shape_of(r, "CONCAT(grp)").get("failed", 0) > 0, read)
        for piece in ("SELECT grp, id", "CONCAT(grp)"):
            shape = shape_of(found, piece)
            assert {"sqlstate": "42S22", "blue": 0}.items() <= shape["errors"][0].items(), shape
            assert "42S22" in shape["difference"]
    finally:
        as_root(pair.green, "ALTER TABLE sh_rows RENAME COLUMN grp_gone TO grp")


def test_errors_of_both_are_the_same(turnout: Turnout) -> None:
    on(turnout)
    with connect(turnout) as client:
        def read() -> None:
            with pytest.raises(pymysql.MySQLError, match="nothing_here"):
                one(client, "SELECT nothing_here FROM sh_rows")
        found = wait_for(turnout, lambda r: shape_of(r, "nothing_here").get("same", 0) >= 5, read)
    assert not differing(found), differing(found)


def test_a_difference_ends_the_ramp(turnout: Turnout, pair: MariaPair) -> None:
    on(turnout)
    sessions = [connect(turnout) for _ in range(6)]

    def ramp() -> dict[str, Any]:
        return dict(turnout.rest("/v1/deployments/app/ramp")[1])

    def read(sql: str) -> None:
        for session in sessions:
            one(session, sql)

    try:
        turnout.ask("shift", "app", "40")
        wait_for(turnout, lambda r: r["same"] > 50, lambda: read("SELECT word FROM sh_rows WHERE id = 170"))
        assert ramp()["percent"] == 40, ramp()
        as_root(pair.green, "UPDATE sh_rows SET word = 'planted' WHERE id = 170")
        wait_for(turnout, lambda r: ramp()["phase"] == "stepped_back", lambda: read("SELECT word FROM sh_rows WHERE id = 170"))
        back = ramp()["last_step_back"]
        assert (back["kind"], back["percent"]) == ("shadow_difference", 40), back
        assert "word" in back["why"] and "sh_rows" in back["shape"], back
    finally:
        for session in sessions:
            session.close()
        turnout.ask("shift", "app", "0")
        as_root(pair.green, "UPDATE sh_rows SET word = CONCAT(CHAR(90 - 170 % 26), 170) WHERE id = 170")


def test_lag_is_no_difference(turnout: Turnout, pair: MariaPair) -> None:
    """Green stands still: nothing is compared, nothing waits, and afterwards nothing was different."""
    on(turnout)
    pair.execute("green", f"STOP {pair.REPLICA} SQL_THREAD")
    try:
        with connect(turnout) as client:
            def read() -> None:
                began = time.monotonic()
                one(client, "UPDATE sh_rows SET weight = weight + 1 WHERE id = 42")
                one(client, "SELECT weight FROM sh_rows WHERE id = 42 AND grp = 2")
                assert time.monotonic() - began < 5
            wait_for(turnout, lambda r: r["dropped"]["behind"] > 0, read)
            pair.execute("green", f"START {pair.REPLICA} SQL_THREAD")
            found = wait_for(turnout, lambda r: shape_of(r, "SELECT weight").get("same", 0) > 5, read)
        assert not differing(found), differing(found)
    finally:
        pair.execute("green", f"START {pair.REPLICA} SQL_THREAD")


def test_what_is_never_the_same_and_what_is_explained(turnout: Turnout, pair: MariaPair) -> None:
    """Without that index green meets its rows in another order."""
    on(turnout)
    as_root(pair.green, "ALTER TABLE sh_rows DROP KEY by_word")
    try:
        with connect(turnout) as client:
            def read() -> None:
                one(client, "SELECT RAND() AS chance, id FROM sh_rows WHERE id = 1")
                one(client, "SELECT NOW(6) AS moment, id FROM sh_rows WHERE id = 1")
                one(client, "SELECT id AS plain FROM sh_rows WHERE grp = 3")
                one(client, "SELECT GROUP_CONCAT(id) AS ids FROM sh_rows WHERE grp = 4")
                one(client, "SELECT id FROM sh_rows WHERE grp = 5 LIMIT 3")
            found = wait_for(turnout, lambda r: shape_of(r, "RAND()").get("not_compared", 0) > 0
                             and shape_of(r, "NOW(").get("not_compared", 0) > 0
                             and shape_of(r, "AS plain").get("same", 0) > 0
                             and shape_of(r, "GROUP_CONCAT").get("explained", 0) > 0
                             and shape_of(r, "LIMIT").get("different", 0) > 0, read)
    finally:
        as_root(pair.green, "ALTER TABLE sh_rows ADD KEY by_word (grp, word)")
    assert shape_of(found, "RAND()")["why_not_compared"] == "rand()"
    assert "aggregate" in shape_of(found, "GROUP_CONCAT")["explanation"]
    assert "hangs on the order" in shape_of(found, "LIMIT")["difference"]
    assert [shape["shape"] for shape in differing(found)] == [shape_of(found, "LIMIT")["shape"]], differing(found)


def test_floats_in_their_last_digits_are_explained(turnout: Turnout, pair: MariaPair) -> None:
    on(turnout)
    as_root(pair.green, "UPDATE sh_rows SET weight = 60.000000000000014 WHERE id = 180", "UPDATE sh_rows SET weight = 61.5 WHERE id = 181")
    try:
        with connect(turnout) as client:
            near, far = (Prepared(client, f"SELECT weight AS {name} FROM sh_rows WHERE id = ?") for name in ("near", "far"))

            def read() -> None:
                run_unread(client, near, 180)
                run_unread(client, far, 181)
                one(client, "SELECT weight AS told FROM sh_rows WHERE id = 180")
            found = wait_for(turnout, lambda r: shape_of(r, "AS near").get("explained", 0) > 0 and shape_of(r, "AS far").get("different", 0) > 0
                             and shape_of(r, "AS told").get("explained", 0) > 0, read)
    finally:
        as_root(pair.green, "UPDATE sh_rows SET weight = id / 3E0 WHERE id IN (180, 181)")
    for name in ("near", "told"):
        assert "last digits" in shape_of(found, f"AS {name}")["explanation"], found
    assert [shape["shape"] for shape in differing(found)] == [shape_of(found, "AS far")["shape"]]


def test_settings_of_the_session_travel(turnout: Turnout) -> None:
    on(turnout)
    with connect(turnout) as client:
        one(client, "SET time_zone = '+09:00', sql_mode = 'PIPES_AS_CONCAT', group_concat_max_len = 5")
        one(client, "SET NAMES latin1")
        client.select_db("other")

        def read() -> None:
            assert one(client, "SELECT FROM_UNIXTIME(0) || '-' || GROUP_CONCAT(word ORDER BY id) FROM shop.sh_rows WHERE id > 100") \
                .startswith("1970-01-01 09:00:00-")
        found = wait_for(turnout, lambda r: shape_of(r, "FROM_UNIXTIME").get("same", 0) > 10, read)
    assert not differing(found), differing(found)


def test_a_shape_that_got_slower_comes_with_both_plans(turnout: Turnout, pair: MariaPair) -> None:
    on(turnout)
    as_root(pair.green, "ALTER TABLE sh_wide DROP KEY sh_wide_owner")
    try:
        with connect(turnout) as client:
            prepared = Prepared(client, "SELECT CONCAT(id) FROM sh_wide WHERE owner = ?")
            numbers = iter(range(10**9))

            def read() -> None:
                number = next(numbers) % 4000
                one(client, f"SELECT id FROM sh_wide WHERE owner = {number}")
                prepared.run(number)

            found = wait_for(turnout, lambda r: "plans" in shape_of(r, "SELECT id FROM sh_wide") and "plans" in shape_of(r, "CONCAT(id)"),
                             read, timeout_s=60)
    finally:
        as_root(pair.green, "ALTER TABLE sh_wide ADD KEY sh_wide_owner (owner)")
    for piece in ("SELECT id FROM sh_wide", "CONCAT(id)"):
        shape = shape_of(found, piece)
        assert shape["slower"] and shape["p95_ratio"] > 1.25, shape
        assert "key=sh_wide_owner" in shape["plans"]["blue"], shape["plans"]
        assert "type=ALL" in shape["plans"]["green"], shape["plans"]
    assert found["outcome"] == "slower"


def test_no_client_waits_for_green(turnout: Turnout, pair: MariaPair) -> None:
    """Green answers nobody any more: clients do not notice, and what waits for it is dropped."""
    on(turnout)
    with connect(turnout) as client:
        wait_for(turnout, lambda r: shape_of(r, "sh_rows WHERE id").get("same", 0) > 0, lambda: one(client, "SELECT 1 FROM sh_rows WHERE id = 9"))
        pair.green.freeze()
        try:
            slowest = 0.0
            for _ in range(600):
                began = time.monotonic()
                one(client, "SELECT 1 FROM sh_rows WHERE id = 9")
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 2, f"{slowest:.1f} s"
            wait_for(turnout, lambda r: sum(r["dropped"].values()) > 0)
        finally:
            pair.green.wake()


def shadows_at_work(pair: MariaPair) -> int:
    listed = "performance_schema.processlist" if pair.green.PRODUCT == "MySQL" else "information_schema.PROCESSLIST"
    return int(pair.green.value(f"SELECT COUNT(*) FROM {listed} WHERE USER = 'app' AND COMMAND IN ('Query', 'Execute')"))


def test_what_runs_on_green_ends_with_the_shadow(turnout: Turnout, pair: MariaPair) -> None:
    """A read that waits there for somebody's lock is ended when the shadow goes: nothing of it is left for a cutover to meet."""
    on(turnout)
    with connect(turnout) as client, pair.green.connect("turnout") as locker:
        wait_for(turnout, lambda r: shape_of(r, "sh_wide WHERE id").get("same", 0) > 0, lambda: one(client, "SELECT owner FROM sh_wide WHERE id = 9"))
        one(locker, "LOCK TABLES sh_wide WRITE")
        try:
            one(client, "SELECT owner FROM sh_wide WHERE id = 9")
            eventually(lambda: shadows_at_work(pair) > 0, "a shadow that waits for the lock", 20)
            turnout.ask("shadow", "app", "off")
            assert eventually(lambda: shadows_at_work(pair) == 0, "the end of it", 20) < 4
        finally:
            one(locker, "UNLOCK TABLES")


def test_takes_long_there_is_no_difference(pair: MariaPair) -> None:
    """The shadow's own time limit ends it; nobody calls that an error of green's."""
    turnout = make_pair_turnout(pair, "impatient", changes={"shadow": {"statement_timeout": "300ms", "lag_time": "2s"}})
    on(turnout)
    with connect(turnout) as client, pair.green.connect("turnout") as locker:
        one(locker, "LOCK TABLES sh_wide WRITE")
        try:
            found = wait_for(turnout, lambda r: shape_of(r, "sh_wide WHERE id").get("not_compared", 0) > 1,
                             lambda: one(client, "SELECT owner FROM sh_wide WHERE id = 9"))
        finally:
            one(locker, "UNLOCK TABLES")
    assert not differing(found), differing(found)
    ended_by = "H3024" if pair.green.PRODUCT == "MySQL" else "70100"
    assert f"an error of the moment: {ended_by}" in shape_of(found, "sh_wide WHERE id")["why_not_compared"], found
    turnout.stop()


@pytest.mark.parametrize("product", PRODUCTS)
def test_cutover_and_rollback_in_the_midst_of_shadow_reads(product: str) -> None:
    """At all that is read, under load: nobody notices. A former writer is left alone until asked for."""
    with filled(product) as pair:
        turnout = make_pair_turnout(pair, changes=CHANGES)
        on(turnout)
        with MysqlLedger(lambda: connect(turnout)) as ledger, Readers(turnout, 4, 2) as readers:
            found = wait_for_reads(turnout, "green", 300)
            for _ in range(2):
                for verb, former in (("cutover", "blue"), ("rollback", "green")):
                    moved = turnout.ask(verb, "app")
                    assert (moved["outcome"], moved["client_errors"]) == ("committed", 0), moved
                    turnout.wait_settled()
                    pair.assert_writer(other(former))
                    ledger.wait_commits(20)
                    on(turnout)
                    assert not report(turnout)["standing_still"]
                    found = wait_for_reads(turnout, former, 200)
                    assert not differing(found), differing(found)
        assert not readers.errors, readers.errors
        ledger.assert_quiet()
        ledger.assert_books(pair.blue)
